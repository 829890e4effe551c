"""Documents of a held stage, the hold and its approval, and the rounds of a stage that follow from them."""

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
    """The Airflow Dag run that owns the stage; after a crash, only its own retry continues."""
    started_at: AwareDatetime


class Hold(Document):
    """A stage would go over a limit, and waits for a person to approve that: nothing was spent."""

    SCHEMA: ClassVar[str] = "genops.hold.v1"

    stage: Stage
    number: int
    """1 for the first time."""
    dataset: str
    reason: str
    """The cost, the limits that it would go over, and the missing sum."""
    help: str
    """What to do about it."""
    asked_usd: Decimal
    missing_usd: Decimal
    """The sum by which the limits are too low; 0 where only prompts are too long."""
    limits: tuple[str, ...]
    """Keys of these limits in genops.yaml."""
    prompts_over: int = 0
    """Number of prompts over a limit on one prompt."""
    lines: tuple[dict[str, Any], ...] = ()
    """The first 100 of these prompts: line, id, figure and limit."""
    held_at: AwareDatetime
    run_id: str
    """The Dag run that was held."""


class Approval(Document):
    """A person has approved a held stage."""

    SCHEMA: ClassVar[str] = "genops.approval.v1"

    stage: Stage
    number: int
    """Number of the hold."""
    by: str
    """The person, by the identity of the credentials, such as `ada@example.com`."""
    reason: str
    claimed: str | None = None
    """The person by the environment of the command; None where no command did it, and in older documents."""
    approved_usd: Decimal
    """The most that the stage may cost, above all limits; a higher cost is held again."""
    prompts_over: int = 0
    """Number of prompts that may be over a limit on one prompt."""


HOLDABLE = tuple(stage for stage, facts in STAGES.items() if facts.reserves is not None)
"""Stages that reserve money, and so can be held."""


@dataclass(frozen=True, slots=True)
class StageRounds:
    """How often a stage was held, released, returned and retried."""

    holds: int = 0
    released: int = 0
    returns: int = 0
    """How often a sweep gave the stage to a new Dag run, after one had ended without a verdict."""
    retries: int = 0
    """How often a person set its failed verdict aside."""

    @property
    def is_held(self) -> bool:
        """Whether the stage waits for a person."""
        return self.holds > self.released

    @property
    def round(self) -> int:
        """Number of the present round; 0 for the first."""
        return self.released + self.returns + self.retries


def stage_rounds(names: Collection[str], candidate: str, stage: Stage) -> StageRounds:
    """Return the rounds of `stage`.

    Args:
        names: of the objects in the candidate's folder, or at least of its holds and its cancellation.
        candidate: id.
        stage: of the candidate.
    """
    returns, retries = (
        next(number for number in count() if path(candidate, stage, number + 1) not in names)
        for path in (return_path, retry_path)
    )
    holds = 0
    while stage in HOLDABLE and hold_path(candidate, stage, holds + 1) in names:
        holds += 1
    if stage is Stage.TUNING and cancellation_path(candidate) in names:
        # A cancelled stage does not wait for an approval any more: it continues, and ends as cancelled.
        return StageRounds(holds, holds, returns, retries)
    released = 0
    while released < holds and approval_path(candidate, stage, released + 1) in names:
        released += 1
    return StageRounds(holds, released, returns, retries)
