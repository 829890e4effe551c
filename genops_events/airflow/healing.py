"""The sweep: find what was lost between the bucket and the record, and heal it without a person."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Any

from airflow.sdk import Context

from genops_events import record
from genops_events.airflow.stage import StageRun, settle_and_announce
from genops_events.arrivals import Notice
from genops_events.config import Config
from genops_events.errors import PermanentError
from genops_events.gcp.bucket_sweep import objects_without_candidate, survey
from genops_events.gcp.record_store import RecordStore
from genops_events.stages import Outcome, Stage
from genops_events.sweep import Remedies, remedies

log = logging.getLogger(__name__)

_OVER = {"success", "failed", "skipped", "upstream_failed", "removed"}
"""States of a task that nothing happens to any more."""


def sweep(context: Context, config: Config, store: RecordStore) -> tuple[list[Notice], set[str]]:
    """Announce what was not announced and close what nobody will end; return what has to be woken.

    Returns:
        The objects that never became a candidate, and the candidates whose next stage never began. Waking the first
        stage is enough: each stage that finds its verdict re-emits and moves on, until the one that never began.
    """
    now = datetime.now(UTC)
    traces = survey(store)
    lost = list(objects_without_candidate(config, store, traces, now=now))
    for notice in lost:
        log.warning("gs://%s/%s was never announced; it becomes a candidate now", notice.bucket, notice.object)
    woken: set[str] = set()
    for candidate, found in traces.items():
        try:
            if _heal(context, candidate, remedies(found, now=now)):
                woken.add(candidate)
        except PermanentError:
            # One candidate that cannot be healed must not keep the others from it.
            log.exception("%s cannot be healed", candidate)
    return lost, woken


def _heal(context: Context, candidate: str, needed: Remedies) -> bool:
    """Do what the candidate needs; return whether it has to be woken."""
    run_id = str(context["dag_run"].run_id)
    for stage in needed.announce:
        run = StageRun(stage, candidate, run_id)
        verdict = run.store.verdict(candidate, stage)
        if verdict is not None:
            log.warning("%s of %s was never announced; announcing it", stage, candidate)
            settle_and_announce(run, verdict)
    for stage in needed.close:
        run = StageRun(stage, candidate, run_id)
        owner = run.owner()
        if owner is not None and _is_over(context, stage, owner.run_id):
            reason = f"Dag run {owner.run_id} ended without a verdict."
            if stage is Stage.TUNING:
                reason += (
                    " Its tuning job, if it was submitted, may still be running and billing: look for it in Vertex AI."
                )
            log.warning("%s of %s: %s", stage, candidate, reason)
            settle_and_announce(run, run.conclude(record.VERDICTS[stage], Outcome.FAILED, reason))
    for stage in needed.wake:
        log.warning("%s of %s was ready but never began; waking the candidate again", stage, candidate)
    return bool(needed.wake)


def _is_over(context: Context, stage: Stage, run_id: str) -> bool:
    """Return whether nothing will happen in this Dag run any more, or it is gone."""
    task_instance: Any = context["ti"]
    states = task_instance.get_task_states(dag_id=f"genops_{stage}", run_ids=[run_id])
    return all(str(state) in _OVER for state in states.get(run_id, {}).values())
