"""Start, see and stop the local stack of a home: all that the command needs."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from gcp_stand_ins.owner import birth
from genops_events.stack.components import client_environment, log_file
from genops_events.stack.processes import ProcessId, kill_session, last_error, session_members, spawn
from genops_events.stack.shell import clean_environment
from genops_events.stack.stack_errors import StackError
from genops_events.stack.state import EXIT_LOCKED, ComponentState, StackPlan, StackState, load, save, write_private

__all__ = ["StackPlan", "StackState", "StartedStack", "environment", "faults", "log_of", "read_state", "start", "stop"]

# Longer than the bounds in STOP_ORDER add up to.
_SUPERVISOR_STOP_SECONDS = 40.0
_OWN_ENTRIES = (
    "airflow",
    "bigquery",
    "logs",
    "postgres",
    "pubsub",
    "secrets",
    "storage",
    "vertex",
    "lock",
    "plan.json",
    "state.json",
)
_MARK = "genops-home.txt"
_MARK_TEXT = "This folder holds a local genops stack. `genops down --purge` removes it.\n"


@dataclass(frozen=True, slots=True)
class StartedStack:
    """A stack that was asked to start; follow it with `state`."""

    home: Path
    run: str
    """The life that was started; empty where another `up` started it."""
    already: bool
    """Another `up` started it before."""
    process: subprocess.Popen[bytes] | None = None

    def state(self) -> StackState:
        """Return how far it is.

        Raises:
            StackError: the supervisor ended before it could say anything.
        """
        code = None if self.process is None else self.process.poll()
        state = read_state(self.home)
        if self.already or code == EXIT_LOCKED:
            # The other one may have had no time yet to write its state.
            return StackState(state="starting") if state.supervisor is None and _locked(self.home) else state
        if state.run == self.run:
            return state
        if code is None:
            return StackState(state="starting")
        path = log_file(self.home, "supervisor")
        raise StackError(f"The supervisor ended with exit code {code}: {last_error(path)}", f"Its log: {path}")


def start(plan: StackPlan) -> StartedStack:
    """Start a stack in the background; if it runs already, start nothing.

    Raises:
        StackError: the home or the Dags folder cannot be used.
    """
    home = plan.home
    if not plan.dags_folder.is_dir():
        raise StackError(f"There is no Dags folder {plan.dags_folder}.", "Name an existing folder with --dags.")
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        home.chmod(0o700)  # also what an earlier version has made
        (home / "logs").mkdir(mode=0o700, exist_ok=True)
        (home / _MARK).write_text(_MARK_TEXT)
    except OSError as error:
        raise StackError(
            f"The folder of the stack cannot be written: {error}", "Set GENOPS_HOME to a folder of yours."
        ) from error
    if _locked(home):
        return StartedStack(home, "", already=True)
    _sweep(load(home))
    write_private(home / "plan.json", msgspec.json.format(msgspec.json.encode(plan, enc_hook=str)))
    run = secrets.token_hex(8)
    process = spawn(
        [sys.executable, "-P", "-m", "genops_events.stack.supervisor", "--home", str(home), "--run", run],
        environment=clean_environment(os.environ),
        log=log_file(home, "supervisor"),
        cwd=home,
        death_signal=0,  # It outlives the command that started it.
    )
    return StartedStack(home, run, already=False, process=process)


def read_state(home: Path) -> StackState:
    """Return how the stack in `home` is now, not only what its state file says.

    Raises:
        StackError: the state file cannot be read.
    """
    state = load(home)
    if state.supervisor is None or state.supervisor.alive():
        return state
    left = [one for one in state.components if one.process is not None and one.process.alive()]
    if not left:
        components = tuple(replace(one, state="stopped", process=None, seconds=None) for one in state.components)
        return replace(state, state="stopped", supervisor=None, components=components)
    return replace(
        state,
        state="degraded",
        reason="the supervisor is gone and nothing restarts what dies: run `genops down`, then `genops up`",
        components=tuple(
            one if one in left else replace(one, state="stopped", process=None, seconds=None)
            for one in state.components
        ),
    )


def stop(home: Path, *, purge: bool = False) -> bool:
    """Stop everything of the stack in `home`, also what a killed supervisor left; return whether anything ran.

    Args:
        home: the stack's folder.
        purge: also remove what the stack keeps there. Files of others in that folder stay.

    Raises:
        StackError: `purge` was asked for a folder that is no stack's.
    """
    if purge and home.exists() and not (home / _MARK).exists():
        raise StackError(
            f"{home} is not the folder of a local stack: it has no {_MARK}. Nothing was removed.",
            "Set GENOPS_HOME to the folder of the stack, or remove the folder yourself.",
        )
    state = load(home)
    ran = False
    if state.supervisor is not None and state.supervisor.alive():
        ran = True
        state.supervisor.send(signal.SIGTERM)
        _wait_for_end(state.supervisor, timeout_seconds=_SUPERVISOR_STOP_SECONDS)
        state.supervisor.send(signal.SIGKILL)
        _wait_for_end(state.supervisor, timeout_seconds=5)
        state = load(home)
    if _sweep(state):
        ran = True
    if state.supervisor is not None:
        components = tuple(replace(one, state="stopped", process=None, seconds=None) for one in state.components)
        save(home, replace(state, state="stopped", supervisor=None, components=components, reason=None))
    if purge and home.exists():
        _remove(home)
    return ran


def environment(state: StackState) -> dict[str, str]:
    """Return the variables that make any official client talk to this stack.

    Raises:
        StackError: the stack does not run.
    """
    if state.plan is None or state.state in ("stopped", "stopping", "failed"):
        raise StackError(
            "The local stack does not run, so there is nothing to talk to.", "Start it: genops up --detach"
        )
    return client_environment(state.plan, state.ports)


def faults(component: ComponentState, *, timeout_seconds: float = 1.0) -> dict[str, Any] | None:
    """Return which faults are switched on at a stand-in; None where it has none to switch or does not answer."""
    if component.admin_url is None or component.process is None:
        return None
    # A proxy of the user's shell has no business on loopback.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"{component.admin_url}/faults", timeout=timeout_seconds) as answer:
            settings = json.load(answer)
    except (OSError, ValueError, urllib.error.URLError):
        return None
    return settings if isinstance(settings, dict) else None


def log_of(home: Path, name: str) -> Path:
    """Return the log of a component, or of `supervisor`, `migrate` or `initdb`.

    Raises:
        StackError: there is no such log; lists those there are.
    """
    folder = home / "logs"
    known = sorted(path.stem for path in folder.glob("*.log")) if folder.is_dir() else []
    if name not in known:
        raise StackError(
            f"There is no log `{name}` in {folder}.",
            f"There are: {', '.join(known)}." if known else "The stack was never started here: genops up --detach",
        )
    return log_file(home, name)


def _locked(home: Path) -> bool:
    with (home / "lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _wait_for_end(process: ProcessId, *, timeout_seconds: float) -> None:
    deadline = time.monotonic() + timeout_seconds
    while process.alive() and time.monotonic() < deadline:
        # If it is our own child, it must be reaped to be gone.
        with contextlib.suppress(ChildProcessError):
            os.waitpid(process.pid, os.WNOHANG)
        time.sleep(0.05)


def _sweep(state: StackState) -> bool:
    """End what an earlier supervisor left behind; return whether there was anything."""
    left = [one for one in state.components if one.process is not None and _is_ours(one.process)]
    for one in left:
        assert one.process is not None
        # PostgreSQL's fast shutdown; the rest needs no farewell: all of it survives a kill.
        one.process.send(signal.SIGINT if one.name == "postgres" else signal.SIGKILL)
    for one in left:
        assert one.process is not None
        _wait_for_end(one.process, timeout_seconds=10 if one.name == "postgres" else 1)
        kill_session(one.process.pid)
    return bool(left)


def _is_ours(process: ProcessId) -> bool:
    """Tell whether the process, or others of the session that it opened, still run."""
    if process.alive():
        return True
    # Dead, and its pid is nobody else's: a session of that number can only be the one it opened.
    return birth(process.pid) is None and bool(session_members(process.pid))


def _remove(home: Path) -> None:
    for name in (*_OWN_ENTRIES, _MARK):
        path = home / name
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        home.rmdir()
