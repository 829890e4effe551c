"""One contestant's part of a comparison: reserve, answer, score, record, settle. After a crash, kept results are not paid for again.

| died after | kept | the next try |
|---|---|---|
| the money was reserved | posting | finds it reserved |
| some rows were answered and scored | answers and scores, in parts | asks for the other rows only |
| rows were written | rows, answers | writes the same |
| the result was written | result, posting | settles the money by the result |
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from functools import cached_property
from typing import TYPE_CHECKING, Any

from genops_events.catalogue.metrics import Metric
from genops_events.comparison.prepared import PreparedContestant
from genops_events.errors import ConfigError, GenopsError, PermanentError
from genops_events.evaluation import files as kept
from genops_events.evaluation.examples import evaluation_examples
from genops_events.evaluation.pipeline import PythonMetric
from genops_events.evaluation.rows import Row, causes, failed_rows, summarise
from genops_events.evaluation.scored_run import AnsweringModel, ScoredRun
from genops_events.gcp import ledger_store
from genops_events.gemini.replies import Totals
from genops_events.money.ledger import LedgerDamaged, Refusal
from genops_events.record import comparison_plan as places
from genops_events.record.comparison import ComparedAnswer, ComparedRow, ContestantResult, ContestantStatus, latency_of
from genops_events.record.comparison_plan import ComparisonPlan, ContestantDocument
from genops_events.record.endings import UNUSABLE, in_words, remedies

if TYPE_CHECKING:
    from genops_events.config import Config
    from genops_events.gcp.record_store import RecordStore

_WAITED_FOR = (ConfigError, LedgerDamaged)
"""Errors that a person's editing may cause and end: the task is retried for these, as those of the cascade are."""


