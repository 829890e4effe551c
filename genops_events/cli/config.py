"""`genops config`: check genops.yaml and print its JSON Schema."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from genops_events.cli.console import human, warn_of_models
from genops_events.errors import ConfigError
from genops_events.reading.printable import printable_json

if TYPE_CHECKING:
    from genops_events.config import Config

app = typer.Typer(help="Check genops.yaml and print its JSON Schema.", no_args_is_help=True)


@app.command()
def schema() -> None:
    """Print the JSON Schema of genops.yaml to standard output."""
    from genops_events.config import json_schema

    typer.echo(json.dumps(json_schema(), indent=2, ensure_ascii=False))


@app.command()
def check(
    file: Annotated[Path | None, typer.Argument(help="The file; GENOPS_CONFIG or ./genops.yaml if not given.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document to standard output.")] = False,  # noqa: FBT002
) -> None:
    """Say what is wrong in genops.yaml: key, line, what was found, what is allowed. Exit 1 if anything is."""
    from genops_events.config import load_config
    from genops_events.config.environment import Settings
    from genops_events.config.model_settings import without_effect
    from genops_events.doctor.model_notices import models_of

    path = file if file is not None else Settings().config
    try:
        config = load_config(file)
    except ConfigError as error:
        if as_json:
            problems = [dataclasses.asdict(problem) for problem in error.problems]
            typer.echo(_json(path, valid=False, message=error.message, hint=error.hint, problems=problems))
        else:
            human().lines(str(error))
        raise typer.Exit(1) from error
    warnings = warn_of_models(config.catalogue, models_of(config)) + _warn_of_quotas(config)
    if as_json:
        datasets = {name: dataset.prefix for name, dataset in config.datasets.items()}
        typer.echo(_json(path, valid=True, problems=[], datasets=datasets, warnings=warnings))
        return
    human().print(f"{path} is good: project {config.project}, bucket {config.bucket}.", markup=False)
    for name, dataset in config.datasets.items():
        where = f"in {config.location}, served in {config.places.serving(dataset)}"
        told = f"  {name}: gs://{config.bucket}/{dataset.prefix} tunes {dataset.source_model} {where}"
        human().print(told, markup=False)
        model = config.catalogue.find(dataset.billed_model)
        for key in () if model is None else without_effect(dataset.inference, model):
            text = f"  note: {name}: inference.{key} has no effect: {dataset.billed_model} ignores it"
            human().print(text, markup=False)


def _warn_of_quotas(config: Config) -> list[str]:
    """Say on standard error which quotas datasets say different numbers of, and what holds; return it."""
    from genops_events.config.quotas import disagreements

    found = list(disagreements(config))
    for text in found:
        human().print(f"warning: {text}", markup=False)
    return found


def _json(path: Path, **content: object) -> str:
    return printable_json(json.dumps({"file": str(path), **content}, indent=2, ensure_ascii=False))
