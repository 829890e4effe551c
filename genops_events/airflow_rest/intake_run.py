"""Let the sweep look now, from outside Airflow. Nothing of Airflow is imported here."""

from __future__ import annotations

from genops_events.airflow_rest.client import AirflowRest

INTAKE_DAG = "genops_intake"


def start_intake(rest: AirflowRest, note: str) -> None:
    """Start a run of genops_intake, which sweeps first because a person started it.

    Args:
        rest: of the Airflow.
        note: what the run is for; shown on its page.

    Raises:
        AirflowUnavailable: no answer; nothing is known.
        AirflowRefused: this user may not start runs.
    """
    rest.post(f"/api/v2/dags/{INTAKE_DAG}/dagRuns", {"logical_date": None, "note": note})