class ContestantRun:
    """One contestant's part of a comparison.

    Args:
        config: the present configuration.
        store: the record.
        plan: of the comparison.
        name: of the contestant.
    """

    def __init__(self, config: Config, store: RecordStore, plan: ComparisonPlan, name: str) -> None:
        self._config, self._store, self._plan, self._name = config, store, plan, name
        self._bucket = store.bucket
        self._began = datetime.now(UTC)

    @cached_property
    def _before(self) -> ContestantDocument | None:
        return self._store.read(places.result_path(self._plan.id, self._name), ContestantDocument)

    @property
    def _round(self) -> int:
        return 1 if self._before is None else self._before.round + 1

    @cached_property
    def _prepared(self) -> PreparedContestant:
        # References were checked when the comparison began, and the copy of the prompts cannot change.
        examples = evaluation_examples(self._bucket, places.prompts_path(self._plan.id), needs_reference=())
        return PreparedContestant(self._config, self._store, self._plan, self._plan.contestant(self._name), examples)

    @property
    def _metrics(self) -> tuple[Metric, ...]:
        return self._prepared.metrics

    def run(self, functions: Mapping[str, PythonMetric]) -> ContestantResult:
        """Run the contestant and return its recorded result; a contestant that has completed is not asked again.

        Args:
            functions: the metrics in Python, by name.

        Raises:
            CloudUnavailable: a call failed after its retries; the next try continues from what is kept.
            ConfigError, LedgerDamaged: genops.yaml or the ledger cannot be read now; a person may be editing it.
        """
        if self._before is not None:
            self._settle(self._before)  # the task that recorded it may have died before it settled
            if self._before.result.status == "completed":
                return self._before.result
        try:
            most = self._prepared.most_usd()
            refusal = self._reserve(most)
            if refusal is not None:
                help_ = (
                    "Raise the limit in genops.yaml, then clear this task in Airflow; the others keep what they have."
                )
                return self._record("refused", refusal.reason, help_, estimated_usd=most)
            return self._answer_and_score(functions, most)
        except _WAITED_FOR:
            raise
        except PermanentError as error:
            return self.give_up(error)

    def give_up(self, error: GenopsError | str) -> ContestantResult:
        """Record that the contestant failed, with its figures so far, and settle their cost; a completed one stays completed."""
        written = self._store.read(places.result_path(self._plan.id, self._name), ContestantDocument)
        if written is not None and written.result.status == "completed":
            self._settle(written)  # its last try died after it was completed
            return written.result
        message, help_ = (error, None) if isinstance(error, str) else (error.message, error.hint or None)
        try:
            figures = self._figures_so_far()
        except PermanentError:  # without figures, the cost is unknown if answers are kept, and 0 if there are none
            figures = {"cost_usd": None} if self._has_answers() else {}
        return self._record("failed", message, help_, **figures)

    def _answer_and_score(self, functions: Mapping[str, PythonMetric], most: Decimal) -> ContestantResult:
        scored = self._scored_run()
        scored.ask_and_score(functions)
        figures = self._figures(scored)
        status, reason = _status_and_reason(figures, len(self._prepared.examples), has_score=scored.has_score)
        result = self._record(status, reason, None, estimated_usd=most, **figures)
        scored.forget()
        return result

    def _scored_run(self) -> ScoredRun:
        prepared, plan = self._prepared, self._plan
        return ScoredRun(
            self._config,
            prepared.dataset.evaluation,
            self._bucket,
            examples=prepared.examples,
            metrics=prepared.metrics,
            scores=places.scores_prefix(plan.id, self._name),
            candidate=AnsweringModel(
                respondent=prepared.respondent,
                rates=prepared.rates,
                answers=places.answers_path(plan.id, self._name),
                paid=prepared.paid_answers,
            ),
            paid_scores=prepared.paid_scores,
        )

    def _has_answers(self) -> bool:
        answers = places.answers_path(self._plan.id, self._name).removesuffix(".jsonl")
        return bool(self._store.names(answers))

    def _figures_so_far(self) -> dict[str, Any]:
        """Return the figures of kept answers and scores, for a contestant that cannot continue."""
        scored = self._scored_run()
        scored.take_kept()
        return self._figures(scored) if scored.answers else {}

    def _figures(self, scored: ScoredRun) -> dict[str, Any]:
        """Write the rows, and return their figures."""
        rows = scored.rows()
        self._write_rows(rows, scored)
        every = Totals.of(scored.answers.values())
        return {
            "metrics": summarise(rows, self._metrics, {}),
            "answered": every.answered,
            **{str(state): count for state, count in every.unusable.items()},
            "failed_rows": failed_rows(rows),
            "failures": causes(rows),
            "cost_usd": scored.spent_usd(rows),
            "answers_usd": every.cost_usd(self._prepared.rates, batch=False) if every.answered else None,
            "judge_usd": scored.judge_usd(rows) if any(metric.judged for metric in self._metrics) else None,
            "input_tokens": every.input_tokens,
            "output_tokens": every.output_tokens,
            "latency": latency_of(one.seconds for one in scored.answers.values() if one.seconds is not None),
        }

    def _write_rows(self, rows: Sequence[Row], scored: ScoredRun) -> None:
        compared = []
        for number, row in enumerate(rows):
            answer = scored.answers.get(number)
            one = ComparedAnswer(
                answer=row.answer,
                state=row.state,
                finish_reason=row.finish_reason,
                scores=row.scores,
                explanations=row.explanations,
                failures=row.failures,
                input_tokens=None if answer is None else answer.input_tokens,
                output_tokens=None if answer is None else answer.output_tokens,
                seconds=None if answer is None else answer.seconds,
            )
            compared.append(ComparedRow(row.id, row.prompt, row.reference, {self._name: one}))
        kept.write_lines(
            self._bucket,
            places.contestant_rows_path(self._plan.id, self._name),
            (row.to_json_line() for row in compared),
        )

    def _reserve(self, most: Decimal) -> Refusal | None:
        return ledger_store.reserve(
            self._store,
            candidate=places.account(self._plan.id, self._name, self._round),
            dataset=self._plan.dataset,
            purpose="comparison",
            amount=most,
            limit=self._prepared.dataset.budget.monthly_usd,
            at=self._plan.written_at,
            project_limit=self._config.budget.monthly_usd,
        )

    def _record(self, status: ContestantStatus, reason: str, help_: str | None, **figures: Any) -> ContestantResult:
        contestant = self._plan.contestant(self._name)
        result = ContestantResult(
            name=contestant.name,
            model=contestant.model,
            settings=contestant.settings,
            system_instruction=contestant.system_instruction,
            status=status,
            reason=reason,
            help=help_,
            started_at=self._began,
            ended_at=datetime.now(UTC),
            **{"cost_usd": self._paid_before, **self._model_figures(), **figures},
        )
        document = ContestantDocument(
            candidate=self._plan.id,
            written_at=datetime.now(UTC),
            round=self._round,
            spent_usd=self._spent_since(result.cost_usd),
            result=result,
        )
        self._store.put(places.result_path(self._plan.id, self._name), document)
        self._settle(document)
        return result

    def _settle(self, document: ContestantDocument) -> None:
        if document.spent_usd is None:
            return  # unknown cost: the reservation is kept
        ledger_store.settle(
            self._store,
            candidate=places.account(self._plan.id, self._name, document.round),
            purpose="comparison",
            spent=document.spent_usd,
            at=self._plan.written_at,
        )

    def _spent_since(self, cost: Decimal | None) -> Decimal | None:
        """Return the cost that this try has added: that of earlier ones is settled already. None where it is unknown."""
        return None if cost is None else max(cost - self._paid_before, Decimal(0))

    @property
    def _paid_before(self) -> Decimal:
        """Cost of earlier tries in USD, which is settled."""
        before = None if self._before is None else self._before.result.cost_usd
        return Decimal(0) if before is None else before

    def _model_figures(self) -> dict[str, Any]:
        figures: dict[str, Any] = {}
        try:
            figures["rows"] = len(self._prepared.examples)
            called = self._prepared.called
        except PermanentError:
            return figures
        return figures | {
            "candidate": called.candidate,
            "called": called.model,
            "billed_model": called.billed_model,
        }


def _status_and_reason(figures: Mapping[str, Any], rows: int, *, has_score: bool) -> tuple[ContestantStatus, str]:
    """Return `completed` or `failed` by the figures of the rows, with a reason."""
    most_often = f" Most often: {next(iter(figures['failures']), '').rstrip('.')}." if figures["failures"] else ""
    unusable = {state: figures[state] for state in UNUSABLE}
    remedy = f" {words}" if (words := remedies(unusable, figures["failures"])) else ""
    if not figures["answered"]:
        return "failed", f"None of {rows:,} prompts was answered.{most_often}"
    if figures["answered"] == sum(unusable.values()):
        return (
            "failed",
            f"None of {figures['answered']:,} answers can be scored: {in_words(unusable)}.{most_often}{remedy}",
        )
    if not has_score:
        return "failed", f"No answer could be scored.{most_often}"
    sentences = []
    if missing := rows - figures["answered"]:
        sentences.append(f"{missing:,} of {rows:,} prompts have no answer.")
    if any(unusable.values()):
        sentences.append(f"Of {figures['answered']:,} answers, {in_words(unusable)}: they have no score.{remedy}")
    if figures["failed_rows"]:
        sentences.append(f"{figures['failed_rows']:,} rows have no score in some metric.{most_often}")
    return "completed", " ".join(sentences)
