"""What an evaluation measures: rows, metrics, scores with their intervals, and the gate. No I/O."""
