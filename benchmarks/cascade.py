"""Measure the cascade beside an empty one on the same stack: `python -m benchmarks.cascade --uploads 1 30`."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from benchmarks import core_seconds
from benchmarks.airflow_rest import AirflowRest, Execution
from benchmarks.bench_stack import JOB_SECONDS, TRAINING_FILE, BenchStack, StackFailed, dataset_name, running_stack
from benchmarks.command_line import end_with_sigterm, positive
from benchmarks.figures import STEPS, Batch, Job, Side, measure, median, median_step

if TYPE_CHECKING:
    from genops_events.gcp.record_store import RecordStore
    from genops_events.intake.uploads import Upload

REPETITIONS_OF_ONE = 3
"""A single upload is measured this often; many uploads at once are many samples already."""
SENDERS = 8
LOOK_SECONDS = 2.0
FLOOR_DAGS = 6
_UNFINISHED = ("queued", "running")
_ENDS = ("genops.inference.completed", "genops.promotion.held", "genops.candidate.rejected", ".failed.")
"""How the completion events are named that end a candidate."""


class GaveUp(Exception):
    """The benchmark has no figures: something did not end in time, or not as it should."""


@dataclass(slots=True)
class Bench:
    """One run of the benchmark on a stack that runs.

    Args:
        stack: the stack.
        rest: its Airflow.
        store: its record.
        until: when to give up, on the monotonic clock.
    """

    stack: BenchStack
    rest: AirflowRest
    store: RecordStore
    until: float
    since: datetime = field(default_factory=lambda: datetime.now(UTC))
    datasets: Iterator[int] = field(default_factory=count)
    floor_batches: Iterator[int] = field(default_factory=count)

    def cascade(self, uploads: int) -> Side:
        """Upload so many training files at once, each to a dataset of its own; return their figures.

        Raises:
            GaveUp: not every candidate was answered.
        """
        from genops_events.cascade.candidate_reader import read_candidate

        before, began = core_seconds.used(self.stack.processes), datetime.now(UTC)
        with ThreadPoolExecutor(min(uploads, SENDERS)) as pool:
            sent = list(pool.map(self._send, [next(self.datasets) for _ in range(uploads)]))
        self._wait("candidates without an end", lambda: self._without_end({one.candidate for one in sent}))
        self._wait("Dag runs still under way", lambda: self.rest.run_count("genops_", *_UNFINISHED))
        spent = core_seconds.since(before, self.stack.processes)
        runs, executions = self.rest.runs("genops_", began), self.rest.executions("genops_", began)
        found = []
        for one in sent:
            candidate = read_candidate(self.store, one.candidate)
            if candidate is None or candidate.state != "answered":
                raise GaveUp(
                    f"{one.candidate} should be answered: {None if candidate is None else candidate.to_json()}"
                )
            found.append(
                measure(
                    one.candidate,
                    prefix="genops_",
                    since=candidate.arrival.arrived_at,
                    runs=runs,
                    executions=executions,
                    job=self._job(one.candidate),
                    verdict_at=max(verdict.ended_at for verdict in candidate.verdicts.values()),
                )
            )
        return Side(found, self._ends("genops_", began, executions), spent)

    def floor(self, keys: int) -> Side:
        """Send so many keys at once through the empty cascade; return their figures.

        Raises:
            GaveUp: a key got lost, or a Dag run failed.
        """
        asset = self.rest.asset_id("floor_arrivals")
        if asset is None:
            raise GaveUp("Airflow does not know the floor's first asset: see the log of the Dag processor.")
        batch = next(self.floor_batches)
        names = [f"floor-{batch:02}-{number:03}" for number in range(keys)]
        before, began = core_seconds.used(self.stack.processes), datetime.now(UTC)
        self.rest.post_event(asset, {"keys": names})
        self._wait(
            "keys of the floor without an end",
            lambda: keys - self.rest.run_count("floor_inference", "success", since=began),
        )
        self._wait("Dag runs still under way", lambda: self.rest.run_count("floor_", *_UNFINISHED))
        spent = core_seconds.since(before, self.stack.processes)
        runs, executions = self.rest.runs("floor_", began), self.rest.executions("floor_", began)
        if failed := [f"{run.dag_id} of {run.key}" for run in runs if run.state == "failed"]:
            raise GaveUp(f"The floor failed: {', '.join(failed)}")
        found = [measure(name, prefix="floor_", since=began, runs=runs, executions=executions) for name in names]
        return Side(found, self._ends("floor_", began, executions), spent)

    def wait_for_dags(self) -> None:
        """Wait until Airflow has read the floor's Dags."""
        self._wait("Dags of the floor not read yet", lambda: FLOOR_DAGS - self.rest.dag_count("floor_"))

    def _ends(self, prefix: str, began: datetime, executions: Sequence[Execution]) -> Counter[str]:
        ends = Counter(one.end for one in executions)
        ends["state mismatch"] = self.rest.mismatches(prefix, began)
        return ends

    def _send(self, number: int) -> Upload:
        from genops_events.intake.uploads import object_name, upload

        dataset, config = dataset_name(number), self.stack.config
        name = object_name(TRAINING_FILE, config.dataset(dataset).prefix, now=datetime.now(UTC))
        return upload(config, TRAINING_FILE, dataset=dataset, name=name)

    def _without_end(self, candidates: set[str]) -> int:
        """Return how many have no end yet: one listing, so that looking costs the stack next to nothing."""
        from genops_events.record.paths import CANDIDATES

        events = [name for name in self.store.names(CANDIDATES) if "/events/" in name]
        ended = {name.removeprefix(CANDIDATES).split("/")[0] for name in events if any(end in name for end in _ENDS)}
        return len(candidates - ended)

    def _job(self, candidate: str) -> Job:
        from genops_events.record.paths import submission_path
        from genops_events.record.tuning import Submission
        from genops_events.tuning import jobs as tuning_jobs

        submission = self.store.read(submission_path(candidate), Submission)
        job = None if submission is None else tuning_jobs.get(self.stack.config, submission.job)
        if job is None or job.create_time is None or job.end_time is None:
            raise GaveUp(f"{candidate} has no tuning job that ended.")
        return Job(job.create_time, job.end_time)

    def _wait(self, what: str, left: Callable[[], int]) -> None:
        """Wait until nothing is left.

        Raises:
            GaveUp: the time is up.
        """
        while (number := left()) > 0:
            if time.monotonic() > self.until:
                raise GaveUp(f"Time is up: {number} {what}. {self._failures()}")
            time.sleep(LOOK_SECONDS)

    def _failures(self) -> str:
        failed = Counter(
            f"{one.dag_id}.{one.task_id} {one.end}"
            for one in self.rest.executions("", self.since)
            if one.end in ("failed", "up_for_retry")
        )
        named = ", ".join(f"{name} ({times})" for name, times in failed.items())
        return f"Executions that failed: {named}; their logs say why." if named else "No task failed."


