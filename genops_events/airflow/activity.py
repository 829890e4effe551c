"""Ask Airflow whether a candidate's stage is under way: by key, from the asset events that wake it."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator
from datetime import datetime, timedelta
from typing import Any

from airflow.sdk import Asset, Context
from airflow.sdk.exceptions import AirflowRuntimeError

from genops_events.airflow.assets import WOKEN_BY
from genops_events.intake.traces import Activity
from genops_events.record.stages import Stage

log = logging.getLogger(__name__)

EVENTS_A_PAGE = 200
"""Asset events read at a time: the API server looks up the Dag runs of each, within the call's time-out."""

FARTHEST_BACK = timedelta(days=1)
"""A run that was woken longer ago than this and still waits is not looked for."""

_ACTIVE = ("queued", "running")
_OVER = {"success", "failed", "skipped", "upstream_failed", "removed"}
"""States of a task that nothing happens to any more."""
_RUNS_A_CALL = 100


def event_pages(context: Context, asset: Asset, since: datetime | None) -> Iterator[list[Any]]:
    """Yield the asset's events from `since` on page by page, each once, oldest first.

    Raises:
        AirflowRuntimeError: the API server answers with an error even to the SDK's own retries (five by default, within
            about half a minute). It does so while any Dag run that was created from one of these events is still
            queued: its answer has no room for a run that has not started (`datamodels/asset_event.py`, 3.3.2).
    """
    seen: set[int] = set()
    size = EVENTS_A_PAGE
    while True:
        events = context["inlet_events"][asset].limit(size)
        page = list(events if since is None else events.after(since.isoformat()))
        fresh = [event for event in page if event.id not in seen]
        if fresh:
            yield fresh
        seen.update(event.id for event in fresh)
        if len(page) < size:
            return
        if page[-1].timestamp == since:
            size *= 2  # more events of one instant than fit on a page
        since = page[-1].timestamp


class AirflowActivity:
    """What Airflow does for candidates, asked once in a sweep for each stage and only where it is needed.

    Args:
        context: of the running task, whose inlets have all assets of `WOKEN_BY`.
        since: nothing that was woken before this is looked for.
    """

    def __init__(self, context: Context, *, since: datetime) -> None:
        self._context = context
        self._since = since
        self._stages: dict[Stage, Activity | set[str]] = {}
        self._events: dict[str, dict[str, set[str]]] = {}

    def of(self, candidate: str, stages: Collection[Stage]) -> dict[Stage, Activity]:
        """Return what the Dag of each of `stages` does for the candidate."""
        return {stage: self._of(candidate, stage) for stage in stages}

    def _of(self, candidate: str, stage: Stage) -> Activity:
        if stage not in self._stages:
            try:
                self._stages[stage] = self._ask(stage)
            except AirflowRuntimeError as error:
                log.warning("Airflow does not say for which candidates %s is under way: %s", stage, error)
                self._stages[stage] = Activity.UNKNOWN
        found = self._stages[stage]
        if isinstance(found, Activity):
            return found
        return Activity.UNDER_WAY if candidate in found else Activity.IDLE

    def _ask(self, stage: Stage) -> Activity | set[str]:
        """Return what holds for all candidates, or else those that a queued or running Dag run is for."""
        task_instance: Any = self._context["ti"]
        dag_id = f"genops_{stage}"
        if task_instance.get_dag(dag_id).is_paused:
            log.warning("%s is paused; candidates that wait for it are woken once it is not", dag_id)
            return Activity.PAUSED
        if task_instance.get_dr_count(dag_id, states=list(_ACTIVE)) == 0:
            return Activity.IDLE
        return {candidate for asset in WOKEN_BY[stage] for candidate in self._woken(asset).get(dag_id, ())}

    def _woken(self, asset: Asset) -> dict[str, set[str]]:
        """Return, by Dag, the candidates that active runs which this asset's events created are for."""
        if asset.name not in self._events:
            active: dict[str, set[str]] = {}
            for events in event_pages(self._context, asset, self._since):
                for event in events:
                    for run in event.created_dagruns:
                        if run.state in _ACTIVE and event.partition_key is not None:
                            active.setdefault(run.dag_id, set()).add(event.partition_key)
            self._events[asset.name] = active
        return self._events[asset.name]


def runs_over(context: Context, stage: Stage, run_ids: Collection[str]) -> set[str]:
    """Return those Dag runs of a stage that nothing happens in any more, or that are gone."""
    task_instance: Any = context["ti"]
    wanted = sorted(run_ids)
    over: set[str] = set()
    for at in range(0, len(wanted), _RUNS_A_CALL):
        some = wanted[at : at + _RUNS_A_CALL]
        states = task_instance.get_task_states(dag_id=f"genops_{stage}", run_ids=some)
        over |= {run_id for run_id in some if all(str(one) in _OVER for one in states.get(run_id, {}).values())}
    return over
