"""Whose task gets the next free worker: `priority_weight` of each kind of task, the greater first."""

from __future__ import annotations

from genops_events.stages import Stage

STAGE_PRIORITIES = {Stage.EVALUATION: 2, Stage.INFERENCE: 3, Stage.BUDGET: 4, Stage.PROMOTION: 5}
"""Weights of what follows the tuning job: who has come furthest goes first, so that of many candidates the first ends
early, instead of all at the end; but what takes a second before what may take an hour. Small, since other Dags of the
same Airflow are not to wait for these."""

WAITED_FOR_PRIORITY = 5
"""Weight of what somebody waits for (the answers of a form), or what is short and must not starve (the tables)."""

COMPARISON_PRIORITY = 1
"""Weight of comparisons, below what follows the tuning job: nobody waits for one more than for a candidate."""

VALIDATION_PRIORITY = 10
"""Weight of validation, over what follows the tuning job: a job that runs early ends early."""

INTAKE_PRIORITY = 2_000_000_000
"""Weight of intake, over all others: an arrival waits for no candidate that is under way."""
