"""Decide from the names in a candidate's folder what was lost on its way.

A listing is all that is needed: verdicts, intents and events are objects of their own, and an event that was published
says so in its object metadata. So a sweep reads only the documents of candidates that it heals.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from genops_events.completion_events import EVENT_TYPES, announcement_path, event_type
from genops_events.record import arrival_path, intent_path, verdict_path
from genops_events.stages import PATIENCE, POSSIBLE, CandidateState, Outcome, Stage, candidate_state, ready_stages


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
    def outcomes(self) -> dict[Stage, Outcome]:
        """Return the outcomes of the stages whose events are in the outbox."""
        return {
            stage: outcome
            for stage in Stage
            for outcome in POSSIBLE[stage]
            if announcement_path(self.candidate, stage, outcome) in self.names
        }


@dataclass(frozen=True)
class Remedies:
    """What one candidate needs; all empty for nearly every one."""

    announce: tuple[Stage, ...] = ()
    """Verdicts whose event was never published."""
    close: tuple[Stage, ...] = ()
    """Stages that a Dag run has taken on and not ended: to be closed if that run is over."""
    wake: tuple[Stage, ...] = ()
    """Stages that could begin, and that nobody has taken on."""


def remedies(traces: Traces, *, now: datetime) -> Remedies:
    """Return what `traces` needs; nothing while anything about the candidate moved within `PATIENCE`.

    Args:
        traces: what a listing shows of the candidate.
        now: aware, UTC.
    """
    if arrival_path(traces.candidate) not in traces.names:
        return Remedies()
    if traces.moved_at is None or now - traces.moved_at < PATIENCE:
        return Remedies()
    ended = {stage for stage in Stage if verdict_path(traces.candidate, stage) in traces.names}
    announced = {EVENT_TYPES[event_type(stage, outcome)] for stage, outcome in _published(traces)}
    announce = tuple(stage for stage in Stage if stage in ended and stage not in announced)
    if announce or candidate_state(traces.outcomes) is not CandidateState.UNDER_WAY:
        return Remedies(announce=announce)
    taken_on = {stage for stage in Stage if intent_path(traces.candidate, stage) in traces.names}
    return Remedies(
        close=tuple(stage for stage in Stage if stage in taken_on and stage not in ended),
        wake=tuple(stage for stage in ready_stages(traces.outcomes) if stage not in taken_on),
    )


def _published(traces: Traces) -> list[tuple[Stage, Outcome]]:
    return [
        (stage, outcome)
        for stage, outcome in traces.outcomes.items()
        if announcement_path(traces.candidate, stage, outcome) in traces.published
    ]
