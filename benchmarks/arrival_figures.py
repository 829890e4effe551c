"""Turn arrivals, stored events and Dag runs into figures: no I/O here."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

PERCENTILES = (50, 95, 99)


@dataclass(frozen=True, slots=True)
class Arrival:
    """One uploaded object: the key by which its way is followed, and when it was finalized."""

    key: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Fate:
    """What became of one arrival."""

    arrival: Arrival
    stored: bool
    """An asset event of it is in Airflow's database."""
    starts: tuple[datetime, ...]
    """When the tuning runs began that saw it."""

    @property
    def seconds(self) -> float | None:
        """Return the time from the arrival to its first tuning run; None if no run saw it."""
        return (min(self.starts) - self.arrival.at).total_seconds() if self.starts else None

    @property
    def lost(self) -> bool:
        """Tell whether nothing is left of it: no run saw it, and no event is stored that one could still see."""
        return not self.starts and not self.stored

    @property
    def stranded(self) -> bool:
        """Tell whether its event is stored, but no run has consumed it."""
        return not self.starts and self.stored

    @property
    def twice(self) -> bool:
        """Tell whether more than one run saw it."""
        return len(self.starts) > 1


@dataclass(slots=True)
class Outcome:
    """All that one way gave for a number of uploads at once."""

    way: str
    uploads: int
    fates: list[Fate] = field(default_factory=list)
    runs: int = 0
    """Tuning runs, over all repetitions."""
    core_seconds: dict[str, float] = field(default_factory=dict)
    """Processor time by component, from the first upload until all was quiet."""
    recovery_seconds: list[float] = field(default_factory=list)
    """For each fault: from the kill to the start of the last run that saw one of its arrivals."""

    @property
    def lost(self) -> int:
        """Return how many arrivals are lost."""
        return sum(one.lost for one in self.fates)

    @property
    def stranded(self) -> int:
        """Return how many arrivals are stranded."""
        return sum(one.stranded for one in self.fates)

    @property
    def twice(self) -> int:
        """Return how many arrivals more than one run saw."""
        return sum(one.twice for one in self.fates)

    @property
    def clean(self) -> bool:
        """Tell whether each arrival was seen by exactly one run."""
        return not (self.lost or self.stranded or self.twice)

    def seconds(self) -> list[float]:
        """Return the times of all arrivals that were seen."""
        return [one.seconds for one in self.fates if one.seconds is not None]

    def to_json(self) -> dict[str, Any]:
        """Return every figure."""
        times = self.seconds()
        return {
            "way": self.way,
            "uploads": self.uploads,
            "arrivals": len(self.fates),
            "to_tuning_run_seconds": {f"p{share}": round(percentile(times, share), 3) for share in PERCENTILES}
            | {"max": round(max(times), 3)}
            if times
            else None,
            "lost": self.lost,
            "stranded": self.stranded,
            "twice": self.twice,
            "runs": self.runs,
            "recovery_seconds": [round(one, 3) for one in self.recovery_seconds],
            "core_seconds": {name: round(value, 2) for name, value in self.core_seconds.items()},
            "arrivals_seconds": [round(one, 3) for one in times],
        }


def percentile(values: Sequence[float], share: int) -> float:
    """Return the nearest-rank percentile: the least value that `share` percent of `values` do not exceed."""
    return sorted(values)[max(1, math.ceil(share / 100 * len(values))) - 1]


def fates(
    arrivals: Iterable[Arrival], *, stored: AbstractSet[str], starts: Mapping[str, Sequence[datetime]]
) -> list[Fate]:
    """Return what became of each arrival.

    Args:
        arrivals: what was uploaded.
        stored: the keys that stand in stored asset events.
        starts: when the tuning runs began that saw a key.
    """
    return [Fate(one, stored=one.key in stored, starts=tuple(sorted(starts.get(one.key, ())))) for one in arrivals]
