"""What a sweep does about a stage whose Dag run is over without a verdict: it goes on, for as long as that may help.

What Airflow says of a task is not what became of the stage. So nothing is closed because a Dag run is over: the stage is
let go on in another one, where it finds what it has: its job, its answers, its scores. That is bounded. A stage that
`MOST_RETURNS` Dag runs did not end is ended by the sweep: by its job, if it has one, else as failed.

| died after | what is there | who goes on |
|---|---|---|
| nothing yet | an intent, and a Dag run that is over | the next sweep |
| the return was written | `holds/<stage>-return-<n>.json`: a round that no Dag run has taken on | a sweep wakes it |
| the wake-up was noted, or stored | and a touched marker, or an asset event | Airflow; else a sweep after another patience |
| the verdict was written | verdict | a sweep settles and announces it |
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

from genops_events.airflow.activity import runs_over
from genops_events.airflow.stage_ends import STAGE_ENDS
from genops_events.cascade.stage_end import settle_and_announce
from genops_events.cascade.stage_run import StageRun
from genops_events.errors import GenopsError, PermanentError
from genops_events.gcp.at_once import at_once
from genops_events.intake.traces import MOST_RETURNS, rest_after
from genops_events.record import paths as record_paths
from genops_events.record.holds import Intent
from genops_events.record.retries import Return
from genops_events.record.stages import Outcome, Stage

if TYPE_CHECKING:
    from datetime import timedelta

    from airflow.sdk import Context

    from genops_events.gcp.record_store import RecordStore
    from genops_events.intake.sweep_figures import SweepFigures
    from genops_events.intake.traces import CandidateRepairs, Traces

log = logging.getLogger(__name__)


def end_or_return(
    context: Context,
    store: RecordStore,
    found: Mapping[str, Traces],
    needed: Mapping[str, CandidateRepairs],
    figures: SweepFigures,
    *,
    now: datetime,
    patience: timedelta,
) -> dict[str, list[Stage]]:
    """End or let go on what a Dag run has taken on and not ended; return the stages that go on, by candidate.

    Args:
        context: of the running task.
        store: the record.
        found: what listings show of the candidates, by id.
        needed: what they need.
        figures: of the sweep.
        now: aware, UTC.
        patience: how long each rests before it goes on; after the second time, twice as long each time.
    """
    returned: dict[str, list[Stage]] = defaultdict(list)
    for stage in Stage:
        candidates = [candidate for candidate in found if stage in needed[candidate].close]
        if not candidates:
            continue
        intents = at_once(partial(_intent, store, stage, found), candidates)
        owners = {one.candidate: one for one in intents if one is not None}
        over = runs_over(context, stage, {one.run_id for one in owners.values()})
        for candidate, intent in owners.items():
            if intent.run_id not in over:
                continue
            run, traces = StageRun(stage, candidate, figures.run_id), found[candidate]
            rest = rest_after(traces.rounds(stage).returns, patience=patience)
            if traces.moved_at is not None and now - traces.moved_at < rest:
                figures.left_alone["resting"] += 1
                continue
            try:
                goes_on = _end_or_return(run, traces, intent, figures)
            except GenopsError as error:
                # A job that cannot be asked now is asked by the next sweep: no verdict is better than a wrong one.
                log.exception("%s of %s can neither be ended nor go on", stage, candidate)
                figures.error = str(error)
                continue
            if goes_on:
                returned[candidate].append(stage)
    return returned


def _intent(store: RecordStore, stage: Stage, found: Mapping[str, Traces], candidate: str) -> Intent | None:
    path = record_paths.intent_path(candidate, stage, found[candidate].rounds(stage).round)
    try:
        return store.read(path, Intent)
    except PermanentError:
        log.exception("The intent of %s on %s cannot be read", stage, candidate)
        return None


def _end_or_return(run: StageRun, traces: Traces, intent: Intent, figures: SweepFigures) -> bool:
    """Return whether the stage goes on: another Dag run has to be woken for it."""
    rounds = traces.rounds(run.stage)
    unwanted = traces.is_unwanted(run.stage)
    told = f"Dag run {intent.run_id} ended without a verdict"
    if unwanted or rounds.returns >= MOST_RETURNS * (1 + rounds.retries):
        times = (
            "." if not rounds.returns else f", as {rounds.returns} before it: nothing that Airflow began has ended it."
        )
        end = STAGE_ENDS[run.stage]
        verdict = end.failed(run, f"{told}{times}")
        if verdict is not None:
            settle_and_announce(run, verdict, end)
            found = "" if verdict.outcome is Outcome.FAILED else f" Its job was asked: {verdict.outcome}."
            figures.healed("closed_stage", run.candidate, run.stage, f"{told}{times}{found}")
            return False
        if unwanted:
            figures.left_alone["being_cancelled"] += 1
            return False
    reason = f"{told}. That says nothing about the stage: it goes on from where it stands."
    mine = Return(
        candidate=run.candidate,
        written_at=datetime.now(UTC),
        stage=run.stage,
        number=rounds.returns + 1,
        round=rounds.round + 1,
        run_id=intent.run_id,
        started_at=intent.started_at,
        reason=reason,
    )
    if run.store.create(record_paths.return_path(run.candidate, run.stage, mine.number), mine):
        figures.healed("returned_stage", run.candidate, run.stage, reason)
    return True