def run(uploads: Sequence[int], *, until: float, say: Callable[[str], None]) -> tuple[list[Batch], float]:
    """Measure each number of uploads; return the batches, and how long the stack took to start.

    Raises:
        GaveUp: something did not end in time, or not as it should.
        StackFailed: there is no stack to measure on.
    """
    from genops_events.gcp.record_store import RecordStore

    plan = [(number, REPETITIONS_OF_ONE if number == 1 else 1) for number in uploads]
    batches = []
    with (
        running_stack(1 + sum(number * times for number, times in plan)) as stack,
        AirflowRest(stack.airflow_url) as rest,
    ):
        say(f"The stack is ready after {stack.ready_seconds:.0f} s. Warming up: one upload, one key of the floor.")
        bench = Bench(stack=stack, rest=rest, store=RecordStore.open(stack.config), until=until)
        bench.wait_for_dags()
        bench.cascade(1)
        bench.floor(1)
        for number, times in plan:
            batch = Batch(uploads=number)
            for repetition in range(times):
                say(f"{number} upload{'s at once' if number > 1 else ''}, {repetition + 1} of {times}")
                batch.cascade.add(bench.cascade(number))
                say(f"  candidates ended, slowest {max(batch.cascade.seconds()):.1f} s. The floor")
                batch.floor.add(bench.floor(number))
                say(f"  keys ended, slowest {max(batch.floor.seconds()):.1f} s")
            batches.append(batch)
    return batches, stack.ready_seconds


