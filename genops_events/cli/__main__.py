"""`python -m genops_events.cli` is the `genops` command."""

from genops_events.cli import app

app()
