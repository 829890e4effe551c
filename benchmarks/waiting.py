"""Measure what waiting for tuning jobs costs, ours beside the usual ways: `python -m benchmarks.waiting`."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
from rich.console import Console

from benchmarks import core_seconds, waiting_tables
from benchmarks.airflow_rest import AirflowRest
from benchmarks.arrivals import machine
from benchmarks.bench_stack import CHECKOUT, BenchStack, StackFailed, dataset_name, running_stack
from benchmarks.command_line import end_with_sigterm, positive
from benchmarks.usual_way_setup import install, place_modules
from benchmarks.waiting_figures import AIRFLOW, ALONE, OURS, Waiting, judge, since_end
from benchmarks.waiting_jobs import CANCELLING_SECONDS, HANGS_AFTER, TUNING_BEGINS, Job, Jobs
from benchmarks.waiting_operator import Operator, place_operator

if TYPE_CHECKING:
    from benchmarks.waiting_triggerer import Triggerer

WAYS = {"ours": OURS, "alone": ALONE, "airflow": AIRFLOW}
DAGS = CHECKOUT / "benchmarks" / "waiting_dags"
IDLE_SECONDS = 20.0
SETTLE_POLLS = 2
"""So many polling intervals pass between the last start and the measuring of what waiting costs."""
WINDOW_SECONDS = 60.0
ENDS_SECONDS = 30.0
ENDS_PER_SECOND = 10.0
"""As many as 36,000 jobs an hour. Airflow takes the ends of triggers one by one: with more, its queue is what is measured."""
PATIENCE_SECONDS = 120.0
TRIGGERER = "waiting"


class GaveUp(Exception):
    """There are no figures: something did not come about in time."""


@dataclass(slots=True)
class Bench:
    """One run of the benchmark on a stack that runs.

    Args:
        stack: the stack.
        jobs: at its Vertex AI stand-in.
        home: its folder.
        environment: of its Airflow.
        poll_seconds: pause between two looks.
        ends_per_second: how many jobs end in a second, at most.
        say: tells how far it is.
    """

    stack: BenchStack
    jobs: Jobs
    home: Path
    environment: dict[str, str]
    poll_seconds: float
    ends_per_second: float
    say: Callable[[str], None]
    measured: list[Waiting] = field(default_factory=list)

    def measure(self, way: str, count: int) -> Waiting:
        """Let so many jobs be waited for in a triggerer of its own; return what that cost, and how their ends were taken."""
        from benchmarks import waiting_rows
        from benchmarks.waiting_triggerer import running_triggerer

        waiting_rows.create_runs(count)
        made = Waiting(way, count, self.poll_seconds)
        log = self.home / "logs" / f"waiting-{way.replace(' ', '-')}-{count}.log"
        logs = self.home / "airflow" / "logs"
        with running_triggerer(self.environment, log=log, logs=logs, cwd=self.home / "airflow") as triggerer:
            try:
                self._measure(triggerer, made)
            finally:
                waiting_rows.forget()
        self.measured.append(made)
        return made

    def _measure(self, triggerer: Triggerer, made: Waiting) -> None:
        from benchmarks import waiting_rows

        time.sleep(IDLE_SECONDS / 2)
        fresh = triggerer.memory_bytes()
        # One wait comes and goes first: so what every process pays once is not taken for what each job costs.
        self._see_one_through(made.way)
        idle_cores, _ = self._cores(triggerer, IDLE_SECONDS)
        idle_bytes = triggerer.memory_bytes()
        triggerer.clear_logs()
        seconds = max(200.0, 100.0 + 0.2 * made.jobs)
        began = datetime.now(UTC)
        jobs = self._create(made.way, made.jobs, seconds=seconds)
        seen = waiting_rows.defer([self._trigger(made.way, number, job) for number, job in enumerate(jobs)])
        came_true(lambda: triggerer.started() >= made.jobs, seconds=PATIENCE_SECONDS + made.jobs / 10)
        starts = triggerer.start_times()
        settled = datetime.now(UTC)
        made.started = len(starts)
        if made.started == made.jobs:
            made.started_seconds = (max(starts) - seen).total_seconds()
        time.sleep(SETTLE_POLLS * self.poll_seconds)
        if made.way == OURS:
            # So that progress is told meanwhile: until then the jobs wait for their turn, and have no news.
            tuning = (began + timedelta(seconds=TUNING_BEGINS * seconds)).timestamp()
            time.sleep(max(0.0, tuning - time.time()))
            if time.time() + WINDOW_SECONDS > jobs[0].created_at.timestamp() + HANGS_AFTER * seconds:
                self.say("  the jobs' progress stops within the window: ours is measured with less to tell")
        looks, since = self.jobs.looks(), time.monotonic()
        cores, made.others_share = self._cores(triggerer, WINDOW_SECONDS)
        made.calls_per_minute = (self.jobs.looks() - looks) / (time.monotonic() - since) * 60
        made.cores = cores - idle_cores
        made.memory_bytes = triggerer.memory_bytes() - idle_bytes
        made.first_wait_bytes = idle_bytes - fresh
        made.workers_held = waiting_rows.at_work()
        if jobs[0].name:
            self._end(made, jobs)
        for at, blocked in triggerer.blocked():
            (made.blocked_seconds if at > settled else made.blocked_starting_seconds).append(blocked)

    def _end(self, made: Waiting, jobs: list[Job]) -> None:
        """End all jobs, and add what became of the tasks that wait for them."""
        from benchmarks import waiting_rows

        spread = max(ENDS_SECONDS, 3 * self.poll_seconds, made.jobs / self.ends_per_second)
        self.jobs.end(jobs, seconds=spread)
        came_true(lambda: waiting_rows.still_deferred() == 0, seconds=PATIENCE_SECONDS + made.jobs / 10)
        ends = self.jobs.ends()
        resumed = waiting_rows.resumed(made.jobs)
        made.resumed_seconds, made.wrong = since_end(
            [ends[job.name].timestamp() if job.name in ends else None for job in jobs],
            [one.at.timestamp() if one.at is not None else None for one in resumed],
        )
        made.wrong += sum(one.at is not None and "cancelled" not in (one.end or "").lower() for one in resumed)

    def _see_one_through(self, way: str) -> None:
        """Let one wait start and end; with Airflow alone it is one of ours, so that both begin with the same memory.

        Raises:
            GaveUp: it did not.
        """
        from benchmarks import waiting_rows

        way = OURS if way == AIRFLOW else way
        jobs = self._create(way, 1, seconds=60.0)
        waiting_rows.defer([self._trigger(way, 99_999, jobs[0])])
        time.sleep(2 * self.poll_seconds)
        self.jobs.end(jobs, seconds=0.0)
        if not came_true(lambda: waiting_rows.still_deferred() == 0, seconds=PATIENCE_SECONDS):
            raise GaveUp(f"The first wait of {way} did not end; look at the log of its triggerer.")

    def _create(self, way: str, count: int, *, seconds: float) -> list[Job]:
        if way == AIRFLOW:
            return [Job("", datetime.now(UTC))] * count
        made = self.jobs.create(count, seconds=seconds)
        time.sleep(CANCELLING_SECONDS)
        return made

    def _trigger(self, way: str, number: int, job: Job) -> tuple[str, dict[str, Any]]:
        """Return class path and arguments of the trigger that waits for a job."""
        project, location = self.stack.config.project, self.stack.config.location
        if way == AIRFLOW:
            return "usual_way_waiting.NeverFires", {}
        if way == ALONE:
            alone = {"project_id": project, "location": location, "job": job.name, "poll_interval": self.poll_seconds}
            return "usual_way_waiting.PollsAlone", alone
        from triggers.tuning_job import TuningJobTrigger

        return TuningJobTrigger(
            project=project,
            location=location,
            job=job.name,
            poll_seconds=self.poll_seconds,
            deadline=(datetime.now(UTC) + timedelta(hours=24)).isoformat(),
            began=job.created_at.isoformat(),
            candidate=f"{dataset_name(0)}-{number:016x}",
        ).serialize()

    def _cores(self, triggerer: Triggerer, seconds: float) -> tuple[float, float]:
        """Return how many cores the triggerer uses within so many seconds, and the others' share of all that is used."""
        components = {**self.stack.processes, TRIGGERER: triggerer.pid}
        before, since = core_seconds.used(components), time.monotonic()
        time.sleep(seconds)
        used = core_seconds.since(before, components)
        return used[TRIGGERER] / (time.monotonic() - since), used[core_seconds.OTHERS] / sum(used.values())


