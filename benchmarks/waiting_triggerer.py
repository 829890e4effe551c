"""A triggerer of the benchmark's own: what it uses, when its waits started, how often its event loop was blocked (Linux)."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from benchmarks.bench_stack import StackFailed
from benchmarks.waiting_rows import DAG_ID, QUEUE

CAPACITY = 10_000
"""Airflow's own is 1,000: a triggerer takes no more triggers than that."""
READY_SECONDS = 120.0
STOP_SECONDS = 60.0
_BLOCKED = re.compile(r"^(\S+) .*async thread was blocked for ([\d.]+) seconds", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Triggerer:
    """One that runs.

    Args:
        pid: of the process that talks to the database; its child runs the triggers.
        log: what it says.
        logs: Airflow's folder of logs.
    """

    pid: int
    log: Path
    logs: Path

    def memory_bytes(self) -> int:
        """Return the memory of its processes; what several share counts once (PSS)."""
        return sum(map(memory_bytes_of, family(self.pid)))

    def blocked(self) -> list[tuple[datetime, float]]:
        """Return each warning of Airflow's that its event loop was blocked: when, and for how many seconds."""
        found = _BLOCKED.findall(self.log.read_text(errors="replace"))
        return [(datetime.fromisoformat(at), float(seconds)) for at, seconds in found]

    def start_times(self) -> list[datetime]:
        """Return when each wait was started, by what Airflow says in each task's log."""
        found = []
        for file in self._trigger_logs():
            with file.open(encoding="utf-8") as lines:
                events = (json.loads(line) for line in lines if " starting" in line)
                found += [datetime.fromisoformat(one["timestamp"]) for one in events][:1]
        return found

    def started(self) -> int:
        """Return how many waits were started, those that have ended as well."""
        return sum(1 for file in self._trigger_logs() if file.stat().st_size > 0)

    def clear_logs(self) -> None:
        """Forget the waits that were started so far; they must have ended."""
        for file in list(self._trigger_logs()):
            file.unlink()

    def _trigger_logs(self) -> Iterator[Path]:
        return self.logs.glob(f"dag_id={DAG_ID}/*/*/*.trigger.*.log")


@contextmanager
def running_triggerer(environment: Mapping[str, str], *, log: Path, logs: Path, cwd: Path) -> Iterator[Triggerer]:
    """Run `airflow triggerer` for the benchmark's waits alone, for as long as the block lasts.

    Args:
        environment: the stack's own, of its Airflow.
        log: file for its output.
        logs: Airflow's folder of logs.
        cwd: its working folder.

    Raises:
        StackFailed: it does not run.
    """
    from genops_events.stack.airflow import command

    settings = {"AIRFLOW__TRIGGERER__CAPACITY": str(CAPACITY), "AIRFLOW__TRIGGERER__QUEUES_ENABLED": "True"}
    with log.open("wb") as output:
        process = subprocess.Popen(
            command("triggerer", "--skip-serve-logs", "--queues", QUEUE),
            env={**environment, **settings},
            stdout=output,
            stderr=output,
            cwd=cwd,
        )
    made = Triggerer(process.pid, log, logs)
    try:
        _wait_until_ready(made, process)
        made.clear_logs()
        yield made
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            for pid in family(process.pid):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            process.wait()


def family(pid: int) -> list[int]:
    """Return a process and all its descendants."""
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has just ended
        children.setdefault(int(fields[1]), []).append(int(folder.name))
    found = [pid]
    for one in found:
        found += children.get(one, ())
    return found


def memory_bytes_of(pid: int) -> int:
    """Return the proportional set size of a process; 0 if it has just ended."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return 1024 * sum(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:"))


def _wait_until_ready(triggerer: Triggerer, process: subprocess.Popen[bytes]) -> None:
    """Wait until both processes run.

    Raises:
        StackFailed: they do not.
    """
    give_up = time.monotonic() + READY_SECONDS
    while len(family(triggerer.pid)) < 2:
        if process.poll() is not None or time.monotonic() > give_up:
            raise StackFailed(f"The triggerer does not run; its log is {triggerer.log}")
        time.sleep(0.2)
