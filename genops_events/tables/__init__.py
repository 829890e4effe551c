"""The tables of all candidates: their columns, their rows, where their files lie. No I/O."""
