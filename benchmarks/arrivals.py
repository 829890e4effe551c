"""Measure upload to tuning run, ours beside the usual way, quiet and under faults: `python -m benchmarks.arrivals`."""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from itertools import product
from pathlib import Path
from typing import Any, TypeVar

import httpx
from rich.console import Console

from benchmarks import arrival_tables, cascade, core_seconds
from benchmarks.airflow_rest import AirflowRest
from benchmarks.arrival_figures import Arrival, Fate, Outcome
from benchmarks.arrival_ways import Ours, Usual, Way, send_all
from benchmarks.bench_stack import BenchStack, StackFailed, component_pids, running_stack
from benchmarks.command_line import end_with_sigterm, positive
from benchmarks.figures import Batch
from benchmarks.usual_way_setup import TriggerSettings, install, place, provider_version, provision

Answer = TypeVar("Answer")
WAYS: dict[str, type[Ours | Usual]] = {"ours": Ours, "usual": Usual}
FAULTS = {"triggerer": "triggerer killed", "api-server": "API server killed"}
REPETITIONS_OF_ONE = 7
SENDERS = 8
WHOLE_FILE_UP_TO = 10
"""More uploads than this are files that end as rejected: tuning runs are what is measured, not the tuning."""
LOOK_SECONDS = 2.0
QUIET_SECONDS = 30.0
"""What no run has seen when nothing has changed for so long counts as lost or stranded."""
SETTLED_SECONDS = 5.0
"""For one upload that a run has seen: time enough for a second run."""
BURST_SECONDS = 6.0
"""Uploads of a fault are spread over so long, and the kill is in the middle: nothing is aimed at a weak moment."""
WARM_UP_SECONDS = 180.0
CASCADE_SECONDS = 40 * 60.0


class GaveUp(Exception):
    """There are no figures: something did not end in time."""


