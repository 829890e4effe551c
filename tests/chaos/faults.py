"""Ways to harm a running stack. Each returns when the harm is over, and says in a line what it did."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from chaos_stack import ChaosStack
from waiting import until

from genops_events.stack.processes import session_members

Act = Callable[[ChaosStack], str]

POLITE_SECONDS = 60.0
"""How long a component that was asked to end may take; then it is killed, as any init system does."""
POSTGRES_POLITE_SECONDS = 5.0
"""A PostgreSQL that got SIGTERM waits for all its clients to leave, and Airflow's stay: a fast shutdown follows."""
WORKER = "airflow worker -- LocalExecutor"
_IDLE = "<idle>"
ORPHAN_SHARE = 0.5
"""Of the killed workers, so many leave their task behind: it goes on until it notices that nobody listens."""


@dataclass(frozen=True, slots=True)
class Step:
    """Something to do during a burst."""

    at_seconds: float
    """Not before; from the start of the burst."""
    act: Act


@contextlib.contextmanager
def busy_loops(count: int, *, seconds: float) -> Iterator[None]:
    """Run so many loops that do nothing but take the machine's time, each for so long at most, until the block is left."""
    loop = "import sys, time\nend = time.monotonic() + float(sys.argv[1])\nwhile time.monotonic() < end: pass"
    loops = [subprocess.Popen([sys.executable, "-c", loop, str(seconds)]) for _ in range(count)]
    try:
        yield
    finally:
        for one in loops:
            one.kill()
        for one in loops:
            one.wait()


def end_component(name: str, number: signal.Signals) -> Act:
    """Send a component a signal that ends it; over when its successor runs."""

    def act(stack: ChaosStack) -> str:
        until(lambda: stack.component(name).state == "running", what=f"{name} runs")
        process = stack.component(name).process
        assert process is not None
        process.send(number)
        how = number.name
        if number != signal.SIGKILL:
            is_postgres = name == "postgres"
            if not _ends(process.pid, POSTGRES_POLITE_SECONDS if is_postgres else POLITE_SECONDS):
                more = signal.SIGINT if is_postgres else signal.SIGKILL
                how += f", then {more.name}"
                process.send(more)
        until(lambda: not process.alive(), what=f"{name} ends")
        until(lambda: _successor(stack, name, process.pid), what=f"{name} runs again")
        return f"{how} to {name}"

    return act


def _ends(pid: int, seconds: float) -> bool:
    try:
        psutil.wait_procs([psutil.Process(pid)], timeout=seconds)
    except psutil.NoSuchProcess:
        return True
    return not psutil.pid_exists(pid)


def _successor(stack: ChaosStack, name: str, before: int) -> bool:
    now = stack.component(name)
    return now.state == "running" and now.process is not None and now.process.pid != before


def end_busy_worker(number: signal.Signals, generator: random.Random) -> Act:
    """Send a signal to a worker that runs a task, and with SIGTERM to its task, too; over at once.

    A worker itself overlooks SIGTERM, its task does not. Of the killed ones, some leave an orphaned task behind.
    """

    def act(stack: ChaosStack) -> str:
        busy = until(lambda: _busy_workers(stack), what="a worker that runs a task")
        worker = generator.choice(busy)
        tasks = worker.children() if number == signal.SIGTERM or generator.random() > ORPHAN_SHARE else []
        for one in (worker, *tasks):
            with contextlib.suppress(psutil.NoSuchProcess):
                one.send_signal(number)
        return f"{number.name} to worker {worker.pid}" + (" and its task" if tasks else "")

    return act


def _busy_workers(stack: ChaosStack) -> list[psutil.Process]:
    """Return the executor's processes that have a task now."""
    found = []
    for one in stack.state().components:
        if one.name.startswith("scheduler") and one.process is not None:
            for pid in session_members(one.process.pid):
                try:
                    process = psutil.Process(pid)
                    title = " ".join(process.cmdline())
                    if title.startswith(WORKER) and _IDLE not in title and process.children():
                        found.append(process)
                except psutil.Error:
                    continue
    return found


def stop_watching_triggerer(seconds: float) -> Act:
    """Stop the triggerer that holds the watcher, as a machine that hangs would, then let it go on."""

    def act(stack: ChaosStack) -> str:
        name = until(lambda: watching_triggerer(stack), what="a triggerer that talks to Pub/Sub")
        return stop_triggerer(name, seconds)(stack)

    return act


def stop_triggerer(name: str, seconds: float) -> Act:
    """Stop this triggerer with all its processes, then let it go on."""

    def act(stack: ChaosStack) -> str:
        process = stack.component(name).process
        assert process is not None
        members = session_members(process.pid)
        _signal_all(members, signal.SIGSTOP)
        try:
            time.sleep(seconds)
        finally:
            _signal_all(members, signal.SIGCONT)
        return f"SIGSTOP to {name} for {seconds:.0f} s"

    return act


def watching_triggerer(stack: ChaosStack, watched: str = "pubsub") -> str | None:
    """Return a triggerer with a connection to Pub/Sub, as the one has that runs the watcher, or to another stand-in."""
    port = stack.state().ports[watched]
    for one in stack.state().components:
        if one.name.startswith("triggerer") and one.process is not None:
            for pid in session_members(one.process.pid):
                try:
                    connections = psutil.Process(pid).net_connections(kind="tcp")
                except psutil.Error:
                    continue
                if any(each.raddr and each.raddr.port == port for each in connections):
                    return one.name
    return None


def _signal_all(pids: Sequence[int], number: signal.Signals) -> None:
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue


def stand_in(name: str, *, seconds: float, **faults: Any) -> Act:
    """Put faults in force at a stand-in for so long."""

    def act(stack: ChaosStack) -> str:
        stack.set_faults(name, **faults)
        try:
            time.sleep(seconds)
        finally:
            stack.set_faults(name)
        said = ", ".join(f"{key}={value}" for key, value in faults.items())
        return f"{name}: {said} for {seconds:.0f} s"

    return act


def paused(dags: Sequence[str], *, seconds: float) -> Act:
    """Pause Dags for so long."""

    def act(stack: ChaosStack) -> str:
        for dag in dags:
            stack.pause(dag, paused=True)
        time.sleep(seconds)
        for dag in dags:
            stack.pause(dag, paused=False)
        return f"paused {', '.join(dags)} for {seconds:.0f} s"

    return act


def redeployed(generator: random.Random) -> Act:
    """Deploy the Dags anew with a harmless change; over when Airflow has parsed all of them."""

    def act(stack: ChaosStack) -> str:
        mark = f"{generator.randrange(1_000_000):06}"
        files = sorted(stack.dags.glob("*.py"))
        for file in files:
            _replace(file, file.read_text().replace('"""', f'"""({mark}) ', 1))

        def parsed() -> bool:
            details = [stack.airflow("GET", f"/dags/{one}/details") for one in stack.dags_known()]
            return len(details) == len(files) and all(mark in (one["doc_md"] or "") for one in details)

        until(parsed, what="the changed Dags are parsed")
        return f"redeployed {len(files)} Dags"

    return act


def _replace(file: Path, text: str) -> None:
    draft = file.with_suffix(".draft")
    draft.write_text(text)
    draft.replace(file)
