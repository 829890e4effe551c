"""Have one model answer some prompts, and score its answers: what evaluation and comparison have in common.

| died after | kept | the next try |
|---|---|---|
| some rows were answered and scored | answers and scores, in parts | asks for the other rows only |
| all rows were | the file of answers, scores in parts | makes no call |
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
from genops_events.evaluation.pipeline import Pipeline, PythonMetric, RowResults, score_key, why_not_scorable
from genops_events.evaluation.rows import Row, Score
from genops_events.evaluation.vertex import AnswerToScore
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
    """Return examples as rows of prompts, numbered from 0 on."""
    return [PromptRow.of_text(number, one.prompt, line=one.line, name=one.name) for number, one in enumerate(examples)]


@dataclass(frozen=True, slots=True, kw_only=True)
class AnsweringModel:
    """A model whose answers are scored, or the one that they are compared with."""

    respondent: Respondent
    rates: Rates
    answers: str
    """Name of the object that has all its answers at the end."""
    paid: Answers = field(default_factory=dict)
    """Its answers to the same prompts that an earlier evaluation or comparison has paid for."""


class ScoredRun:
    """One try at scoring a model's answers. It starts with the answers and scores that earlier tries have kept.

    Args:
        config: project, locations, quota and prices.
        evaluation: the dataset's entry in genops.yaml, for its judge.
        bucket: of answers and scores.
        examples: the rows.
        metrics: of the evaluation.
        scores: prefix of the parts in which scores are kept.
        candidate: the model whose answers are scored.
        champion: the model that `pairwise` compares with; None where no metric compares.
        paid_scores: scores that an earlier evaluation has paid for, by `score_key`.
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
        self._found = RowResults()

    @property
    def answers(self) -> Answers:
        """The candidate's answers, by the number of their row."""
        return self._sides[0][1].answers

    @property
    def has_score(self) -> bool:
        """Whether any answer has a score."""
        return any(one.score is not None for one in self._found.scores.values())

    def ask_and_score(self, functions: Mapping[str, PythonMetric]) -> None:
        """Ask for the missing answers, and score the answers without a score.

        Args:
            functions: the metrics in Python, by name.

        Raises:
            CloudUnavailable: calls failed after their retries; the next try continues from what is kept.
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
        """Take kept answers and scores without any call: for a run that cannot continue."""
        for number, reply in self.answers.items():
            if (why := why_not_scorable(reply)) is not None:
                self._found.unanswered[number] = why
                continue
            example = self._examples[number]
            one = AnswerToScore(example.prompt, reply.scored_text, example.reference)
            for metric in self._metrics:
                if (score := self._kept_scores.get(score_key(metric, one))) is not None:
                    self._found.scores[number, metric.name] = score

    def rows(self) -> list[Row]:
        """Return every row with its answers and scores, or the reason why it has none."""
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
        """Return a row's score, or the reason why it has none."""
        found = self._found
        if (score := found.scores.get((number, metric.name))) is not None:
            return score
        if (why := found.unanswered.get(number)) is not None:
            return Score(None, why)
        if metric.name == PAIRWISE:
            return Score(None, f"no answer of the champion: {found.champion_unanswered.get(number, 'none was given')}")
        return Score(None, "not scored" if number in self.answers else "not answered")

    def bought(self) -> Totals:
        """Return the tokens of all answers that this run has paid for, in all its tries."""
        return sum((self._bought(*side) for side in self._sides), Totals())

    def spent_usd(self, rows: Sequence[Row]) -> Decimal:
        """Return the cost of answers and judge in USD, without those that an earlier evaluation has paid for.

        Args:
            rows: from `rows`.
        """
        answers = sum(
            (self._bought(one, kept).cost_usd(one.rates, batch=False) for one, kept in self._sides), Decimal(0)
        )
        return answers + self.judge_usd([self._without_paid(row) for row in rows] if self._paid_scores else rows)

    def judge_usd(self, rows: Sequence[Row]) -> Decimal:
        """Return the estimated cost of judging these rows, no matter who paid for it: the service reports no usage."""
        return judge_cost(self._config.rates, self._evaluation, judged_tokens(self._metrics, rows))

    def forget(self) -> None:
        """Remove the scores in parts, once the rows are written; a crash before this leaves a few small objects."""
        remove_parts(self._bucket, self._scores)

    @staticmethod
    def _bought(one: AnsweringModel, kept: KeptAnswers) -> Totals:
        return Totals.of(reply for number, reply in kept.answers.items() if number not in one.paid)

    def _without_paid(self, row: Row) -> Row:
        """Return a row without the measures whose scores an earlier evaluation has paid for."""
        one = AnswerToScore(row.prompt, row.answer or "", row.reference)
        paid = {metric.name for metric in self._metrics if score_key(metric, one) in self._paid_scores}
        return replace(row, measures={name: mark for name, mark in row.measures.items() if name not in paid})
