"""The parts of `genops_events.training_data`: one line, one part, limits, duplicates, the report."""
