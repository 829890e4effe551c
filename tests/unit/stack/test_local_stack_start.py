"""How a stack that comes up is waited for: as long as it gets on, and with words."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from waiting import HANG_SECONDS

from genops_events.cli import stack_start, stack_view
from genops_events.config import load_config
from genops_events.stack import keeper, processes
from genops_events.stack.airflow_probes import Probe
from genops_events.stack.components import Component
from genops_events.stack.progress import Signs, StallTimer
from genops_events.stack.stack_errors import StackError
from genops_events.stack.state import ComponentState, StackState

CONFIG = Path(__file__).parents[3] / "examples" / "genops.yaml"


@pytest.mark.parametrize(
    "moved",
    [
        Signs("one Dag file to parse", 10, 1.0),
        Signs("no heartbeat yet", 11, 1.0),
        Signs("no heartbeat yet", 10, 1.01),
    ],
)
def test_whatever_moves_is_progress(moved: Signs) -> None:
    progress = StallTimer(now=100.0)
    still = Signs("no heartbeat yet", 10, 1.0)
    assert progress.stalled_seconds(still, now=110.0) == 0
    assert progress.stalled_seconds(still, now=150.0) == 40
    assert progress.stalled_seconds(moved, now=160.0) == 0
    assert progress.stalled_seconds(moved, now=165.0) == 5


def test_processor_time_of_a_process_is_counted_and_of_none_is_zero() -> None:
    assert processes.cpu_seconds(os.getpid()) > 0
    assert processes.cpu_seconds(0x7FFFFFFF) == 0


def keeper_of(
    tmp_path: Path, look: Callable[[], Probe], *, code: str = "import time; time.sleep(1000)"
) -> keeper.ComponentKeeper:
    """Return the keeper of a process that only sleeps, and of which `look` says how far it is."""
    component = Component(
        name="storage", kind="storage", argv=(), environment={}, log=tmp_path / "storage.log", cwd=tmp_path
    )

    async def prepare() -> None:
        pass

    async def start() -> subprocess.Popen[bytes]:
        return processes.spawn([sys.executable, "-c", code], environment={}, log=component.log, cwd=tmp_path)

    async def looked(_: keeper.Birth) -> Probe:
        return look()

    return keeper.ComponentKeeper(component, prepare=prepare, start=start, look=looked, changed=lambda: None)


async def kept_until(one: keeper.ComponentKeeper, *states: str) -> ComponentState:
    task = asyncio.create_task(one.keep())
    try:
        async with asyncio.timeout(HANG_SECONDS):
            while one.state.state not in states:  # noqa: ASYNC110 - what is looked at is its state alone
                await asyncio.sleep(0.01)
        return one.state
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await one.stop(timeout_seconds=HANG_SECONDS)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give up at the second look that finds nothing moved: what counts is whether something did, not how long it took."""
    monkeypatch.setattr(keeper, "STALLED_SECONDS", 0.0)
    monkeypatch.setattr(keeper, "_SIGNS_SECONDS", 0.0)
    monkeypatch.setattr(keeper, "cpu_seconds", lambda _: 0.0)


@pytest.mark.usefixtures("impatient")
async def test_a_component_that_says_what_it_still_lacks_is_waited_for(tmp_path: Path) -> None:
    left = iter(range(8, 0, -1))
    one = keeper_of(
        tmp_path, lambda: Probe(ready=not (n := next(left, 0)), note=f"{n} Dag files to parse" if n else None)
    )
    assert (await kept_until(one, "running", "failed")).state == "running"


@pytest.mark.usefixtures("impatient")
async def test_a_component_whose_log_grows_is_waited_for(tmp_path: Path) -> None:
    looks: list[int] = []

    def look() -> Probe:
        looks.append(1)
        with (tmp_path / "storage.log").open("a") as log:
            log.write("migrating\n")
        return Probe(ready=len(looks) == 8, note="no answer")

    assert (await kept_until(keeper_of(tmp_path, look), "running", "failed")).state == "running"


@pytest.mark.usefixtures("impatient")
async def test_a_component_of_which_nothing_moves_is_given_up_with_what_it_lacks(tmp_path: Path) -> None:
    one = keeper_of(tmp_path, lambda: Probe(ready=False, note="no heartbeat yet"))
    found = await kept_until(one, "running", "failed")
    assert found.state == "failed"
    assert found.reason is not None
    assert "nothing of it moved" in found.reason
    assert found.reason.endswith("no heartbeat yet")


async def test_a_component_that_dies_is_known_to_be_dead_while_it_is_still_asked(tmp_path: Path) -> None:
    code = "import sys; sys.exit('ERROR: the port is taken')"
    one = keeper_of(tmp_path, lambda: Probe(ready=False, note="no answer"), code=code)
    found = await kept_until(one, "restarting")
    assert found.reason == "ended with exit code 1: ERROR: the port is taken"


# ── in words ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass
class Starting:
    """A stack that was asked to start, of which each look shows the next state; the last one stays."""

    states: list[StackState]
    already: bool = False
    looks: int = field(default=0)

    def state(self) -> StackState:
        self.looks += 1
        return self.states[min(self.looks, len(self.states)) - 1]


def starting(tmp_path: Path, **changes: object) -> StackState:
    log = tmp_path / "scheduler.log"
    log.write_text("".join(f"line {number}\n" for number in range(40)) + "Killed by nobody\n")
    scheduler = ComponentState(name="scheduler", state="starting", log=str(log), reason="no heartbeat yet")
    waiting = "the database and its tables"
    return StackState(
        state="starting",
        components=(
            ComponentState(name="postgres", state="running", log="p.log"),
            replace(scheduler, **changes),  # type: ignore[arg-type]
            *(ComponentState(name=name, state="waiting", log="x.log", reason=waiting) for name in ("a", "b")),
        ),
    )


def test_the_longest_wait_ends_with_what_was_waited_for(tmp_path: Path) -> None:
    begun = Starting([starting(tmp_path)])
    with pytest.raises(StackError) as error:
        stack_start.until_up(begun, load_config(CONFIG), CONFIG, timeout_seconds=0)  # type: ignore[arg-type]
    assert "not ready after 0 s. It waits for scheduler (no heartbeat yet); a, b (the database and its tables)" in str(
        error.value
    )
    assert f"its log is {tmp_path / 'scheduler.log'}" in str(error.value)
    assert "--timeout SECONDS" in error.value.hint


def test_a_component_that_died_is_shown_at_once_with_the_end_of_its_log(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    died = starting(tmp_path, state="restarting", reason="ended with exit code 1")
    begun = Starting([died, died, replace(died, state="failed")])
    stack_start.until_up(begun, load_config(CONFIG), CONFIG, timeout_seconds=600)  # type: ignore[arg-type]
    said = capsys.readouterr().err
    assert "restarting: ended with exit code 1" in said
    assert said.count("line 39\n    Killed by nobody") == 1
    assert "line 20" not in said


def test_where_nobody_watches_it_is_said_what_is_waited_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stack_view, "QUIET_SECONDS", 0.0)
    state = starting(tmp_path)
    begun = Starting([state, state, replace(state, state="failed")])
    stack_start.until_up(begun, load_config(CONFIG), CONFIG, timeout_seconds=600)  # type: ignore[arg-type]
    assert "it waits for scheduler (no heartbeat yet); a, b (the database and its tables)" in capsys.readouterr().err
