"""Ask a model by hand, within a budget: counted and reserved before the first call, stopped when it is over, settled after.

Each step may be repeated: what is answered is kept, and a retry of the same run asks for the rest. Money that a run has
reserved when it dies stays reserved until that retry, or else until its month is over: it is never asked for twice.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from genops_events.errors import GenopsError, PermanentError
from genops_events.gcp import ledger_store
from genops_events.gcp.clients import CALL_TIMEOUT_SECONDS
from genops_events.gcp.errors import google_call
from genops_events.gcp.generation import count_tokens
from genops_events.gcp.inference.kept import KeptRow, KeptRows
from genops_events.gcp.inference.online import answer_online
from genops_events.gcp.inference.results import rows_of, write_results
from genops_events.gcp.parts import remove_parts
from genops_events.inference import asks as places
from genops_events.inference.ask_form import FieldNames, Question, WrongForm
from genops_events.inference.asks import AskPlan, AskResult
from genops_events.inference.prompts import BadRow, PromptRow
from genops_events.inference.replies import Totals
from genops_events.inference.requests import Requests, cache_contents
from genops_events.inference.settings import AnswerSettings
from genops_events.inference.token_budget import TokenBudget, most_for_row
from genops_events.ledger import MOST_USD, NO_DATASET, month_of, usd
from genops_events.pricing import estimated_tokens
from genops_events.stages import Stage
from genops_events.verdicts import TuningVerdict

if TYPE_CHECKING:
    from google.cloud.storage import Bucket

    from genops_events.config import Config, Dataset
    from genops_events.gcp.record_store import RecordStore
    from genops_events.record import Champion

COUNTED_AT_ONCE = 1000
"""Prompts that are held in memory while tokens are counted."""
_encode = msgspec.json.Encoder().encode


class NoChampion(PermanentError):
    """The dataset has no champion that could be asked."""


class OverBudget(PermanentError):
    """The answers may cost more than they are allowed to; nothing was asked."""


class NoSuchRun(PermanentError):
    """The record knows no asking of this id."""


@dataclass(slots=True)
class _Sizes:
    rows: int = 0
    bad_rows: int = 0
    tokens: int = 0
    longest_answers: int = 0
    estimated_usd: Decimal = Decimal(0)
    first_bad: BadRow | None = None


@dataclass(frozen=True, slots=True)
class _Target:
    """Who is asked."""

    model: str
    billed_model: str
    dataset: Dataset | None = None
    champion: Champion | None = None


def settled_plan(
    config: Config, store: RecordStore, question: Question, *, run: str, by: str, content: Path | None = None
) -> AskPlan:
    """Settle what a run asks and what that costs at most, once; a retry of the run gets the same.

    Args:
        config: the configuration.
        store: the record.
        question: the form.
        run: id, by `run_of` or at random.
        by: who asks.
        content: the file of prompts, where it is not in a bucket.

    Raises:
        WrongForm: the file is not there, or has no prompt that can be asked.
        NoChampion: there is nobody to ask.
        OverBudget: the answers may cost more than the budget.
        CloudUnavailable: the tokens could not be counted.
    """
    known = store.read(places.plan_path(run), AskPlan)
    if known is not None:
        return known
    target = _target(config, store, question)
    settings = question.settings
    if settings.max_output_tokens is None:
        # Told to the model, so that it is a bound and no guess.
        longest = config.call_limits(target.billed_model).max_output_tokens
        settings = settings.model_copy(update={"max_output_tokens": longest})
    _put_prompts(store.bucket, question, places.prompts_path(run), content)
    cache = target.dataset.inference.cache if target.dataset is not None else None
    of_dataset = target.dataset.system_instruction if target.dataset is not None else None
    system = of_dataset if question.system_instruction is None else question.system_instruction
    plan = AskPlan(
        candidate=run,
        written_at=datetime.now(UTC),
        by=by,
        dataset=question.champion_of,
        champion=None if target.champion is None else target.champion.candidate,
        model=target.model,
        billed_model=target.billed_model,
        system_instruction=system or None,
        settings=settings.model_dump(mode="json", exclude_none=True),
        common=[] if cache is None else cache_contents(cache.text, cache.files),
        source=question.file or "the prompt",
        is_single=question.prompt is not None,
        rows=0,
        input_tokens=0,
        longest_answers=0,
        budget_usd=question.budget_usd,
        most_usd=Decimal(0),
        estimated_usd=Decimal(0),
        requests_per_minute=(target.dataset.inference.requests_per_minute if target.dataset is not None else None)
        or config.requests_per_minute,
        tokens_per_minute=target.dataset.inference.tokens_per_minute if target.dataset is not None else None,
    )
    try:
        plan = _priced(config, store.bucket, plan, question.names)
    except PermanentError:
        with suppress(GenopsError):  # nothing comes of it; a copy that stays does no harm
            _remove(store.bucket, places.prompts_path(run))
        raise
    return store.create_or_read(places.plan_path(run), plan)


def plan_of(store: RecordStore, run: str) -> AskPlan:
    """Return what a run was about to ask.

    Raises:
        NoSuchRun: nothing was settled under this id.
    """
    plan = store.read(places.plan_path(run), AskPlan) if places.is_run(run) else None
    if plan is None:
        raise NoSuchRun(f"The record knows no run {run!r} that asked a model.", "Ask anew, without the id of a run.")
    return plan


def ask(config: Config, store: RecordStore, plan: AskPlan) -> AskResult:
    """Ask what is not answered yet, and return what has come of the run; a run that has ended is not asked again.

    Raises:
        OverBudget: a limit of the dataset's or the project's month is in the way; nothing was asked.
        CloudUnavailable: a call failed after its retries; the next try goes on from what is kept.
        CloudRefused, AllRefused: no call can succeed.
        KeyboardInterrupt: somebody ended it. What is answered is settled, and what was under way as if it had cost the most.
    """
    run = plan.candidate
    entry, settled_before = _posting(store, plan)
    result = store.read(places.result_path(run), AskResult)
    if result is None:
        _reserve(config, store, plan, entry, max(plan.most_usd - settled_before, Decimal(0)))
        result = _asked(config, store, plan)
    _settle(store, plan, entry, result.cost_usd - settled_before)
    remove_parts(store.bucket, places.parts_prefix(run))
    return result


def release(config: Config, store: RecordStore, run: str, *, under_way_usd: Decimal = Decimal(0)) -> None:
    """Settle what a run has cost that goes on no more by itself: what is kept of it, and nothing for what failed.

    Asked again under its id, it reserves anew.

    Args:
        config: the configuration.
        store: the record.
        run: its id.
        under_way_usd: what calls may have cost that somebody broke off.
    """
    plan = store.read(places.plan_path(run), AskPlan)
    if plan is None:
        return
    entry, settled_before = _posting(store, plan)
    totals = Totals()
    for _, content in KeptRows(store.bucket, places.parts_prefix(run)).in_order():
        totals.add(msgspec.json.decode(content))
    spent = totals.cost_usd(config.rates(plan.billed_model), batch=False)
    _settle(store, plan, entry, spent + under_way_usd - settled_before)


def _target(config: Config, store: RecordStore, question: Question) -> _Target:
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
    # A champion that was tuned further names the model before it, which has no price of its own.
    billed = source if source in config.price_tables.prices.models else dataset.billed_model
    return _Target(champion.endpoint, billed, dataset, champion)


def _put_prompts(bucket: Bucket, question: Question, name: str, content: Path | None) -> None:
    """Copy the prompts as they are now, once: what is priced is what is asked."""
    from google.api_core.exceptions import Forbidden, NotFound, PreconditionFailed

    mine = bucket.blob(name)
    given: dict[str, Any] = {"if_generation_match": 0, "timeout": CALL_TIMEOUT_SECONDS}
    with google_call(f"write gs://{bucket.name}/{name}"):
        try:
            if question.prompt is not None:
                line = _encode({"id": "prompt", "prompt": question.prompt})
                mine.upload_from_string(line, content_type="application/jsonl", **given)
            elif content is not None:
                mine.upload_from_filename(str(content), content_type="application/jsonl", **given)
            else:
                _copy(bucket, question.file or "", mine)
        except PreconditionFailed:
            return  # an earlier try of this run made the copy
        except (NotFound, Forbidden) as error:
            why = "is not there" if isinstance(error, NotFound) else f"may not be read: {error.message}"
            raise WrongForm(f"{question.names.file}: {question.file} {why}.", "Nothing was asked.") from error


def _copy(bucket: Bucket, file: str, to: Any) -> None:
    place, _, name = file.removeprefix("gs://").partition("/") if file.startswith("gs://") else (bucket.name, "", file)
    source = bucket.client.bucket(place).blob(name)
    token: str | None = None
    first = True
    while first or token is not None:
        match = {"if_generation_match": 0} if first else {}
        token, *_ = to.rewrite(source, token=token, timeout=CALL_TIMEOUT_SECONDS, **match)
        first = False


def _priced(config: Config, bucket: Bucket, plan: AskPlan, names: FieldNames) -> AskPlan:
    """Return the plan with what it costs at most.

    Raises:
        WrongForm: there is no prompt that can be asked.
        OverBudget: that is over the budget.
    """
    requests = _requests(plan)
    rates = config.rates(plan.billed_model)
    sizes = _Sizes()
    rows = rows_of(bucket, places.prompts_path(plan.candidate))
    while some := list(islice(rows, COUNTED_AT_ONCE)):
        _count(config, plan, requests, some, sizes)
    if sizes.rows == 0:
        field = names.prompt if plan.is_single else names.file
        why = "is empty" if sizes.first_bad is None else f"has no row that can be asked. {sizes.first_bad.reason}"
        raise WrongForm(f"{field}: {plan.source} {why.rstrip('.')}.", "Nothing was asked.")
    most = rates.most_for(sizes.tokens, sizes.longest_answers)
    if most > plan.budget_usd:
        asked = rates.generation_cost(sizes.tokens, 0)
        count = "the prompt" if plan.is_single else f"{sizes.rows:,} prompts"
        answers = "an answer" if sizes.rows == 1 else "answers"
        raise OverBudget(
            f"Asking {plan.billed_model} may cost {usd(most)}: {usd(asked)} for the {sizes.tokens:,} input tokens of {count}, "
            f"and {usd(most - asked)} for {answers} of up to {sizes.longest_answers:,} tokens, thinking included. "
            f"The budget is {usd(plan.budget_usd)}: {usd(most - plan.budget_usd)} too much.",
            f"Nothing was asked. Raise {names.budget_usd}, or set a smaller max_output_tokens with {names.settings}.",
        )
    return plan.model_copy(
        update={
            "rows": sizes.rows + sizes.bad_rows,
            "bad_rows": sizes.bad_rows,
            "input_tokens": sizes.tokens,
            "longest_answers": sizes.longest_answers,
            "most_usd": most,
            "estimated_usd": sizes.estimated_usd,
        }
    )


def _count(
    config: Config, plan: AskPlan, requests: Requests, rows: Sequence[PromptRow | BadRow], sizes: _Sizes
) -> None:
    rates = config.rates(plan.billed_model)
    by_instruction: dict[str, list[PromptRow]] = {}
    for row in rows:
        if isinstance(row, BadRow):
            sizes.bad_rows += 1
            sizes.first_bad = sizes.first_bad or row
            continue
        sizes.rows += 1
        sizes.longest_answers += requests.longest_answer(row)
        sizes.estimated_usd += most_for_row(requests, row, rates, common_tokens=_common_tokens(plan))
        by_instruction.setdefault(requests.system_instruction(row), []).append(row)
    for instruction, group in by_instruction.items():
        found = count_tokens(
            config,
            model=plan.billed_model,
            prompts=[[*plan.common, *row.contents] for row in group],
            system_instruction=instruction or None,
        )
        sizes.tokens += found.tokens


def _common_tokens(plan: AskPlan) -> int:
    texts = (part.get("text", "") for turn in plan.common for part in turn["parts"])
    return sum(map(estimated_tokens, texts))


def _requests(plan: AskPlan) -> Requests:
    return Requests(AnswerSettings.model_validate(plan.settings), system_instruction=plan.system_instruction)


class _WithinBudget(Requests):
    """Makes the requests of a run, and none that might take it over its budget."""

    def __init__(self, config: Config, plan: AskPlan, budget: TokenBudget) -> None:
        super().__init__(AnswerSettings.model_validate(plan.settings), system_instruction=plan.system_instruction)
        self._common_contents = plan.common
        self._common_tokens = _common_tokens(plan)
        self._rates = config.rates(plan.billed_model)
        self._budget = budget

    def body(self, row: PromptRow) -> dict[str, Any]:
        """Return the request of one row, which is made at once.

        Raises:
            CannotAsk: its settings do not go together with the others, or the budget is used up.
        """
        body = super().body(row)
        self._budget.begin(row, most_for_row(self, row, self._rates, common_tokens=self._common_tokens))
        return {**body, "contents": [*self._common_contents, *row.contents]}


class _Counted(KeptRows):
    """Keeps rows, and tells the budget what they have cost."""

    def __init__(self, bucket: Bucket, prefix: str, budget: TokenBudget) -> None:
        super().__init__(bucket, prefix)
        self._budget = budget
        budget.kept(_read(self.in_order()))

    def write(self, rows: Sequence[KeptRow]) -> None:
        """Keep some rows; blocks until they are in the bucket."""
        super().write(rows)
        self._budget.kept(_read(rows))


def _read(rows: Iterator[KeptRow] | Sequence[KeptRow]) -> Iterator[Mapping[str, Any]]:
    return (msgspec.json.decode(content) for _, content in rows)


def _asked(config: Config, store: RecordStore, plan: AskPlan) -> AskResult:
    bucket, run = store.bucket, plan.candidate
    rates = config.rates(plan.billed_model)
    share = plan.most_usd / plan.estimated_usd if plan.estimated_usd else Decimal(1)
    budget = TokenBudget(plan.budget_usd, rates, share=share)
    kept = _Counted(bucket, places.parts_prefix(run), budget)
    try:
        answer_online(
            config,
            model=plan.model,
            rows=rows_of(bucket, places.prompts_path(run)),
            requests=_WithinBudget(config, plan, budget),
            kept=kept,
            requests_per_minute=plan.requests_per_minute,
            tokens_per_minute=plan.tokens_per_minute,
        )
    except KeyboardInterrupt:
        with suppress(GenopsError):  # what cannot be settled now stays reserved
            release(config, store, run, under_way_usd=budget.under_way_usd)
        raise
    single: list[dict[str, Any]] = []
    written = write_results(
        bucket,
        _first_noted(kept.in_order(), single, is_wanted=plan.is_single),
        answers=places.answers_path(run),
        failures=places.failures_path(run),
    )
    totals = written.totals
    result = AskResult(
        candidate=run,
        written_at=datetime.now(UTC),
        dataset=plan.dataset,
        champion=plan.champion,
        model=plan.model,
        prompts=totals.rows,
        answered=totals.answered,
        blocked=totals.blocked,
        cut=totals.cut,
        failed=totals.failed,
        input_tokens=totals.input_tokens,
        output_tokens=totals.output_tokens,
        cached_tokens=totals.cached_tokens,
        thinking_tokens=totals.thinking_tokens,
        cost_usd=totals.cost_usd(rates, batch=False),
        most_usd=plan.most_usd,
        budget_usd=plan.budget_usd,
        answers_uri=config.uri(places.answers_path(run)) if totals.answered else None,
        failures_uri=config.uri(places.failures_path(run)) if totals.failed else None,
        row=single[0] if single else None,
        most_often=written.most_often,
    )
    return store.create_or_read(places.result_path(run), result)


def _first_noted(rows: Iterator[KeptRow], noted: list[dict[str, Any]], *, is_wanted: bool) -> Iterator[KeptRow]:
    for row in rows:
        if is_wanted and not noted:
            noted.append(msgspec.json.decode(row[1]))
        yield row


def _posting(store: RecordStore, plan: AskPlan) -> tuple[str, Decimal]:
    """Return the ledger's entry that this try of the run reserves in, and what earlier ones have settled."""
    ledger = ledger_store.read(store, month_of(plan.written_at))
    spent, number = Decimal(0), 1
    while True:
        entry = plan.candidate if number == 1 else f"{plan.candidate}-{number}"
        found = None if ledger is None or entry not in ledger.entries else ledger.entries[entry].purposes.get("asking")
        if found is None or not found.settled:
            return entry, spent
        spent += found.spent_usd
        number += 1


def _reserve(config: Config, store: RecordStore, plan: AskPlan, entry: str, amount: Decimal) -> None:
    refusal = ledger_store.reserve(
        store,
        candidate=entry,
        dataset=plan.dataset or NO_DATASET,
        purpose="asking",
        amount=amount,
        limit=config.dataset(plan.dataset).budget.monthly_usd if plan.dataset is not None else MOST_USD,
        at=plan.written_at,
        project_limit=config.budget.monthly_usd,
    )
    if refusal is not None:
        raise OverBudget(refusal.reason, "Nothing was asked. `genops spend` shows what the month has cost.")


def _settle(store: RecordStore, plan: AskPlan, entry: str, spent: Decimal) -> None:
    ledger_store.settle(
        store, candidate=entry, purpose="asking", spent=max(spent, Decimal(0)), at=plan.written_at
    )


def _remove(bucket: Bucket, name: str) -> None:
    with google_call(f"remove gs://{bucket.name}/{name}"):
        bucket.blob(name).delete(timeout=CALL_TIMEOUT_SECONDS)
