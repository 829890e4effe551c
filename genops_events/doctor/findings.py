"""What `genops doctor` says: a finding for each check, with its cause and the command that mends it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Status(StrEnum):
    """How a check ended."""

    OK = "ok"
    WARNING = "warning"
    """The cascade works, but not as well or not for as long as it should."""
    FAILED = "failed"
    """Arrivals are lost, delayed or not worked on until a person mends this."""
    SKIPPED = "skipped"
    """Cannot be judged, because something else failed."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What one look showed."""

    status: Status
    found: str
    """What is there, in one sentence."""
    cause: str = ""
    """How it came to that, and what it means."""
    remedy: tuple[str, ...] = ()
    """The commands that mend it, in their order, with the real names filled in."""


def ok(found: str) -> Finding:
    """Return the finding that all is well."""
    return Finding(Status.OK, found)


def warning(found: str, cause: str, *remedy: str) -> Finding:
    """Return a finding that stops nothing."""
    return Finding(Status.WARNING, found, cause, remedy)


def failed(found: str, cause: str, *remedy: str) -> Finding:
    """Return a finding that has to be mended."""
    return Finding(Status.FAILED, found, cause, remedy)


def skipped(found: str) -> Finding:
    """Return that this cannot be judged, and why."""
    return Finding(Status.SKIPPED, found)


@dataclass(frozen=True, slots=True)
class Check:
    """Something to look at."""

    name: str
    look: Callable[[], Finding]
    """Looks once, and may block; an exception is a failed check."""
    needs: tuple[str, ...] = ()
    """Checks that must not have failed, or this one cannot be judged."""


@dataclass(frozen=True, slots=True)
class Result:
    """What a check found, and how long it took."""

    name: str
    finding: Finding
    seconds: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """Return the result as plain JSON values."""
        found = self.finding
        return {
            "name": self.name,
            "status": str(found.status),
            "found": found.found,
            "cause": found.cause,
            "remedy": list(found.remedy),
            "seconds": round(self.seconds, 3),
        }


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What all checks found."""

    target: str
    """What was looked at: `local stack`, or `Google Cloud`."""
    results: tuple[Result, ...]
    seconds: float

    @property
    def healthy(self) -> bool:
        """Tell whether nothing has to be mended."""
        return not self.count(Status.FAILED)

    def count(self, status: Status) -> int:
        """Return how many checks ended so."""
        return sum(one.finding.status is status for one in self.results)

    def of(self, name: str) -> Finding:
        """Return what the check of this name found."""
        return next(one.finding for one in self.results if one.name == name)

    def to_json(self) -> dict[str, Any]:
        """Return the document that `genops doctor --json` prints."""
        return {
            "healthy": self.healthy,
            "target": self.target,
            "seconds": round(self.seconds, 3),
            "checks": [one.to_json() for one in self.results],
        }
