"""Documents of tuning: validation, attempt and submission, place in the queue, progress, cancellation."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar

from pydantic import Field

from genops_events.record.document import Document, JobCancellation, JobSubmission


class Validation(Document):
    """The findings of validation in the training file."""

    SCHEMA: ClassVar[str] = "genops.validation.v1"

    valid: bool
    summary: str
    """One sentence: the error and its remedy, or the number of examples."""
    examples: int = 0
    lines: int = 0
    size_bytes: int = 0
    tokens_estimate: int = 0
    quarantined: int = 0
    """Invalid lines that are not tuned on."""
    duplicates: int = 0
    """Examples that repeat an earlier one."""
    leaked: int = 0
    """Examples that are in the validation file, too."""
    problems_total: int = 0
    """Number of problems; a lower bound if `lines_checked` is less than `lines`."""
    lines_checked: int | None = None
    """Lines that were checked until the result was certain; older documents do not have it."""
    problems_by_reason: dict[str, int] = Field(default_factory=dict)
    problems: list[dict[str, Any]] = Field(default_factory=list)
    """The first 100 problems; the quarantine has up to 10,000."""
    warnings: list[str] = Field(default_factory=list)
    training_uri: str | None = None
    """`gs://` uri of the file that is tuned on: the validated copy of the upload, or its valid lines."""
    validation_uri: str | None = None
    """`gs://` uri of the copy of the dataset's validation file that was validated."""

    @property
    def tuned_on(self) -> str:
        """The number of examples that are tuned on, in words: `770 examples`, or `97 of 100 examples (3 invalid lines …)`."""
        if not self.quarantined:
            return f"{self.examples:,} example" + ("" if self.examples == 1 else "s")
        lines = "invalid line" if self.quarantined == 1 else "invalid lines"
        total = self.examples + self.quarantined
        return f"{self.examples:,} of {total:,} examples ({self.quarantined:,} {lines} in quarantine)"


class Attempt(Document):
    """A tuning job is about to be submitted: written before the call, since the answer may be lost."""

    SCHEMA: ClassVar[str] = "genops.attempt.v1"


class Submission(JobSubmission):
    """The candidate's tuning job is submitted; no other one is ever submitted after this."""

    SCHEMA: ClassVar[str] = "genops.submission.v1"


class Queued(Document):
    """The candidate is valid and paid for, and waits for one of the project's places for tuning jobs."""

    SCHEMA: ClassVar[str] = "genops.queued.v1"


class Cancellation(JobCancellation):
    """The candidate's tuning job was cancelled."""

    SCHEMA: ClassVar[str] = "genops.cancellation.v1"

    claimed: str | None = None
    """The person by the environment of the command; None where no command did it, and in older documents."""


class TuningProgress(Document):
    """Progress of the tuning job, as the triggerer saw it last, which is overwritten during the wait; no decision depends on it."""

    SCHEMA: ClassVar[str] = "genops.progress.v1"

    job: str | None = None
    """None before the job is submitted."""
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
        """The progress in words: `tuning, epoch 1 of 3, step 96 of 144, ends about 12:31 UTC`."""
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
