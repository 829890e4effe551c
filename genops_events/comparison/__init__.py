"""Compare any number of contestants on the same prompts and metrics: what is asked for, the contest, the summary, the report."""