def came_true(condition: Callable[[], bool], *, seconds: float) -> bool:
    """Tell whether the condition came true within so many seconds."""
    give_up = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > give_up:
            return False
        time.sleep(1.0)
    return True


def run(chosen: argparse.Namespace, *, say: Callable[[str], None]) -> Bench:
    """Measure what was chosen.

    Raises:
        GaveUp: something did not come about in time.
        StackFailed: there is no stack to measure on.
    """
    site = install() if chosen.operator_tasks else None

    def add(folder: Path) -> None:
        shutil.rmtree(folder / "dags")
        shutil.copytree(DAGS, folder / "dags", ignore=shutil.ignore_patterns("__pycache__"))
        place_modules(folder, site, "usual_way_waiting.py")
        if chosen.operator_tasks:
            place_operator(folder)

    with running_stack(1, add) as stack:
        home = Path(os.environ["GENOPS_HOME"])
        vertex, admin = _vertex(home)
        with Jobs(stack.config, vertex, admin) as jobs:
            bench = Bench(
                stack, jobs, home, _airflow_environment(home), chosen.poll_seconds, chosen.ends_per_second, say
            )
            _await_dag()
            say(f"The stack is ready after {stack.ready_seconds:.0f} s.")
            for count in sorted(chosen.jobs, reverse=True):
                for way in (WAYS[name] for name in chosen.ways):
                    say(f"{count} jobs, {way}")
                    say(f"  {_line(bench.measure(way, count))}")
            if chosen.operator_tasks:
                say(f"{chosen.operator_tasks} jobs, the provider's operator")
                with AirflowRest(stack.airflow_url) as rest:
                    bench.measured.append(Operator(stack, jobs, rest).measure(chosen.operator_tasks))
    return bench


