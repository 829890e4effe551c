"""Validate a training file: lines, parts, amounts, duplicates, and the report. No I/O."""
