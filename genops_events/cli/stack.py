"""`genops up`, `down`, `status`, `logs` and `env`: the local stack from the command line."""

from __future__ import annotations

import os
import signal
import sys
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from genops_events.cli.console import errors_reported, human, print_json
from genops_events.cli.paths import dags_folder

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from genops_events.config import Config
    from genops_events.local.stack import StackPlan, Started
    from genops_events.local.state import StackState

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document to standard output.")]

_LOOK_SECONDS = 0.2
_POOL_SECONDS = 30.0
_INTERRUPTED = 130


def register(app: typer.Typer) -> None:
    """Add the commands of this module to the `genops` command."""
    for command in (up, down, status, logs, env):
        app.command()(command)


def up(
    *,
    detach: Annotated[bool, typer.Option("--detach", help="Return when the stack is ready; it runs on.")] = False,
    config: Annotated[Path | None, typer.Option(help="GENOPS_CONFIG or ./genops.yaml if not given.")] = None,
    dags: Annotated[Path | None, typer.Option(help="Dags folder; that of genops-events if not given.")] = None,
    schedulers: Annotated[int, typer.Option(min=1, max=8, help="How many schedulers.")] = 1,
    triggerers: Annotated[int, typer.Option(min=1, max=8, help="How many triggerers.")] = 1,
    as_json: AsJson = False,
) -> None:
    """Start the local stack: PostgreSQL, the stand-ins for Google Cloud, and Airflow. Ctrl-C stops it."""
    from genops_events.config import load_config
    from genops_events.local.stack import StackPlan

    with errors_reported():
        file = _config_file(config)
        loaded = load_config(file)
        plan = StackPlan(
            home=_home(),
            dags_folder=(dags or dags_folder()).resolve(),
            config_file=file,
            project=loaded.project,
            location=loaded.location,
            bucket=loaded.bucket,
            arrivals_topic=loaded.topics.arrivals,
            completions_topic=loaded.topics.completions,
            schedulers=schedulers,
            triggerers=triggerers,
        )
        raise typer.Exit(_bring_up(plan, loaded, detach=detach, as_json=as_json))


def down(
    *,
    purge: Annotated[bool, typer.Option("--purge", help="Also remove everything the stack keeps.")] = False,
) -> None:
    """Stop the local stack, also what a killed supervisor left. Its state is kept, unless --purge."""
    from genops_events.local import stack

    console = human()
    with errors_reported():
        home = _home()
        ran = stack.stop(home, purge=purge)
        console.print("Stopped." if ran else "Nothing was running.", end=" ")
        if not purge:
            console.print(f"What the stack keeps is in {home}.", markup=False)
        elif home.exists():
            console.print(f"Its state is removed; {home} holds other files, which stay.", markup=False)
        else:
            console.print(f"{home} is removed.", markup=False)


def status(*, as_json: AsJson = False) -> None:
    """Say what runs, where, and which faults are switched on."""
    from genops_events.cli.stack_view import component_table, status_document
    from genops_events.local import stack

    with errors_reported():
        state = stack.read_state(_home())
        if as_json:
            print_json(status_document(state))
            return
        console = human()
        if state.components:
            console.print(component_table(state, with_faults=True))
        console.print(f"state: {state.state}" + (f" ({state.reason})" if state.reason else ""), markup=False)
        if state.airflow_url is not None:
            console.print(f"Airflow: {state.airflow_url}", markup=False)
        if state.state in ("stopped", "failed"):
            console.print("Start it: genops up --detach")


def logs(
    name: Annotated[
        str, typer.Argument(help="A component as `genops status` names it, or supervisor, migrate, initdb.")
    ],
    *,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as the log grows, until Ctrl-C.")] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="How many of the last lines.")] = 200,
) -> None:
    """Print the end of a component's log to standard output."""
    from genops_events.local import stack

    with errors_reported():
        path = stack.log_of(_home(), name)
        try:
            for text in _tail(path, lines=lines, follow=follow):
                sys.stdout.write(text)
                sys.stdout.flush()
        except KeyboardInterrupt:
            raise typer.Exit(0) from None


def env(*, as_json: AsJson = False) -> None:
    """Print `export` lines with which any official Google client talks to the running stack."""
    from genops_events.local import stack

    with errors_reported():
        variables = stack.environment(stack.read_state(_home()))
        if as_json:
            print_json(variables)
            return
        for name, value in variables.items():
            quoted = value.replace("'", "'\\''")
            sys.stdout.write(f"export {name}='{quoted}'\n")


# ── the way up ───────────────────────────────────────────────────────────────────────────────────────────────────────


def _bring_up(plan: StackPlan, config: Config, *, detach: bool, as_json: bool) -> int:
    """Start the stack, follow it until it is up, stay if not detached; return the exit code."""
    from genops_events.cli.stack_view import status_document
    from genops_events.local import stack

    console = human()
    _interrupt_on_signals()
    started = stack.start(plan)
    is_up = False
    try:
        if started.already:
            _say_already(plan)
        state = _until_up(started, config, plan.config_file)
        if as_json:
            print_json(status_document(state))
        if state.state in ("failed", "stopped"):
            _say_why_not(state)
            return 1
        is_up = True
        _say_where(state)
        if detach or started.already:
            return 0 if state.state == "running" else 1
        return _stay(started)
    except KeyboardInterrupt:
        if not started.already:
            console.print("Stopping the stack …")
            stack.stop(plan.home)
            console.print("Stopped. What it keeps is kept: `genops up` goes on from here.")
        return 0 if is_up else _INTERRUPTED
    except Exception:
        if not started.already:  # Not up, so nothing of it stays.
            stack.stop(plan.home)
        raise


