"""What the stages have in common: one run of a stage, what it may spend, how it is held, and how its end is recorded."""
