"""The record: every document that a candidate leaves in the bucket, and where it lies.

Documents of a candidate are written once. Documents that candidates share (champion, ledger) change by
compare-and-set on their generation. Formats carry a version in `schema`; readers ignore fields they do not know.
"""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from genops_events.evaluation_summary import Condition, MetricSummary
from genops_events.stages import Outcome, Stage

ROOT = "genops/"
"""Everything that genops-events writes lies below this prefix, outside every watched one."""

CANDIDATES = f"{ROOT}candidates/"

QUEUE = f"{ROOT}queue/"
"""A marker of each candidate that waits for a place for its tuning job."""

OPEN = f"{ROOT}open/"
"""A copy of each arrival whose candidate is not settled yet: all that a sweep has to look at."""


class Document(BaseModel):
    """What all documents have in common."""

    model_config = ConfigDict(frozen=True, populate_by_name=True, ser_json_inf_nan="strings")

    SCHEMA: ClassVar[str] = "genops.document.v1"

    schema_name: Annotated[str, Field(alias="schema")] = ""
    candidate: str
    written_at: datetime

    @model_validator(mode="before")
    @classmethod
    def _name_schema(cls, values: Any) -> Any:
        return {"schema": cls.SCHEMA, **values} if isinstance(values, dict) else values

    def to_json(self) -> bytes:
        """Return the document as it is stored: UTF-8 JSON, indented for people."""
        return self.model_dump_json(by_alias=True, indent=2).encode()


class Arrival(Document):
    """One finalized object under a watched prefix has become this candidate."""

    SCHEMA: ClassVar[str] = "genops.arrival.v1"

    dataset: str
    bucket: str
    object: str
    generation: int
    size_bytes: int | None = None
    arrived_at: datetime
    """When Cloud Storage finalized the object."""
    found_by: str
    """`notification`, or `sweep` where the notification was lost."""


class Validation(Document):
    """What validation found in the training file."""

    SCHEMA: ClassVar[str] = "genops.validation.v1"

    valid: bool
    summary: str
    """One sentence: what is wrong and what to do, or how much there is."""
    examples: int = 0
    lines: int = 0
    size_bytes: int = 0
    tokens_estimate: int = 0
    quarantined: int = 0
    """Lines that are left out of what is tuned on."""
    duplicates: int = 0
    """Examples that repeat an earlier one."""
    leaked: int = 0
    """Examples that are in the validation file, too."""
    problems_total: int = 0
    problems_by_reason: dict[str, int] = Field(default_factory=dict)
    problems: list[dict[str, Any]] = Field(default_factory=list)
    """The first 100; the quarantine has every rejected line."""
    warnings: list[str] = Field(default_factory=list)
    training_uri: str | None = None
    """`gs://` uri of what tuning reads: the copy that was validated, or its valid lines, whatever happens to the upload."""
    validation_uri: str | None = None
    """`gs://` uri of the copy of the dataset's validation file that was validated."""

    @property
    def tuned_on(self) -> str:
        """How much of the file is tuned on, in words: `770 examples`, or `97 of 100 examples (3 invalid lines …)`."""
        if not self.quarantined:
            return f"{self.examples:,} example" + ("" if self.examples == 1 else "s")
        lines = "invalid line" if self.quarantined == 1 else "invalid lines"
        total = self.examples + self.quarantined
        return f"{self.examples:,} of {total:,} examples ({self.quarantined:,} {lines} in quarantine)"


class Intent(Document):
    """A Dag run has taken on a stage: written before the stage's first paid call."""

    SCHEMA: ClassVar[str] = "genops.intent.v1"

    stage: Stage
    run_id: str
    """The Airflow Dag run that owns the stage; only a retry of it goes on after a crash."""
    started_at: datetime


class Attempt(Document):
    """A tuning job is about to be submitted: written before the call, since its answer may never come."""

    SCHEMA: ClassVar[str] = "genops.attempt.v1"


class Submission(Document):
    """The candidate's tuning job is submitted; from here on no other ever is."""

    SCHEMA: ClassVar[str] = "genops.submission.v1"

    job: str
    """Resource name, `projects/…/locations/…/tuningJobs/…`."""


class Queued(Document):
    """The candidate is valid and paid for, and waits for one of the project's places for tuning jobs."""

    SCHEMA: ClassVar[str] = "genops.queued.v1"


class Cancellation(Document):
    """Somebody wants the candidate's tuning job not to go on."""

    SCHEMA: ClassVar[str] = "genops.cancellation.v1"

    by: str
    """Who, such as `ada@laptop` or `Airflow`."""
    reason: str


