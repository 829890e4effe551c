"""The sweep: find what was lost between the bucket and the last verdict, and heal it without a person."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import Context
from airflow.sdk.exceptions import AirflowRuntimeError
from pydantic import ValidationError

from genops_events.airflow.activity import FARTHEST_BACK, AirflowActivity
from genops_events.airflow.assets import TRAINING_ARRIVALS
from genops_events.airflow.drain import WOKEN_AT_ONCE
from genops_events.airflow.promotion_healing import end_beyond_help, heal_answered, heal_rollbacks
from genops_events.airflow.returning import end_or_return
from genops_events.airflow.stage_ends import STAGE_ENDS
from genops_events.cascade.spending import announce_hold_again
from genops_events.cascade.stage_end import settle_and_announce
from genops_events.cascade.stage_run import StageRun
from genops_events.config import Config
from genops_events.errors import GenopsError, PermanentError, TransientError
from genops_events.gcp.at_once import at_once
from genops_events.gcp.record_store import RecordStore
from genops_events.intake.admission import check_arrival
from genops_events.intake.bucket_sweep import LostArrivals, SweepPosition
from genops_events.intake.open_candidates import (
    Marker,
    claim_waking,
    mint,
    open_candidates,
    settle,
    traces_of,
)
from genops_events.intake.sweep_figures import SweepFigures
from genops_events.intake.traces import (
    Activity,
    CandidateRepairs,
    Traces,
    Waking,
    candidate_repairs,
    is_settled,
    rest_after,
    waking,
    way_to,
)
from genops_events.record import paths as record_paths
from genops_events.record.intake import Arrival
from genops_events.record.stages import Stage
from genops_events.tuning.end import TUNING_END
from genops_events.tuning.submission import cancelled

log = logging.getLogger(__name__)

LISTING_SECONDS = 60.0
"""How long one sweep lists watched prefixes; the next goes on where it stood."""

POSITION_KEPT_SECONDS = 10.0
"""How often a sweep notes where it stands: what a killed one has to list again."""

_MARGIN = timedelta(minutes=10)
_POSITION = "swept"


@dataclass(frozen=True)
class _Open:
    """An open candidate that has been silent for longer than patience."""

    marker: Marker
    traces: Traces

    @property
    def candidate(self) -> str:
        return self.marker.candidate

    def moved_at(self) -> datetime:
        return self.traces.moved_at or self.marker.touched_at

    def may_be_woken(self, now: datetime, patience: timedelta) -> bool:
        moved_since = self.moved_at() > self.marker.touched_at
        return (
            self.marker.released
            or moved_since
            or now - self.marker.touched_at >= rest_after(self.marker.wakings, patience=patience)
        )


def sweep(context: Context, config: Config, store: RecordStore) -> SweepFigures:
    """Heal what is open and find what was never announced; return the figures, with the candidates to be woken.

    What goes wrong ends the sweep early, never the task: what was found until then has to be woken. Sweeps may overlap:
    arrivals and verdicts are written once, and of two sweeps one gets to wake a candidate.
    """
    figures = SweepFigures(str(context["dag_run"].run_id), config.intake.sweep_minutes, now=datetime.now(UTC))
    for part in (_heal_open, _heal_rollbacks, _announce_comparisons, _find_lost):
        try:
            part(context, config, store, figures)
        except Exception as error:  # whatever it is: others may write into the bucket that holds the record
            log.exception("A part of the sweep ended early; the next one goes on")
            known = isinstance(error, (GenopsError, AirflowRuntimeError))
            figures.error = str(error) if known else f"{type(error).__name__}: {error}"
    _publish(store, figures)
    return figures


def _publish(store: RecordStore, figures: SweepFigures) -> None:
    document = figures.document(now=datetime.now(UTC))
    log.info("Sweep: %s", document.figures())
    try:
        store.put(record_paths.sweep_path(), document)
    except GenopsError:
        log.exception("The sweep's figures could not be written")


def _heal_open(context: Context, config: Config, store: RecordStore, figures: SweepFigures) -> None:
    now, patience = datetime.now(UTC), config.intake.patience
    markers = open_candidates(store)
    figures.open_candidates = len(markers)
    due = [one for one in markers if one.released or now - one.touched_at >= patience]
    found = [_Open(*both) for both in zip(due, at_once(lambda one: traces_of(store, one.candidate), due), strict=True)]
    settled = [one for one in found if is_settled(one.traces, now=now, patience=patience)]
    at_once(lambda one: settle(store, one.marker, parts=one.traces.leftover_parts), settled)
    figures.open_candidates -= len(settled)
    needed = {one.candidate: candidate_repairs(one.traces, now=now, patience=patience) for one in found}
    _restore_arrivals(config, store, [one for one in found if not one.traces.has_arrived], figures)
    # What they needed until now, such as a wake-up of a held tuning that their cancellation releases, they need no more.
    needed |= dict.fromkeys(_end_cancelled(found, figures), CandidateRepairs())
    beyond_help = [one.candidate for one in found if one.traces.may_be_beyond_help]
    needed |= dict.fromkeys(end_beyond_help(beyond_help, figures), CandidateRepairs())
    _announce(found, needed, figures)
    answered = {
        one.candidate for one in found if one.traces.answered and Stage.PROMOTION in needed[one.candidate].close
    }
    heal_answered(sorted(answered), figures)
    unended = {one.candidate: one.traces for one in found if one.candidate not in answered}
    returned = end_or_return(context, store, unended, needed, figures, now=now, patience=patience)
    needed |= {name: CandidateRepairs(wake=(*needed[name].wake, *stages)) for name, stages in returned.items()}
    waiting = [one for one in found if needed[one.candidate].wake and one.may_be_woken(now, patience)]
    _wake(context, store, waiting, needed, figures, now=now)


def _heal_rollbacks(context: Context, config: Config, store: RecordStore, figures: SweepFigures) -> None:  # noqa: ARG001
    heal_rollbacks(config, store, figures)


def _announce_comparisons(context: Context, config: Config, store: RecordStore, figures: SweepFigures) -> None:  # noqa: ARG001
    # Not above: the tables and the report behind it would cost each intake a second.
    from genops_events.comparison.conclude import announce, unannounced
    from genops_events.record.comparison_plan import UNANNOUNCED

    for name in store.names(UNANNOUNCED):
        try:
            comparison = unannounced(store, name, before=datetime.now(UTC) - config.intake.patience)
            if comparison is None:
                continue
            announce(config, store, comparison)
        except GenopsError as error:
            log.exception("The end of a comparison in %s cannot be announced", name)
            figures.error = str(error)
            if isinstance(error, TransientError):
                return
            continue
        reason = "The comparison had ended, and its event was never marked as published."
        figures.healed("unannounced_verdict", comparison.id, None, reason)


def _restore_arrivals(config: Config, store: RecordStore, found: Sequence[_Open], figures: SweepFigures) -> None:
    """Finish what an intake left that died between marker and arrival."""
    for one in found:
        try:
            kept = store.read(record_paths.open_path(one.candidate), Arrival)
            if kept is not None:
                check_arrival(config, one.candidate, kept)
        except PermanentError:
            log.exception("The open marker of %r cannot be used, so its arrival is not recorded", one.candidate)
            continue
        for candidate in mint(store, [] if kept is None else [kept]):
            figures.healed("lost_arrival", candidate, None, "Intake died before it had recorded the arrival.")
            figures.woken.add(candidate)


def _end_cancelled(found: Sequence[_Open], figures: SweepFigures) -> set[str]:
    """End who was cancelled while waiting for a place, or for money: its task would do so, when its turn comes.

    Return who was ended.
    """
    ended: set[str] = set()
    for one in found:
        if not one.traces.was_cancelled_in_the_queue:
            continue
        run = StageRun(Stage.TUNING, one.candidate, figures.run_id)
        try:
            verdict = cancelled(run)
            if verdict is None:
                continue
            settle_and_announce(run, verdict, TUNING_END)
        except GenopsError as error:
            log.exception("%s, which was cancelled, cannot be ended", one.candidate)
            figures.error = str(error)
            continue
        figures.healed("closed_stage", one.candidate, Stage.TUNING, "It was cancelled while it waited for its turn.")
        ended.add(one.candidate)
    return ended


def _announce(found: Sequence[_Open], needed: dict[str, CandidateRepairs], figures: SweepFigures) -> None:
    for one in found:
        for stage in needed[one.candidate].announce:
            run = StageRun(stage, one.candidate, figures.run_id)
            try:
                verdict = run.store.verdict(one.candidate, stage)
                if verdict is None:
                    continue
                settle_and_announce(run, verdict, STAGE_ENDS[stage])
            except GenopsError as error:
                # One candidate that cannot be healed must not keep the others from it.
                log.exception("The verdict of %s on %s cannot be announced", stage, one.candidate)
                figures.error = str(error)
                if isinstance(error, TransientError):
                    return  # it would be the same with the others, a minute for each
                continue
            silent = _minutes(datetime.now(UTC) - one.moved_at())
            reason = f"Its verdict had been written {silent} ago, and its event was never marked as published."
            figures.healed("unannounced_verdict", one.candidate, stage, reason)
        for stage, number in needed[one.candidate].announce_holds:
            try:
                announce_hold_again(StageRun(stage, one.candidate, figures.run_id), number)
            except GenopsError as error:
                log.exception("That %s of %s is held cannot be announced", stage, one.candidate)
                figures.error = str(error)
                if isinstance(error, TransientError):
                    return
                continue
            reason = "It is held for an approval, and the event was never marked as published."
            figures.healed("unannounced_verdict", one.candidate, stage, reason)


def _wake(
    context: Context,
    store: RecordStore,
    found: Sequence[_Open],
    needed: dict[str, CandidateRepairs],
    figures: SweepFigures,
    *,
    now: datetime,
) -> None:
    """Wake what waits for a stage that no Dag run has taken on, unless Airflow is about to.

    Waking the first stage is enough: each stage that finds its verdict emits again and moves on, until the one that
    never began.
    """
    if not found:
        return
    since = max(min(one.moved_at() for one in found) - _MARGIN, now - FARTHEST_BACK)
    airflow = AirflowActivity(context, since=since)
    for one in found:
        stages = needed[one.candidate].wake
        passed = {each for stage in stages for each in way_to(stage)}
        silent_for = now - one.moved_at()
        activity = airflow.of(one.candidate, passed)
        if one.traces.answered and Stage.PROMOTION in one.traces.ended and Stage.PROMOTION in activity:
            # Whoever asked may wait in Airflow until the time is up, though a sweep has acted on the answer.
            activity[Stage.PROMOTION] = Activity.IDLE
        decided = waking(stages, activity, silent_for=silent_for)
        if decided is not Waking.WAKE:
            figures.left_alone[str(decided)] += 1
        elif len(figures.woken) < WOKEN_AT_ONCE and claim_waking(store, one.marker):
            figures.woken.add(one.candidate)
            for stage in stages:
                reason = f"It could begin {_minutes(silent_for)} ago, and no Dag run took it on."
                figures.healed("woken_stage", one.candidate, stage, reason)


def _find_lost(context: Context, config: Config, store: RecordStore, figures: SweepFigures) -> None:
    state: Any = context["asset_state_store"][TRAINING_ARRIVALS]
    lost = LostArrivals(config, store, _position(state.get(_POSITION)), now=datetime.now(UTC))
    deadline = time.monotonic() + LISTING_SECONDS
    keep_at = time.monotonic() + POSITION_KEPT_SECONDS
    position = lost.position
    for page in lost.pages():
        taken = page.lost[: max(0, WOKEN_AT_ONCE - len(figures.woken))]
        new = mint(store, taken)
        for arrival in taken:
            if arrival.candidate in new:
                reason = f"gs://{arrival.bucket}/{arrival.object} was there without a candidate."
                figures.healed("lost_arrival", arrival.candidate, None, reason)
        figures.woken |= new
        if len(taken) < len(page.lost):
            break
        position = page.position
        figures.objects += page.objects
        figures.stands_at = page.stands_at
        if time.monotonic() > keep_at:
            state.set(_POSITION, position.model_dump(mode="json"))
            keep_at = time.monotonic() + POSITION_KEPT_SECONDS
        if page.more and time.monotonic() > deadline:
            break
    else:
        position = lost.position
        figures.reached_end = True
        figures.stands_at = None
    state.set(_POSITION, position.model_dump(mode="json"))


def _position(value: Any) -> SweepPosition:
    try:
        return SweepPosition.model_validate(value or {})
    except ValidationError:
        log.exception(
            "The place where the last sweep stopped cannot be read, so this one starts from the beginning: %s", value
        )
        return SweepPosition()


def _minutes(duration: timedelta) -> str:
    return f"{duration.total_seconds() / 60:.0f} min"
