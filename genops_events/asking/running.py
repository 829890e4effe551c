"""Carry out a plan within its budget: ask each prompt once, stop when the budget is used up, and settle the cost.

Each step may be repeated: answers are kept, and another try of the same run asks for the rest.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import msgspec

from genops_events.asking.counting import common_tokens, thinker_of_plan
from genops_events.asking.money import Reservation
from genops_events.config.answers import AnswerSettings
from genops_events.errors import GenopsError
from genops_events.gcp.parts import remove_parts
from genops_events.gemini.kept import KeptRow, KeptRows
from genops_events.gemini.online import answer_online
from genops_events.gemini.pace import Pace
from genops_events.gemini.prompts import PromptRow
from genops_events.gemini.replies import Totals
from genops_events.gemini.requests import Requests
from genops_events.gemini.results import rows_of, write_results
from genops_events.gemini.token_budget import TokenBudget, most_for_row
from genops_events.record import asks as places
from genops_events.record.asks import AskPlan, AskResult

if TYPE_CHECKING:
    from collections.abc import Callable

    from google.cloud.storage import Bucket

    from genops_events.config import Config
    from genops_events.gcp.record_store import RecordStore


def ask(
    config: Config, store: RecordStore, plan: AskPlan, *, on_progress: Callable[[Totals], None] = lambda _: None
) -> AskResult:
    """Ask the prompts without an answer, and return the result of the run; a run that has ended is not asked again.

    Args:
        config: the configuration.
        store: the record.
        plan: from `settled_plan`.
        on_progress: called every two seconds with the figures so far.

    Raises:
        OverBudget: it would go over a monthly limit of the dataset or the project; nothing was asked.
        CloudUnavailable: a call failed after its retries; the next try continues from what is kept.
        CloudRefused, AllRefused: no call can succeed.
        KeyboardInterrupt: the run was interrupted. Answers are settled; calls under way count with the most that they can cost.
    """
    run = plan.candidate
    reservation = Reservation(config, store, plan)
    result = store.read(places.result_path(run), AskResult)
    if result is None:
        reservation.reserve()
        result = _answer(config, store, plan, on_progress)
    reservation.settle(result.cost_usd)
    remove_parts(store.bucket, places.parts_prefix(run))
    return result


def release(config: Config, store: RecordStore, run: str, *, under_way_usd: Decimal = Decimal(0)) -> None:
    """Settle the cost of a run that is given up, by its kept answers; failed prompts cost nothing.

    If the run is continued under its id later, it reserves anew.

    Args:
        config: the configuration.
        store: the record.
        run: its id.
        under_way_usd: the most in USD that interrupted calls may have cost.
    """
    plan = store.read(places.plan_path(run), AskPlan)
    if plan is None:
        return
    reservation = Reservation(config, store, plan)
    totals = Totals()
    for row in _read(KeptRows(store.bucket, places.parts_prefix(run)).in_order()):
        totals.add(dict(row))
    reservation.settle(totals.cost_usd(config.rates(plan.billed_model), batch=False) + under_way_usd)


class _WithinBudget(Requests):
    """Makes the requests of a run, and refuses those that might take it over its budget."""

    def __init__(self, config: Config, plan: AskPlan, budget: TokenBudget) -> None:
        super().__init__(
            AnswerSettings.model_validate(plan.settings),
            system_instruction=plan.system_instruction,
            thinker=thinker_of_plan(config, plan),
            before=plan.common,
        )
        self._common_tokens = common_tokens(plan)
        self._rates = config.rates(plan.billed_model)
        self._budget = budget

    def body(self, row: PromptRow) -> dict[str, Any]:
        """Return the request of one row, and count it against the budget: the caller sends it at once.

        Raises:
            CannotAsk: the row's settings conflict with the others, or the budget is used up.
        """
        body = super().body(row)
        self._budget.begin(row, most_for_row(self, row, self._rates, common_tokens=self._common_tokens))
        return body


class _BudgetedRows(KeptRows):
    """Keeps rows, and counts their cost against the budget."""

    def __init__(self, bucket: Bucket, prefix: str, budget: TokenBudget) -> None:
        super().__init__(bucket, prefix)
        self._budget = budget
        budget.kept(_read(self.in_order()))

    def write(self, rows: Sequence[KeptRow]) -> None:
        """Write some rows as one part; blocks until they are in the bucket."""
        super().write(rows)
        self._budget.kept(_read(rows))


def _read(rows: Iterable[KeptRow]) -> Iterator[Mapping[str, Any]]:
    return (msgspec.json.decode(content) for _, content in rows)


def _answer(config: Config, store: RecordStore, plan: AskPlan, on_progress: Callable[[Totals], None]) -> AskResult:
    bucket, run = store.bucket, plan.candidate
    budget = TokenBudget(plan.budget_usd, config.rates(plan.billed_model), share=plan.share)
    kept = _BudgetedRows(bucket, places.parts_prefix(run), budget)
    try:
        answer_online(
            config,
            model=plan.model,
            rows=rows_of(bucket, places.prompts_path(run), readable=config.addresses),
            requests=_WithinBudget(config, plan, budget),
            kept=kept,
            pace=Pace.of(bucket, config.quota_of(plan.model, plan.billed_model)),
            on_progress=on_progress,
        )
    except KeyboardInterrupt:
        with suppress(GenopsError):  # if it cannot be settled now, the reservation is kept
            release(config, store, run, under_way_usd=budget.under_way_usd)
        raise
    # Another process may have finished the same run at the same time, and removed the parts.
    done = store.read(places.result_path(run), AskResult)
    return done or store.create_or_read(places.result_path(run), _result(config, store, plan, kept))


def _result(config: Config, store: RecordStore, plan: AskPlan, kept: KeptRows) -> AskResult:
    run = plan.candidate
    single: list[Mapping[str, Any]] = []
    written = write_results(
        store.bucket,
        _first_noted(kept.in_order(), single, is_wanted=plan.is_single),
        answers=places.answers_path(run),
        failures=places.failures_path(run),
    )
    totals = written.totals
    return AskResult(
        candidate=run,
        written_at=datetime.now(UTC),
        dataset=plan.dataset,
        champion=plan.champion,
        model=plan.model,
        prompts=totals.rows,
        answered=totals.answered,
        blocked=totals.blocked,
        cut=totals.cut,
        empty=totals.empty,
        failed=totals.failed,
        input_tokens=totals.input_tokens,
        output_tokens=totals.output_tokens,
        cached_tokens=totals.cached_tokens,
        thinking_tokens=totals.thinking_tokens,
        cost_usd=totals.cost_usd(config.rates(plan.billed_model), batch=False),
        most_usd=plan.most_usd,
        budget_usd=plan.budget_usd,
        answers_uri=config.uri(places.answers_path(run)) if totals.answered else None,
        failures_uri=config.uri(places.failures_path(run)) if totals.failed else None,
        row=dict(single[0]) if single else None,
        most_often=written.most_often,
    )


def _first_noted(rows: Iterator[KeptRow], noted: list[Mapping[str, Any]], *, is_wanted: bool) -> Iterator[KeptRow]:
    for row in rows:
        if is_wanted and not noted:
            noted.append(msgspec.json.decode(row[1]))
        yield row
