"""The parts of `genops_events.config`: what a dataset may say, and errors that name the line."""
