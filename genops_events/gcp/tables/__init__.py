"""The tables for analysis: written into the bucket, loaded into BigQuery, and queried with DuckDB."""
