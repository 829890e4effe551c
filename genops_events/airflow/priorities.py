"""Whose task gets the next free worker: `priority_weight` of each kind of task, the greater first."""

from __future__ import annotations

from genops_events.stages import Stage

STAGE_PRIORITIES = {Stage.EVALUATION: 2, Stage.BUDGET: 3, Stage.PROMOTION: 4, Stage.INFERENCE: 5}
"""Weights of what follows the tuning job: who has come furthest goes first, so that of many candidates the first ends
early, instead of all at the end. Small, since other Dags of the same Airflow are not to wait for these."""

WAITED_FOR_PRIORITY = 5
"""Weight of what somebody waits for (the answers of a form), or what is short and must not starve (the tables)."""

COMPARISON_PRIORITY = 1
"""Weight of comparisons, below what follows the tuning job: nobody waits for one more than for a candidate."""

VALIDATION_PRIORITY = 10
"""Weight of validation, over what follows the tuning job: a job that runs early ends early."""

INTAKE_PRIORITY = 2_000_000_000
"""Weight of intake, over all others: an arrival waits for no candidate that is under way."""
