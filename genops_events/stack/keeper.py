"""Keep one component alive: start it, see it ready, start it again when it dies, with back-off."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from gcp_stand_ins.owner import birth
from genops_events.back_off import back_off_seconds
from genops_events.stack.airflow_probes import Probe
from genops_events.stack.airflow_processes import Child
from genops_events.stack.components import Component
from genops_events.stack.processes import (
    ProcessId,
    cpu_seconds,
    how_it_ended,
    kill_session,
    last_error,
    session_members,
)
from genops_events.stack.progress import Signs, StallTimer
from genops_events.stack.stack_errors import ComponentError
from genops_events.stack.state import ComponentState

log = logging.getLogger("genops.stack")

ALIVE_LONG_ENOUGH_SECONDS = 30.0
LONGEST_PAUSE_SECONDS = 15.0
DEATHS_IN_A_ROW = 5
STALLED_SECONDS = 180.0
"""A component that is not ready and of which nothing has moved for so long is given up; a slow one is waited for."""
_POLL_SECONDS = 0.1
_SIGNS_SECONDS = 2.0
"""Between two looks at what has moved: to find all processes of a session is not free."""


@dataclass(frozen=True, slots=True)
class RestartPolicy:
    """When to start again after deaths in a row, and when to call it a failure. Pure: it only counts."""

    deaths: int = 0

    def after_death(self, *, lived_seconds: float) -> RestartPolicy:
        """Return the policy after one more death; a long life before it clears the count."""
        return RestartPolicy(1 if lived_seconds >= ALIVE_LONG_ENOUGH_SECONDS else self.deaths + 1)

    @property
    def pause_seconds(self) -> float:
        """How long to wait before the next start: 1, 2, 4 … 15."""
        return back_off_seconds(self.deaths, first=1.0, longest=LONGEST_PAUSE_SECONDS, least_share=1.0)

    @property
    def failed(self) -> bool:
        """Tell whether it has died too often in a row to call it anything else."""
        return self.deaths >= DEATHS_IN_A_ROW


@dataclass(frozen=True, slots=True)
class Birth:
    """When a component was started: by the wall, to compare with Airflow's, and for durations."""

    wall: datetime
    monotonic: float


