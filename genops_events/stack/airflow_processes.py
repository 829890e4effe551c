"""Start Airflow's processes: out of the nursery where there is one, with a Python of their own elsewhere."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from genops_events.stack import airflow
from genops_events.stack.nursery import adopt_orphans
from genops_events.stack.processes import die_with_parent, kill_session, put_aside, spawn

log = logging.getLogger("genops.stack")

# A slow machine may need this long to import Airflow.
_ANSWER_SECONDS = 120.0


class Child(Protocol):
    """A child process, however it was born; `subprocess.Popen` is one."""

    pid: int

    def poll(self) -> int | None:
        """Return its exit code, negative for a signal; None while it runs."""

    def wait(self) -> int:
        """Return its exit code when it has ended."""

    def send_signal(self, sig: int, /) -> None:
        """Send it a signal, unless it has ended."""

    def kill(self) -> None:
        """Kill it."""


class AdoptedChild:
    """A process that became this one's child when its own parent ended."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._code: int | None = None

    def poll(self) -> int | None:
        """Return its exit code, negative for a signal; None while it runs."""
        if self._code is None:
            try:
                pid, status = os.waitpid(self.pid, os.WNOHANG)
            except ChildProcessError:  # Somebody else reaped it: how it ended is lost.
                self._code = 1
            else:
                if pid:
                    self._code = os.waitstatus_to_exitcode(status)
        return self._code

    def wait(self) -> int:
        """Return its exit code when it has ended."""
        while (code := self.poll()) is None:
            time.sleep(0.02)
        return code

    def send_signal(self, sig: int, /) -> None:
        """Send it a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, sig)

    def kill(self) -> None:
        """Kill it."""
        self.send_signal(signal.SIGKILL)


class AirflowProcesses:
    """Starts Airflow commands in one environment.

    Args:
        environment: all of it.
        cwd: their working folder.
        log: the nursery's own log.
    """

    def __init__(self, environment: Mapping[str, str], *, cwd: Path, log: Path) -> None:
        self._environment = dict(environment)
        self._cwd = cwd
        self._log = log
        self._nursery: subprocess.Popen[bytes] | None = None
        self._asking = asyncio.Lock()
        self._usable = adopt_orphans()

    def begin(self) -> None:
        """Start to import Airflow in the nursery, so that the first process is born sooner."""
        if not self._usable or (self._nursery is not None and self._nursery.poll() is None):
            return
        with self._log.open("ab") as output:
            self._nursery = subprocess.Popen(
                [sys.executable, "-P", "-m", "genops_events.stack.nursery"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=output,
                env=self._environment,
                cwd=self._cwd,
                start_new_session=True,
                preexec_fn=die_with_parent(signal.SIGTERM),  # noqa: PLW1509 - the supervisor has one thread only
            )

    async def start(self, words: tuple[str, ...], log_path: Path) -> Child:
        """Start `airflow WORDS…` in a session of its own, with its output at the end of `log_path`."""
        put_aside(log_path)
        async with self._asking:
            self.begin()
            if self._nursery is not None:
                try:
                    return AdoptedChild(await self._ask(self._nursery, words, log_path))
                except (OSError, ValueError) as error:
                    log.warning("the nursery is of no use (%s): Airflow's processes start without it", error)
                    self._usable = False
                    self.end()
        return spawn(airflow.command(*words), environment=self._environment, log=log_path, cwd=self._cwd)

    async def _ask(self, nursery: subprocess.Popen[bytes], words: tuple[str, ...], log_path: Path) -> int:
        assert nursery.stdin is not None
        assert nursery.stdout is not None
        nursery.stdin.write(json.dumps({"words": words, "log": str(log_path)}).encode() + b"\n")
        nursery.stdin.flush()
        descriptor = nursery.stdout.fileno()
        loop = asyncio.get_running_loop()
        readable = asyncio.Event()
        loop.add_reader(descriptor, readable.set)
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                await readable.wait()
        except TimeoutError as error:
            raise OSError(f"no answer within {_ANSWER_SECONDS:g} s") from error
        finally:
            loop.remove_reader(descriptor)
        return int(os.read(descriptor, 100))

    def end(self) -> None:
        """End the nursery; what was born in it lives on."""
        nursery, self._nursery = self._nursery, None
        if nursery is None:
            return
        with contextlib.suppress(OSError):
            nursery.kill()
        nursery.wait()
        kill_session(nursery.pid)

    def pids(self) -> set[int]:
        """Return the pid of the nursery, which `begin` and `end` reap."""
        return set() if self._nursery is None else {self._nursery.pid}
