"""Documents and files of inference beside its verdict, and their paths."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict

from genops_events.record.document import Document, JobCancellation, JobSubmission
from genops_events.record.paths import folder

if TYPE_CHECKING:
    from genops_events.catalogue.prices import Rates


class InferencePlan(Document):
    """The model and the way in which it is asked: settled when inference begins, so that a retry has the same plan."""

    SCHEMA: ClassVar[str] = "genops.inference-plan.v1"

    way: Way
    why: str
    model: str
    """The model that is asked: an endpoint for online calls, a model for a batch job."""
    rows: int
    """Rows of the prompt file that are not blank."""
    bad_rows: int = 0
    """Rows that cannot be asked."""
    most_usd: Decimal
    """The most that the answers can cost."""


class InferenceProgress(Document):
    """Progress of inference, which is overwritten during the run; no decision depends on it."""

    SCHEMA: ClassVar[str] = "genops.inference-progress.v1"

    state: str
    """In words: `asking`, or the state of the batch job."""
    job: str | None = None
    rows: int = 0
    """Answered or failed rows."""
    rows_total: int | None = None
    failed: int = 0
    per_minute: int | None = None
    """Mean number of rows per minute since this run began."""

    @property
    def summary(self) -> str:
        """The progress in words: `asking, 4,000 of 10,000 prompts, 3 failed, 5,890 a minute`."""
        parts = [self.state]
        if self.rows_total:
            parts.append(f"{self.rows:,} of {self.rows_total:,} prompts")
        if self.failed:
            parts.append(f"{self.failed:,} failed")
        if self.per_minute:
            parts.append(f"{self.per_minute:,} a minute")
        return ", ".join(parts)


class KeptCache(BaseModel):
    """A context cache that was made, and is billed for as long as it may be there."""

    model_config = ConfigDict(frozen=True)

    name: str
    """Resource name, `projects/…/locations/…/cachedContents/…`."""
    tokens: int
    made_at: AwareDatetime
    until: AwareDatetime
    """When Vertex AI removes it, as it was last told. Whether one that is removed before is billed till then is not documented
    (https://discuss.ai.google.dev/t/172194, read 2026-12-01): it is counted till then."""

    def cost_usd(self, rates: Rates) -> Decimal:
        """Return what it costs to make and to keep; reading it is billed with each answer."""
        hours = (self.until - self.made_at).total_seconds() / 3600
        return rates.generation_cost(self.tokens, 0) + rates.keeping_cost(self.tokens, hours)


class InferenceCaches(Document):
    """The context caches of a candidate, written as soon as one is made or extended: the cost of all is in the verdict."""

    SCHEMA: ClassVar[str] = "genops.inference-caches.v1"

    caches: tuple[KeptCache, ...] = ()


class BatchAttempt(Document):
    """A batch job is about to be submitted: written before the call, since the answer may be lost."""

    SCHEMA: ClassVar[str] = "genops.batch-attempt.v1"


class BatchSubmission(JobSubmission):
    """The candidate's batch job is submitted; no other one is ever submitted after this."""

    SCHEMA: ClassVar[str] = "genops.batch-submission.v1"


class BatchCancellation(JobCancellation):
    """A person ended the task that waits for the batch job."""

    SCHEMA: ClassVar[str] = "genops.batch-cancellation.v1"


def plan_path(candidate: str) -> str:
    """Return the path of the plan."""
    return f"{folder(candidate)}inference-plan.json"


def progress_path(candidate: str) -> str:
    """Return the path of the progress of inference."""
    return f"{folder(candidate)}inference-progress.json"


def caches_path(candidate: str) -> str:
    """Return the path of the context caches."""
    return f"{folder(candidate)}inference-caches.json"


def attempt_path(candidate: str) -> str:
    """Return the path of the last attempt to submit the batch job."""
    return f"{folder(candidate)}inference-attempt.json"


def submission_path(candidate: str) -> str:
    """Return the path of the name of the candidate's batch job."""
    return f"{folder(candidate)}inference-job.json"


def cancellation_path(candidate: str) -> str:
    """Return the path of the cancellation of the batch job."""
    return f"{folder(candidate)}inference-cancellation.json"


def failures_path(candidate: str) -> str:
    """Return the path of the rows without an answer: line, reason, beginning of the row."""
    return f"{folder(candidate)}answers/failures.jsonl"


def parts_prefix(candidate: str) -> str:
    """Return the prefix of answers during inference."""
    return f"{folder(candidate)}answers/answers.parts/"


def batch_input_path(candidate: str) -> str:
    """Return the path of the batch job's input."""
    return f"{folder(candidate)}batch/input.jsonl"


def batch_output_prefix(candidate: str) -> str:
    """Return the prefix of the batch job's predictions."""
    return f"{folder(candidate)}batch/output"


Way = Literal["online", "batch"]
