"""The verdicts of the record: the outcome of each stage of a candidate, with figures and reason."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AwareDatetime, Field

from genops_events.record.document import Document
from genops_events.record.evaluation import Answers, Condition, MetricSummary
from genops_events.record.stages import Outcome, Stage


class Verdict(Document):
    """The outcome of a stage, with figures and reason."""

    SCHEMA: ClassVar[str] = "genops.verdict.v1"
    STAGE: ClassVar[Stage]

    dataset: str
    """The dataset of genops.yaml that the candidate belongs to."""
    stage: Stage
    """The stage that ended."""
    outcome: Outcome
    """How it ended."""
    reason: str
    """The reason, in a sentence or two."""
    cost_usd: Annotated[Decimal, Field(ge=0, lt=10**15)] | None = Decimal(0)
    """Cost of this stage, by the price table; null where it is unknown, such as that of a failed job."""
    started_at: AwareDatetime
    """When a Dag run took the stage on."""
    ended_at: AwareDatetime
    """When the verdict was given."""
    retries: int | None = None
    """Number of failed verdicts of this stage that were set aside before this one; None for none."""

    @property
    def reason_and_help(self) -> str:
        """The reason, and what to do about it where that is known."""
        return self.reason

    def figures(self) -> dict[str, Any]:
        """Return the fields that only this kind of verdict has, as JSON values, without absent ones."""
        of_all = set(Verdict.model_fields) - {"retries"}
        return self.model_dump(mode="json", exclude=of_all, exclude_none=True)


class TuningVerdict(Verdict):
    """Tuning's verdict; without `endpoint` there is no model that can be called."""

    SCHEMA: ClassVar[str] = "genops.tuning.v1"
    STAGE: ClassVar[Stage] = Stage.TUNING

    stage: Stage = Stage.TUNING
    source_model: str | None = None
    """The model that was tuned."""
    job: str | None = None
    """Resource name of the tuning job."""
    model: str | None = None
    """Resource name of the tuned model's version in the registry."""
    endpoint: str | None = None
    """Endpoint of the tuned model."""
    examples: int | None = None
    """Examples that were tuned on."""
    billable_tokens: int | None = None
    """Billed tokens of the training file, for each epoch."""
    estimated_usd: Decimal | None = None
    """The reserved sum, to be compared with `cost_usd`."""
    problems: int | None = None
    """Least number of problems in a rejected file."""
    end: str | None = None
    """How the job ended: succeeded, failed, cancelled, expired, partially_succeeded, vanished or timed_out."""
    error_code: str | None = None
    """Canonical name of a failed job's error, such as `INVALID_ARGUMENT`."""
    help: str | None = None
    """What to do about a job that did not succeed."""
    epochs: int | None = None
    """Epochs of the job."""
    steps: int | None = None
    """Steps of the job in all epochs."""
    checkpoint: str | None = None
    """Id of the checkpoint that `endpoint` serves, where the job kept several."""

    @property
    def reason_and_help(self) -> str:
        """The reason, and what to do about a job that did not succeed."""
        return f"{self.reason} {self.help}" if self.help else self.reason


class EvaluationVerdict(Verdict):
    """Evaluation's verdict: mean score per metric, each condition of the gate, and the addresses of rows and report."""

    SCHEMA: ClassVar[str] = "genops.evaluation.v1"
    STAGE: ClassVar[Stage] = Stage.EVALUATION

    stage: Stage = Stage.EVALUATION
    scores: dict[str, float] = Field(default_factory=dict)
    """Mean of each metric that any row has a score in; for `pairwise`, the share of rows won."""
    estimated_usd: Decimal | None = None
    """The reserved sum, to be compared with `cost_usd`."""
    examples: int | None = None
    """Rows that were asked: those of the file without those that are in the training file, too."""
    metrics: dict[str, MetricSummary] | None = None
    conditions: tuple[Condition, ...] | None = None
    answers: Answers | None = None
    """Numbers of answered rows and of unusable answers: cut, blocked or empty ones have no score."""
    failed_rows: int | None = None
    """Rows without a score in some metric."""
    left_out: int | None = None
    """Rows of the evaluation file that are in the training file, too."""
    champion: str | None = None
    """The candidate that was champion when the evaluation began."""
    judge_calls: int | None = None
    """Calls of the judge model, one for each sample."""
    judge_usd: Decimal | None = None
    """Estimated cost of these calls, part of `cost_usd`: the service reports no usage."""
    rows_uri: str | None = None
    """Every row with its scores, as JSON Lines."""
    report_uri: str | None = None
    """The report for people."""
    input_tokens: int | None = None
    output_tokens: int | None = None


