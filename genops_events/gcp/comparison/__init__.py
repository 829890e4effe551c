"""Comparisons against the cloud: who is called, what is answered and scored, what is written in the end."""
