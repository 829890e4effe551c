"""What is recorded of tries: of a task that came back, of a stage that a person let run again, of tries that failed."""

from __future__ import annotations

from typing import ClassVar

from pydantic import AwareDatetime, Field

from genops_events.record.document import Document
from genops_events.record.stages import Stage


class Return(Document):
    """A sweep lets a stage go on that a Dag run had taken on and not ended: that Dag run is over."""

    SCHEMA: ClassVar[str] = "genops.return.v1"

    stage: Stage
    number: int
    """1 for the first time."""
    round: int
    """The round that begins with it."""
    run_id: str
    """The Dag run that is over."""
    started_at: AwareDatetime
    """When the stage began: its costs stay in the ledger of that month."""
    reason: str


class Retry(Document):
    """A person has set a stage's failed verdict aside: the stage goes on from where it stood."""

    SCHEMA: ClassVar[str] = "genops.retry.v1"

    stage: Stage
    number: int
    """1 for the first time; the next verdict bears it in its name."""
    round: int
    """The round that begins with it."""
    by: str
    """Who: the identity of the credentials."""
    claimed: str | None = None
    """Who the environment of the command says it is."""
    reason: str
    failed_because: str
    """The reason of the verdict that is set aside."""
    started_at: AwareDatetime
    """When the stage began: its costs stay in the ledger of that month."""


class FailedTries(Document):
    """Tries of a stage that failed by an error of its own: those that Airflow spent on its own mistakes are not among them."""

    SCHEMA: ClassVar[str] = "genops.failed-tries.v1"

    stage: Stage
    run_id: str
    tries: dict[int, str] = Field(default_factory=dict)
    """By the number of the try: what it failed by."""
