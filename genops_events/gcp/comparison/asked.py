"""Who a contestant is: what is called, by whose prices, how it is told to answer, and what is paid for already."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property

from genops_events import record_paths
from genops_events.comparison.contestants import Contestant
from genops_events.comparison.plan import ComparisonPlan
from genops_events.config import Config, Dataset
from genops_events.errors import PermanentError
from genops_events.evaluation import record as evaluation_record
from genops_events.evaluation.data import EvaluationExample, Prompt
from genops_events.evaluation.judge_usage import judge_cost, judge_tokens
from genops_events.evaluation.metrics import Metric
from genops_events.evaluation.rows import Score, digest
from genops_events.gcp import inputs
from genops_events.gcp.evaluation.pipeline import score_key
from genops_events.gcp.evaluation.record import read_rows
from genops_events.gcp.evaluation.requests import Scored
from genops_events.gcp.record_store import RecordStore
from genops_events.inference.requests import MOST_OUTPUT_TOKENS, tools_json
from genops_events.inference.settings import AnswerSettings, evaluated_with, merged
from genops_events.money.estimates import answers_step
from genops_events.money.pricing import Rates
from genops_events.stages import Stage
from genops_events.verdicts import TuningVerdict


class NoSuchContestant(PermanentError):
    """What a contestant stands for is not there."""


@dataclass(frozen=True, slots=True)
class Called:
    """What is called for a contestant."""

    model: str
    """A published model, or an endpoint."""
    billed_model: str
    name: str
    """Of the model in its answers."""
    candidate: str | None = None


class Asked:
    """A contestant, as far as it can be told before anything is spent.

    Args:
        config: prices, and what the dataset says.
        store: the record.
        plan: of the comparison.
        contestant: one of its contestants.
        examples: the prompts, with their references.
    """

    def __init__(
        self,
        config: Config,
        store: RecordStore,
        plan: ComparisonPlan,
        contestant: Contestant,
        examples: Sequence[EvaluationExample],
    ) -> None:
        self._config, self._store, self._plan = config, store, plan
        self.contestant = contestant
        self.examples = examples
        self.prompts = [Prompt(id=one.name, prompt=one.prompt) for one in examples]

    @property
    def dataset(self) -> Dataset:
        """The dataset's entry in genops.yaml."""
        return self._config.dataset(self._plan.dataset)

    @cached_property
    def called(self) -> Called:
        """What is called.

        Raises:
            NoSuchContestant: there is no such champion or candidate.
        """
        model = self.contestant.model
        match self.contestant.kind:
            case "published":
                return Called(model, model, model)
            case "endpoint":
                return Called(model, self.contestant.base_model or "", model)
            case "candidate":
                return self._tuned(model)
            case "champion":
                if self._plan.champion is None:
                    raise NoSuchContestant(
                        f"{self._plan.dataset} has no champion yet.", "Compare again once a candidate was promoted."
                    )
                return self._tuned(self._plan.champion)

    def _tuned(self, candidate: str) -> Called:
        verdict = self._store.verdict(candidate, Stage.TUNING)
        if not isinstance(verdict, TuningVerdict):
            raise NoSuchContestant(
                f"The record has no tuned model of a candidate {candidate}.",
                "`genops candidates` lists the known ones.",
            )
        if verdict.endpoint is None:
            raise NoSuchContestant(
                f"Tuning of {candidate} left no model: {verdict.reason}", "Compare another candidate."
            )
        source = verdict.source_model
        # A model that was tuned further names the one before it, which has no price of its own.
        billed = self._config.catalogue.known_or(source, self.dataset.billed_model)
        return Called(verdict.endpoint, billed or "", verdict.model or verdict.endpoint, candidate)

    @property
    def rates(self) -> Rates:
        """What its model costs.

        Raises:
            UnknownModelError: it has no price, so it is not asked.
        """
        return self._config.rates(self.called.billed_model)

    @cached_property
    def settings(self) -> AnswerSettings:
        """How it is to answer: as in an evaluation, but for what is its own."""
        usual = evaluated_with(self.dataset.evaluation.max_output_tokens)
        return merged(usual, self.contestant.generation_config)

    @property
    def system_instruction(self) -> str | None:
        """What is sent with every prompt."""
        own = self.contestant.system_instruction
        return self.dataset.system_instruction if own is None else own or None

    @property
    def kept_as(self) -> str:
        """What tells answers that were asked for in this way from others of the same model."""
        longest = self.dataset.evaluation.max_output_tokens
        usual = inputs.settings_of(system_instruction=self.system_instruction, max_output_tokens=longest)
        if not self.contestant.generation_config.model_fields_set:
            return usual
        return digest(usual, self.contestant.generation_config.model_dump_json(exclude_unset=True))

    @cached_property
    def paid_answers(self) -> inputs.Answers:
        """Answers that its own evaluation paid for: to the same prompts, asked in the same way."""
        candidate = self.called.candidate
        if candidate is None or not self.contestant.answers_as_usual:
            return {}
        name = record_paths.evaluation_answers_path(candidate)
        return inputs.answers_to(self._store.bucket, name, self.prompts, settings=self.kept_as)

    @cached_property
    def paid_scores(self) -> dict[str, Score]:
        """Scores that its own evaluation paid for, by what they belong to."""
        candidate = self.called.candidate
        if candidate is None or not self.paid_answers:
            return {}
        found: dict[str, Score] = {}
        for row in read_rows(self._store.bucket, evaluation_record.rows_path(candidate)):
            if row.answer is None:
                continue
            one = Scored(row.prompt, row.answer, row.reference)
            for metric in self.metrics:
                if row.measures.get(metric.name) == metric.fingerprint and metric.name in row.scores:
                    score = Score(row.scores[metric.name], None, row.explanations.get(metric.name))
                    found[score_key(metric, one)] = score
        return found

    @cached_property
    def metrics(self) -> tuple[Metric, ...]:
        """What is measured."""
        return self.dataset.evaluation.measured(self._plan.metrics)

    def most_usd(self) -> Decimal:
        """Return the most that its answers and their judge can cost, beyond what is paid for.

        Raises:
            NoSuchContestant: there is nobody to ask.
            UnknownModelError: its model, or the judge, has no price.
        """
        longest = self.settings.max_output_tokens or MOST_OUTPUT_TOKENS
        answers = answers_step(
            "comparison",
            self.rates,
            [one.prompt for number, one in enumerate(self.examples) if number not in self.paid_answers],
            system_instruction=f"{self.system_instruction or ''}{self._declared}",
            max_output_tokens=longest,
        )
        judged = [one for number, one in enumerate(self.examples) if not self._is_judged(number, one)]
        tokens = judge_tokens(self.metrics, judged, answer_tokens=longest)
        assert answers.usd is not None
        return answers.usd + judge_cost(self._config.rates, self.dataset.evaluation, tokens)

    @property
    def _declared(self) -> str:
        """Return what goes with every prompt, and is billed as input, beside the system instruction; empty for nothing."""
        schema = self.settings.response_json_schema
        declared = tools_json(self.settings) | ({} if schema is None else {"schema": schema})
        return json.dumps(declared, ensure_ascii=False) if declared else ""

    def _is_judged(self, number: int, example: EvaluationExample) -> bool:
        """Return whether every judge that is to see this row's answer has seen it."""
        answer = self.paid_answers.get(number)
        if answer is None:
            return False
        if answer.state != "complete":
            return True  # nobody judges it
        one = Scored(example.prompt, answer.text, example.reference)
        return all(score_key(metric, one) in self.paid_scores for metric in self.metrics if metric.judged)
