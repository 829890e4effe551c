"""Let the sweep look at a candidate now, after a command has put something into its record."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genops_events.errors import GenopsError

if TYPE_CHECKING:
    from genops_events.airflow_rest.client import AirflowRest
    from genops_events.config import Config


def sweep_now(config: Config, rest: AirflowRest | None, candidate: str, *, note: str, it: str) -> str:
    """Start a run of intake where Airflow can be reached; return when the candidate moves, and how to see it.

    Args:
        config: says how often the sweep looks by itself.
        rest: None where GENOPS_AIRFLOW_URL is not set.
        candidate: whom the command was about.
        note: the command, for the run's page in Airflow.
        it: what the candidate does then: `goes on`, `ends`.
    """
    from genops_events.airflow_rest.intake_run import start_intake

    follow = f"Follow it with: genops watch {candidate}"
    at_most = f"with the next sweep, within {config.intake.sweep_minutes} minutes"
    if rest is None:
        return f"It {it} {at_most} (GENOPS_AIRFLOW_URL is not set, so no sweep was started). {follow}"
    try:
        start_intake(rest, note)
    except GenopsError as error:
        return f"It {it} {at_most}: no sweep could be started ({error.message}). {follow}"
    return f"A sweep was started, and it {it} in a moment. {follow}"
