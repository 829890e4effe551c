"""Tune a model: the training file, the tuning job, its end and its cancellation."""
