"""Settle the plan of a run once, before the first call: the model, the prompts, and the most that they can cost."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

from genops_events.asking.counting import counted
from genops_events.asking.form import AskForm, FieldNames, WrongForm
from genops_events.asking.prompt_copy import put_prompts, remove_prompts, rows_in_place
from genops_events.errors import PermanentError
from genops_events.gemini.results import rows_of
from genops_events.gemini.served import before_each_prompt, settings_taken_by
from genops_events.money.ledger import usd
from genops_events.record import asks as places
from genops_events.record.asks import AskPlan
from genops_events.record.stages import Stage
from genops_events.record.verdicts import TuningVerdict

if TYPE_CHECKING:
    from genops_events.config import Config, Dataset
    from genops_events.config.answers import AnswerSettings
    from genops_events.gcp.record_store import RecordStore
    from genops_events.record.promotion import Champion


class NoChampion(PermanentError):
    """The dataset has no champion that could be asked."""


class OverBudget(PermanentError):
    """The answers may cost more than the budget or a limit; nothing was asked."""


class NoSuchRun(PermanentError):
    """The record has no run of this id."""


@dataclass(frozen=True, slots=True)
class _Target:
    """The model that is asked."""

    model: str
    billed_model: str
    dataset: Dataset | None = None
    champion: Champion | None = None


def settled_plan(
    config: Config, store: RecordStore, question: AskForm, *, run: str, by: str, content: Path | None = None
) -> AskPlan:
    """Settle the plan of a run, with the most that it can cost; another try of the run gets the same plan.

    Args:
        config: the configuration.
        store: the record.
        question: the form.
        run: id, by `run_of`.
        by: the person who asks, or the caller.
        content: path of the file of prompts, if it is not in a bucket.

    Raises:
        WrongForm: the file is missing, or no prompt of it can be asked.
        NoChampion: the dataset has no champion that could be asked.
        OverBudget: the answers may cost more than the budget.
        CloudUnavailable: the tokens could not be counted.
    """
    known = store.read(places.plan_path(run), AskPlan)
    if known is not None:
        return known
    plan = _draft(config, store, question, run=run, by=by)
    copy = places.prompts_path(run)
    put_prompts(store.bucket, question, copy, content)
    try:
        plan = counted(config, plan, rows_of(store.bucket, copy, readable=config.addresses), question.names)
        if plan.is_over:
            raise over_budget(config, plan, question.names)
    except PermanentError:
        remove_prompts(store.bucket, copy)
        raise
    return store.create_or_read(places.plan_path(run), plan)


def counted_only(config: Config, store: RecordStore, question: AskForm, *, content: Path | None = None) -> AskPlan:
    """Return the plan of a run, with the most that it could cost; nothing is asked, reserved or kept.

    Args:
        config: the configuration.
        store: the record.
        question: the form.
        content: path of the file of prompts, if it is not in a bucket.

    Raises:
        WrongForm: the file is missing, or no prompt of it can be asked.
        NoChampion: the dataset has no champion that could be asked.
        CloudUnavailable: the tokens could not be counted.
    """
    plan = _draft(config, store, question, run="ask-counted-only", by="")
    rows = rows_in_place(store.bucket, question, content, readable=config.addresses)
    return counted(config, plan, rows, question.names)


def plan_of(store: RecordStore, run: str) -> AskPlan:
    """Return the plan of a run.

    Raises:
        NoSuchRun: there is no plan of this id.
    """
    plan = store.read(places.plan_path(run), AskPlan) if places.is_run(run) else None
    if plan is None:
        raise NoSuchRun(f"The record knows no run {run!r} that asked a model.", "Ask anew, without the id of a run.")
    return plan


def over_budget(config: Config, plan: AskPlan, names: FieldNames) -> OverBudget:
    """Return the error about a plan over its budget, with the missing sum and a remedy."""
    asked = config.rates(plan.billed_model).generation_cost(plan.input_tokens, 0)
    rows = plan.rows - plan.bad_rows
    count = "the prompt" if plan.is_single else f"{rows:,} prompts"
    answers = "an answer" if rows == 1 else "answers"
    return OverBudget(
        f"Asking {plan.billed_model} may cost {usd(plan.most_usd)}: {usd(asked)} for the {plan.input_tokens:,} input tokens "
        f"of {count}, and {usd(plan.most_usd - asked)} for {answers} of up to {plan.longest_answers:,} tokens, thinking "
        f"included. The budget is {usd(plan.budget_usd)}: {usd(plan.most_usd - plan.budget_usd)} too much.",
        f"Nothing was asked. Raise {names.budget_usd}, or set a smaller max_output_tokens, or less "
        f"thinking, with {names.settings}.",
    )


def _draft(config: Config, store: RecordStore, question: AskForm, *, run: str, by: str) -> AskPlan:
    """Return the plan without its figures.

    Raises:
        NoChampion: the dataset has no champion that could be asked.
        WrongForm: the champion was tuned from a model that does not take a setting of the form.
    """
    target = _target(config, store, question)
    settings = _settings(config, question, target)
    if settings.max_output_tokens is None:
        # Sent with each request, so that it is a bound and not an estimate.
        longest = config.call_limits(target.billed_model).max_output_tokens
        settings = settings.model_copy(update={"max_output_tokens": longest})
    of_dataset = target.dataset.system_instruction if target.dataset is not None else None
    system = of_dataset if question.system_instruction is None else question.system_instruction
    return AskPlan(
        candidate=run,
        written_at=datetime.now(UTC),
        by=by,
        dataset=question.champion_of,
        champion=None if target.champion is None else target.champion.candidate,
        model=target.model,
        billed_model=target.billed_model,
        system_instruction=system or None,
        settings=settings.model_dump(mode="json", exclude_none=True),
        common=[] if target.dataset is None else before_each_prompt(target.dataset),
        source=question.file or "the prompt",
        is_single=question.row is not None,
        rows=0,
        input_tokens=0,
        longest_answers=0,
        budget_usd=question.budget_usd,
        most_usd=Decimal(0),
        estimated_usd=Decimal(0),
    )


def _settings(config: Config, question: AskForm, target: _Target) -> AnswerSettings:
    """Return the settings that are sent; for a champion of another source model, without those that it does not take."""
    dataset, model = target.dataset, target.billed_model
    if dataset is None or model == dataset.billed_model:
        return question.settings
    settings = settings_taken_by(question.settings, config.thinker(model, is_tuned=True), config.catalogue.find(model))
    refused = sorted(name for name in question.given if getattr(settings, name) != getattr(question.settings, name))
    if refused:
        raise WrongForm(
            f"{question.names.settings}: the champion of {question.champion_of} was tuned from {model}, which does not take "
            f"{', '.join(refused)}.",
            f"Nothing was asked. Leave that out, or ask {dataset.billed_model} with {question.names.model}.",
        )
    return settings


def _target(config: Config, store: RecordStore, question: AskForm) -> _Target:
    if question.champion_of is None:
        assert question.model is not None
        return _Target(question.model, question.model)
    dataset = config.dataset(question.champion_of)
    champion = store.champion(question.champion_of)
    if champion is None:
        raise NoChampion(
            f"{question.champion_of} has no champion: no candidate was promoted yet.",
            f"`genops upload FILE --dataset {question.champion_of}` begins one, `genops candidates` shows how far they are. "
            f"Until then, ask a model: {question.names.model} {dataset.billed_model}.",
        )
    tuning = store.verdict(champion.candidate, Stage.TUNING)
    source = tuning.source_model if isinstance(tuning, TuningVerdict) else None
    # The source of a champion that was tuned further is a tuned model, which has no price of its own.
    billed = config.catalogue.known_or(source, dataset.billed_model)
    return _Target(champion.endpoint, billed, dataset, champion)
