"""What is read from files that people write: YAML, TOML, lines of JSON, names and addresses, and where in them a mistake stands."""
