"""Decide from the names in a candidate's folder what is missing, and whether to wake the candidate.

A listing is enough: verdicts, intents and events are objects of their own, and a published event is marked in its object
metadata. So a sweep reads documents only of the candidates that it heals.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from genops_events.back_off import back_off_seconds
from genops_events.record.events import EVENT_TYPES, announcement_path, event_type, hold_announcement_path
from genops_events.record.holds import HOLDABLE, StageRounds, stage_rounds
from genops_events.record.inference import cancellation_path as batch_cancellation_path
from genops_events.record.paths import (
    arrival_path,
    attempt_path,
    cancellation_path,
    intent_path,
    is_part,
    submission_path,
    verdict_path,
)
from genops_events.record.promotion import answer_path
from genops_events.record.stages import (
    STAGES,
    CandidateState,
    Outcome,
    Stage,
    can_begin,
    candidate_state,
    ready_stages,
)

SILENCE = timedelta(hours=1)
"""Time without a change after which a candidate is woken even though Airflow cannot be asked about it."""

LINGER = timedelta(days=1)
"""Time for which a failed candidate is watched while another stage beside the failed one may still give its verdict."""


MOST_DOUBLINGS = 6
"""Most doublings of the pause between wake-ups: with five minutes of patience, the longest pause is about five hours."""


MOST_RETURNS = 6
"""Dag runs that may end without a verdict on a stage before a sweep ends it: with five minutes of patience, about three hours."""


@dataclass
class Traces:
    """One candidate, as a listing of its folder shows it."""

    candidate: str
    names: set[str] = field(default_factory=set)
    published: set[str] = field(default_factory=set)
    """Names of the completion events that were published and marked."""
    moved_at: datetime | None = None
    """When the newest object was written, UTC."""

    def add(self, name: str, *, written_at: datetime, published: bool) -> None:
        """Add one object of the candidate's folder."""
        self.names.add(name)
        if published:
            self.published.add(name)
        self.moved_at = written_at if self.moved_at is None else max(self.moved_at, written_at)

    @property
    def has_arrived(self) -> bool:
        """Return whether the arrival is recorded; after a crash of intake, there may be the open marker alone."""
        return arrival_path(self.candidate) in self.names

    @property
    def ended(self) -> set[Stage]:
        """Return the stages that have a verdict."""
        return {stage for stage in Stage if verdict_path(self.candidate, stage, self._retries(stage)) in self.names}

    @property
    def taken_on(self) -> set[Stage]:
        """Return the stages that a Dag run has taken on in their present round."""
        return {stage for stage in Stage if intent_path(self.candidate, stage, self.rounds(stage).round) in self.names}

    def rounds(self, stage: Stage) -> StageRounds:
        """Return how often `stage` was held for an approval, released, returned and retried."""
        return stage_rounds(self.names, self.candidate, stage)

    def _retries(self, stage: Stage) -> int:
        return self.rounds(stage).retries

    @property
    def held(self) -> set[Stage]:
        """Return the stages that wait for a person's approval: a sweep neither closes nor wakes them."""
        return {stage for stage in HOLDABLE if self.rounds(stage).is_held}

    @property
    def released(self) -> set[Stage]:
        """Return the stages that were released and that no Dag run has taken on since."""
        return {stage for stage in Stage if self.rounds(stage).round and not self.held & {stage}} - self.taken_on

    @property
    def unannounced_holds(self) -> tuple[tuple[Stage, int], ...]:
        """Return stage and number of the holds whose event is not marked as published."""
        return tuple(
            (stage, number)
            for stage in HOLDABLE
            for number in range(1, self.rounds(stage).holds + 1)
            if hold_announcement_path(self.candidate, stage, number) not in self.published
        )

    @property
    def was_cancelled_in_the_queue(self) -> bool:
        """Return whether the candidate was cancelled before any attempt to submit its tuning job."""
        begun = {attempt_path(self.candidate), submission_path(self.candidate)}
        return (
            cancellation_path(self.candidate) in self.names
            and intent_path(self.candidate, Stage.TUNING) in self.names
            and Stage.TUNING not in self.ended
            and not begun & self.names
        )

    def is_unwanted(self, stage: Stage) -> bool:
        """Return whether the job of `stage` was cancelled, by a person or at its time limit: then no Dag run waits for it."""
        cancellations = {Stage.TUNING: cancellation_path, Stage.INFERENCE: batch_cancellation_path}
        return stage in cancellations and cancellations[stage](self.candidate) in self.names

    @property
    def answered(self) -> bool:
        """Return whether a person has decided whether the candidate becomes champion."""
        return answer_path(self.candidate) in self.names

    @property
    def may_be_beyond_help(self) -> bool:
        """Return whether a stage waits for an approval although a person or the gate may have decided against the candidate."""
        refused = Outcome.REFUSED in self.outcomes.values()
        return bool(self.held) and Stage.PROMOTION not in self.ended and (self.answered or refused)

    @property
    def outcomes(self) -> dict[Stage, Outcome]:
        """Return the outcomes of the stages whose events are in the outbox."""
        return {
            stage: outcome
            for stage in Stage
            for outcome in STAGES[stage].outcomes
            if announcement_path(self.candidate, stage, outcome, self._retries(stage)) in self.names
        }

    @property
    def unannounced(self) -> tuple[Stage, ...]:
        """Return the stages with a verdict whose event is not marked as published."""
        announced = {
            EVENT_TYPES[event_type(stage, outcome)]
            for stage, outcome in self.outcomes.items()
            if announcement_path(self.candidate, stage, outcome, self._retries(stage)) in self.published
        }
        return tuple(stage for stage in Stage if stage in self.ended and stage not in announced)

    @property
    def leftover_parts(self) -> list[str]:
        """Return the objects in which work has kept its rows as they came, and that nobody needs any more.

        None where a stage has failed: `genops retry` goes on with the answers and scores that are paid for.
        """
        if Outcome.FAILED in self.outcomes.values():
            return []
        return sorted(name for name in self.names if is_part(name))

    def quiet(self, *, now: datetime, patience: timedelta) -> bool:
        """Return whether no object of the candidate was written within `patience`."""
        return self.moved_at is not None and now - self.moved_at >= patience


