"""Whether a stage waits for somebody to let it spend more, read from the names in the candidate's folder.

A stage that would go over a limit writes a hold instead of a verdict, and its Dag run ends: the candidate waits, and has
not failed. An approval of the same number releases it. Each release begins a new round, with an intent of its own: so the
Dag run that was held stays the owner of what it did, and whoever comes first after the approval goes on from there.

    holds/tuning-1.json            the hold: what is asked for, what is missing, which limits
    holds/tuning-1-approval.json   the approval: who, why, up to how much
    tuning-intent.json             of the first round; `tuning-intent-1.json` of the round after the first release

Two more things begin a new round: a sweep lets a stage go on whose Dag run is over without a verdict, and a person sets a
failed verdict aside. The verdict stays where it is, and counts no more: the next one is written beside it.

    holds/tuning-return-1.json     a sweep lets it go on: which Dag run had it, and why
    holds/tuning-retry-1.json      `genops retry`: who, why, which verdict; the next one is `tuning-1.json`
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from itertools import count

from genops_events.record_paths import approval_path, cancellation_path, hold_path, retry_path, return_path
from genops_events.stages import STAGES, Stage

HOLDABLE = tuple(stage for stage, facts in STAGES.items() if facts.reserves is not None)
"""Stages that reserve money, and so can be held."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How often a stage was held, and how often it was let go on again."""

    holds: int = 0
    released: int = 0
    returns: int = 0
    """How often a sweep let it go on, since the Dag run that had it was over without a verdict."""
    retries: int = 0
    """How often somebody set its failed verdict aside."""

    @property
    def is_held(self) -> bool:
        """Whether the stage waits for somebody."""
        return self.holds > self.released

    @property
    def round(self) -> int:
        """The number of the round that is on, or that goes on after the next release: 0 before any."""
        return self.released + self.returns + self.retries


def standing(names: Collection[str], candidate: str, stage: Stage) -> Standing:
    """Return where `stage` stands.

    Args:
        names: of the objects in the candidate's folder, or at least of its holds and its cancellation.
        candidate: whose.
        stage: which one.
    """
    returns, retries = (
        next(number for number in count() if path(candidate, stage, number + 1) not in names)
        for path in (return_path, retry_path)
    )
    holds = 0
    while stage in HOLDABLE and hold_path(candidate, stage, holds + 1) in names:
        holds += 1
    if stage is Stage.TUNING and cancellation_path(candidate) in names:
        # Nobody waits for money any more: the stage goes on, and ends as cancelled.
        return Standing(holds, holds, returns, retries)
    released = 0
    while released < holds and approval_path(candidate, stage, released + 1) in names:
        released += 1
    return Standing(holds, released, returns, retries)
