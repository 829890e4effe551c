"""Decide from the names in a candidate's folder what was lost on its way, and whether to wake it.

A listing is all that is needed: verdicts, intents and events are objects of their own, and an event that was published
says so in its object metadata. So a sweep reads only the documents of candidates that it heals.
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
"""How long a candidate may be silent while Airflow cannot be asked about it; then it is woken anyway."""

LINGER = timedelta(days=1)
"""How long a failed candidate is watched while a sibling of the failed stage may still give its verdict."""


MOST_DOUBLINGS = 6
"""With five minutes of patience, a candidate that no wake-up helps is woken every five hours in the end."""


MOST_RETURNS = 6
"""So many Dag runs may end without a verdict on a stage before a sweep ends it: with five minutes of patience, three hours."""


@dataclass
class Traces:
    """What a listing shows of one candidate."""

    candidate: str
    names: set[str] = field(default_factory=set)
    published: set[str] = field(default_factory=set)
    """Names of the completion events that were published and marked."""
    moved_at: datetime | None = None
    """When the newest object was written, UTC."""

    def add(self, name: str, *, written_at: datetime, published: bool) -> None:
        """Take one object of the candidate's folder into account."""
        self.names.add(name)
        if published:
            self.published.add(name)
        self.moved_at = written_at if self.moved_at is None else max(self.moved_at, written_at)

    @property
    def has_arrived(self) -> bool:
        """Return whether the arrival is recorded; an intake that died just before left only the open marker."""
        return arrival_path(self.candidate) in self.names

    @property
    def ended(self) -> set[Stage]:
        """Return the stages that have a verdict."""
        return {stage for stage in Stage if verdict_path(self.candidate, stage, self._retries(stage)) in self.names}

    @property
    def taken_on(self) -> set[Stage]:
        """Return the stages that a Dag run has taken on, since their last release if they were held."""
        return {stage for stage in Stage if intent_path(self.candidate, stage, self.rounds(stage).round) in self.names}

    def rounds(self, stage: Stage) -> StageRounds:
        """Return how often `stage` was held for an approval, and let go on."""
        return stage_rounds(self.names, self.candidate, stage)

    def _retries(self, stage: Stage) -> int:
        return self.rounds(stage).retries

    @property
    def held(self) -> set[Stage]:
        """Return the stages that wait for a person's approval: neither to be closed nor to be woken."""
        return {stage for stage in HOLDABLE if self.rounds(stage).is_held}

    @property
    def released(self) -> set[Stage]:
        """Return the stages that were let go on, and that no Dag run has taken on since."""
        return {stage for stage in Stage if self.rounds(stage).round and not self.held & {stage}} - self.taken_on

    @property
    def unannounced_holds(self) -> tuple[tuple[Stage, int], ...]:
        """Return stage and number of the holds whose event was never marked as published."""
        return tuple(
            (stage, number)
            for stage in HOLDABLE
            for number in range(1, self.rounds(stage).holds + 1)
            if hold_announcement_path(self.candidate, stage, number) not in self.published
        )

    @property
    def was_cancelled_in_the_queue(self) -> bool:
        """Return whether a person cancelled the candidate before anybody attempted to submit its tuning job."""
        begun = {attempt_path(self.candidate), submission_path(self.candidate)}
        return (
            cancellation_path(self.candidate) in self.names
            and intent_path(self.candidate, Stage.TUNING) in self.names
            and Stage.TUNING not in self.ended
            and not begun & self.names
        )

    def is_unwanted(self, stage: Stage) -> bool:
        """Return whether a person, or the clock, wants the job of `stage` not to go on: then no Dag run is to wait for it."""
        wishes = {Stage.TUNING: cancellation_path, Stage.INFERENCE: batch_cancellation_path}
        return stage in wishes and wishes[stage](self.candidate) in self.names

    @property
    def answered(self) -> bool:
        """Return whether a person has answered the question whether it shall be champion."""
        return answer_path(self.candidate) in self.names

    @property
    def may_be_beyond_help(self) -> bool:
        """Return whether a stage waits for money though a person or the gate may have decided against the candidate."""
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
        """Return the stages with a verdict whose event was never marked as published."""
        announced = {
            EVENT_TYPES[event_type(stage, outcome)]
            for stage, outcome in self.outcomes.items()
            if announcement_path(self.candidate, stage, outcome, self._retries(stage)) in self.published
        }
        return tuple(stage for stage in Stage if stage in self.ended and stage not in announced)

    def quiet(self, *, now: datetime, patience: timedelta) -> bool:
        """Return whether nothing about the candidate moved within `patience`."""
        return self.moved_at is not None and now - self.moved_at >= patience


