"""The tables of all candidates: their columns and rows, and how they come into the bucket and into BigQuery."""