class Hold(Document):
    """A stage would go over a limit, and waits for somebody to approve that: nothing was spent."""

    SCHEMA: ClassVar[str] = "genops.hold.v1"

    stage: Stage
    number: int
    """1 for the first time."""
    dataset: str
    reason: str
    """What it would cost, which limits are in the way, how much is missing."""
    help: str
    """What to do about it."""
    asked_usd: Decimal
    missing_usd: Decimal
    """How much the limits would have to be higher; 0 where only prompts are too long."""
    limits: tuple[str, ...]
    """Keys of genops.yaml that are in the way."""
    prompts_over: int = 0
    """How many prompts are over a limit on one prompt."""
    lines: tuple[dict[str, Any], ...] = ()
    """The first 100 of these prompts: line, id, figure and limit."""
    held_at: datetime
    run_id: str
    """The Dag run that was held."""


class Approval(Document):
    """Somebody lets a held stage go on."""

    SCHEMA: ClassVar[str] = "genops.approval.v1"

    stage: Stage
    number: int
    """Of the hold."""
    by: str
    """Who, such as `ada@laptop`."""
    reason: str
    approved_usd: Decimal
    """The stage may cost as much, whatever the limits are; more is held again."""
    prompts_over: int = 0
    """So many prompts may be over a limit on one prompt."""


class Progress(Document):
    """How far the tuning job is, as the triggerer saw it last: overwritten while it waits, nobody decides by it."""

    SCHEMA: ClassVar[str] = "genops.progress.v1"

    job: str | None = None
    """None where it waits to be submitted."""
    state: str
    """In words: `tuning`, `waiting for capacity`, `paused`."""
    epochs: int | None = None
    epochs_total: int | None = None
    steps: int | None = None
    steps_total: int | None = None
    tokens: int | None = None
    """Billable tokens of the training file."""
    expected_end_at: datetime | None = None

    @property
    def summary(self) -> str:
        """How far it is, in words: `tuning, epoch 1 of 3, step 96 of 144, ends about 12:31 UTC`."""
        parts = [self.state]
        if self.epochs is not None and self.epochs_total:
            parts.append(f"epoch {min(self.epochs + 1, self.epochs_total)} of {self.epochs_total}")
        if self.steps is not None and self.steps_total:
            parts.append(f"step {self.steps:,} of {self.steps_total:,}")
        if self.tokens is not None:
            parts.append(f"{self.tokens:,} tokens an epoch")
        if self.expected_end_at is not None:
            parts.append(f"ends about {self.expected_end_at:%H:%M:%S} UTC")
        return ", ".join(parts)


class Verdict(Document):
    """How a stage ended, with the figures and the reason."""

    SCHEMA: ClassVar[str] = "genops.verdict.v1"
    STAGE: ClassVar[Stage]

    dataset: str
    stage: Stage
    outcome: Outcome
    reason: str
    cost_usd: Decimal = Decimal(0)
    """What this stage spent, by the price table."""
    started_at: datetime
    ended_at: datetime

    @property
    def told(self) -> str:
        """The reason, and what to do about it where that is known."""
        return self.reason

    def figures(self) -> dict[str, Any]:
        """Return what only this kind of verdict has: JSON values, absent ones left out."""
        return self.model_dump(mode="json", exclude=set(Verdict.model_fields), exclude_none=True)


class TuningVerdict(Verdict):
    """Tuning's verdict; without `endpoint` there is no model."""

    SCHEMA: ClassVar[str] = "genops.tuning.v1"
    STAGE: ClassVar[Stage] = Stage.TUNING

    stage: Stage = Stage.TUNING
    source_model: str | None = None
    job: str | None = None
    model: str | None = None
    endpoint: str | None = None
    examples: int | None = None
    billable_tokens: int | None = None
    estimated_usd: Decimal | None = None
    problems: int | None = None
    end: str | None = None
    """How the job ended: succeeded, failed, cancelled, expired, partially_succeeded, vanished or timed_out."""
    error_code: str | None = None
    """Of a failed job, by its canonical name, such as `INVALID_ARGUMENT`."""
    help: str | None = None
    """What to do about a job that did not succeed."""
    epochs: int | None = None
    steps: int | None = None
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
    report_uri: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None


class BudgetVerdict(Verdict):
    """Budget's verdict: what one run of the prompts costs, and what the month has left."""

    SCHEMA: ClassVar[str] = "genops.budget.v1"
    STAGE: ClassVar[Stage] = Stage.BUDGET

    stage: Stage = Stage.BUDGET
    prompts: int | None = None
    input_tokens: int | None = None
    billable_characters: int | None = None
    inference_usd: Decimal | None = None
    limit_usd: Decimal | None = None
    prompts_over: int | None = None
    """How many prompts are over a limit on one prompt, and were let pass by an approval."""
    approved_by: str | None = None
    """Who let it go over a limit."""
    month_committed_usd: Decimal | None = None
    month_limit_usd: Decimal | None = None