@dataclass(frozen=True)
class CandidateRepairs:
    """What one candidate needs; all empty for nearly every one."""

    announce: tuple[Stage, ...] = ()
    """Verdicts whose event was never published."""
    close: tuple[Stage, ...] = ()
    """Stages that a Dag run has taken on and not ended: to be closed if that run is over."""
    wake: tuple[Stage, ...] = ()
    """Stages that could begin, and that no Dag run has taken on."""
    announce_holds: tuple[tuple[Stage, int], ...] = ()
    """Stage and number of holds whose event was never published."""


def candidate_repairs(traces: Traces, *, now: datetime, patience: timedelta) -> CandidateRepairs:
    """Return what `traces` needs; nothing while anything about the candidate moved within `patience`.

    Only what a person has approved is woken at once: nothing of it is on its way.

    Args:
        traces: what a listing shows of the candidate.
        now: aware, UTC.
        patience: how long something may be on its way before it is taken for lost.
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
    """Return whether no sweep will ever have to look at the candidate again.

    It has ended, each verdict is announced, and nothing moved within `patience`. Where one stage failed, its sibling may
    still come to a verdict of its own: such a candidate is watched for `LINGER`.
    """
    if not traces.has_arrived or traces.unannounced or candidate_state(traces.outcomes) is CandidateState.UNDER_WAY:
        return False
    more_to_come = any(can_begin(stage, traces.outcomes) for stage in Stage if stage not in traces.ended)
    return traces.quiet(now=now, patience=max(patience, LINGER) if more_to_come else patience)


def rest_after(wakings: int, *, patience: timedelta) -> timedelta:
    """Return how long a candidate that was woken so often, and has not moved since, is left in peace.

    Twice as long each time: what no wake-up helps (its dataset was removed, its Dag has an error) must not pile up runs.
    """
    first = patience.total_seconds()
    longest = first * 2**MOST_DOUBLINGS
    return timedelta(seconds=back_off_seconds(wakings, first=first, longest=longest, least_share=1.0))


class Activity(StrEnum):
    """What Airflow says about one candidate's runs of one stage's Dag."""

    IDLE = "idle"
    """None is queued or running."""
    UNDER_WAY = "under_way"
    """One is queued or running."""
    PAUSED = "paused"
    """The Dag is paused: Airflow drops what it is woken by."""
    UNKNOWN = "unknown"
    """Airflow could not be asked."""


class Waking(StrEnum):
    """Whether a candidate that waits for a stage is woken now."""

    WAKE = "wake"
    UNDER_WAY = "under_way"
    """A run is about to take the stage on, or to emit what wakes it."""
    PAUSED = "paused"
    """No wake-up would get through; once the Dag is unpaused, the next sweep wakes the candidate."""
    UNKNOWN = "unknown"
    """Airflow could not be asked; the next sweep asks again."""


def way_to(stage: Stage) -> tuple[Stage, ...]:
    """Return the stages that a wake-up comes through on its way to `stage`, which is the last of them.

    There is one way in, the first stage: each stage that finds its verdict emits again and moves on.
    """
    before = {one for earlier in STAGES[stage].waits_for for one in way_to(earlier)}
    return (*(one for one in Stage if one in before), stage)


def waking(stages: Iterable[Stage], activity: Mapping[Stage, Activity], *, silent_for: timedelta) -> Waking:
    """Return whether a candidate is woken now for `stages`, which no Dag run has taken on.

    Args:
        stages: those that could begin.
        activity: of every stage on the way to them.
        silent_for: how long ago anything about the candidate moved.
    """
    open_ways = [way for stage in stages if not _has(Activity.PAUSED, way := way_to(stage), activity)]
    if not open_ways:
        return Waking.PAUSED
    # One wake-up reaches all of them, so one run that is under way anywhere is reason enough to wait for it.
    passed = {stage for way in open_ways for stage in way}
    if _has(Activity.UNDER_WAY, passed, activity):
        return Waking.UNDER_WAY
    if _has(Activity.UNKNOWN, passed, activity) and silent_for < SILENCE:
        return Waking.UNKNOWN
    return Waking.WAKE


def _has(wanted: Activity, stages: Collection[Stage], activity: Mapping[Stage, Activity]) -> bool:
    return any(activity[stage] is wanted for stage in stages)
