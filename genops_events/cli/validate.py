"""`genops validate`: check a training file as the cascade would, on a laptop: no cloud, no Airflow."""

from __future__ import annotations

import dataclasses
import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated

import typer

from genops_events.cli.console import errors_reported, human, print_json, warn_of_models
from genops_events.errors import PermanentError

if TYPE_CHECKING:
    from rich.table import Table

    from genops_events.catalogue.models import Catalogue
    from genops_events.catalogue.prices import Rates
    from genops_events.training.validator import InvalidLines, Method, ModelLimits, ValidationExamples, ValidationReport

USUAL_MODEL = "gemini-3.5-flash"
NOT_VALID = 2
"""Exit code of a file that cannot be tuned on; 1 is for what could not be looked at."""
_CHUNK_BYTES = 1024 * 1024


class UnusableInput(PermanentError):
    """What should be validated cannot be read."""


@dataclass(frozen=True, slots=True)
class _Plan:
    """What the file is for."""

    limits: ModelLimits
    epochs: int
    method: Method = "supervised"
    invalid_lines: InvalidLines = "reject"
    dataset: str | None = None
    note: str = ""
    rates: Rates | None = None
    """The prices of the user's configuration, where there is one."""
    catalogue: Catalogue | None = None
    """The models of the user's configuration, where there is one."""

    @property
    def named_by(self) -> str:
        """Who names the model: the dataset, or an option of the command."""
        return "--model" if self.dataset is None else f"{self.dataset}: source_model"


def validate(
    file: Annotated[str, typer.Argument(help="A JSONL file of training examples; `-` reads standard input.")],
    *,
    dataset: Annotated[str | None, typer.Option(help="The dataset of genops.yaml that the file is for.")] = None,
    model: Annotated[str | None, typer.Option(help="The source model, where there is no genops.yaml.")] = None,
    method: Annotated[
        str | None, typer.Option(help="supervised, preference or distillation; that of the dataset if not given.")
    ] = None,
    validation: Annotated[
        str | None, typer.Option(help="A validation file: checked too, and looked for among the training examples.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON to standard output.")] = False,
) -> None:
    """Check a training file line by line, as the cascade does; exit 2 if it cannot be tuned on."""
    from genops_events.catalogue.models import UnknownFigureError, shipped
    from genops_events.catalogue.prices import rates_of, tuning_note
    from genops_events.training.validator import validate as check
    from genops_events.training.validator import validate_validation_file

    with errors_reported():
        if file == validation == "-":
            raise UnusableInput("Standard input cannot be both files.", "Give one of them by its name.")
        plan = _plan(dataset, model, method, has_validation=validation is not None)
        catalogue = plan.catalogue or shipped()
        warn_of_models(catalogue, [(plan.named_by, plan.limits.model)])
        about: ValidationReport | None = None
        examples: ValidationExamples | None = None
        if validation is not None:
            with _chunks(validation) as chunks:
                about, examples = validate_validation_file(chunks, limits=plan.limits, method=plan.method)
        with _chunks(file) as chunks:
            report = check(
                chunks,
                limits=plan.limits,
                invalid_lines=plan.invalid_lines,
                validation=examples,
                method=plan.method,
            )
    about_price = tuning_note(catalogue, plan.method)
    notes = [note for note in (plan.note, about_price and f"{about_price}.") if note]
    rates = plan.rates or rates_of(catalogue, plan.limits.model)
    try:
        cost = rates.tuning_cost(report.tokens_estimate, plan.epochs)
    except UnknownFigureError as error:
        cost = None
        notes.append(error.message)
    valid = report.valid and (about is None or about.valid)
    if as_json:
        print_json(
            {
                "file": file,
                "valid": valid,
                "model": plan.limits.model,
                "method": plan.method,
                "dataset": plan.dataset,
                "invalid_lines": plan.invalid_lines,
                "epochs": plan.epochs,
                "tuning_usd_estimate": None if cost is None else str(cost),
                "note": " ".join(notes),
                "training": dataclasses.asdict(report),
                "validation": None if about is None else {"file": validation, **dataclasses.asdict(about)},
            }
        )
    else:
        if about is not None:
            _show(validation or "", about, "")
        about_as_much = "at least" if plan.method == "distillation" else "about"
        price = ""
        if cost is not None and report.tokens_estimate:
            epochs = f"{plan.epochs} {'epoch' if plan.epochs == 1 else 'epochs'}"
            price = f", {about_as_much} {cost:.2f} USD for {epochs} of {plan.limits.model}"
        _show(file, report, price)
        for note in notes:
            human().print(f"note: {note}", markup=False)
    if not valid:
        raise typer.Exit(NOT_VALID)


def _plan(dataset: str | None, model: str | None, method: str | None, *, has_validation: bool) -> _Plan:
    from genops_events.catalogue.tuning_models import METHODS, models_that_take

    wanted = _method(method)
    if dataset is not None and model is not None:
        raise UnusableInput("--dataset and --model exclude each other.", "The dataset names its model.")
    plan = _plan_of_model(model) if model is not None else _plan_of_dataset(dataset, has_validation=has_validation)
    if wanted is not None:
        plan = dataclasses.replace(plan, method=wanted)
    if plan.method not in plan.limits.methods:
        raise UnusableInput(
            f"{plan.limits.model} does not take {METHODS[plan.method]}.",
            f"These do: {', '.join(models_that_take(plan.method))}.",
        )
    return plan


