"""How a stack looks: as a live table on a terminal, as lines elsewhere, and as JSON."""

from __future__ import annotations

import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from genops_events.cli.terminal import table
from genops_events.stack.processes import log_end
from genops_events.stack.stack import StackState, faults
from genops_events.stack.state import ComponentState

QUIET_SECONDS = 20.0
"""Where nobody watches a table, what is waited for is said after so long without any other news."""
_LOG_LINES = 10
_STYLES = {
    "running": "green",
    "starting": "yellow",
    "waiting": "dim",
    "restarting": "bold yellow",
    "degraded": "bold yellow",
    "failed": "bold red",
    "stopped": "dim",
    "stopping": "yellow",
}


def status_document(state: StackState) -> dict[str, Any]:
    """Return what `genops status --json` prints."""
    return {
        "state": state.state,
        "airflow_url": state.airflow_url,
        "home": str(state.plan.home) if state.plan else None,
        "seconds": state.seconds,
        "reason": state.reason,
        "components": [_component_document(one) for one in state.components],
    }


def _component_document(one: ComponentState) -> dict[str, Any]:
    document: dict[str, Any] = {
        "name": one.name,
        "pid": one.process.pid if one.process else None,
        "state": one.state,
        "url": one.url,
        "log": one.log,
        "restarts": one.restarts,
        "seconds": one.seconds,
        "reason": one.reason,
    }
    if one.admin_url is not None:
        document |= {"admin_url": one.admin_url, "faults": faults(one)}
    return document


def component_table(state: StackState, *, with_faults: bool = False) -> Table:
    """Return the components as a table; asks the stand-ins for their faults if wanted."""
    headings = ("component", "state", "url", "seconds", "remarks")
    rows = (_row(one, with_faults=with_faults) for one in state.components)
    return table(headings, rows, wraps=("url", "remarks"))


def _row(one: ComponentState, *, with_faults: bool) -> tuple[str | Text, ...]:
    switched_on = faults(one) if with_faults else None
    remarks = [
        *([f"faults on: {switched_on}"] if switched_on else []),
        *([f"restarts: {one.restarts}"] if one.restarts else []),
        *([one.reason] if one.reason else []),
        *([f"log: {one.log}"] if one.state in ("failed", "restarting") else []),
    ]
    seconds = "" if one.seconds is None else f"{one.seconds:.1f}"
    return (one.name, Text(one.state, style=_STYLES[one.state]), one.url or "", seconds, "; ".join(remarks))


def waited_for(state: StackState) -> str:
    """Return what a stack that comes up still waits for: each component that does not run yet, with what it lacks."""
    by_reason: dict[str, list[str]] = {}
    for one in state.components:
        if one.state != "running":
            by_reason.setdefault(one.reason or f"it is {one.state}", []).append(one.name)
    said = [f"{', '.join(names)} ({reason})" for reason, names in by_reason.items()]
    return "; ".join(said) or ("its set-up" if state.components else "its supervisor")


def say_end_of_log(one: ComponentState, console: Console) -> None:
    """Print the last lines of a component's log, and where the rest is."""
    for line in log_end(Path(one.log), lines=_LOG_LINES):
        console.print(f"    {line}", markup=False)
    console.print(f"  its log: {one.log}", markup=False)


class StackView:
    """Shows a stack while it changes; use as a context manager.

    Args:
        console: a terminal gets a live table, anything else a line per change.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live: Live | None = None
        self._seen: dict[str, tuple[object, ...]] = {}
        self._since = self._said = time.monotonic()

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live = Live(console=self._console, auto_refresh=False)
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def show(self, state: StackState) -> None:
        """Show what has changed."""
        if self._live is not None:
            shown = component_table(state)
            shown.caption = f"{state.state}, {time.monotonic() - self._since:.0f} s"
            self._live.update(shown, refresh=True)
            return
        now = time.monotonic()
        for one in state.components:
            # What is still missing while it starts changes often and helps nobody in a log.
            reason = None if one.state in ("waiting", "starting") else one.reason
            seen = (one.state, reason, one.process)
            if self._seen.get(one.name) != seen:
                self._seen[one.name] = seen
                self._said = now
                ready = "" if one.seconds is None else f" after {one.seconds:.1f} s"
                tail = f" {one.url}" if one.url and one.state == "running" else ""
                why = f": {reason}" if reason else ""
                self._console.print(f"{one.name:<14} {one.state}{ready}{tail}{why}", markup=False)
        if state.state == "starting" and now - self._said >= QUIET_SECONDS:
            self._said = now
            self._console.print(f"after {now - self._since:.0f} s it waits for {waited_for(state)}", markup=False)