@dataclass(slots=True)
class Bench:
    """One run of the benchmark on a stack that runs.

    Args:
        stack: the stack.
        until: when to give up, on the monotonic clock.
        quiet_seconds: how long nothing must change.
    """

    stack: BenchStack
    until: float
    quiet_seconds: float
    outcomes: list[Outcome] = field(default_factory=list)
    faults: list[tuple[str, Outcome]] = field(default_factory=list)
    """By the component that was killed."""

    def warm_up(self, way: Way) -> None:
        """See one upload through, so that the watcher runs and every process has imported what it needs.

        Raises:
            GaveUp: no run saw it.
        """
        since, sent = datetime.now(UTC), [way.send(whole=True)]
        give_up = min(self.until, time.monotonic() + WARM_UP_SECONDS)
        while self._ask(lambda: not way.fates(sent, since)[0].starts or way.look(since)[2] > 0):
            if time.monotonic() > give_up:
                raise GaveUp(f"No tuning run of {way.name} saw the first upload.")
            time.sleep(LOOK_SECONDS)

    def measure(self, way: Way, uploads: int, repetitions: int) -> Outcome:
        """Upload so many files at once, so often; return what became of them."""
        outcome = Outcome(way.name, uploads)
        before = core_seconds.used(self.stack.processes)
        for _ in range(repetitions):
            since = datetime.now(UTC)
            sent = send_all(way, uploads, whole=uploads <= WHOLE_FILE_UP_TO, senders=SENDERS)
            self._take(outcome, way, sent, since, settled=SETTLED_SECONDS if uploads == 1 else self.quiet_seconds)
        outcome.core_seconds = core_seconds.since(before, self.stack.processes)
        self.outcomes.append(outcome)
        return outcome

    def measure_fault(self, way: Way, uploads: int, component: str, rounds: int) -> Outcome:
        """Kill a component (-9) amid so many uploads, so often; return what became of them."""
        outcome = Outcome(way.name, uploads)
        for _ in range(rounds):
            self._fault(way, uploads, component, outcome)
        self.faults.append((component, outcome))
        return outcome

    def _fault(self, way: Way, uploads: int, component: str, outcome: Outcome) -> None:
        from genops_events.provisioning.provision import ACK_DEADLINE_SECONDS

        victim = component_pids()[component]
        since, sent = datetime.now(UTC), []
        began, killed_at = time.monotonic(), None
        for number in range(uploads):
            time.sleep(max(0.0, began + BURST_SECONDS * number / uploads - time.monotonic()))
            if killed_at is None and number >= uploads // 2:
                os.kill(victim, signal.SIGKILL)
                killed_at = datetime.now(UTC)
            sent.append(way.send(whole=False))
        # A message that died with the process comes again when its lease has run out: not before is all quiet.
        found = self._take(outcome, way, sent, since, settled=ACK_DEADLINE_SECONDS + self.quiet_seconds)
        last = max((min(one.starts) for one in found if one.starts), default=None)
        if killed_at is not None and last is not None:
            outcome.recovery_seconds.append(max(0.0, (last - killed_at).total_seconds()))

    def _take(self, outcome: Outcome, way: Way, sent: list[Arrival], since: datetime, *, settled: float) -> list[Fate]:
        """Wait until all is quiet, and add the fates of `sent`.

        Args:
            outcome: takes them.
            way: the way.
            sent: the arrivals.
            since: before the first of them.
            settled: how long nothing must have changed once a run has seen each of them; else longer.
        """
        longer = max(settled, self.quiet_seconds)
        self._wait_quiet(way, since, settled)
        found = self._ask(lambda: way.fates(sent, since))
        if settled < longer and not all(one.starts for one in found):
            self._wait_quiet(way, since, longer)
            found = self._ask(lambda: way.fates(sent, since))
        outcome.fates += found
        outcome.runs += self._ask(lambda: way.look(since))[1]
        return found

    def _wait_quiet(self, way: Way, since: datetime, seconds: float) -> None:
        """Wait until nothing has changed for so long and no Dag run is under way.

        Raises:
            GaveUp: the time is up.
        """
        seen: tuple[int, int, int] | None = None
        changed = time.monotonic()
        while time.monotonic() - changed < seconds:
            if time.monotonic() > self.until:
                raise GaveUp(f"Time is up: {way.name} is not quiet; events, tuning runs, unfinished runs: {seen}")
            time.sleep(LOOK_SECONDS)
            found = None
            with suppress(httpx.HTTPError):
                found = way.look(since)
            if found is None or found != seen or found[2]:
                seen, changed = found, time.monotonic()

    def _ask(self, question: Callable[[], Answer]) -> Answer:
        """Ask until there is an answer: a killed API server comes back, and it answers 500 while a run is queued."""
        while True:
            try:
                return question()
            except httpx.HTTPError:
                if time.monotonic() > self.until:
                    raise
                time.sleep(LOOK_SECONDS)


def run(chosen: argparse.Namespace, *, until: float, say: Callable[[str], None]) -> Bench:
    """Measure what was chosen.

    Raises:
        GaveUp: something did not end in time.
        StackFailed: there is no stack to measure on.
    """
    usual = "usual" in chosen.ways
    site = install() if usual else None

    def add(folder: Path) -> None:
        if site is not None:
            settings = TriggerSettings(
                project_id=_project(folder), max_messages=chosen.max_messages, poke_interval=chosen.poke_seconds
            )
            place(folder, site, settings)

    with running_stack(1, add) as stack, AirflowRest(stack.airflow_url) as rest:
        if usual:
            provision(stack.config)
        say(f"The stack is ready after {stack.ready_seconds:.0f} s. Warming up.")
        # A poll that finds nothing must not pass for quiet.
        quiet = max(QUIET_SECONDS, chosen.poke_seconds + 15 if usual else 0.0)
        bench = Bench(stack, until, quiet)
        ways = [_known(WAYS[name], stack, rest, until) for name in chosen.ways]
        for way in ways:
            bench.warm_up(way)
        for uploads, way in product(chosen.uploads, ways):
            say(f"{uploads} at once, {way.name}")
            say(f"  {_line(bench.measure(way, uploads, chosen.repetitions if uploads == 1 else 1))}")
        for component, uploads, way in product(chosen.faults, chosen.fault_uploads, ways):
            say(f"{uploads} uploads, {FAULTS[component]}, {way.name}")
            say(f"  {_line(bench.measure_fault(way, uploads, component, chosen.fault_rounds))}")
    return bench


