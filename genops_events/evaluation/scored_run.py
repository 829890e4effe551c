"""One model's answers to some prompts, asked for, scored, kept and counted: what evaluation and comparison have in common.

| died after | what is there | the next try |
|---|---|---|
| some rows were answered and scored | answers and scores, in parts | asks for the others alone |
| all were | the file of answers, scores in parts | asks nobody |
| `forget` | what the caller has written | nothing |
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import TYPE_CHECKING

from genops_events.catalogue.metrics import PAIRWISE, Metric
from genops_events.evaluation.files import kept_scores
from genops_events.evaluation.judge_usage import judge_cost, judged_tokens
from genops_events.evaluation.pipeline import Evaluated, Pipeline, PythonMetric, score_key, why_none
from genops_events.evaluation.rows import Row, Score
from genops_events.evaluation.vertex import Scored
from genops_events.gcp.parts import remove_parts
from genops_events.gemini.kept import KeptRows
from genops_events.gemini.kept_answers import Answers, KeptAnswers
from genops_events.gemini.prompts import PromptRow
from genops_events.gemini.replies import Totals

if TYPE_CHECKING:
    from google.cloud.storage import Bucket

    from genops_events.catalogue.prices import Rates
    from genops_events.config import Config
    from genops_events.config.evaluation import Evaluation
    from genops_events.evaluation.examples import EvaluationExample
    from genops_events.gemini.online import Respondent


def prompt_rows(examples: Sequence[EvaluationExample]) -> list[PromptRow]:
    """Return examples as they are asked, numbered from 0 on."""
    return [PromptRow.of_text(number, one.prompt, line=one.line, name=one.name) for number, one in enumerate(examples)]


@dataclass(frozen=True, slots=True, kw_only=True)
class AnsweringModel:
    """A model whose answers are scored, or compared with."""

    respondent: Respondent
    rates: Rates
    answers: str
    """Name of the object that holds its answers in the end."""
    paid: Answers = field(default_factory=dict)
    """Answers of its own to the same prompts that something else has paid for."""


class ScoredRun:
    """A try at having a model's answers scored. What earlier tries have kept is read at once.

    Args:
        config: project, locations, quota and prices.
        evaluation: the dataset's entry in genops.yaml: its judge.
        bucket: where answers and scores are kept.
        examples: the rows.
        metrics: what is measured.
        scores: prefix of the parts that hold scores as they come.
        candidate: whose answers are scored.
        champion: whom they are compared with by `pairwise`; None where nothing compares.
        paid_scores: that something else has paid for, by `score_key`.
    """

    def __init__(
        self,
        config: Config,
        evaluation: Evaluation,
        bucket: Bucket,
        *,
        examples: Sequence[EvaluationExample],
        metrics: Sequence[Metric],
        scores: str,
        candidate: AnsweringModel,
        champion: AnsweringModel | None = None,
        paid_scores: Mapping[str, Score] | None = None,
    ) -> None:
        self._config, self._evaluation, self._bucket = config, evaluation, bucket
        self._examples, self._metrics, self._scores = examples, metrics, scores
        self._paid_scores = paid_scores or {}
        self._kept_scores = {**self._paid_scores, **kept_scores(bucket, scores)}
        asked = prompt_rows(examples)
        self._sides = [
            (one, KeptAnswers(bucket, one.answers, asked, one.respondent))
            for one in (candidate, champion)
            if one is not None
        ]
        self._found = Evaluated()

    @property
    def answers(self) -> Answers:
        """The candidate's, by the number of their row."""
        return self._sides[0][1].answers

    @property
    def has_score(self) -> bool:
        """Whether any answer has one."""
        return any(one.score is not None for one in self._found.scores.values())

    def ask_and_score(self, functions: Mapping[str, PythonMetric]) -> None:
        """Ask for what is not answered yet, and score what has no score yet.

        Args:
            functions: the metrics in Python, by name.

        Raises:
            CloudUnavailable: calls failed after their retries; the next try goes on from what is kept.
            CloudRefused, AllRefused: no call can succeed.
        """
        for one, kept in self._sides:
            kept.adopt(one.paid)
        pipeline = Pipeline(
            self._config,
            self._bucket,
            self._examples,
            self._metrics,
            functions=functions,
            kept=self._kept_scores,
            parts=KeptRows(self._bucket, self._scores),
        )
        self._found = pipeline.run(*(kept for _, kept in self._sides))

    def take_kept(self) -> None:
        """Count what is kept, and ask nobody: for a run that comes no further."""
        for number, reply in self.answers.items():
            if (why := why_none(reply)) is not None:
                self._found.unanswered[number] = why
                continue
            example = self._examples[number]
            one = Scored(example.prompt, reply.scored_text, example.reference)
            for metric in self._metrics:
                if (score := self._kept_scores.get(score_key(metric, one))) is not None:
                    self._found.scores[number, metric.name] = score

    def rows(self) -> list[Row]:
        """Return every row with its answers and scores, or why it has none."""
        return [self._row(number, example) for number, example in enumerate(self._examples)]

    def _row(self, number: int, example: EvaluationExample) -> Row:
        answer, champion = (
            self._sides[side][1].answers.get(number) if side < len(self._sides) else None for side in (0, 1)
        )
        scores = {one.name: self._score(one, number) for one in self._metrics}
        return Row(
            id=example.name,
            prompt=example.prompt,
            reference=example.reference,
            answer=None if answer is None else answer.scored_text,
            state=None if answer is None else answer.state,
            finish_reason=None if answer is None else answer.finish_reason,
            champion_answer=None if champion is None else champion.scored_text,
            champion_state=None if champion is None else champion.state,
            scores={name: one.score for name, one in scores.items() if one.score is not None},
            explanations={name: one.explanation for name, one in scores.items() if one.explanation},
            failures={name: one.failure or "no score" for name, one in scores.items() if one.score is None},
            measures={one.name: one.fingerprint for one in self._metrics if (number, one.name) in self._found.scores},
        )

    def _score(self, metric: Metric, number: int) -> Score:
        """Return a row's score, or why it has none."""
        found = self._found
        if (score := found.scores.get((number, metric.name))) is not None:
            return score
        if (why := found.unanswered.get(number)) is not None:
            return Score(None, why)
        if metric.name == PAIRWISE:
            return Score(None, f"no answer of the champion: {found.champion_unanswered.get(number, 'none was given')}")
        return Score(None, "not scored" if number in self.answers else "not answered")

    def bought(self) -> Totals:
        """Return the tokens of all answers that this run has paid for, in this try or an earlier one."""
        return sum((self._bought(*side) for side in self._sides), Totals())

    def spent_usd(self, rows: Sequence[Row]) -> Decimal:
        """Return what answers and judge cost, without what something else has paid for.

        Args:
            rows: from `rows`.
        """
        answers = sum(
            (self._bought(one, kept).cost_usd(one.rates, batch=False) for one, kept in self._sides), Decimal(0)
        )
        return answers + self.judge_usd([self._without_paid(row) for row in rows] if self._paid_scores else rows)

    def judge_usd(self, rows: Sequence[Row]) -> Decimal:
        """Return what judging these rows costs, whoever paid for it; an estimate, since the service tells no usage."""
        return judge_cost(self._config.rates, self._evaluation, judged_tokens(self._metrics, rows))

    def forget(self) -> None:
        """Remove the scores in parts, once the rows have it all; a crash before this leaves a few small objects."""
        remove_parts(self._bucket, self._scores)

    @staticmethod
    def _bought(one: AnsweringModel, kept: KeptAnswers) -> Totals:
        return Totals.of(reply for number, reply in kept.answers.items() if number not in one.paid)

    def _without_paid(self, row: Row) -> Row:
        """Return a row without the measures whose scores something else has paid for."""
        one = Scored(row.prompt, row.answer or "", row.reference)
        paid = {metric.name for metric in self._metrics if score_key(metric, one) in self._paid_scores}
        return replace(row, measures={name: told for name, told in row.measures.items() if name not in paid})