class PromotionVerdict(Verdict):
    """Promotion's verdict: who challenged whom, with which scores."""

    SCHEMA: ClassVar[str] = "genops.promotion.v1"
    STAGE: ClassVar[Stage] = Stage.PROMOTION

    stage: Stage = Stage.PROMOTION
    metric: str | None = None
    score: float | None = None
    champion_before: str | None = None
    champion_score: float | None = None
    late: bool | None = None
    """Held although it is the better one, since it arrived before the champion, and nobody asked for it."""
    answer: Literal["approved", "rejected"] | None = None
    """What a person said, or what the dataset says for a person who is silent."""
    answered_by: str | None = None
    answer_reason: str | None = None


class InferenceVerdict(Verdict):
    """Inference's verdict: where the answers are."""

    SCHEMA: ClassVar[str] = "genops.inference.v1"
    STAGE: ClassVar[Stage] = Stage.INFERENCE

    stage: Stage = Stage.INFERENCE
    prompts: int | None = None
    answers_uri: str | None = None
    estimated_usd: Decimal | None = None
    """What was reserved for it, to be held against `cost_usd`."""
    input_tokens: int | None = None
    output_tokens: int | None = None


VERDICTS: dict[Stage, type[Verdict]] = {
    kind.STAGE: kind for kind in (TuningVerdict, EvaluationVerdict, BudgetVerdict, PromotionVerdict, InferenceVerdict)
}


class Announcement(Document):
    """A completion event in the outbox: written with its verdict, then published, then marked."""

    SCHEMA: ClassVar[str] = "genops.announcement.v1"

    attributes: dict[str, str]
    """The Pub/Sub message's attributes: CloudEvents 1.0 in binary mode."""
    data: dict[str, Any]
    published_at: datetime | None = None
    message_id: str | None = None


class Rollback(Document):
    """Somebody took a dataset's champion (`candidate`) from its place and gave it to another one."""

    SCHEMA: ClassVar[str] = "genops.rollback.v1"

    dataset: str
    champion: str
    """The candidate that is champion since."""
    by: str
    reason: str
    metric: str | None = None
    score: float | None = None
    """Of the candidate that was taken back."""
    champion_score: float | None = None


class Champion(Document):
    """The model that a dataset serves now. `candidate` is the one that it came from."""

    SCHEMA: ClassVar[str] = "genops.champion.v1"

    dataset: str
    model: str
    endpoint: str
    checkpoint: str | None = None
    """Id of the checkpoint behind `endpoint`, where the model has several: what tuning it further starts from."""
    metric: str
    score: float
    scores: dict[str, float]
    promoted_at: datetime
    predecessor: str | None = None
    earlier: tuple[str, ...] = ()
    """Champions before, the last one first; who died right after becoming one finds itself here."""
    predecessor_score: float | None = None
    predecessor_model: str | None = None
    arrived_at: datetime | None = None
    """When its training file arrived; None in documents from before this was written."""
    rollback: Rollback | None = None
    """How it came to its place, if by a rollback."""
    unannounced: tuple[Rollback, ...] = ()
    """Rollbacks of which not all is done yet: part of the compare-and-set, so that no crash can come between."""


class Healed(BaseModel):
    """One thing that a sweep mended, and why."""

    model_config = ConfigDict(frozen=True)

    kind: Literal["lost_arrival", "unannounced_verdict", "closed_stage", "woken_stage"]
    candidate: str
    stage: Stage | None = None
    """None for an arrival."""
    reason: str


class Sweep(BaseModel):
    """What the last sweep saw and mended; each sweep overwrites it, and `genops doctor` judges by it."""

    model_config = ConfigDict(frozen=True, populate_by_name=True)

    schema_name: Annotated[str, Field(alias="schema")] = "genops.sweep.v1"
    run_id: str
    """The Dag run of genops_intake that swept."""
    started_at: datetime
    ended_at: datetime
    next_due_at: datetime
    sweep_minutes: int
    """`intake.sweep_minutes` as it was then."""
    objects: int = 0
    """Objects under watched prefixes that were looked at."""
    reached_end: bool = False
    """Whether the listing came to its end; the next sweep goes on at `stands_at` if not."""
    stands_at: str | None = None
    """`dataset: object name` of the last object that was looked at."""
    open_candidates: int = 0
    """Candidates that are not settled yet."""
    left_alone: dict[str, int] = Field(default_factory=dict)
    """Candidates that wait for a stage and were not woken, by reason: `under_way`, `paused`, `unknown`."""
    lost_arrivals: int = 0
    unannounced_verdicts: int = 0
    closed_stages: int = 0
    woken_stages: int = 0
    healed: tuple[Healed, ...] = ()
    """The first 100."""
    error: str | None = None
    """Why the sweep ended early; None where it did not."""

    def figures(self) -> dict[str, Any]:
        """Return the counts alone, as JSON values."""
        return self.model_dump(mode="json", exclude={"schema_name", "healed"})


