"""What the Dags are made of: assets, stage operators, the retry policy."""
