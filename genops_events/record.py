"""The record: the documents that a candidate leaves in the bucket, and those that candidates share.

Documents of a candidate are written once. Documents that candidates share (champion, ledger) change by
compare-and-set on their generation. Formats carry a version in `schema`; readers ignore fields they do not know.
`verdicts` has the verdicts, `record_paths` says where everything lies.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from genops_events.stages import Stage
from genops_events.storable import MOST_INTEGER


class Document(BaseModel):
    """What all documents have in common."""

    model_config = ConfigDict(frozen=True, populate_by_name=True, ser_json_inf_nan="strings")

    SCHEMA: ClassVar[str] = "genops.document.v1"

    schema_name: Annotated[str, Field(alias="schema")] = ""
    candidate: str
    written_at: AwareDatetime

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
    generation: Annotated[int, Field(ge=1, le=MOST_INTEGER)]
    size_bytes: Annotated[int | None, Field(ge=0, le=MOST_INTEGER)] = None
    arrived_at: AwareDatetime
    """When Cloud Storage finalized the object; when the arrival was recorded, where the object was gone by then."""
    found_by: str
    """`notification`, or `sweep` where the notification was lost."""

    @field_validator("arrived_at")
    @classmethod
    def _never_after_it_was_recorded(cls, value: datetime, info: ValidationInfo) -> datetime:
        """Mend what a notification of the year 9999 left in older records: every later candidate would be late."""
        written_at: datetime | None = info.data.get("written_at")
        if written_at is None:
            return value
        return min(value, written_at)


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
    """With `lines_checked` less than `lines`: at least so many."""
    lines_checked: int | None = None
    """Lines that were looked at before the verdict stood; older documents do not have it."""
    problems_by_reason: dict[str, int] = Field(default_factory=dict)
    problems: list[dict[str, Any]] = Field(default_factory=list)
    """The first 100; the quarantine has up to 10,000."""
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
    started_at: AwareDatetime


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
    """Who, the identity of the credentials, such as `ada@example.com`; or `Airflow`."""
    reason: str
    claimed: str | None = None
    """Who the environment of the command said it was; None where no command did it, and in older documents."""


BY_AIRFLOW = "Airflow"
"""Who wants a job not to go on whose task in Airflow was ended, or cleared."""

BY_THE_CLOCK = "genops, by the clock"
"""Who wants a job not to go on that takes longer than its `timeout_hours`."""


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
    held_at: AwareDatetime
    run_id: str
    """The Dag run that was held."""


class Approval(Document):
    """Somebody lets a held stage go on."""

    SCHEMA: ClassVar[str] = "genops.approval.v1"

    stage: Stage
    number: int
    """Of the hold."""
    by: str
    """Who, the identity of the credentials, such as `ada@example.com`."""
    reason: str
    claimed: str | None = None
    """Who the environment of the command said it was; None where no command did it, and in older documents."""
    approved_usd: Decimal
    """The stage may cost as much, whatever the limits are; more is held again."""
    prompts_over: int = 0
    """So many prompts may be over a limit on one prompt."""


class Return(Document):
    """A sweep lets a stage go on that a Dag run had taken on and not ended: that Dag run is over."""

    SCHEMA: ClassVar[str] = "genops.return.v1"

    stage: Stage
    number: int
    """1 for the first time."""
    round: int
    """The round that begins with it."""
    run_id: str
    """The Dag run that is over."""
    started_at: AwareDatetime
    """When the stage began: its costs stay in the ledger of that month."""
    reason: str


class Retry(Document):
    """Somebody has set a stage's failed verdict aside: the stage goes on from where it stood."""

    SCHEMA: ClassVar[str] = "genops.retry.v1"

    stage: Stage
    number: int
    """1 for the first time; the next verdict bears it in its name."""
    round: int
    """The round that begins with it."""
    by: str
    """Who: the identity of the credentials."""
    claimed: str | None = None
    """Who the environment of the command says it is."""
    reason: str
    failed_because: str
    """The reason of the verdict that is set aside."""
    started_at: AwareDatetime
    """When the stage began: its costs stay in the ledger of that month."""


class FailedTries(Document):
    """Tries of a stage that failed by an error of its own: those that Airflow spent on its own mistakes are not among them."""

    SCHEMA: ClassVar[str] = "genops.failed-tries.v1"

    stage: Stage
    run_id: str
    tries: dict[int, str] = Field(default_factory=dict)
    """By the number of the try: what it failed by."""


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
    claimed: str | None = None
    """Who the environment of the command said it was; None where no command did it, and in older documents."""
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
    promoted_at: AwareDatetime
    predecessor: str | None = None
    earlier: tuple[str, ...] = ()
    """Champions before, the last one first; who died right after becoming one finds itself here."""
    predecessor_score: float | None = None
    predecessor_model: str | None = None
    arrived_at: AwareDatetime | None = None
    """When its training file arrived; None in documents from before this was written."""
    rollback: Rollback | None = None
    """How it came to its place, if by a rollback."""
    unannounced: tuple[Rollback, ...] = ()
    """Rollbacks of which not all is done yet: part of the compare-and-set, so that no crash can come between."""


class Healed(BaseModel):
    """One thing that a sweep mended, and why."""

    model_config = ConfigDict(frozen=True)

    kind: Literal["lost_arrival", "unannounced_verdict", "closed_stage", "returned_stage", "woken_stage"]
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
    """Candidates that wait for a stage and were not woken, by reason: `under_way`, `paused`, `unknown`; and
    stages whose Dag run is over: `resting` before they go on, `being_cancelled`."""
    lost_arrivals: int = 0
    unannounced_verdicts: int = 0
    closed_stages: int = 0
    returned_stages: int = 0
    """Stages that go on, whose Dag run was over without a verdict."""
    woken_stages: int = 0
    healed: tuple[Healed, ...] = ()
    """The first 100."""
    error: str | None = None
    """Why the sweep ended early; None where it did not."""

    def figures(self) -> dict[str, Any]:
        """Return the counts alone, as JSON values."""
        return self.model_dump(mode="json", exclude={"schema_name", "healed"})
