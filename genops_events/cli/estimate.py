"""`genops estimate`: what a training file will cost, before anything is uploaded: no cloud is needed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from genops_events.cli.candidates import AsJson
from genops_events.cli.console import errors_reported, human, print_json, warn_of_models
from genops_events.cli.seed import SEED_FOLDER
from genops_events.cli.spend import usd
from genops_events.errors import GenopsError, PermanentError

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.table import Table

    from genops_events.config import Config, Dataset
    from genops_events.money.steps import Estimate, PaidStep

OVER_LIMIT = 2
"""Exit code where the candidate would be held; 1 is for what could not be estimated at all."""
_CHUNK_BYTES = 1024 * 1024


class UnusableFile(PermanentError):
    """A file cannot be read, or cannot be tuned on."""


def estimate(
    file: Annotated[Path, typer.Argument(help="A JSONL file of training examples.")],
    dataset: Annotated[str, typer.Option(help="The dataset of genops.yaml that the file is for.")],
    evaluation: Annotated[
        Path | None, typer.Option(help="The evaluation file; looked for below `bucket/` beside genops.yaml.")
    ] = None,
    prompts: Annotated[
        Path | None, typer.Option(help="The prompt file; looked for below `bucket/` beside genops.yaml.")
    ] = None,
    as_json: AsJson = False,  # noqa: FBT002 - a command line flag
) -> None:
    """Say what a training file will cost: tuning, evaluation with its judge, inference. Exit 2: over a limit."""
    from genops_events.config import load_config
    from genops_events.config.environment import Settings
    from genops_events.doctor.model_notices import models_of

    with errors_reported():
        config = load_config()
        folder = Settings().config.absolute().parent / SEED_FOLDER
        entry = config.dataset(dataset)
        warnings = warn_of_models(config.catalogue, models_of(config, dataset=dataset))
        found = estimated(
            config,
            dataset,
            file,
            evaluation=evaluation or folder / entry.evaluation.file,
            prompts=prompts or folder / entry.inference.prompts,
        )
    if as_json:
        print_json({"file": str(file), **found.to_json(), "warnings": warnings})
    else:
        human().print(shown(found))
        for note in found.notes:
            human().print(f"note: {note}", markup=False)
    if found.is_over:
        raise typer.Exit(OVER_LIMIT)


def estimated(config: Config, dataset: str, file: Path, *, evaluation: Path, prompts: Path) -> Estimate:
    """Return what a candidate made of `file` will cost.

    Raises:
        UnusableFile: the training file cannot be read, or cannot be tuned on.
        UnknownModelError: the model has no price.
    """
    from genops_events.catalogue.prices import tuning_note
    from genops_events.money.steps import Estimate, tuning_step
    from genops_events.money.unpriced import unpriced

    entry = config.dataset(dataset)
    rates = config.rates_for(entry)
    tokens, assumed = _tokens(file, entry, config)
    note = tuning_note(config.catalogue, entry.tuning.method)
    steps = (
        tuning_step(rates, tokens=tokens, epochs=entry.tuning.epochs, limit_usd=entry.budget.tuning_usd),
        *_known(("evaluation", "judge"), lambda: _evaluation(config, entry, evaluation)),
        *_known(("inference",), lambda: _inference(config, entry, prompts)),
    )
    return Estimate(
        dataset=dataset,
        model=entry.billed_model,
        as_of=rates.as_of,
        steps=steps,
        candidate_limit_usd=entry.budget.candidate_usd,
        notes=(
            *assumed,
            *((f"{note}.",) if note else ()),
            *unpriced(entry.inference),
        ),
    )


def _known(names: tuple[str, ...], make: Callable[[], tuple[PaidStep, ...]]) -> tuple[PaidStep, ...]:
    from genops_events.money.steps import PaidStep

    try:
        return make()
    except GenopsError as error:
        return tuple(PaidStep(name, None, why=f"not known: {error.message}") for name in names)


def _evaluation(config: Config, entry: Dataset, file: Path) -> tuple[PaidStep, ...]:
    from genops_events.evaluation.estimate import evaluation_steps
    from genops_events.evaluation.examples import lines_of_file, read_evaluation_examples

    evaluation = entry.evaluation
    try:
        with file.open("rb") as opened:
            lines = lines_of_file(iter(lambda: opened.read(_CHUNK_BYTES), b""))
            examples = list(read_evaluation_examples(lines, needs_reference=evaluation.needs_reference))
    except OSError as error:
        raise UnusableFile(f"{file} cannot be read: {error.strerror}", "Name a copy of it.") from error
    return evaluation_steps(
        config,
        entry,
        evaluation.measured(),  # `pairwise`, too: whether there is a champion is not known here
        examples,
    )


def _inference(config: Config, entry: Dataset, file: Path) -> tuple[PaidStep, ...]:
    from genops_events.config.quotas import quota_for
    from genops_events.gemini.estimate import inference_step, prompt_tokens
    from genops_events.gemini.prompts import read_rows
    from genops_events.gemini.served import served_requests
    from genops_events.reading.json_lines import lines_of

    requests = served_requests(config, entry)
    try:
        with file.open("rb") as opened:
            rows = read_rows(lines_of(iter(lambda: opened.read(_CHUNK_BYTES), b"")), readable=config.addresses)
            found = prompt_tokens(rows, requests, config.file_figures(entry.billed_model))
    except OSError as error:
        raise UnusableFile(f"{file} cannot be read: {error.strerror}", "Name a copy of it.") from error
    if not found.rows:
        why = "" if found.first_bad is None else f" {found.first_bad.reason}"
        raise UnusableFile(f"{file} has no prompt that can be asked.{why}", "Name another one.")
    rates = config.rates_for(entry)
    quota = quota_for(config, config.places.serving(entry), entry.billed_model)
    return (
        inference_step(
            rates,
            entry.inference,
            found,
            limit_usd=entry.budget.inference_usd,
            requests_per_minute=quota.requests_per_minute,
        ),
    )


def _tokens(file: Path, entry: Dataset, config: Config) -> tuple[int, tuple[str, ...]]:
    """Return the most tokens that one epoch is billed for, and what was assumed for that."""
    from genops_events.training.validator import validate

    try:
        with file.open("rb") as opened:
            report = validate(
                iter(lambda: opened.read(_CHUNK_BYTES), b""),
                limits=config.file_limits(entry.billed_model),
                invalid_lines=entry.invalid_lines,
                method=entry.tuning.method,
            )
    except OSError as error:
        raise UnusableFile(f"{file} cannot be read: {error.strerror}.", "Name one JSONL file.") from error
    if not report.valid:
        raise UnusableFile(
            f"{file} cannot be tuned on, so it costs nothing: {report.summary}",
            f"`genops validate {file}` names each line.",
        )
    return report.tokens_estimate, report.assumed


def shown(found: Estimate) -> Table:
    """Return the estimate as a table: a line per paid step, and the sum."""
    from genops_events.cli.terminal import table

    numbers = ("input tokens", "output tokens", "cost", "limit")
    least = "" if found.is_complete else "at least "
    rows = [
        *(
            (
                one.name,
                _count(one.input_tokens),
                _count(one.output_tokens),
                "?" if one.usd is None else usd(one.usd),
                usd(one.limit_usd),
                ("over the limit: " if one.is_over else "") + one.why,
            )
            for one in found.steps
        ),
        ("all", "", "", f"{least}{usd(found.total_usd)}", usd(found.candidate_limit_usd), ""),
    ]
    title = f"{found.dataset} on {found.model}, prices as of {found.as_of}; answers at their longest"
    return table(("step", *numbers, "what"), rows, title=title, numbers=numbers, wraps=("what",))


def _count(number: int | None) -> str:
    return "" if number is None else f"{number:,}"
