"""What is kept of every job, of tuning or of batch prediction, and what sets the two kinds apart. No I/O."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, ClassVar, Generic, TypeVar

CANCELLING = "JOB_STATE_CANCELLING"
TERMINAL = frozenset(
    f"JOB_STATE_{end}" for end in ("SUCCEEDED", "PARTIALLY_SUCCEEDED", "FAILED", "CANCELLED", "EXPIRED")
)
_PAUSE_SHARE = 0.5
_CANCELLING_SHARE = 0.1
_CANCELLING_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Fate:
    """What the fault settings were when the job was created."""

    seconds: float
    outcome: str
    vanishes: bool
    hangs: bool
    error_code: int | None = None
    error_message: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What is kept of every job; times are seconds since 1970, strictly increasing over the jobs of a kind.

    Args:
        request: the fields of the create call that are echoed.
        cancelled: when it was asked to end.
        resumed: when it was told to go on that is to pause.
    """

    resource: ClassVar[str]
    """Its name in the API, for instance `TuningJob`."""
    collection: ClassVar[str]
    """The name of a list of them, in paths and in answers."""

    parent: str
    id: str
    created: float
    request: dict[str, Any]
    fate: Fate
    cancelled: float | None = None
    resumed: float | None = None

    @property
    def name(self) -> str:
        """Return the resource name."""
        return f"{self.parent}/{self.collection}/{self.id}"

    @property
    def labels(self) -> dict[str, str]:
        """Return the labels of the create call."""
        return dict(self.request.get("labels", {}))

    @property
    def pauses(self) -> float:
        """Return when the job pauses, if it is to pause."""
        return self.created + _PAUSE_SHARE * self.fate.seconds

    @property
    def cancelling_seconds(self) -> float:
        """Return how long the job is cancelling before it is cancelled."""
        return min(_CANCELLING_SECONDS, _CANCELLING_SHARE * self.fate.seconds)

    def error(self, code: int, message: str) -> dict[str, Any]:
        """Return the error that the job ends with; the fault settings may choose another."""
        if self.cancelled is None:  # What a user's own cancelling says is not for the fault settings to choose.
            code, message = self.fate.error_code or code, self.fate.error_message or message
        return {"code": code, "message": message}


J = TypeVar("J", bound=Job)


@dataclass(frozen=True, slots=True)
class Kind(Generic[J]):
    """What sets one kind of job apart.

    Args:
        of: what is kept of each.
        shelf: where that is kept in the database.
        spoken: its name in messages.
        title: the field of its JSON that shows the name a user gave it.
        filters: the fields that a list can be filtered by, each with its name in the job's JSON.
        state: tells the state that a job is in at a moment.
        view: tells how the API shows a job at a moment.
    """

    of: type[J]
    shelf: str
    spoken: str
    title: str
    filters: Mapping[str, str]
    state: Callable[[J, float], str]
    view: Callable[[J, float], dict[str, Any]]


def timestamp(seconds: float) -> str:
    """Return a moment as proto JSON writes it."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
