"""`genops up`, `down`, `status`, `logs` and `env`: the local stack from the command line."""

from __future__ import annotations

import os
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from genops_events.cli.console import errors_reported, human, interrupt_on_signals, print_json
from genops_events.cli.paths import dags_folder
from genops_events.cli.target import point_at
from genops_events.reading.printable import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from genops_events.config import Config
    from genops_events.stack.processes import ProcessId
    from genops_events.stack.stack import StackPlan, StartedStack
    from genops_events.stack.state import StackState

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document to standard output.")]

LONGEST_START_SECONDS = 1800.0
"""How long `genops up` waits at most where nobody says: a busy machine may need minutes for what takes 20 s elsewhere."""
_LOOK_SECONDS = 0.2
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
    timeout: Annotated[
        float, typer.Option(min=1, metavar="SECONDS", help="The longest wait, however much still moves.")
    ] = LONGEST_START_SECONDS,
    owner: Annotated[
        int | None, typer.Option(metavar="PID", help="A process that the stack ends with, however that one ends.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Start the local stack: PostgreSQL, the stand-ins for Google Cloud, and Airflow. Ctrl-C stops it.

    It is waited for as long as its components get on, and given up when nothing of one has moved for three minutes.
    """
    from genops_events.config import load_config
    from genops_events.stack import shell
    from genops_events.stack.stack import StackPlan

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
            owner=_owner(owner),
        )
        # All that follows is about this stack, whatever else the shell points at.
        shell.forget(os.environ)
        raise typer.Exit(_bring_up(plan, loaded, detach=detach, timeout_seconds=timeout, as_json=as_json))


def down(
    *,
    purge: Annotated[bool, typer.Option("--purge", help="Also remove everything the stack keeps.")] = False,
) -> None:
    """Stop the local stack, also what a killed supervisor left. Its state is kept, unless --purge."""
    from genops_events.stack import stack

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
    from genops_events.stack import stack

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
            console.print(f"Airflow: {state.airflow_url}{_login(state)}", markup=False)
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
    from genops_events.stack import stack

    with errors_reported():
        path = stack.log_of(_home(), name)
        try:
            for text in _tail(path, lines=lines, follow=follow):
                sys.stdout.write(printable(text, lines=True))
                sys.stdout.flush()
        except KeyboardInterrupt:
            raise typer.Exit(0) from None


def env(
    *,
    token: Annotated[bool, typer.Option("--token", help="Print a token for Airflow's REST, and nothing else.")] = False,
    as_json: AsJson = False,
) -> None:
    """Print `export` lines with which any official Google client talks to the running stack."""
    from genops_events.stack import stack

    with errors_reported():
        variables = stack.environment(stack.read_state(_home()))
        if token:
            from genops_events.airflow_rest.client import known_airflow

            point_at(variables)
            airflow = known_airflow()
            assert airflow is not None
            sys.stdout.write(f"{airflow.bearer()}\n")
            return
        if as_json:
            print_json(variables)
            return
        for name, value in variables.items():
            quoted = value.replace("'", "'\\''")
            sys.stdout.write(f"export {name}='{quoted}'\n")


# ── the way up ───────────────────────────────────────────────────────────────────────────────────────────────────────


def _bring_up(plan: StackPlan, config: Config, *, detach: bool, timeout_seconds: float, as_json: bool) -> int:
    """Start the stack, follow it until it is up, stay if not detached; return the exit code."""
    from genops_events.cli.stack_start import until_up
    from genops_events.cli.stack_view import status_document
    from genops_events.stack import stack

    console = human()
    interrupt_on_signals()
    started = stack.start(plan)
    is_up = False
    try:
        if started.already:
            _say_already(plan)
        state = until_up(started, config, plan.config_file, timeout_seconds=timeout_seconds)
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


def _stay(started: StartedStack) -> int:
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


# ── words ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _say_where(state: StackState) -> None:
    console = human()
    took = "" if state.seconds is None else f" after {state.seconds:.0f} s"
    if state.state == "running":
        console.print(f"The stack is ready{took}. Airflow: {state.airflow_url}{_login(state)}", markup=False)
        console.print('Point your shell at it: eval "$(genops env)"', markup=False)
        return
    console.print(
        f"The stack is up{took}, but {state.state}. Airflow: {state.airflow_url}{_login(state)}", markup=False
    )
    for one in state.components:
        if one.state != "running" or one.reason:
            console.print(f"  {one.name} is {one.state}: {one.reason or 'no reason known'}", markup=False)
            console.print(f"  its log: {one.log}", markup=False)


def _login(state: StackState) -> str:
    """Return how a person gets into this stack's Airflow."""
    from genops_events.stack import stack

    variables = stack.environment(state)
    return f" (user {variables['GENOPS_AIRFLOW_USERNAME']}, password {variables['GENOPS_AIRFLOW_PASSWORD']})"


def _say_why_not(state: StackState) -> None:
    from genops_events.cli.stack_view import say_end_of_log

    console = human()
    console.print("The stack could not start; nothing of it is left running.")
    for one in state.components:
        if one.state == "failed":
            console.print(f"  {one.name}: {one.reason or 'no reason known'}", markup=False)
            say_end_of_log(one, console)
    if state.reason:
        console.print(f"  {state.reason}", markup=False)


def _say_already(plan: StackPlan) -> None:
    from genops_events.stack import stack

    running = stack.read_state(plan.home).plan
    console = human()
    console.print(f"The stack in {plan.home} runs already.", markup=False)
    if running is not None and replace(running, home=plan.home, owner=plan.owner) != plan:
        console.print("It was started with other settings. To use these: genops down, then genops up.")


# ── places ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def _home() -> Path:
    from genops_events.config.environment import Settings

    return Settings().home.expanduser().resolve()


def _owner(pid: int | None) -> ProcessId | None:
    from genops_events.stack.processes import ProcessId
    from genops_events.stack.stack_errors import StackError

    if pid is None:
        return None
    owner = ProcessId.of(pid)
    if owner is None:
        raise StackError(f"There is no process {pid} that the stack could end with.", "Give --owner the pid of one.")
    return owner


def _config_file(given: Path | None) -> Path:
    from genops_events.config.environment import Settings

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
