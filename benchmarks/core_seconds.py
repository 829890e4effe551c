"""Read how much processor time the parts of a stack have used (Linux: /proc)."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

OTHERS = "others"
"""What else runs on the machine: the benchmark itself, and whatever disturbs it."""
TASKS = "tasks"
"""The processes that run tasks: children of the scheduler, under Airflow's LocalExecutor."""

_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class _Process:
    parent: int
    own_seconds: float
    reaped_seconds: float
    """Of its children that have ended."""


def used(components: Mapping[str, int]) -> dict[str, float]:
    """Return the core-seconds that each component has used so far, that its tasks have, and all others.

    Args:
        components: the process id of each, by name. What these processes start counts as theirs.
    """
    processes = _processes()
    names = {pid: name for name, pid in components.items()}
    found: defaultdict[str, float] = defaultdict(float)
    for pid, process in processes.items():
        owner = _owner(pid, processes, names)
        if owner is None:
            continue
        if names[owner].startswith("scheduler"):
            found[names[owner] if pid == owner else TASKS] += process.own_seconds
            found[TASKS] += process.reaped_seconds
        else:
            found[names[owner]] += process.own_seconds + process.reaped_seconds
    found[OTHERS] = _busy_seconds() - sum(found.values())
    return found


def since(before: Mapping[str, float], components: Mapping[str, int]) -> dict[str, float]:
    """Return the core-seconds used since `before`, which `used` has returned."""
    return {name: value - before.get(name, 0.0) for name, value in used(components).items()}


def _processes() -> dict[int, _Process]:
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            # The name stands in parentheses and may hold anything; the fields after it are numbers.
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has just ended
        own, reaped = (sum(map(int, fields[at : at + 2])) / _TICKS_PER_SECOND for at in (11, 13))
        found[int(folder.name)] = _Process(parent=int(fields[1]), own_seconds=own, reaped_seconds=reaped)
    return found


def _owner(pid: int, processes: Mapping[int, _Process], names: Mapping[int, str]) -> int | None:
    """Return the component that `pid` is, or descends from."""
    while pid not in names:
        if pid not in processes:
            return None
        pid = processes[pid].parent
    return pid


def _busy_seconds() -> float:
    """Return the core-seconds that the machine has worked since its start."""
    user, nice, system, _idle, _waiting, *interrupts = map(
        int, Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]
    )
    return (user + nice + system + sum(interrupts[:2])) / _TICKS_PER_SECOND