@dataclass(frozen=True)
class CandidateRepairs:
    """The repairs that one candidate needs; none for nearly every candidate."""

    announce: tuple[Stage, ...] = ()
    """Stages with a verdict whose event is not published."""
    close: tuple[Stage, ...] = ()
    """Stages that a Dag run has taken on and not ended: they are closed if that run is over."""
    wake: tuple[Stage, ...] = ()
    """Stages that could begin, and that no Dag run has taken on."""
    announce_holds: tuple[tuple[Stage, int], ...] = ()
    """Stage and number of holds whose event is not published."""


def candidate_repairs(traces: Traces, *, now: datetime, patience: timedelta) -> CandidateRepairs:
    """Return the repairs that a candidate needs; none if any of its objects was written within `patience`.

    Only a stage that a person has approved is woken at once, since no event wakes it.

    Args:
        traces: of the candidate.
        now: aware, UTC.
        patience: time after which an event counts as lost.
    """
    if not traces.has_arrived:
        return CandidateRepairs()
    taken_on, ended, held = traces.taken_on, traces.ended, traces.held
    if not traces.quiet(now=now, patience=patience):
        released = traces.released - ended
        return CandidateRepairs(wake=tuple(stage for stage in ready_stages(traces.outcomes) if stage in released))
    announce, holds = traces.unannounced, traces.unannounced_holds
    if announce or candidate_state(traces.outcomes) is not CandidateState.UNDER_WAY:
        return CandidateRepairs(announce=announce, announce_holds=holds)
    return CandidateRepairs(
        close=tuple(stage for stage in Stage if stage in taken_on - ended - held),
        wake=tuple(stage for stage in ready_stages(traces.outcomes) if stage not in taken_on | held),
        announce_holds=holds,
    )


def is_settled(traces: Traces, *, now: datetime, patience: timedelta) -> bool:
    """Return whether no sweep has to look at the candidate again.

    It has ended, all verdicts are announced, and no object was written within `patience`. If one of two parallel stages
    failed, the other one may still give its verdict: such a candidate is watched for `LINGER`.
    """
    if not traces.has_arrived or traces.unannounced or candidate_state(traces.outcomes) is CandidateState.UNDER_WAY:
        return False
    more_to_come = any(can_begin(stage, traces.outcomes) for stage in Stage if stage not in traces.ended)
    return traces.quiet(now=now, patience=max(patience, LINGER) if more_to_come else patience)


def rest_after(wakings: int, *, patience: timedelta) -> timedelta:
    """Return the pause before the next wake-up of a candidate that was woken so often without a change.

    It doubles each time, so that no Dag runs pile up where a wake-up does not help (the dataset was removed, the Dag has an error).
    """
    first = patience.total_seconds()
    longest = first * 2**MOST_DOUBLINGS
    return timedelta(seconds=back_off_seconds(wakings, first=first, longest=longest, least_share=1.0))


class Activity(StrEnum):
    """State of one candidate's runs of one stage's Dag in Airflow."""

    IDLE = "idle"
    """No run is queued or running."""
    UNDER_WAY = "under_way"
    """A run is queued or running."""
    PAUSED = "paused"
    """The Dag is paused: Airflow drops its asset events."""
    UNKNOWN = "unknown"
    """Airflow could not be asked."""


class Waking(StrEnum):
    """Whether a candidate that waits for a stage is woken now."""

    WAKE = "wake"
    UNDER_WAY = "under_way"
    """A run is about to take the stage on, or to emit the asset event that wakes it."""
    PAUSED = "paused"
    """A wake-up would be dropped; once the Dag is unpaused, the next sweep wakes the candidate."""
    UNKNOWN = "unknown"
    """Airflow could not be asked; the next sweep asks again."""


def way_to(stage: Stage) -> tuple[Stage, ...]:
    """Return the stages that a wake-up passes on its way to `stage`, which is the last of them.

    A wake-up always starts at the first stage: a stage that finds its verdict emits its asset event again and ends.
    """
    before = {one for earlier in STAGES[stage].waits_for for one in way_to(earlier)}
    return (*(one for one in Stage if one in before), stage)


def waking(stages: Iterable[Stage], activity: Mapping[Stage, Activity], *, silent_for: timedelta) -> Waking:
    """Return whether a candidate is woken now for `stages`, which no Dag run has taken on.

    Args:
        stages: those that could begin.
        activity: of every stage on the way to them.
        silent_for: time since an object of the candidate was written.
    """
    open_ways = [way for stage in stages if not _has(Activity.PAUSED, way := way_to(stage), activity)]
    if not open_ways:
        return Waking.PAUSED
    # One wake-up reaches all of them, so a single run that is under way is reason enough to wait.
    passed = {stage for way in open_ways for stage in way}
    if _has(Activity.UNDER_WAY, passed, activity):
        return Waking.UNDER_WAY
    if _has(Activity.UNKNOWN, passed, activity) and silent_for < SILENCE:
        return Waking.UNKNOWN
    return Waking.WAKE


def _has(wanted: Activity, stages: Collection[Stage], activity: Mapping[Stage, Activity]) -> bool:
    return any(activity[stage] is wanted for stage in stages)
