"""Turn what was read off a triggerer into the figures of waiting, and judge them by the targets: no I/O here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks.arrival_figures import percentile

OURS = "ours"
ALONE = "each polls alone"
AIRFLOW = "Airflow alone"
OPERATOR = "provider's operator"

TARGET_JOBS = 1000
CALLS_SHARE = 0.01
KB_PER_JOB = 20.0
CORE_SHARE_PER_JOB = 0.0005
RESUMED_BEYOND_POLL_SECONDS = 3.0
STARTED_SECONDS = 20.0


@dataclass(slots=True)
class Waiting:
    """What so many waiting jobs cost one way of waiting, and how it took their ends.

    Args:
        way: who waits.
        jobs: how many are waited for.
        poll_seconds: pause between two looks.
    """

    way: str
    jobs: int
    poll_seconds: float
    calls_per_minute: float = 0.0
    memory_bytes: int = 0
    """More than without waits."""
    first_wait_bytes: int = 0
    """What the first wait of a process adds, and its end does not take away: modules, clients."""
    cores: float = 0.0
    """Cores in use, more than without waits."""
    workers_held: int = 0
    started: int = 0
    started_seconds: float | None = None
    """From the moment that the triggerer can see the waits until the last one has started."""
    resumed_seconds: list[float] = field(default_factory=list)
    """From each job's end until its task was resumed."""
    wrong: int = 0
    """Waits that ended before their job, or with another end."""
    blocked_starting_seconds: list[float] = field(default_factory=list)
    """How long the triggerer's event loop was blocked, each time that Airflow warned, until all waits had started."""
    blocked_seconds: list[float] = field(default_factory=list)
    """The same, from then on."""
    others_share: float = 0.0
    """Of the processor time used, while the waits' cost was measured."""

    @property
    def kb_per_job(self) -> float:
        """Return the memory of one waiting job in kB (1,000 bytes)."""
        return self.memory_bytes / 1000 / self.jobs

    @property
    def core_share_per_job(self) -> float:
        """Return the part of a core that one waiting job takes."""
        return self.cores / self.jobs

    def resumed_percentile(self, share: int) -> float | None:
        """Return a percentile of the times from job end to task resumed; None where no task was."""
        return percentile(self.resumed_seconds, share) if self.resumed_seconds else None

    def to_json(self) -> dict[str, Any]:
        """Return every figure."""
        times = self.resumed_seconds
        return {
            "way": self.way,
            "jobs": self.jobs,
            "poll_seconds": self.poll_seconds,
            "calls_per_minute": round(self.calls_per_minute, 1),
            "memory_bytes": self.memory_bytes,
            "kb_per_job": round(self.kb_per_job, 2),
            "first_wait_bytes": self.first_wait_bytes,
            "cores": round(self.cores, 4),
            "core_share_per_job": round(self.core_share_per_job, 7),
            "workers_held": self.workers_held,
            "started": self.started,
            "started_seconds": None if self.started_seconds is None else round(self.started_seconds, 2),
            "resumed": len(times),
            "resumed_seconds": {"p50": percentile(times, 50), "p95": percentile(times, 95), "max": max(times)}
            if times
            else None,
            "wrong": self.wrong,
            "blocked_starting_seconds": self.blocked_starting_seconds,
            "blocked_seconds": self.blocked_seconds,
            "others_share": round(self.others_share, 3),
        }


@dataclass(frozen=True, slots=True)
class Judged:
    """One target beside what was measured."""

    target: str
    figure: str
    met: bool


def judge(measured: Iterable[Waiting]) -> list[Judged]:
    """Return the targets for `TARGET_JOBS` jobs, met or missed; none where ours was not measured with so many."""
    found = {one.way: one for one in measured if one.jobs == TARGET_JOBS}
    if (ours := found.get(OURS)) is None:
        return []
    one_by_one = ours.jobs * 60 / ours.poll_seconds
    calls = ours.calls_per_minute / one_by_one
    p95, bound = ours.resumed_percentile(95), ours.poll_seconds + RESUMED_BEYOND_POLL_SECONDS
    complete = len(ours.resumed_seconds) == ours.jobs and not ours.wrong
    started = ours.started_seconds
    airflow = found.get(AIRFLOW)
    floor = (
        ("", "") if airflow is None else (f"{airflow.kb_per_job:.1f} kB", str(len(airflow.blocked_starting_seconds)))
    )
    return [
        Judged(
            f"calls: at most {CALLS_SHARE:.0%} of one look per job every {ours.poll_seconds:g} s",
            f"{ours.calls_per_minute:.0f} of {one_by_one:.0f}/min, {calls:.2%}",
            calls <= CALLS_SHARE,
        ),
        Judged(
            f"memory: under {KB_PER_JOB:g} kB per job",
            f"{ours.kb_per_job:.1f} kB{_beside(floor[0])}",
            ours.kb_per_job < KB_PER_JOB,
        ),
        Judged(
            f"processor: under {CORE_SHARE_PER_JOB:.2%} of a core per job",
            f"{ours.core_share_per_job:.3%}",
            ours.core_share_per_job < CORE_SHARE_PER_JOB,
        ),
        Judged("workers held: none", str(ours.workers_held), ours.workers_held == 0),
        Judged(
            f"job end to task resumed: p95 under {bound:g} s, of all jobs",
            "none resumed" if p95 is None else f"{p95:.1f} s, {len(ours.resumed_seconds)} jobs",
            p95 is not None and p95 < bound and complete,
        ),
        Judged(
            f"started within {STARTED_SECONDS:g} s",
            f"{ours.started} of them" if started is None else f"{started:.1f} s",
            started is not None and started <= STARTED_SECONDS,
        ),
        Judged(
            "event loop never blocked for over 0.2 s: until all waits have started",
            f"{len(ours.blocked_starting_seconds)} warnings{_beside(floor[1])}",
            not ours.blocked_starting_seconds,
        ),
        Judged(
            "event loop never blocked for over 0.2 s: from then on",
            f"{len(ours.blocked_seconds)} warnings",
            not ours.blocked_seconds,
        ),
    ]


def _beside(airflow: str) -> str:
    return f" (Airflow alone: {airflow})" if airflow else ""


def since_end(ends: Sequence[float | None], resumed: Sequence[float | None]) -> tuple[list[float], int]:
    """Return the times from each job's end to its task's resumption, and how many were resumed though no job had ended.

    Args:
        ends: when each job ended; None if it has not.
        resumed: when the task was resumed that waits for it; None if it was not.
    """
    times, early = [], 0
    for end, at in zip(ends, resumed, strict=True):
        if at is None:
            continue
        if end is None or at < end:
            early += 1
        else:
            times.append(at - end)
    return times, early