def summary(batches: Sequence[Batch]) -> Table:
    """Return the figures as a table: a row for each number of uploads."""
    table = Table(
        title="Seconds, p50 / max. The tuning job's own time is taken off.",
        title_justify="left",
        caption=f"{os.cpu_count()} cores, load average at the end {os.getloadavg()[0]:.1f}",
        caption_justify="left",
    )
    for heading in (
        "uploads",
        "(a) to tuning job",
        "(b) to last verdict",
        "to last Dag run",
        "(c) empty cascade",
        "ratio",
        "executions",
        "floor's",
    ):
        table.add_column(heading, justify="right")
    for batch in batches:
        executions = (median(one.executions for one in side.measured) for side in (batch.cascade, batch.floor))
        table.add_row(
            str(batch.uploads),
            *(
                f"{median(values):.1f} / {max(values):.1f}"
                for values in (
                    batch.to_submission_seconds(),
                    batch.to_verdict_seconds(),
                    batch.cascade.seconds(),
                    batch.floor.seconds(),
                )
            ),
            f"{batch.ratio():.2f}",
            *(f"{number:g}" for number in executions),
        )
    return table


def steps(batch: Batch) -> Table:
    """Return where the time of one batch goes: how long each step waited for its turn, and how long it ran."""
    table = Table(title=f"{batch.uploads} at once: where the time goes, seconds, p50", title_justify="left")
    table.add_column("step")
    for heading in ("waits", "runs", "floor waits", "floor runs"):
        table.add_column(heading, justify="right")
    for name in STEPS:
        cells = []
        for side in (batch.cascade, batch.floor):
            step = median_step(side.measured, name)
            cells += ["", ""] if step is None else [f"{step.waited_seconds:.2f}", f"{step.ran_seconds:.2f}"]
        table.add_row(name, *cells)
    return table


def processor(batch: Batch) -> Table:
    """Return who used the processor, and how much of it others did: then the times above are too long."""
    sides = [side.core_seconds_per_key() for side in (batch.cascade, batch.floor)]
    shares = [100 * side[core_seconds.OTHERS] / sum(side.values()) for side in sides]
    table = Table(
        title=f"{batch.uploads} at once: core-seconds for each key",
        title_justify="left",
        caption=f"Of all that was used, others used {shares[0]:.0f} % and {shares[1]:.0f} %.",
        caption_justify="left",
        min_width=50,
    )
    table.add_column("component")
    for heading in ("cascade", "floor"):
        table.add_column(heading, justify="right")
    for name in sides[0]:
        if name != core_seconds.OTHERS:
            table.add_row(name, *(f"{side.get(name, 0.0):.2f}" for side in sides))
    return table


def ends(batch: Batch) -> str:
    """Return how the executions of one batch ended, in a line."""
    told = (
        f"{title}: " + ", ".join(f"{number} {end}" for end, number in side.ends.most_common() if number)
        for title, side in (("cascade", batch.cascade), ("floor", batch.floor))
    )
    return f"{batch.uploads} at once: how executions ended. " + "; ".join(told) + "."


def document(batches: Sequence[Batch], ready_seconds: float) -> dict[str, Any]:
    """Return what `--json` writes."""
    return {
        "schema": "genops.benchmark.cascade.v1",
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {"cores": os.cpu_count(), "system": platform.platform(), "python": platform.python_version()},
        "load_average": list(os.getloadavg()),
        "stack_ready_seconds": ready_seconds,
        "tuning_job_seconds": JOB_SECONDS,
        "batches": [batch.to_json() for batch in batches],
    }


def main() -> int:
    """Measure and print; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cascade", description=__doc__)
    parser.add_argument("--uploads", type=positive, nargs="+", default=[1, 30], help="how many at once (1 30)")
    parser.add_argument("--minutes", type=float, default=20.0, help="give up after so long, with exit code 1 (20)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure to FILE")
    chosen = parser.parse_args()
    end_with_sigterm()
    progress, output = Console(stderr=True, highlight=False), Console(width=None if sys.stdout.isatty() else 160)
    until = time.monotonic() + chosen.minutes * 60
    try:
        batches, ready_seconds = run(
            chosen.uploads, until=until, say=lambda text: progress.print(text, markup=False, style="dim")
        )
    except (GaveUp, StackFailed) as error:
        progress.print(f"error: {error}", markup=False)
        return 1
    except KeyboardInterrupt:
        progress.print("Interrupted; the stack is stopped.")
        return 130
    output.print(summary(batches))
    for batch in batches:
        output.print(steps(batch))
        output.print(processor(batch))
        output.print(ends(batch))
    if chosen.json is not None:
        chosen.json.write_text(json.dumps(document(batches, ready_seconds), indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