def folder(candidate: str) -> str:
    """Return the prefix of everything that is about `candidate`."""
    return f"{CANDIDATES}{candidate}/"


def arrival_path(candidate: str) -> str:
    """Return where the arrival of `candidate` is recorded."""
    return f"{folder(candidate)}arrival.json"


def open_path(candidate: str) -> str:
    """Return where the copy of the arrival lies for as long as `candidate` is not settled."""
    return f"{OPEN}{candidate}.json"


def sweep_path() -> str:
    """Return where the last sweep's figures lie."""
    return f"{ROOT}intake/sweep.json"


def validation_path(candidate: str) -> str:
    """Return where the findings about the training file are recorded."""
    return f"{folder(candidate)}validation.json"


def training_path(candidate: str) -> str:
    """Return where the validated copy of the training file lies."""
    return f"{folder(candidate)}training.jsonl"


def valid_lines_path(candidate: str) -> str:
    """Return where the valid lines of a training file lie, if some of its lines are quarantined."""
    return f"{folder(candidate)}training-valid.jsonl"


def validation_examples_path(candidate: str) -> str:
    """Return where the copy of the dataset's validation file lies that belongs to `candidate`."""
    return f"{folder(candidate)}validation-examples.jsonl"


def quarantine_path(candidate: str) -> str:
    """Return where the rejected lines lie: line number, reason, what was read."""
    return f"{folder(candidate)}quarantine.jsonl"


def intent_path(candidate: str, stage: Stage, round_: int = 0) -> str:
    """Return where a Dag run writes that it has taken on `stage`; each release of a held stage begins a new round."""
    return f"{folder(candidate)}{stage}-intent{f'-{round_}' if round_ else ''}.json"


def prompts_over_path(candidate: str) -> str:
    """Return where every prompt that is over a limit is listed: line, id, figure, limit."""
    return f"{folder(candidate)}prompts-over.jsonl"


def holds_folder(candidate: str) -> str:
    """Return the prefix of the holds of `candidate`, and of their approvals."""
    return f"{folder(candidate)}holds/"


def hold_path(candidate: str, stage: Stage, number: int) -> str:
    """Return where it is written that `stage` waits for an approval, for the first time (1) or once more."""
    return f"{holds_folder(candidate)}{stage}-{number}.json"


def approval_path(candidate: str, stage: Stage, number: int) -> str:
    """Return where the approval of the hold of this number is recorded."""
    return f"{holds_folder(candidate)}{stage}-{number}-approval.json"


def submission_path(candidate: str) -> str:
    """Return where the name of the candidate's tuning job is recorded."""
    return f"{folder(candidate)}tuning-job.json"


def attempt_path(candidate: str) -> str:
    """Return where it is written that the tuning job is about to be submitted."""
    return f"{folder(candidate)}tuning-attempt.json"


def progress_path(candidate: str) -> str:
    """Return where the triggerer notes how far the tuning job is."""
    return f"{folder(candidate)}tuning-progress.json"


def cancellation_path(candidate: str) -> str:
    """Return where it is written that the tuning job is to be cancelled."""
    return f"{folder(candidate)}cancellation.json"


def queued_path(candidate: str, since: datetime) -> str:
    """Return where the marker lies for as long as the candidate waits for a place for its tuning job; sorted by `since`."""
    return f"{QUEUE}{since.astimezone(UTC):%Y%m%dT%H%M%S.%f}-{candidate}.json"


def verdict_path(candidate: str, stage: Stage) -> str:
    """Return where the verdict of `stage` is recorded."""
    return f"{folder(candidate)}{stage}.json"


def answers_path(candidate: str) -> str:
    """Return where the answers to the dataset's prompts lie."""
    return f"{folder(candidate)}answers/answers.jsonl"


def evaluation_answers_path(candidate: str) -> str:
    """Return where the answers to the evaluation prompts lie."""
    return f"{folder(candidate)}answers/evaluation.jsonl"


def champion_path(dataset: str) -> str:
    """Return where the champion of `dataset` is recorded."""
    return f"{ROOT}datasets/{dataset}/champion.json"


def rollback_path(rollback: Rollback) -> str:
    """Return where a rollback is recorded, beside its dataset's champion; sorted by time."""
    at = rollback.written_at.astimezone(UTC)
    return f"{ROOT}datasets/{rollback.dataset}/rollbacks/{at:%Y%m%dT%H%M%S.%f}-{rollback.candidate}.json"


def ledger_path(month: str) -> str:
    """Return where the ledger of `month` (`yyyy-mm`) lies."""
    return f"{ROOT}ledger/{month}.json"
