"""The `genops` command."""

from __future__ import annotations

import warnings
from typing import Annotated

import typer

from genops_events.cli import (
    approve,
    ask,
    cancel,
    candidates,
    champions,
    compare,
    config,
    dead_letters,
    demo,
    doctor,
    estimate,
    promotion,
    provision,
    prune,
    retry,
    spend,
    sql,
    stack,
    validate,
    watch,
)
from genops_events.cli.arguments import Utf8Commands

app = typer.Typer(
    name="genops",
    cls=Utf8Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _print_version(asked: bool) -> None:  # noqa: FBT001 - typer calls it by position
    if asked:
        import platform
        from importlib.metadata import version

        from genops_events import __version__

        typer.echo(
            f"genops-events {__version__}, Airflow {version('apache-airflow')}, Python {platform.python_version()}"
        )
        raise typer.Exit


@app.callback()
def genops(
    *,
    version: Annotated[  # noqa: ARG001 - its callback does it
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print what is installed, and end."),
    ] = False,
) -> None:
    """Drop a training file into a bucket; a tuned, evaluated, budget-checked model and its answers come out."""
    # By the calendar, Google's clients tell everybody with an older Python to upgrade, some lines at each import: from
    # October 2027 with 3.11. Which Python will do is said in pyproject.toml.
    warnings.filterwarnings("ignore", message="You are using a ", category=FutureWarning, module=r"google\.api_core\.")


stack.register(app)
for command in (
    candidates.upload,
    validate.validate,
    watch.watch,
    cancel.cancel,
    retry.retry,
    approve.approve,
    promotion.reject,
    champions.champions,
    champions.rollback,
    prune.prune,
    candidates.candidates,
    candidates.events,
    dead_letters.dead_letters,
    demo.demo,
    ask.ask,
    estimate.estimate,
    compare.compare,
    spend.spend,
    sql.sql,
    doctor.doctor,
    provision.provision,
):
    app.command()(command)
app.add_typer(config.app, name="config")
