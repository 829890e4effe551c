"""The Airflow pool that holds the project's places for tuning jobs. Nothing of Airflow is imported here."""

from __future__ import annotations

from typing import Any

from genops_events.airflow_rest.client import AirflowRefused, AirflowRest

TUNING_JOBS_POOL = "genops_tuning_jobs"
"""Its slots are the places; deferred tasks count, since their jobs run."""

DESCRIPTION = "Tuning jobs at a time"


def pool_body(slots: int) -> dict[str, Any]:
    """Return the pool as Airflow's REST takes it.

    Args:
        slots: how many tuning jobs the project may run at a time.
    """
    return {"name": TUNING_JOBS_POOL, "slots": slots, "description": DESCRIPTION, "include_deferred": True}


def set_pool(rest: AirflowRest, slots: int) -> None:
    """Create the pool, or make it what it should be: one call either way. Tasks that hold a slot keep it.

    Raises:
        AirflowUnavailable: no answer; nothing is known.
        AirflowRefused: this user may not change pools, or Airflow refuses this one.
    """
    action = {"action": "create", "action_on_existence": "overwrite", "entities": [pool_body(slots)]}
    done = rest.patch("/api/v2/pools", {"actions": [action]})["create"]
    if TUNING_JOBS_POOL not in done["success"]:
        raise AirflowRefused(f"Airflow does not take the pool {TUNING_JOBS_POOL}: {done['errors']}")
