"""Compare any number of contestants on the same prompts and metrics: the request, each contestant's run, summary and report."""
