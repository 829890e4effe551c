"""Tune a model: the file, the job, how it ends, and how it is cancelled."""
