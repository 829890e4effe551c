"""Documents of repeated work: a stage that a sweep returns to a Dag run, one that a person retries, and failed tries."""

from __future__ import annotations

from typing import ClassVar

from pydantic import AwareDatetime, Field

from genops_events.record.document import Document
from genops_events.record.stages import Stage


class Return(Document):
    """A sweep gives a stage to a new Dag run, since the one that had taken it on is over without a verdict."""

    SCHEMA: ClassVar[str] = "genops.return.v1"

    stage: Stage
    number: int
    """1 for the first time."""
    round: int
    """The round that begins with this document."""
    run_id: str
    """The Dag run that is over."""
    started_at: AwareDatetime
    """When the stage began: its costs stay in the ledger of that month."""
    reason: str


class Retry(Document):
    """A person has set a stage's failed verdict aside: the stage continues with what it has kept."""

    SCHEMA: ClassVar[str] = "genops.retry.v1"

    stage: Stage
    number: int
    """1 for the first time; the next verdict has it in its name."""
    round: int
    """The round that begins with this document."""
    by: str
    """The person, by the identity of the credentials."""
    claimed: str | None = None
    """The person by the environment of the command."""
    reason: str
    failed_because: str
    """The reason of the verdict that is set aside."""
    started_at: AwareDatetime
    """When the stage began: its costs stay in the ledger of that month."""


class FailedTries(Document):
    """Tries of a stage that failed by an error of its own, without those that failed by Airflow's mistakes."""

    SCHEMA: ClassVar[str] = "genops.failed-tries.v1"

    stage: Stage
    run_id: str
    tries: dict[int, str] = Field(default_factory=dict)
    """Errors by the number of the try."""
