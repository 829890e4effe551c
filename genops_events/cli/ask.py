"""`genops ask`: a prompt in, its answer on standard output; tokens and cost on standard error. Needs no Airflow."""

from __future__ import annotations

import json
import sys
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from genops_events.cli.candidates import AsJson
from genops_events.cli.console import errors_reported, human, print_json, warn_of_models
from genops_events.cli.target import connect
from genops_events.errors import GenopsError, TransientError
from genops_events.reading.printable import printable

if TYPE_CHECKING:
    from genops_events.asking.form import AskForm
    from genops_events.config import Config
    from genops_events.gcp.record_store import RecordStore
    from genops_events.record.asks import AskPlan, AskResult

OVER_BUDGET = 2
"""Exit code where the answers may cost more than they are allowed to; 1 is for what could not be asked at all."""
NOT_WHOLE = 3
"""Exit code where an answer is missing, blocked, cut or empty."""
STOPPED = 130
"""Exit code after Ctrl+C, as shells have it."""


def ask(
    prompt: Annotated[str | None, typer.Argument(help="What to ask; `-` reads standard input.")] = None,
    *,
    dataset: Annotated[str | None, typer.Option(help="Ask the champion of this dataset of genops.yaml.")] = None,
    model: Annotated[str | None, typer.Option(help="Ask this published model.")] = None,
    file: Annotated[
        str | None,
        typer.Option(help="A file of prompts (JSON Lines) in place of PROMPT: a path, or gs://BUCKET/OBJECT."),
    ] = None,
    attach: Annotated[
        list[str] | None, typer.Option(help="A file that PROMPT is about, gs://BUCKET/OBJECT; may be repeated.")
    ] = None,
    system: Annotated[str | None, typer.Option(help="System instruction, in place of the dataset's.")] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set", help="KEY=VALUE, a key of `inference` in genops.yaml, such as temperature=0.2; may be repeated."
        ),
    ] = None,
    budget: Annotated[
        str | None, typer.Option(help="Most that it may cost, in US dollars; no more than genops.yaml allows.")
    ] = None,
    count_only: Annotated[
        bool,
        typer.Option(
            "--count-only", help="Count tokens and billable characters; no model is asked, and nothing is paid."
        ),
    ] = False,
    run: Annotated[
        str | None, typer.Option(help="Go on with this run, or show its answers again; nothing else is given.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Ask a model: the answer goes to standard output, tokens and cost to standard error.

    Exit 1: nothing could be asked. 2: it may cost more than the budget, or than is left of the month: nothing was asked.
    3: an answer is missing, blocked, cut or empty.
    """
    given = {
        "prompt": prompt,
        "files": attach or [],
        "file": file,
        "model": model,
        "champion_of": dataset,
        "system_instruction": system,
        "budget_usd": budget,
    }
    with errors_reported(), _over_budget_told():
        from genops_events.asking.planning import plan_of, settled_plan
        from genops_events.gcp.record_store import RecordStore
        from genops_events.record.asks import run_of

        config = connect()
        store = RecordStore.open(config)
        if run is not None:
            _alone(given, settings, count_only=count_only)
            plan = plan_of(store, run)
            warn_of_models(config.catalogue, [("--run", plan.billed_model)])
        else:
            question, content = _question(config, given, settings or [], is_counted_only=count_only)
            warn_of_models(config.catalogue, question.models(config))
            if count_only:
                _count(config, store, question, content, as_json=as_json)
                return
            name = run_of(uuid.uuid4().hex)
            plan = settled_plan(config, store, question, run=name, by=_asker(), content=content)
        _tell_unpriced(plan)
        result = _asked(config, store, plan)
        _show(store, result, as_json=as_json)
    if not result.is_whole:
        raise typer.Exit(NOT_WHOLE)


@contextmanager
def _over_budget_told() -> Iterator[None]:
    """Turn what is over a budget into its words, and an exit code of its own."""
    from genops_events.asking.planning import OverBudget

    try:
        yield
    except OverBudget as error:
        human().print("over budget:", style="bold red", end=" ")
        human().print(error.message, markup=False)
        human().print(error.hint, markup=False)
        raise typer.Exit(OVER_BUDGET) from error


def _alone(given: dict[str, Any], settings: Sequence[str] | None, *, count_only: bool) -> None:
    from genops_events.asking.form import WrongForm

    if any(given.values()) or settings or count_only:
        raise WrongForm(
            "--run goes on with what was asked then, and takes nothing else but --json.", "Nothing was asked."
        )


def _asker() -> str:
    from genops_events.cli.caller import me

    return f"genops ask, {me()}"


def _question(
    config: Config, given: dict[str, Any], settings: Sequence[str], *, is_counted_only: bool
) -> tuple[AskForm, Path | None]:
    """Return what is asked, and the file of prompts where it is here.

    Raises:
        WrongForm: an option makes no sense.
        NoLimit: nothing in genops.yaml limits what asking costs.
    """
    from genops_events.asking.form import COMMAND, WrongForm, read_form

    values = dict(given)
    if values["prompt"] == "-":
        values["prompt"] = sys.stdin.read()
    values["settings"] = dict(_setting(one) for one in settings)
    question = read_form(values, config, names=COMMAND, is_counted_only=is_counted_only)
    if question.file is None or question.file.startswith("gs://"):
        return question, None
    path = Path(question.file)
    if not path.is_file():
        raise WrongForm(f"--file: {path} is no file here.", "Nothing was asked. Name one, or gs://BUCKET/OBJECT.")
    return question, path


def _setting(text: str) -> tuple[str, Any]:
    """Return key and value; what is no JSON is a text."""
    from genops_events.asking.form import WrongForm

    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise WrongForm(f"--set must be KEY=VALUE, such as temperature=0.2; it is {text!r}.", "Nothing was asked.")
    try:
        return key.strip(), json.loads(value)
    except (ValueError, RecursionError):
        return key.strip(), value


def _count(config: Config, store: RecordStore, question: AskForm, content: Path | None, *, as_json: bool) -> None:
    from genops_events.asking.money import Reservation
    from genops_events.asking.planning import counted_only, over_budget

    plan = counted_only(config, store, question, content=content)
    refusal = Reservation(config, store, plan).refusal()
    if as_json:
        print_json(plan.counted_json() | {"over_limit": refusal})
    human().print(f"{plan.estimate}. Nothing was asked.", markup=False)
    _tell_unpriced(plan)
    if plan.is_over:
        human().print(over_budget(config, plan, question.names).message, markup=False)
    if refusal is not None:
        human().print(refusal, markup=False)
    if plan.is_over or refusal is not None:
        raise typer.Exit(OVER_BUDGET)


def _tell_unpriced(plan: AskPlan) -> None:
    for note in plan.unpriced:
        human().print(f"note: {note}", markup=False)


def _asked(config: Config, store: RecordStore, plan: AskPlan) -> AskResult:
    """Ask, and tell how to go on where that fails.

    Raises:
        GenopsError: it failed; what was reserved is settled.
    """
    from genops_events.asking.running import ask as ask_all
    from genops_events.asking.running import release

    goes_on = f"`genops ask --run {plan.candidate}` goes on: nothing is asked twice that is answered."
    try:
        if plan.is_single:
            return ask_all(config, store, plan)
        human().print(f"{plan.candidate}: {plan.estimate}", markup=False)
        return ask_all(config, store, plan)
    except KeyboardInterrupt:
        human().lines(f"\nStopped. {goes_on}")
        raise typer.Exit(STOPPED) from None
    except GenopsError as error:
        with suppress(GenopsError):  # what cannot be settled now stays reserved, and `genops spend` shows it
            release(config, store, plan.candidate)
        if isinstance(error, TransientError):
            error.hint = f"{error.hint} {goes_on}".strip()
        raise


def _show(store: RecordStore, result: AskResult, *, as_json: bool) -> None:
    if as_json:
        print_json(result.figures())
    elif result.row is not None:
        _show_one(result.row)
    elif result.answers_uri is not None:
        _show_file(store, result)
    if result.reason is not None:
        human().print(f"{(result.row or {}).get('state', 'not answered')}: {result.reason}", markup=False)
    if result.row is None:
        human().print(result.outcome, markup=False)
    for uri in (result.answers_uri, result.failures_uri):
        if uri is not None and result.row is None:
            human().print(uri, markup=False)
    who = result.model if result.champion is None else f"{result.champion} (champion of {result.dataset})"
    human().print(f"{who}: {result.bill} ({result.candidate})", markup=False)


def _show_one(row: dict[str, Any]) -> None:
    """Print the text of an answer, or the functions that the model wants called where there is none."""
    text = row.get("answer", "")
    if not text and row.get("function_calls"):
        text = json.dumps(row["function_calls"], ensure_ascii=False)
    if text:
        text = printable(text, lines=True)
        sys.stdout.write(text if text.endswith("\n") else f"{text}\n")
        sys.stdout.flush()


def _show_file(store: RecordStore, result: AskResult) -> None:
    from genops_events.gcp.streams import read_object
    from genops_events.record.asks import answers_path

    for chunk in read_object(store.bucket.blob(answers_path(result.candidate))):
        sys.stdout.buffer.write(chunk)
    sys.stdout.buffer.flush()
