"""Comparisons: any number of contestants on the same prompts and metrics. Decisions and documents, no I/O."""
