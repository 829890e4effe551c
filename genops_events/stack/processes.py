"""Start processes that die with their parent, know them again by pid and birth, and leave none behind."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil  # type: ignore[import-untyped]

from gcp_stand_ins.owner import birth

_PR_SET_PDEATHSIG = 1
_LINUX = sys.platform == "linux"
_LOG_LIMIT_BYTES = 20_000_000


@dataclass(frozen=True, slots=True)
class ProcessId:
    """One process, not to be mistaken for a later one with the same pid."""

    pid: int
    birth: float

    @classmethod
    def of(cls, pid: int) -> ProcessId | None:
        """Return which process has this pid now, or None if none has."""
        born = birth(pid)
        return None if born is None else cls(pid, born)

    def alive(self) -> bool:
        """Tell whether this very process runs."""
        return birth(self.pid) == self.birth

    def send(self, number: int) -> None:
        """Send a signal, unless the process is gone."""
        if self.alive():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)


@functools.cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def die_with_parent(number: int, *, parent: int | None = None) -> Callable[[], None]:
    """Return what a child runs before exec, so that the kernel sends it `number` when its parent dies.

    Linux only; elsewhere the pids in the state file are what `genops down` goes by.

    Args:
        number: the signal.
        parent: pid of the parent; this process if not given.
    """
    if not _LINUX:
        return lambda: None
    libc, expected = _libc(), parent or os.getpid()

    def arrange() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0)
        if os.getppid() != expected:  # It died before the line above.
            os._exit(1)

    return arrange


def put_aside(log: Path) -> None:
    """Make room for a log: its folder, and a new file where the old one is over 20 MB."""
    log.parent.mkdir(parents=True, exist_ok=True)
    if log.exists() and log.stat().st_size > _LOG_LIMIT_BYTES:
        log.replace(log.with_name(log.name + ".1"))


def spawn(
    argv: Sequence[str],
    *,
    environment: Mapping[str, str],
    log: Path,
    cwd: Path,
    death_signal: int = signal.SIGTERM,
    before: Callable[[], None] | None = None,
    user: int | None = None,
) -> subprocess.Popen[bytes]:
    """Start a process in a session of its own, with its output at the end of `log`.

    Args:
        argv: the program and its arguments; no shell in between.
        environment: all of its environment.
        log: file for standard output and error.
        cwd: its working folder.
        death_signal: what the kernel sends it when this process dies.
        before: run in the child before exec.
        user: run as this user (needs root).
    """
    put_aside(log)
    arrange = die_with_parent(death_signal)

    def in_child() -> None:
        if before is not None:
            before()
        arrange()  # Last: a change of credentials clears the death signal.

    with log.open("ab") as output:
        return subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=dict(environment),
            cwd=cwd,
            start_new_session=True,
            preexec_fn=in_child,  # noqa: PLW1509 - whoever calls this has one thread only
            user=user,
            extra_groups=[] if user is not None else None,
            group=user,
        )


def session_members(session: int) -> list[int]:
    """Return the pids of the living processes of a session."""
    members = []
    for pid in psutil.pids():
        try:
            if os.getsid(pid) == session and birth(pid) is not None:
                members.append(pid)
        except OSError:
            continue
    return members


def cpu_seconds(pid: int) -> float:
    """Return the processor time that a process and its reaped children have used; 0 of one that is gone."""
    try:
        return float(sum(psutil.Process(pid).cpu_times()[:4]))  # user and system, and both of its children
    except psutil.Error:
        return 0.0


def log_end(log: Path, *, lines: int) -> list[str]:
    """Return the last lines of a log that say something; none where it is missing."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - 65_536))
            said = [line.rstrip() for line in file.read().decode(errors="replace").splitlines()]
    except FileNotFoundError:
        return []
    return [line[:500] for line in said if line.strip()][-lines:]


def kill_session(session: int, *, timeout_seconds: float = 3.0) -> None:
    """Kill what is left of a session, and return when it is gone or the time is up.

    The kernel gives no new process the number of a session that still has members,
    so that a member found here belongs to the component that opened the session.
    """
    deadline = time.monotonic() + timeout_seconds
    while (members := session_members(session)) and time.monotonic() < deadline:
        for pid in members:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)


def kill_children() -> None:
    """Kill and reap every child of this process, and what their sessions hold."""
    for child in psutil.Process().children():
        kill_session(child.pid)
        with contextlib.suppress(ChildProcessError, ProcessLookupError):
            os.kill(child.pid, signal.SIGKILL)
            os.waitpid(child.pid, 0)


def reap_strangers(known: set[int]) -> None:
    """Reap dead children that nobody else will: orphans that this process adopted.

    Args:
        known: pids whose end is awaited elsewhere.
    """
    while True:
        try:
            found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return
        if found is None or found.si_pid in known:
            return
        with contextlib.suppress(ChildProcessError):
            os.waitpid(found.si_pid, os.WNOHANG)


def last_error(log: Path, *, since: int = 0) -> str:
    """Return the line of a log that best says why its process ended: the last error, else the last line.

    Args:
        log: the file; it may be missing.
        since: byte to start at, so that an earlier life is not quoted.
    """
    try:
        with log.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(since if since <= size else 0, size - 65_536))
            lines = [line.strip() for line in file.read().decode(errors="replace").splitlines() if line.strip()]
    except FileNotFoundError:
        return ""
    marks = ("error", "fatal", "panic", "exception", "critical")
    errors = [line for line in lines if any(mark in line.lower() for mark in marks)]
    return (errors or lines or [""])[-1][:500]


def how_it_ended(code: int) -> str:
    """Return the words for an exit code as `Popen` gives it."""
    if code < 0:
        return f"killed by {signal.Signals(-code).name}"
    return f"ended with exit code {code}"
