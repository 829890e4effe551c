"""A stand-in for BigQuery: Google's REST API over DuckDB, with sqlglot for the SQL."""