def _known(kind: type[Ours | Usual], stack: BenchStack, rest: AirflowRest, until: float) -> Way:
    """Return the way as soon as Airflow has read its Dag."""
    give_up = min(until, time.monotonic() + WARM_UP_SECONDS)
    while True:
        try:
            return kind(stack.config, rest)
        except LookupError as error:
            if time.monotonic() > give_up:
                raise GaveUp(str(error)) from error
            time.sleep(LOOK_SECONDS)


def _project(folder: Path) -> str:
    from genops_events.config import load_config

    return load_config(folder / "genops.yaml").project


def _line(outcome: Outcome) -> str:
    times = outcome.seconds()
    slowest = f"slowest {max(times):.1f} s; " if times else ""
    return f"{slowest}lost {outcome.lost}, stranded {outcome.stranded}, twice {outcome.twice}; {outcome.runs} runs"


def machine() -> dict[str, Any]:
    """Return when and on what it was measured."""
    return {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "cores": os.cpu_count(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "airflow": version("apache-airflow-core"),
        "google_provider": provider_version(),
    }


def main() -> int:
    """Measure and print; return the exit code."""
    chosen = _parser().parse_args()
    end_with_sigterm()
    progress, output = Console(stderr=True, highlight=False), Console(width=None if sys.stdout.isatty() else 160)

    def say(text: str) -> None:
        progress.print(text, markup=False, style="dim")

    until = time.monotonic() + chosen.minutes * 60
    document: dict[str, Any] = {"schema": "genops.benchmark.arrivals.v1", **machine()}
    try:
        bench = run(chosen, until=until, say=say)
        batches: list[Batch] = []
        ready = 0.0
        if chosen.cascade:
            batches, ready = cascade.run([chosen.cascade], until=time.monotonic() + CASCADE_SECONDS, say=say)
    except (GaveUp, cascade.GaveUp, StackFailed) as error:
        progress.print(f"error: {error}", markup=False)
        return 1
    except KeyboardInterrupt:
        progress.print("Interrupted; the stack is stopped.")
        return 130
    output.print(arrival_tables.headline(document, chosen.max_messages, chosen.poke_seconds), markup=False)
    if bench.outcomes:
        output.print(arrival_tables.quiet(bench.outcomes))
    if bench.faults:
        output.print(arrival_tables.faulty([(FAULTS[component], outcome) for component, outcome in bench.faults]))
    if batches:
        output.print(cascade.summary(batches))
        output.print(arrival_tables.cascade_target(batches))
    if chosen.json is not None:
        document |= {
            "load_average": list(os.getloadavg()),
            "trigger": {"max_messages": chosen.max_messages, "poke_seconds": chosen.poke_seconds},
            "outcomes": [one.to_json() for one in bench.outcomes],
            "faults": [{"killed": component, **one.to_json()} for component, one in bench.faults],
        }
        if batches:
            document["cascade"] = cascade.document(batches, ready)
        chosen.json.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    ours = [one for one in (*bench.outcomes, *(one for _, one in bench.faults)) if one.way == Ours.name]
    return 0 if all(one.clean for one in ours) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.arrivals", description=__doc__)
    parser.add_argument(
        "--uploads", type=positive, nargs="*", default=[1, 10, 100, 1000], help="how many at once (1 10 100 1000)"
    )
    parser.add_argument(
        "--repetitions", type=positive, default=REPETITIONS_OF_ONE, help="how often one upload is measured (7)"
    )
    parser.add_argument("--ways", choices=WAYS, nargs="+", default=list(WAYS), help="which to measure (both)")
    parser.add_argument("--faults", choices=FAULTS, nargs="*", default=list(FAULTS), help="what to kill (both)")
    parser.add_argument(
        "--fault-uploads", type=positive, nargs="+", default=[10, 100], help="uploads amid which to kill (10 100)"
    )
    parser.add_argument("--fault-rounds", type=positive, default=1, help="how often each fault is measured (1)")
    parser.add_argument(
        "--max-messages", type=positive, default=100, help="of the provider's trigger (100; its documentation has 1)"
    )
    parser.add_argument(
        "--poke-seconds", type=float, default=1.0, help="of the provider's trigger (1; its documentation has 60)"
    )
    parser.add_argument("--cascade", type=positive, metavar="N", help="then the whole cascade of N uploads")
    parser.add_argument("--minutes", type=float, default=90.0, help="give up after so long, with exit code 1 (90)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure to FILE")
    return parser


if __name__ == "__main__":
    sys.exit(main())
