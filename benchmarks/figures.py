"""Turn what ran, and when, into the benchmark's figures: no I/O here."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from benchmarks.airflow_rest import DagRun, Execution

INTAKE, SUBMIT, RESUME, EVALUATION, BUDGET, PROMOTION, INFERENCE, VALIDATE = (
    "intake",
    "tuning: submit",
    "tuning: resume",
    "evaluation",
    "budget",
    "promotion",
    "inference",
    "tuning: validate",
)
STEPS = (INTAKE, VALIDATE, SUBMIT, RESUME, EVALUATION, BUDGET, PROMOTION, INFERENCE)
"""Executions of a candidate in the order of the cascade; the floor has no validation, and nothing to resume."""


@dataclass(frozen=True, slots=True)
class Step:
    """One execution on a key's way: how long it was ready before its task ran, and how long that took."""

    waited_seconds: float
    ran_seconds: float


@dataclass(frozen=True, slots=True)
class Measured:
    """What was measured of one candidate, or of one key of the floor."""

    key: str
    seconds: float
    """From the trigger to the end of its last Dag run, without the tuning job's own time."""
    executions: int
    steps: dict[str, Step]
    to_submission_seconds: float | None = None
    to_verdict_seconds: float | None = None
    """From the upload to the last verdict, without the tuning job's own time."""
    job_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Job:
    """When a candidate's tuning job was created and ended."""

    created_at: datetime
    ended_at: datetime

    @property
    def seconds(self) -> float:
        """Return the job's own time."""
        return (self.ended_at - self.created_at).total_seconds()


@dataclass(slots=True)
class Side:
    """What the cascade, or the floor, gave for a number of keys at once, over all repetitions."""

    measured: list[Measured] = field(default_factory=list)
    ends: Counter[str] = field(default_factory=Counter)
    """How the executions ended."""
    core_seconds: dict[str, float] = field(default_factory=dict)
    """Processor time by component, from the trigger until all was quiet."""

    def add(self, other: Side) -> None:
        """Take in another repetition."""
        self.measured += other.measured
        self.ends += other.ends
        for name, value in other.core_seconds.items():
            self.core_seconds[name] = self.core_seconds.get(name, 0.0) + value

    def seconds(self) -> list[float]:
        """Return each key's time to the end of its last Dag run."""
        return [one.seconds for one in self.measured]

    def core_seconds_per_key(self) -> dict[str, float]:
        """Return the processor time that a key took, by component."""
        spent = sorted(self.core_seconds.items(), key=lambda one: -one[1])
        return {name: value / len(self.measured) for name, value in spent}

    def to_json(self) -> dict[str, Any]:
        """Return what both kinds have."""
        steps = ((name, median_step(self.measured, name)) for name in STEPS)
        return {
            "to_last_dag_run_without_job_seconds": spread(self.seconds()),
            "executions_per_key": spread([one.executions for one in self.measured]),
            "executions": dict(self.ends),
            "core_seconds_per_key": {name: round(value, 3) for name, value in self.core_seconds_per_key().items()},
            "steps": {name: _rounded(step) for name, step in steps if step is not None},
            "keys": [_document(one) for one in self.measured],
        }


@dataclass(slots=True)
class Batch:
    """All that a number of uploads at once gave."""

    uploads: int
    cascade: Side = field(default_factory=Side)
    floor: Side = field(default_factory=Side)

    def to_submission_seconds(self) -> list[float]:
        """Return for each candidate (a): upload to tuning job."""
        return [one.to_submission_seconds for one in self.cascade.measured if one.to_submission_seconds is not None]

    def to_verdict_seconds(self) -> list[float]:
        """Return for each candidate (b): upload to last verdict, without the tuning job's own time."""
        return [one.to_verdict_seconds for one in self.cascade.measured if one.to_verdict_seconds is not None]

    def ratio(self) -> float:
        """Return the median of the cascade over the median of the floor, both to the end of the last Dag run."""
        return median(self.cascade.seconds()) / median(self.floor.seconds())

    def to_json(self) -> dict[str, Any]:
        """Return every figure."""
        return {
            "uploads": self.uploads,
            "to_submission_seconds": spread(self.to_submission_seconds()),
            "to_verdict_without_job_seconds": spread(self.to_verdict_seconds()),
            "ratio": round(self.ratio(), 3),
            "cascade": self.cascade.to_json(),
            "floor": self.floor.to_json(),
        }


def median(values: Iterable[float]) -> float:
    """Return the median."""
    return statistics.median(values)