def _vertex(home: Path) -> tuple[str, str]:
    """Return where the stack's Vertex AI stand-in is, and its admin route."""
    from genops_events.stack.state import load

    vertex = load(home).component("vertex")
    assert vertex is not None
    assert vertex.url is not None
    assert vertex.admin_url is not None
    return vertex.url, vertex.admin_url


def _airflow_environment(home: Path) -> dict[str, str]:
    """Return the environment of the stack's Airflow; this process becomes part of it, to write rows."""
    from genops_events.stack.components import component_list
    from genops_events.stack.credentials import secrets_of
    from genops_events.stack.state import load

    state = load(home)
    assert state.plan is not None
    components = component_list(state.plan, state.ports, secrets_of(home), os.environ)
    environment = next(one.environment for one in components if one.kind == "triggerer")
    os.environ.update({name: value for name, value in environment.items() if name.startswith("AIRFLOW")})
    os.environ["AIRFLOW__LOGGING__LOGGING_LEVEL"] = "WARNING"
    return environment


def _await_dag() -> None:
    from benchmarks import waiting_rows

    if not came_true(waiting_rows.dag_is_known, seconds=PATIENCE_SECONDS):
        raise GaveUp(f"Airflow does not know the Dag {waiting_rows.DAG_ID}.")


def _line(one: Waiting) -> str:
    p95 = one.resumed_percentile(95)
    resumed = f"resumed {len(one.resumed_seconds)}, p95 {p95:.1f} s; " if p95 is not None else ""
    return (
        f"{one.calls_per_minute:.0f} calls/min, {one.kb_per_job:.1f} kB and {one.core_share_per_job:.3%} of a core per job; "
        f"{resumed}wrong {one.wrong}, "
        f"blocked {len(one.blocked_starting_seconds)} + {len(one.blocked_seconds)}; others {one.others_share:.0%}"
    )


def main() -> int:
    """Measure and print; return the exit code."""
    chosen = _parser().parse_args()
    end_with_sigterm()
    progress, output = Console(stderr=True, highlight=False), Console(width=None if sys.stdout.isatty() else 200)

    def say(text: str) -> None:
        progress.print(text, markup=False, style="dim")

    try:
        bench = run(chosen, say=say)
    except (GaveUp, StackFailed, httpx.HTTPError) as error:
        progress.print(f"error: {error}", markup=False)
        return 1
    except KeyboardInterrupt:
        progress.print("Interrupted; the stack is stopped.")
        return 130
    document: dict[str, Any] = {"schema": "genops.benchmark.waiting.v1", **machine()}
    judged = judge(bench.measured)
    output.print(waiting_tables.headline(document, chosen.poll_seconds), markup=False)
    output.print(waiting_tables.costs(sorted(bench.measured, key=lambda one: one.jobs)))
    if judged:
        output.print(waiting_tables.targets(judged))
    if chosen.json is not None:
        document |= {
            "load_average": list(os.getloadavg()),
            "measured": [one.to_json() for one in bench.measured],
            "targets": [{"target": one.target, "figure": one.figure, "met": one.met} for one in judged],
        }
        chosen.json.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    return 0 if all(one.met for one in judged) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.waiting", description=__doc__)
    parser.add_argument(
        "--jobs", type=positive, nargs="+", default=[10, 100, 1000, 5000], help="how many at once (10 100 1000 5000)"
    )
    parser.add_argument(
        "--ways", choices=WAYS, nargs="+", default=list(WAYS), help="in a triggerer: which to measure (all)"
    )
    parser.add_argument("--poll-seconds", type=float, default=10.0, help="pause between two looks at a job (10)")
    parser.add_argument(
        "--ends-per-second", type=float, default=ENDS_PER_SECOND, help="how many jobs end in a second, at most (10)"
    )
    parser.add_argument(
        "--operator-tasks", type=int, default=4, help="of the provider's operator, a worker each (4); 0 leaves it out"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure to FILE")
    return parser


if __name__ == "__main__":
    sys.exit(main())
