"""The way of a local stack from its start until it can be used."""

from __future__ import annotations

import os
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from genops_events.cli.console import human
from genops_events.cli.stack_view import StackView, say_end_of_log, waited_for
from genops_events.cli.target import point_at
from genops_events.stack import stack
from genops_events.stack.stack_errors import StackError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.console import Console

    from genops_events.config import Config
    from genops_events.stack.stack import StartedStack
    from genops_events.stack.state import StackState

_LOOK_SECONDS = 0.2
_CONFLICT_SECONDS = 60.0


def until_up(started: StartedStack, config: Config, config_file: Path, *, timeout_seconds: float) -> StackState:
    """Show the stack until it is up or has failed; set up what it needs as soon as the service that is asked for it is up.

    Raises:
        StackError: it is not up after `timeout_seconds`; says what it waits for.
    """
    begun = time.monotonic()
    provisioned: Future[None] | None = None
    places: Future[None] | None = None
    deaths: dict[str, int] = {}
    console = human()
    with ThreadPoolExecutor(2) as threads, StackView(console) as view:
        while True:
            state = started.state()
            view.show(state)
            _say_who_died(state, deaths, console)
            if state.state in ("failed", "stopped"):
                return state
            if provisioned is None and _runs(state, "storage") and _runs(state, "pubsub"):
                provisioned = threads.submit(_provision, config, config_file, stack.environment(state))
            if places is None and _runs(state, "api-server"):
                places = threads.submit(_make_places, config, stack.environment(state), until=begun + timeout_seconds)
            is_provisioned = provisioned is not None and _is_done(provisioned)
            # Of a stack that lost its API server, only the rest can be set up.
            has_places = places is None or _is_done(places)
            if is_provisioned and has_places and state.state in ("running", "degraded"):
                return state
            if time.monotonic() > begun + timeout_seconds:
                raise _too_late(started, state, timeout_seconds)
            time.sleep(_LOOK_SECONDS)


def _too_late(started: StartedStack, state: StackState, timeout_seconds: float) -> StackError:
    left = (
        "It runs on."
        if started.already
        else "It is stopped; what it keeps is kept, and the next start goes on from there."
    )
    logs = "".join(f"\n  {one.name}: its log is {one.log}" for one in state.components if one.state != "running")
    return StackError(
        f"The stack is not ready after {timeout_seconds:g} s. It waits for {waited_for(state)}. {left}{logs}",
        "On a machine that is busy or slow give it longer: genops up --timeout SECONDS",
    )


def _say_who_died(state: StackState, deaths: dict[str, int], console: Console) -> None:
    """Show the end of the log of each component that has died since the last look."""
    for one in state.components:
        if one.state == "restarting" and deaths.get(one.name) != one.restarts:
            deaths[one.name] = one.restarts
            say_end_of_log(one, console)


def _runs(state: StackState, name: str) -> bool:
    component = state.component(name)
    return component is not None and component.state == "running"


def _is_done(step: Future[None]) -> bool:
    """Return whether a step has ended well; raises what it raised."""
    if not step.done():
        return False
    step.result()
    return True


def _provision(config: Config, config_file: Path, environment: Mapping[str, str]) -> None:
    """Create bucket, topics, subscription and notification in the stand-ins, and fill the bucket."""
    from genops_events.cli.seed import seed
    from genops_events.provisioning.provision import provision

    _point_at(environment)
    provision(config)
    seed(config, config_file)


def _make_places(config: Config, environment: Mapping[str, str], *, until: float) -> None:
    """Create or change the Airflow pool that tuning jobs run in: without it, none is ever submitted.

    Asked of the API server, which runs anyway: the `airflow` command takes seconds of a core to start.

    Args:
        config: says how many places.
        environment: of the stack.
        until: monotonic time in seconds at which an API server that does not answer is an error.
    """
    from genops_events.airflow_rest.client import AirflowConflict, AirflowUnavailable, known_airflow
    from genops_events.airflow_rest.pool import set_pool

    _point_at(environment)
    rest = known_airflow()
    assert rest is not None
    refused_since: float | None = None
    while True:
        try:
            return set_pool(rest, config.tuning_jobs_at_once)
        except AirflowUnavailable:
            if time.monotonic() > until:
                raise
        except AirflowConflict:  # with an earlier try of ours, whose answer never came
            refused_since = refused_since or time.monotonic()
            if time.monotonic() > refused_since + _CONFLICT_SECONDS:
                raise
        time.sleep(_LOOK_SECONDS)


def _point_at(environment: Mapping[str, str]) -> None:
    point_at(environment)
    os.environ["NO_PROXY"] = "127.0.0.1,localhost"