def spread(values: Sequence[float]) -> dict[str, float]:
    """Return median, least and greatest."""
    return {"p50": round(median(values), 3), "min": round(min(values), 3), "max": round(max(values), 3)}


def median_step(measured: Iterable[Measured], name: str) -> Step | None:
    """Return the median wait and run of one step, or None where nobody has it."""
    found = [one.steps[name] for one in measured if name in one.steps]
    if not found:
        return None
    return Step(median(one.waited_seconds for one in found), median(one.ran_seconds for one in found))


def measure(
    key: str,
    *,
    prefix: str,
    since: datetime,
    runs: Sequence[DagRun],
    executions: Sequence[Execution],
    job: Job | None = None,
    verdict_at: datetime | None = None,
) -> Measured:
    """Return the figures of one key.

    Args:
        key: a candidate, or a key of the floor.
        prefix: what the ids of its Dags begin with.
        since: when its object was finalized, or its asset event posted.
        runs: the Dag runs of the batch.
        executions: the executions of the batch.
        job: its tuning job, whose own time does not count; None for the floor.
        verdict_at: when its last verdict was written; None for the floor.
    """
    own_runs = [run for run in runs if run.key == key]
    ids = {(run.dag_id, run.run_id) for run in own_runs}
    own = [one for one in executions if (one.dag_id, one.run_id) in ids]
    without = job.seconds if job is not None else 0.0
    return Measured(
        key=key,
        seconds=_between(since, max(run.ended_at for run in own_runs)) - without,
        # Minting is shared by all keys of a batch: each counts it once.
        executions=len(own) + 1,
        steps=_steps_of(prefix, since, own, [one for one in executions if one.dag_id == f"{prefix}intake"], job),
        to_submission_seconds=None if job is None else _between(since, job.created_at),
        to_verdict_seconds=None if verdict_at is None else _between(since, verdict_at) - without,
        job_seconds=None if job is None else job.seconds,
    )


def _steps_of(
    prefix: str, since: datetime, own: Sequence[Execution], mints: Sequence[Execution], job: Job | None
) -> dict[str, Step]:
    """Return the steps of one key; those that its executions do not show are left out."""

    def of(stage: str, task: str) -> list[Execution]:
        return [one for one in own if one.dag_id == f"{prefix}{stage}" and one.task_id == task]

    validate, tune = of("tuning", "validate"), of("tuning", "tune")
    began = min((one.started_at for one in (*validate, *tune)), default=since)
    # A task's events are stored before its end: the key's own intake is the last that began before its tuning.
    mint = [one for one in mints if since <= one.ended_at and one.started_at < began]
    evaluated, budgeted = of("evaluation", "evaluate"), of("budget", "check")
    # A later promotion finds the verdict and emits it again: what counts is the first that went on.
    promoted = [one for one in of("promotion", "promote") if one.end == "success"][:1]
    tuned = tune[-1:]
    chain: list[tuple[str, list[datetime], list[Execution]]] = [
        (INTAKE, [since], mint[-1:]),
        (VALIDATE, _ends(mint), validate[-1:]),
        (SUBMIT, _ends(validate or mint), tune[:1]),
        (RESUME, [job.ended_at] if job is not None else [], tuned if len(tune) > 1 else []),
        (EVALUATION, _ends(tuned), evaluated[-1:]),
        (BUDGET, _ends(tuned), budgeted[-1:]),
        (PROMOTION, _ends([*evaluated, *budgeted]), promoted),
        (INFERENCE, _ends(promoted), of("inference", "answer")[:1]),
    ]
    return {
        name: Step(max(0.0, _between(max(woken), ran[-1].started_at)), _between(ran[-1].started_at, ran[-1].ended_at))
        for name, woken, ran in chain
        if woken and ran
    }


def _ends(executions: Iterable[Execution]) -> list[datetime]:
    return [one.ended_at for one in executions]


def _between(begin: datetime, end: datetime) -> float:
    return (end - begin).total_seconds()


def _rounded(step: Step) -> dict[str, float]:
    return {"waited_seconds": round(step.waited_seconds, 3), "ran_seconds": round(step.ran_seconds, 3)}


def _document(one: Measured) -> dict[str, Any]:
    return {
        "key": one.key,
        "to_submission_seconds": one.to_submission_seconds,
        "to_verdict_without_job_seconds": one.to_verdict_seconds,
        "to_last_dag_run_without_job_seconds": one.seconds,
        "job_seconds": one.job_seconds,
        "executions": one.executions,
        "steps": {name: _rounded(step) for name, step in one.steps.items()},
    }
