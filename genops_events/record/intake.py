"""Documents of an arrival, and of a sweep."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from genops_events.reading.storable import MOST_INTEGER
from genops_events.record.document import Document
from genops_events.record.stages import Stage


class Arrival(Document):
    """One finalized object under a watched prefix has become this candidate."""

    SCHEMA: ClassVar[str] = "genops.arrival.v1"

    dataset: str
    bucket: str
    object: str
    generation: Annotated[int, Field(ge=1, le=MOST_INTEGER)]
    size_bytes: Annotated[int | None, Field(ge=0, le=MOST_INTEGER)] = None
    arrived_at: AwareDatetime
    """When Cloud Storage finalized the object; if it did not exist any more, when the arrival was recorded."""
    found_by: str
    """`notification`, or `sweep` where the notification was lost."""

    @field_validator("arrived_at")
    @classmethod
    def _never_after_it_was_recorded(cls, value: datetime, info: ValidationInfo) -> datetime:
        """Correct a time in the future, which a forged notification may have left in older records: later candidates would count as late."""
        written_at: datetime | None = info.data.get("written_at")
        if written_at is None:
            return value
        return min(value, written_at)


class Healed(BaseModel):
    """One repair of a sweep, with its reason."""

    model_config = ConfigDict(frozen=True)

    kind: Literal["lost_arrival", "unannounced_verdict", "closed_stage", "returned_stage", "woken_stage"]
    candidate: str
    stage: Stage | None = None
    """None for an arrival."""
    reason: str


class Sweep(BaseModel):
    """Figures and repairs of the last sweep; each sweep overwrites it, and `genops doctor` checks it."""

    model_config = ConfigDict(frozen=True, populate_by_name=True)

    schema_name: Annotated[str, Field(alias="schema")] = "genops.sweep.v1"
    run_id: str
    """The Dag run of genops_intake that swept."""
    started_at: datetime
    ended_at: datetime
    next_due_at: datetime
    sweep_minutes: int
    """`intake.sweep_minutes` at the time of the sweep."""
    objects: int = 0
    """Objects under watched prefixes that were looked at."""
    reached_end: bool = False
    """Whether the listing was completed; if not, the next sweep continues at `stands_at`."""
    stands_at: str | None = None
    """`dataset: object name` of the last object that was looked at."""
    open_candidates: int = 0
    """Candidates that are not settled yet."""
    left_alone: dict[str, int] = Field(default_factory=dict)
    """Candidates that wait for a stage and were not woken, by reason: `under_way`, `paused`, `unknown`; and
    stages whose Dag run is over: `resting` before the next one, `being_cancelled`."""
    lost_arrivals: int = 0
    unannounced_verdicts: int = 0
    closed_stages: int = 0
    returned_stages: int = 0
    """Stages whose Dag run had ended without a verdict, and that continue in another one."""
    woken_stages: int = 0
    healed: tuple[Healed, ...] = ()
    """The first 100 repairs."""
    error: str | None = None
    """Why the sweep ended early; None where it did not."""

    def figures(self) -> dict[str, Any]:
        """Return the counts alone, as JSON values."""
        return self.model_dump(mode="json", exclude={"schema_name", "healed"})