def _until_up(started: Started, config: Config, config_file: Path) -> StackState:
    """Show the stack until it is up or has failed; set up what it needs as soon as there is somebody to ask for it."""
    from genops_events.cli.stack_view import StackView
    from genops_events.local import stack

    provisioned: Future[None] | None = None
    places: Future[None] | None = None
    with ThreadPoolExecutor(2) as threads, StackView(human()) as view:
        while True:
            state = started.state()
            view.show(state)
            if state.state in ("failed", "stopped"):
                return state
            if provisioned is None and _runs(state, "storage") and _runs(state, "pubsub"):
                provisioned = threads.submit(_provision, config, config_file, stack.environment(state))
            if places is None and _runs(state, "api-server"):
                places = threads.submit(_make_places, config, stack.environment(state))
            is_provisioned = provisioned is not None and _is_done(provisioned)
            # Of a stack that lost its API server, only the rest can be set up.
            has_places = places is None or _is_done(places)
            if is_provisioned and has_places and state.state in ("running", "degraded"):
                return state
            time.sleep(_LOOK_SECONDS)


def _is_done(step: Future[None]) -> bool:
    """Return whether a step has ended well; raises what it raised."""
    if not step.done():
        return False
    step.result()
    return True


def _provision(config: Config, config_file: Path, environment: Mapping[str, str]) -> None:
    """Create bucket, topics, subscription and notification in the stand-ins, and fill the bucket."""
    from genops_events.cli.seed import seed
    from genops_events.gcp.provision import provision

    _point_at(environment)
    provision(config)
    seed(config, config_file)


def _make_places(config: Config, environment: Mapping[str, str]) -> None:
    """Create or change the Airflow pool that tuning jobs run in: without it, none is ever submitted.

    Asked of the API server, which runs anyway: the `airflow` command takes seconds of a core to start.
    """
    from genops_events.airflow.pool import set_pool
    from genops_events.airflow.rest import AirflowConflict, AirflowRest, AirflowUnavailable

    _point_at(environment)
    rest = AirflowRest(environment["GENOPS_AIRFLOW_URL"])
    deadline = time.monotonic() + _POOL_SECONDS
    while True:
        try:
            return set_pool(rest, config.tuning_jobs_at_once)
        except (AirflowUnavailable, AirflowConflict):
            # A conflict: with an earlier try of ours, whose answer never came.
            if time.monotonic() > deadline:
                raise
            time.sleep(_LOOK_SECONDS)


def _point_at(environment: Mapping[str, str]) -> None:
    os.environ.update(environment)
    os.environ["NO_PROXY"] = "127.0.0.1,localhost"


def _stay(started: Started) -> int:
    """Show changes until Ctrl-C; return if the stack ends by itself."""
    from genops_events.cli.stack_view import StackView

    human().print("Ctrl-C stops the stack.")
    with StackView(human()) as view:
        while True:
            state = started.state()
            view.show(state)
            if state.state in ("stopped", "failed"):
                break
            time.sleep(1.0)
    if state.state == "failed":
        _say_why_not(state)
        return 1
    human().print("The stack was stopped from elsewhere.")
    return 0


def _interrupt_on_signals() -> None:
    """Let a closed terminal and a polite kill end the stack as Ctrl-C does."""

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)


def _runs(state: StackState, name: str) -> bool:
    component = state.component(name)
    return component is not None and component.state == "running"


# ── words ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _say_where(state: StackState) -> None:
    console = human()
    took = "" if state.seconds is None else f" after {state.seconds:.0f} s"
    if state.state == "running":
        console.print(f"The stack is ready{took}. Airflow: {state.airflow_url}", markup=False)
        console.print('Point your shell at it: eval "$(genops env)"', markup=False)
        return
    console.print(f"The stack is up{took}, but {state.state}. Airflow: {state.airflow_url}", markup=False)
    for one in state.components:
        if one.state != "running" or one.reason:
            console.print(f"  {one.name} is {one.state}: {one.reason or 'no reason known'}", markup=False)
            console.print(f"  its log: {one.log}", markup=False)


def _say_why_not(state: StackState) -> None:
    console = human()
    console.print("The stack could not start; nothing of it is left running.")
    for one in state.components:
        if one.state == "failed":
            console.print(f"  {one.name}: {one.reason or 'no reason known'}", markup=False)
            console.print(f"  its log: {one.log}", markup=False)
    if state.reason:
        console.print(f"  {state.reason}", markup=False)


def _say_already(plan: StackPlan) -> None:
    from genops_events.local import stack

    running = stack.read_state(plan.home).plan
    console = human()
    console.print(f"The stack in {plan.home} runs already.", markup=False)
    if running is not None and replace(running, home=plan.home) != plan:
        console.print("It was started with other settings. To use these: genops down, then genops up.")


# ── places ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def _home() -> Path:
    from genops_events.settings import Settings

    return Settings().home.expanduser().resolve()


def _config_file(given: Path | None) -> Path:
    from genops_events.settings import Settings

    return (given or Settings().config).expanduser().absolute()


def _tail(path: Path, *, lines: int, follow: bool) -> Iterator[str]:
    """Yield the last lines of a file, then what is added to it; a file put aside and begun anew is followed."""
    while True:
        with path.open(errors="replace") as file:
            text = file.read()
            yield "".join(text.splitlines(keepends=True)[-lines:]) if lines else ""
            while follow:
                added = file.read()
                if added:
                    yield added
                elif not path.exists() or path.stat().st_ino != os.fstat(file.fileno()).st_ino:
                    break
                else:
                    time.sleep(_LOOK_SECONDS)
        if not follow:
            return
        while not path.exists():
            time.sleep(_LOOK_SECONDS)
        lines = sys.maxsize  # All of the new file is news.
