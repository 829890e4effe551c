"""Validate a training file: its lines and their parts, limits, duplicates, and the report. No I/O."""
