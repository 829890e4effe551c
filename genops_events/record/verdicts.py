"""The record's verdicts: how each stage of a candidate ended, with the figures and the reason."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AwareDatetime, Field

from genops_events.record.document import Document
from genops_events.record.evaluation import Answers, Condition, MetricSummary
from genops_events.record.stages import Outcome, Stage


class Verdict(Document):
    """How a stage ended, with the figures and the reason."""

    SCHEMA: ClassVar[str] = "genops.verdict.v1"
    STAGE: ClassVar[Stage]

    dataset: str
    """The dataset of genops.yaml that the candidate belongs to."""
    stage: Stage
    """The stage that ended."""
    outcome: Outcome
    """How it ended."""
    reason: str
    """Why, in a sentence or two."""
    cost_usd: Annotated[Decimal, Field(ge=0, lt=10**15)] | None = Decimal(0)
    """What this stage spent, by the price table; null where nobody knows, as of a job that failed."""
    started_at: AwareDatetime
    """When a Dag run took the stage on."""
    ended_at: AwareDatetime
    """When the verdict was given."""
    retries: int | None = None
    """How many failed verdicts of this stage were set aside before it; None for none."""

    @property
    def told(self) -> str:
        """The reason, and what to do about it where that is known."""
        return self.reason

    def figures(self) -> dict[str, Any]:
        """Return what only this kind of verdict has: JSON values, absent ones left out."""
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
    """What the tuned model is called by."""
    examples: int | None = None
    """Examples that it was tuned on."""
    billable_tokens: int | None = None
    """Tokens of the training file that each epoch is billed for."""
    estimated_usd: Decimal | None = None
    """What was reserved for it, to be held against `cost_usd`."""
    problems: int | None = None
    """What is wrong with a rejected file; at least so many."""
    end: str | None = None
    """How the job ended: succeeded, failed, cancelled, expired, partially_succeeded, vanished or timed_out."""
    error_code: str | None = None
    """Of a failed job, by its canonical name, such as `INVALID_ARGUMENT`."""
    help: str | None = None
    """What to do about a job that did not succeed."""
    epochs: int | None = None
    """Passes over the training file."""
    steps: int | None = None
    """Steps of the job, all epochs together."""
    checkpoint: str | None = None
    """Id of the checkpoint that `endpoint` serves, where the job kept several."""

    @property
    def told(self) -> str:
        """The reason, and what to do about a job that did not succeed."""
        return f"{self.reason} {self.help}" if self.help else self.reason


class EvaluationVerdict(Verdict):
    """Evaluation's verdict: mean score per metric, each condition of the gate, and where rows and report are."""

    SCHEMA: ClassVar[str] = "genops.evaluation.v1"
    STAGE: ClassVar[Stage] = Stage.EVALUATION

    stage: Stage = Stage.EVALUATION
    scores: dict[str, float] = Field(default_factory=dict)
    """Mean of each metric that any row has a score in; of `pairwise`, the share of rows won."""
    estimated_usd: Decimal | None = None
    """What was reserved for it, to be held against `cost_usd`."""
    examples: int | None = None
    """Rows that were asked about: those of the file but for what stands in the training file."""
    metrics: dict[str, MetricSummary] | None = None
    conditions: tuple[Condition, ...] | None = None
    answers: Answers | None = None
    """How many of these were answered, and how many of the answers are none: cut, blocked or empty ones have no score."""
    failed_rows: int | None = None
    """Rows that have no score in some metric."""
    left_out: int | None = None
    """Rows of the evaluation file that stand in the training file, too."""
    champion: str | None = None
    """The candidate that was champion when the evaluation began."""
    judge_calls: int | None = None
    """Calls of the judge model that were made, samples counted."""
    judge_usd: Decimal | None = None
    """The judge's part of `cost_usd`: by an estimate for these calls, since the service tells no usage."""
    rows_uri: str | None = None
    """Every row with its scores, as JSON Lines."""
    report_uri: str | None = None
    """The report for people."""
    input_tokens: int | None = None
    output_tokens: int | None = None


