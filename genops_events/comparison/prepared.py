"""Prepare a contestant: the model that is called, its prices and requests, and the results that are paid for already."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property

from pydantic import ValidationError

from genops_events.catalogue.facts import Model
from genops_events.catalogue.metrics import Metric
from genops_events.catalogue.prices import Rates
from genops_events.config import Config, Dataset
from genops_events.config.answers import AnswerSettings, merged
from genops_events.config.contestants import Contestant
from genops_events.config.model_settings import wrong_for
from genops_events.config.thinking import ThinkingModel
from genops_events.errors import PermanentError
from genops_events.evaluation.examples import EvaluationExample
from genops_events.evaluation.files import read_rows
from genops_events.evaluation.judge_usage import judge_cost, judge_tokens
from genops_events.evaluation.pipeline import score_key
from genops_events.evaluation.rows import Score
from genops_events.evaluation.scored_run import prompt_rows
from genops_events.evaluation.vertex import AnswerToScore
from genops_events.gcp.record_store import RecordStore
from genops_events.gemini.estimate import answers_step
from genops_events.gemini.kept_answers import Answers, answers_to
from genops_events.gemini.online import Respondent
from genops_events.gemini.requests import Requests
from genops_events.gemini.served import before_each_prompt, settings_taken_by
from genops_events.gemini.token_counts import files_before_tokens
from genops_events.record import evaluation as evaluation_record
from genops_events.record import paths as record_paths
from genops_events.record.comparison_plan import ComparisonPlan
from genops_events.record.stages import Stage
from genops_events.record.verdicts import TuningVerdict

_REPLACES = {
    "grounding": ("functions", "function_calling"),
    "functions": ("grounding", "function_calling"),
    "response_mime_type": ("response_json_schema",),
}
"""Settings of a contestant, with those of the dataset that they replace: no model takes them together."""


class UnfitSettings(PermanentError):
    """A contestant's settings conflict with those of the dataset, or its model does not take them."""


class NoSuchContestant(PermanentError):
    """The champion or candidate that a contestant names has no model."""


@dataclass(frozen=True, slots=True)
class CalledModel:
    """The model that is called for a contestant."""

    model: str
    """A published model, or an endpoint."""
    billed_model: str
    name: str
    """Name of the model in the answers."""
    candidate: str | None = None


