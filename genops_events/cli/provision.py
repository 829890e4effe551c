"""`genops provision`: list what a Google Cloud project lacks, and create it with `--apply`."""

from __future__ import annotations

from typing import Annotated

import typer

from genops_events.cli.candidates import AsJson
from genops_events.cli.console import errors_reported, human, print_json
from genops_events.cli.target import connect


def provision(
    apply: Annotated[bool, typer.Option("--apply", help="Create and change what is listed.")] = False,  # noqa: FBT002
    as_json: AsJson = False,  # noqa: FBT002 - a command line flag
) -> None:
    """List what bucket and Pub/Sub lack: topics, subscriptions, rights, notification. --apply creates and mends it."""
    from genops_events.gcp.provision import steps

    console = human()
    told: list[str] = []
    with errors_reported():
        config = connect()
        try:
            for step in steps(config):
                if apply:
                    step.take()
                told.append(step.what)
                console.print(f"{'done    ' if apply else 'missing '} {step.what}", markup=False, soft_wrap=True)
        finally:
            # Also of one that is refused midway: what was done, stays done.
            if as_json:
                print_json({"project": config.project, "applied": apply, "steps": told})
    console.print(_end(config.project, len(told), apply=apply), markup=False, soft_wrap=True)


def _end(project: str, number: int, *, apply: bool) -> str:
    if not number:
        return f"Project {project} has all that genops-events needs in Cloud Storage and Pub/Sub. To see the rest: genops doctor"
    if not apply:
        return "Nothing was changed; `genops provision --apply` creates and mends it."
    return "That was all. To see whether Airflow and Vertex AI are ready, too: genops doctor"
