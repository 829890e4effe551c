"""What the stages have in common: a run of a stage, its spending, its holds, its paid job, and its recorded end."""