class PreparedContestant:
    """A contestant with all that is known before anything is spent.

    Args:
        config: prices, and the dataset's entry in genops.yaml.
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

    @property
    def dataset(self) -> Dataset:
        """The dataset's entry in genops.yaml."""
        return self._config.dataset(self._plan.dataset)

    @cached_property
    def called(self) -> CalledModel:
        """The model that is called.

        Raises:
            NoSuchContestant: there is no such champion or candidate, or it has no model.
        """
        model = self.contestant.model
        match self.contestant.kind:
            case "published":
                return CalledModel(model, model, model)
            case "endpoint":
                return CalledModel(model, self.contestant.base_model or "", model)
            case "candidate":
                return self._tuned(model)
            case "champion":
                if self._plan.champion is None:
                    raise NoSuchContestant(
                        f"{self._plan.dataset} has no champion yet.", "Compare again once a candidate was promoted."
                    )
                return self._tuned(self._plan.champion)

    def _tuned(self, candidate: str) -> CalledModel:
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
        # The source of a model that was tuned further is a tuned model, which has no price of its own.
        billed = self._config.catalogue.known_or(source, self.dataset.billed_model)
        return CalledModel(verdict.endpoint, billed or "", verdict.model or verdict.endpoint, candidate)

    @property
    def rates(self) -> Rates:
        """The prices of its model.

        Raises:
            UnknownModelError: the model has no price, so it is not asked.
        """
        return self._config.rates(self.called.billed_model)

    @cached_property
    def requests(self) -> Requests:
        """The maker of its requests: the settings of an evaluation, overridden by its own.

        Raises:
            UnfitSettings: its model does not take its own settings, or they conflict with the dataset's.
        """
        name = self.called.billed_model
        thinker = self._config.thinker(name, is_tuned=self.contestant.kind != "published")
        model = self._config.catalogue.find(name)
        # Checked here and not with the form: the model that a candidate was tuned from is known from the record only.
        for one in () if model is None else wrong_for(self.contestant.generation_config, model, name):
            raise UnfitSettings(
                f"`{'.'.join(map(str, one['loc']))}` of the contestant is {one['input']!r}: {_lower_first(str(one['type']))}.",
                "Change it in the contestant's generation_config.",
            )
        try:
            settings = merged(self._usual(thinker, model), self.contestant.generation_config)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            raise UnfitSettings(
                f"`{'.'.join(map(str, first['loc']))}` of the contestant, with the dataset's `inference`: {first['msg']}",
                "Set it in the contestant's generation_config; null takes a setting of the dataset away.",
            ) from None
        before = before_each_prompt(self.dataset)
        return Requests(settings, system_instruction=self.system_instruction, thinker=thinker, before=before)

    def _usual(self, thinker: ThinkingModel, model: Model | None) -> AnswerSettings:
        """Return the dataset's settings, without those that the contestant replaces or its model does not take."""
        own = self.contestant.generation_config.model_fields_set
        left_out = {name for key, names in _REPLACES.items() if key in own for name in names}
        return settings_taken_by(self.dataset.evaluated_with.model_copy(update=dict.fromkeys(left_out)), thinker, model)

    @property
    def system_instruction(self) -> str | None:
        """The system instruction that is sent with every prompt; None for none."""
        own = self.contestant.system_instruction
        return self.dataset.system_instruction if own is None else own or None

    @property
    def respondent(self) -> Respondent:
        """The model as the engine asks it."""
        called = self.called
        return Respondent(
            called.model,
            self.requests,
            name=called.name,
            base_model=called.billed_model,
            settings=self.requests.asked_as,
        )

    @cached_property
    def paid_answers(self) -> Answers:
        """Answers to the same prompts, asked with the same settings, that the candidate's own evaluation has paid for."""
        candidate = self.called.candidate
        if candidate is None or not self.contestant.answers_as_usual:
            return {}
        name = record_paths.evaluation_answers_path(candidate)
        return answers_to(self._store.bucket, name, prompt_rows(self.examples), settings=self.requests.asked_as)

    @cached_property
    def paid_scores(self) -> dict[str, Score]:
        """Scores that the candidate's own evaluation has paid for, by `score_key`."""
        candidate = self.called.candidate
        if candidate is None or not self.paid_answers:
            return {}
        found: dict[str, Score] = {}
        for row in read_rows(self._store.bucket, evaluation_record.rows_path(candidate)):
            if row.answer is None:
                continue
            one = AnswerToScore(row.prompt, row.answer, row.reference)
            for metric in self.metrics:
                if row.measures.get(metric.name) == metric.fingerprint and metric.name in row.scores:
                    score = Score(row.scores[metric.name], None, row.explanations.get(metric.name))
                    found[score_key(metric, one)] = score
        return found

    @cached_property
    def metrics(self) -> tuple[Metric, ...]:
        """The metrics of the comparison."""
        return self.dataset.evaluation.measured(self._plan.metrics)

    def most_usd(self) -> Decimal:
        """Return the most in USD that its answers and their judge can cost, without those that are paid for.

        Raises:
            NoSuchContestant: it has no model that could be asked.
            UnknownModelError: its model, or the judge, has no price.
        """
        requests = self.requests
        prompts = [one.prompt for number, one in enumerate(self.examples) if number not in self.paid_answers]
        shown = files_before_tokens(self._config, self.dataset, self.called.billed_model) if prompts else 0
        answers = answers_step("comparison", self.rates, requests, prompts, file_tokens=shown)
        judged = [one for number, one in enumerate(self.examples) if not self._is_judged(number, one)]
        tokens = judge_tokens(self.metrics, judged, answer_tokens=requests.usual_judged_tokens)
        assert answers.usd is not None
        return answers.usd + judge_cost(self._config.rates, self.dataset.evaluation, tokens)

    def _is_judged(self, number: int, example: EvaluationExample) -> bool:
        """Return whether this row's answer has its scores of all judged metrics, or needs none."""
        answer = self.paid_answers.get(number)
        if answer is None:
            return False
        if answer.state != "complete":
            return True  # unusable answers are not judged
        one = AnswerToScore(example.prompt, answer.scored_text, example.reference)
        return all(score_key(metric, one) in self.paid_scores for metric in self.metrics if metric.judged)


def _lower_first(text: str) -> str:
    """Return a text with its first letter in lower case, for use within a sentence."""
    return text[:1].lower() + text[1:]