def _method(name: str | None) -> Method | None:
    from genops_events.catalogue.tuning_models import METHODS

    found = next((method for method in METHODS if method == name), None)
    if name is not None and found is None:
        raise UnusableInput(f"There is no method {name!r}.", f"Known methods: {', '.join(METHODS)}.")
    return found


def _plan_of_model(model: str) -> _Plan:
    from genops_events.config.tuning import Tuning
    from genops_events.training.validator import load_limits

    return _Plan(load_limits(model), Tuning().epochs)


def _plan_of_dataset(dataset: str | None, *, has_validation: bool) -> _Plan:
    from genops_events.config import load_config
    from genops_events.config.environment import Settings

    if dataset is None:
        is_there = Settings().config.exists() or "GENOPS_CONFIG" in os.environ
        names = tuple(load_config().datasets) if is_there else ()
        if len(names) != 1:
            why = f"genops.yaml has {len(names)} datasets" if names else "there is no genops.yaml"
            plan = _plan_of_model(USUAL_MODEL)
            note = (
                f"{why}, so the file was checked for {USUAL_MODEL} and {plan.epochs} epochs; "
                "name a --dataset or a --model."
            )
            return dataclasses.replace(plan, note=note)
        dataset = names[0]
    config = load_config()
    entry = config.dataset(dataset)
    note = ""
    if entry.tuning.validation_file is not None and not has_validation:
        note = (
            f"the dataset {dataset} has the validation file {entry.tuning.validation_file}, which was not looked at; "
            "name a copy of it with --validation."
        )
    return _Plan(
        config.file_limits(entry.billed_model),
        entry.tuning.epochs,
        entry.tuning.method,
        entry.invalid_lines,
        dataset,
        note,
        config.rates_for(entry),
        config.catalogue,
    )


@contextmanager
def _chunks(name: str) -> Iterator[Iterator[bytes]]:
    """Open a file and yield its chunks, with a progress bar where a person watches."""
    if name == "-":
        yield iter(lambda: sys.stdin.buffer.read(_CHUNK_BYTES), b"")
        return
    path = Path(name)
    if path.is_dir():
        raise UnusableInput(f"{name} is a directory.", "Name one JSONL file, for instance train.jsonl.")
    try:
        file = path.open("rb", buffering=0)
    except OSError as error:
        raise UnusableInput(f"{name} cannot be read: {error.strerror}.", "Name one JSONL file.") from error
    with file:
        before = os.fstat(file.fileno())
        try:
            with _progress(path, file) as chunks:
                yield chunks
        except OSError as error:
            raise UnusableInput(f"{name} cannot be read: {error.strerror}.", "Name one JSONL file.") from error
        after = os.fstat(file.fileno())
    if stat.S_ISREG(before.st_mode) and (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        raise UnusableInput(
            f"{name} was written to while it was read: what was found is of no one state of it.",
            "Wait until no program writes to it, and validate it again.",
        )


@contextmanager
def _progress(path: Path, file: IO[bytes]) -> Iterator[Iterator[bytes]]:
    console = human()
    size = path.stat().st_size
    if not console.is_terminal or not size:
        yield iter(lambda: file.read(_CHUNK_BYTES), b"")
        return
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(path.name, total=size)

        def read() -> bytes:
            chunk = file.read(_CHUNK_BYTES)
            bar.advance(task, len(chunk))
            return chunk

        yield iter(read, b"")


def _show(name: str, report: ValidationReport, price: str) -> None:
    console = human()
    word, style = ("valid", "bold green") if report.valid else ("not valid", "bold red")
    console.print(f"{word}:", style=style, end=" ")
    console.print(f"{name}: {report.summary}", markup=False)
    console.print(
        f"{report.examples:,} examples on {_lines(report)}, {report.size_bytes:,} bytes, "
        f"about {report.tokens_estimate:,} tokens{price}",
        markup=False,
    )
    if report.problems:
        console.print(_table(report))
        shown = len(report.problems)
        if report.problems_total > shown:
            rest = {
                reason: total - sum(problem.reason.value == reason for problem in report.problems)
                for reason, total in report.problems_by_reason.items()
            }
            counts = ", ".join(f"{reason} {number:,}" for reason, number in rest.items() if number)
            console.print(f"and {report.problems_total - shown:,} more: {counts}", markup=False)
    for warning in report.warnings:
        console.print("warning:", style="bold yellow", end=" ")
        console.print(warning, markup=False)


def _lines(report: ValidationReport) -> str:
    if report.lines_checked == report.lines:
        return f"{report.lines:,} lines"
    return f"the first {report.lines_checked:,} of {report.lines:,} lines"


def _table(report: ValidationReport) -> Table:
    from genops_events.cli.terminal import table

    rows = (
        (
            *("-" if number is None else f"{number:,}" for number in (one.line, one.column)),
            one.reason.value,
            one.message,
        )
        for one in report.problems
    )
    return table(("line", "column", "reason", "message"), rows, numbers=("line", "column"), wraps=("message",))