class ComponentKeeper:
    """Keeps one component running until it is told to stop.

    Args:
        component: what to keep.
        prepare: awaited before each start; raises ComponentError where a start is pointless.
        start: starts the process.
        look: tells whether the component is ready.
        changed: called after each change of `state`.
    """

    def __init__(
        self,
        component: Component,
        *,
        prepare: Callable[[], Awaitable[None]],
        start: Callable[[], Awaitable[Child]],
        look: Callable[[Birth], Awaitable[Probe]],
        changed: Callable[[], None],
    ) -> None:
        self.component = component
        self.born: Birth | None = None
        self.state = ComponentState(
            name=component.name,
            state="waiting",
            log=str(component.log),
            reason=component.waits_for,
            url=component.url,
            admin_url=component.admin_url,
        )
        self._prepare = prepare
        self._start = start
        self._look = look
        self._changed = changed
        self._process: Child | None = None
        self._log_start = 0
        self._policy = RestartPolicy()

    async def keep(self) -> None:
        """Run until cancelled; the process itself is then left for `stop`."""
        while True:
            try:
                await self._prepare()
            except ComponentError as error:
                self._died(0.0, reason=str(error), log_path=error.log)
            else:
                await self._live()
            await asyncio.sleep(self._policy.pause_seconds)
            self._set(restarts=self.state.restarts + 1)

    async def _live(self) -> None:
        born = await self._begin()
        watch = asyncio.ensure_future(self._until_ready(born))
        try:
            code = await self._ended()
        finally:
            watch.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watch
        assert self._process is not None
        # What it started goes with it: Airflow's task processes would wait for their scheduler for ever.
        kill_session(self._process.pid)
        said = last_error(self.component.log, since=self._log_start)
        ended = how_it_ended(code)
        # Only an end by itself has its reason in the log.
        self._died(time.monotonic() - born.monotonic, reason=f"{ended}: {said}" if said and code >= 0 else ended)

    async def _begin(self) -> Birth:
        path = self.component.log
        self._log_start = path.stat().st_size if path.exists() else 0
        self.born = born = Birth(datetime.now(UTC), time.monotonic())
        self._process = await self._start()
        identity = ProcessId(self._process.pid, birth(self._process.pid) or 0.0)
        # Of a second life, the reason for the end of the first is said until there is news.
        reason = None if self.state.state == "waiting" else self.state.reason
        self._set(state="starting", process=identity, seconds=None, reason=reason, log=str(path))
        log.info("%s started, pid %d", self.component.name, self._process.pid)
        return born

    async def _ended(self) -> int:
        assert self._process is not None
        while (code := self._process.poll()) is None:  # noqa: ASYNC110 - nothing announces an end without a thread
            await asyncio.sleep(_POLL_SECONDS)
        return code

    async def _until_ready(self, born: Birth) -> None:
        progress, looked, stalled = StallTimer(now=born.monotonic), born.monotonic, 0.0
        while True:
            probe = await self._look(born)
            now = time.monotonic()
            lived = now - born.monotonic
            if now - looked >= _SIGNS_SECONDS:
                looked, stalled = now, progress.stalled_seconds(self._signs(probe), now=now)
            if probe.ready:
                self._set(state="running", seconds=round(lived, 1), reason=probe.note)
                log.info("%s is ready after %.1f s", self.component.name, lived)
                return
            if stalled > STALLED_SECONDS:
                said = last_error(self.component.log, since=self._log_start)
                why = (
                    f"not ready after {lived:.0f} s, and nothing of it moved for {stalled:.0f} s: {probe.note or said}"
                )
                self._set(state="failed", reason=why)
            elif probe.note != self.state.reason and self.state.state == "starting":
                self._set(reason=probe.note)
            await asyncio.sleep(0.2 if lived < 5 or not self.component.is_airflow else 0.5)  # noqa: PLR2004

    def _signs(self, probe: Probe) -> Signs:
        assert self._process is not None
        log_bytes = self.component.log.stat().st_size if self.component.log.exists() else 0
        return Signs(probe.note, log_bytes, sum(map(cpu_seconds, session_members(self._process.pid))))

    def _died(self, lived_seconds: float, *, reason: str, log_path: str = "") -> None:
        self._policy = self._policy.after_death(lived_seconds=lived_seconds)
        self._set(
            state="failed" if self._policy.failed else "restarting",
            process=None,
            seconds=None,
            reason=reason,
            log=log_path or str(self.component.log),
        )
        log.warning("%s: %s; next start in %g s", self.component.name, reason, self._policy.pause_seconds)

    def note(self, reason: str | None) -> None:
        """Say what is wrong with what a running component serves, or that it is well again."""
        if self.state.state == "running" and reason != self.state.reason:
            self._set(reason=reason)

    def pids(self) -> set[int]:
        """Return the pid of the process, whose end this keeper awaits."""
        return set() if self._process is None else {self._process.pid}

    async def stop(self, *, timeout_seconds: float) -> None:
        """Ask the process to end, kill it when the time is up, and leave nothing of its session."""
        process = self._process
        if process is None:
            return
        if process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(self.component.stop_signal)
            deadline = time.monotonic() + timeout_seconds
            while process.poll() is None and time.monotonic() < deadline:  # noqa: ASYNC110 - as above
                await asyncio.sleep(0.05)
        kill_session(process.pid)
        if process.poll() is None:
            process.kill()
        process.wait()
        if self.state.state == "failed":  # Stopping it does not mend it: keep the reason.
            self._set(process=None, seconds=None)
        else:
            self._set(state="stopped", process=None, seconds=None, reason=None)

    def _set(self, **changes: object) -> None:
        new = replace(self.state, **changes)  # type: ignore[arg-type]
        if new != self.state:
            self.state = new
            self._changed()
