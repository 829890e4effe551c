"""`genops provision`: list what a Google Cloud project lacks, and create it with `--apply`."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from genops_events.cli.candidates import AsJson
from genops_events.cli.console import errors_reported, human, print_json, warn_of_models
from genops_events.cli.target import connect
from genops_events.errors import GenopsError


def provision(
    apply: Annotated[bool, typer.Option("--apply", help="Create and change what is listed.")] = False,  # noqa: FBT002
    as_json: AsJson = False,  # noqa: FBT002 - a command line flag
) -> None:
    """List what bucket and Pub/Sub lack: topics, subscriptions, rights, notification. --apply creates and fixes it."""
    from genops_events.doctor.model_notices import models_of
    from genops_events.provisioning.provision import steps

    console = human()
    told: list[str] = []
    refused: GenopsError | None = None
    with errors_reported():
        config = connect()
        where = "on the local stack" if "STORAGE_EMULATOR_HOST" in os.environ else "in Google Cloud"
        console.print(f"Project {config.project} {where}, bucket {config.bucket}:", markup=False)
        warn_of_models(config.catalogue, models_of(config))
        try:
            for step in steps(config):
                console.print(f"  {'doing' if apply else 'to do'}  {step.what}", markup=False)
                if apply:
                    step.take()
                told.append(step.what)
        except GenopsError as error:
            refused = error
            raise
        finally:
            if as_json:
                print_json(
                    {
                        "project": config.project,
                        "where": where.split(" ", 1)[1],
                        "applied": apply,
                        "steps": told,
                        "complete": refused is None and (apply or not told),
                        "error": None if refused is None else {"message": refused.message, "help": refused.hint},
                    }
                )
    console.print(_end(len(told), apply=apply), markup=False)


def _end(number: int, *, apply: bool) -> str:
    if not number:
        return "Nothing is missing in Cloud Storage and Pub/Sub. To see the rest: genops doctor"
    if not apply:
        return "Nothing was changed; `genops provision --apply` creates and fixes it."
    return "That was all. To see whether Airflow and Vertex AI are ready, too: genops doctor"