class BudgetVerdict(Verdict):
    """Budget's verdict: the cost of answering the prompts once, and the money that is left in the month."""

    SCHEMA: ClassVar[str] = "genops.budget.v1"
    STAGE: ClassVar[Stage] = Stage.BUDGET

    stage: Stage = Stage.BUDGET
    prompts: int | None = None
    """Rows of the prompt file."""
    input_tokens: int | None = None
    """Tokens of all prompts, counted by Vertex AI."""
    billable_characters: int | None = None
    """Their characters without white space."""
    inference_usd: Decimal | None = None
    """The most that answering the prompts can cost."""
    limit_usd: Decimal | None = None
    """The limit on that, `budget.inference_usd` of the dataset."""
    prompts_over: int | None = None
    """Number of approved prompts over a limit on one prompt."""
    approved_by: str | None = None
    """The person who approved a cost over a limit."""
    month_committed_usd: Decimal | None = None
    """The sum that the dataset had spent and reserved in this month before."""
    month_limit_usd: Decimal | None = None
    """The limit on that, `budget.monthly_usd` of the dataset."""


class PromotionVerdict(Verdict):
    """Promotion's verdict: candidate and champion with their scores."""

    SCHEMA: ClassVar[str] = "genops.promotion.v1"
    STAGE: ClassVar[Stage] = Stage.PROMOTION

    stage: Stage = Stage.PROMOTION
    metric: str | None = None
    """The metric that decided."""
    score: float | None = None
    """The candidate's mean in this metric."""
    champion_before: str | None = None
    """The candidate that was champion until then."""
    champion_score: float | None = None
    """The champion's mean in this metric."""
    late: bool | None = None
    """Whether the candidate is held in spite of a better score, since it arrived before the champion and was not approved."""
    answer: Literal["approved", "rejected"] | None = None
    """The person's answer; after a timeout, that of `promotion.on_timeout`."""
    answered_by: str | None = None
    """The person, by the identity of the credentials or as Airflow's user; `nobody` after a timeout."""
    answer_reason: str | None = None
    """The person's reason."""


class InferenceVerdict(Verdict):
    """Inference's verdict: numbers of answers, their cost, and their address."""

    SCHEMA: ClassVar[str] = "genops.inference.v1"
    STAGE: ClassVar[Stage] = Stage.INFERENCE

    stage: Stage = Stage.INFERENCE
    prompts: int | None = None
    """Rows of the prompt file."""
    answers_uri: str | None = None
    """The answers, as JSON Lines."""
    estimated_usd: Decimal | None = None
    """The reserved sum, to be compared with `cost_usd`."""
    input_tokens: int | None = None
    output_tokens: int | None = None
    answered: int | None = None
    """Rows with an answer, including blocked, cut and empty ones."""
    failed: int | None = None
    """Rows without an answer: `failures_uri` has the reason of each."""
    blocked: int | None = None
    """Answers that a filter stopped, or that ended before their own end for another reason."""
    cut: int | None = None
    """Answers that were cut at the longest answer."""
    empty: int | None = None
    """Answers without text and without a function call."""
    failures_uri: str | None = None
    """The rows without an answer, as JSON Lines."""
    way: Literal["online", "batch"] | None = None
    why: str | None = None
    """Why this way was chosen."""
    job: str | None = None
    """Resource name of the batch prediction job."""
    end: str | None = None
    """How the batch job ended."""
    help: str | None = None
    """What to do where there are no answers."""

    @property
    def reason_and_help(self) -> str:
        """The reason, and what to do where there are no answers."""
        return f"{self.reason} {self.help}" if self.help else self.reason


VERDICTS: dict[Stage, type[Verdict]] = {
    kind.STAGE: kind for kind in (TuningVerdict, EvaluationVerdict, BudgetVerdict, PromotionVerdict, InferenceVerdict)
}
