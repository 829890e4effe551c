"""Measure a tuned model: rows, metrics, scores with their intervals, the gate, the report, and the work that does it."""
