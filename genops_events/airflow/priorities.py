"""Whose task gets the next free worker: `priority_weight` of what is not a stage's work, the greater first.

That of the stages is in `STAGES`.
"""

from __future__ import annotations

WAITED_FOR_PRIORITY = 5
"""Weight of what a person waits for (the answers of a form), or what is short and must not starve (the tables)."""

COMPARISON_PRIORITY = 1
"""Weight of comparisons, below what follows the tuning job: nobody waits for one more than for a candidate."""

VALIDATION_PRIORITY = 10
"""Weight of validation, over what follows the tuning job: a job that runs early ends early."""

INTAKE_PRIORITY = 2_000_000_000
"""Weight of intake, over all others: an arrival waits for no candidate that is under way."""
