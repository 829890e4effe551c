"""What inference leaves in the record beside its verdict, and where."""

from __future__ import annotations

from decimal import Decimal
from typing import ClassVar, Literal

from genops_events.record.document import Document, JobCancellation, JobSubmission
from genops_events.record.paths import folder


class InferencePlan(Document):
    """What is asked, of whom, and how: settled when inference begins, so that a retry goes on with the same."""

    SCHEMA: ClassVar[str] = "genops.inference-plan.v1"

    way: Way
    why: str
    model: str
    """What is asked: an endpoint online, a model for a batch job."""
    rows: int
    """Rows of the prompt file that are not blank."""
    bad_rows: int = 0
    """Rows that cannot be asked."""
    most_usd: Decimal
    """What the answers cost at most."""


class InferenceProgress(Document):
    """How far inference is: overwritten while it works, and no decision depends on it."""

    SCHEMA: ClassVar[str] = "genops.inference-progress.v1"

    state: str
    """In words: `asking`, or the state of the batch job."""
    job: str | None = None
    rows: int = 0
    """Answered or failed."""
    rows_total: int | None = None
    failed: int = 0
    per_minute: int | None = None
    """Rows in the last minute, or since the beginning."""

    @property
    def summary(self) -> str:
        """How far it is, in words: `asking, 4,000 of 10,000 prompts, 3 failed, 5,890 a minute`."""
        parts = [self.state]
        if self.rows_total:
            parts.append(f"{self.rows:,} of {self.rows_total:,} prompts")
        if self.failed:
            parts.append(f"{self.failed:,} failed")
        if self.per_minute:
            parts.append(f"{self.per_minute:,} a minute")
        return ", ".join(parts)


class BatchAttempt(Document):
    """A batch job is about to be submitted: written before the call, since its answer may never come."""

    SCHEMA: ClassVar[str] = "genops.batch-attempt.v1"


class BatchSubmission(JobSubmission):
    """The candidate's batch job is submitted; from here on no other ever is."""

    SCHEMA: ClassVar[str] = "genops.batch-submission.v1"


class BatchCancellation(JobCancellation):
    """A person ended the task that waits for the batch job."""

    SCHEMA: ClassVar[str] = "genops.batch-cancellation.v1"


def plan_path(candidate: str) -> str:
    """Return where it is written what is asked, and how."""
    return f"{folder(candidate)}inference-plan.json"


def progress_path(candidate: str) -> str:
    """Return where it is noted how far inference is."""
    return f"{folder(candidate)}inference-progress.json"


def attempt_path(candidate: str) -> str:
    """Return where it is written that the batch job is about to be submitted."""
    return f"{folder(candidate)}inference-attempt.json"


def submission_path(candidate: str) -> str:
    """Return where the name of the candidate's batch job is recorded."""
    return f"{folder(candidate)}inference-job.json"


def cancellation_path(candidate: str) -> str:
    """Return where it is written that the batch job is not to go on."""
    return f"{folder(candidate)}inference-cancellation.json"


def failures_path(candidate: str) -> str:
    """Return where the rows lie that have no answer: line, reason, what was read."""
    return f"{folder(candidate)}answers/failures.jsonl"


def parts_prefix(candidate: str) -> str:
    """Return where answers lie while inference is under way."""
    return f"{folder(candidate)}answers/answers.parts/"


def batch_input_path(candidate: str) -> str:
    """Return where the batch job's input lies."""
    return f"{folder(candidate)}batch/input.jsonl"


def batch_output_prefix(candidate: str) -> str:
    """Return below which prefix the batch job writes its predictions."""
    return f"{folder(candidate)}batch/output"


Way = Literal["online", "batch"]
