"""Evaluate a tuned model: rows, metrics, scores with their intervals, the gate, the report, and the stage's work."""
