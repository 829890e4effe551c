"""What is recorded of a stage that was held: the hold, who let it go on, and how the two stand to each other."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from decimal import Decimal
from itertools import count
from typing import Any, ClassVar

from pydantic import AwareDatetime

from genops_events.record.document import Document
from genops_events.record.paths import approval_path, cancellation_path, hold_path, retry_path, return_path
from genops_events.record.stages import STAGES, Stage


class Intent(Document):
    """A Dag run has taken on a stage: written before the stage's first paid call."""

    SCHEMA: ClassVar[str] = "genops.intent.v1"

    stage: Stage
    run_id: str
    """The Airflow Dag run that owns the stage; only a retry of it goes on after a crash."""
    started_at: AwareDatetime


class Hold(Document):
    """A stage would go over a limit, and waits for a person to approve that: nothing was spent."""

    SCHEMA: ClassVar[str] = "genops.hold.v1"

    stage: Stage
    number: int
    """1 for the first time."""
    dataset: str
    reason: str
    """What it would cost, which limits are in the way, how much is missing."""
    help: str
    """What to do about it."""
    asked_usd: Decimal
    missing_usd: Decimal
    """How much the limits would have to be higher; 0 where only prompts are too long."""
    limits: tuple[str, ...]
    """Keys of genops.yaml that are in the way."""
    prompts_over: int = 0
    """How many prompts are over a limit on one prompt."""
    lines: tuple[dict[str, Any], ...] = ()
    """The first 100 of these prompts: line, id, figure and limit."""
    held_at: AwareDatetime
    run_id: str
    """The Dag run that was held."""


class Approval(Document):
    """A person lets a held stage go on."""

    SCHEMA: ClassVar[str] = "genops.approval.v1"

    stage: Stage
    number: int
    """Of the hold."""
    by: str
    """Who, the identity of the credentials, such as `ada@example.com`."""
    reason: str
    claimed: str | None = None
    """Who the environment of the command said it was; None where no command did it, and in older documents."""
    approved_usd: Decimal
    """The stage may cost as much, whatever the limits are; more is held again."""
    prompts_over: int = 0
    """So many prompts may be over a limit on one prompt."""


HOLDABLE = tuple(stage for stage, facts in STAGES.items() if facts.reserves is not None)
"""Stages that reserve money, and so can be held."""


@dataclass(frozen=True, slots=True)
class StageRounds:
    """How often a stage was held, and how often it was let go on again."""

    holds: int = 0
    released: int = 0
    returns: int = 0
    """How often a sweep let it go on, since the Dag run that had it was over without a verdict."""
    retries: int = 0
    """How often a person set its failed verdict aside."""

    @property
    def is_held(self) -> bool:
        """Whether the stage waits for a person."""
        return self.holds > self.released

    @property
    def round(self) -> int:
        """The number of the round that is on, or that goes on after the next release: 0 before any."""
        return self.released + self.returns + self.retries


def stage_rounds(names: Collection[str], candidate: str, stage: Stage) -> StageRounds:
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
        return StageRounds(holds, holds, returns, retries)
    released = 0
    while released < holds and approval_path(candidate, stage, released + 1) in names:
        released += 1
    return StageRounds(holds, released, returns, retries)