class BudgetVerdict(Verdict):
    """Budget's verdict: what one run of the prompts costs, and what the month has left."""

    SCHEMA: ClassVar[str] = "genops.budget.v1"
    STAGE: ClassVar[Stage] = Stage.BUDGET

    stage: Stage = Stage.BUDGET
    prompts: int | None = None
    """Rows of the prompt file."""
    input_tokens: int | None = None
    """Tokens of all prompts, counted by Vertex AI."""
    billable_characters: int | None = None
    """Their characters but white space."""
    inference_usd: Decimal | None = None
    """The most that answering the prompts can cost."""
    limit_usd: Decimal | None = None
    """The limit on that, `budget.inference_usd` of the dataset."""
    prompts_over: int | None = None
    """How many prompts are over a limit on one prompt, and were let pass by an approval."""
    approved_by: str | None = None
    """Who let it go over a limit."""
    month_committed_usd: Decimal | None = None
    """What the dataset had spent and reserved in the month before."""
    month_limit_usd: Decimal | None = None
    """The limit on that, `budget.monthly_usd` of the dataset."""


class PromotionVerdict(Verdict):
    """Promotion's verdict: who challenged whom, with which scores."""

    SCHEMA: ClassVar[str] = "genops.promotion.v1"
    STAGE: ClassVar[Stage] = Stage.PROMOTION

    stage: Stage = Stage.PROMOTION
    metric: str | None = None
    """The metric that decided."""
    score: float | None = None
    """The candidate's mean in it."""
    champion_before: str | None = None
    """The candidate that was champion until then."""
    champion_score: float | None = None
    """Its mean in the metric."""
    late: bool | None = None
    """Held although it is the better one, since it arrived before the champion, and nobody asked for it."""
    answer: Literal["approved", "rejected"] | None = None
    """What a person said, or what the dataset says for a person who is silent."""
    answered_by: str | None = None
    """Who said so, the identity of the credentials."""
    answer_reason: str | None = None
    """Why, in the words of that person."""


class InferenceVerdict(Verdict):
    """Inference's verdict: where the answers are."""

    SCHEMA: ClassVar[str] = "genops.inference.v1"
    STAGE: ClassVar[Stage] = Stage.INFERENCE

    stage: Stage = Stage.INFERENCE
    prompts: int | None = None
    """Rows of the prompt file."""
    answers_uri: str | None = None
    """The answers, as JSON Lines."""
    estimated_usd: Decimal | None = None
    """What was reserved for it, to be held against `cost_usd`."""
    input_tokens: int | None = None
    output_tokens: int | None = None
    answered: int | None = None
    """Rows that have an answer, those that are blocked, cut or empty too."""
    failed: int | None = None
    """Rows that have none: `failures_uri` says why, row by row."""
    blocked: int | None = None
    """Answers that a filter blocked or that ended for another reason."""
    cut: int | None = None
    """Answers that ended at the longest answer."""
    empty: int | None = None
    """Answers without a text and without a call of a function."""
    failures_uri: str | None = None
    """The rows without an answer, as JSON Lines."""
    way: Literal["online", "batch"] | None = None
    why: str | None = None
    """Why in this way."""
    job: str | None = None
    """The batch prediction job."""
    end: str | None = None
    """How the batch job ended."""
    help: str | None = None
    """What to do where there are no answers."""

    @property
    def told(self) -> str:
        """The reason, and what to do where there are no answers."""
        return f"{self.reason} {self.help}" if self.help else self.reason


VERDICTS: dict[Stage, type[Verdict]] = {
    kind.STAGE: kind for kind in (TuningVerdict, EvaluationVerdict, BudgetVerdict, PromotionVerdict, InferenceVerdict)
}
