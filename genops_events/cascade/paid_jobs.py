"""Submit a candidate's paid job exactly once, even if the task dies at any point: for tuning jobs and batch jobs alike.

What a crash leaves behind, step by step, and what the retry does:

| died after | in the record | the retry |
|---|---|---|
| the intent | intent | looks for a job by its label, finds none, submits |
| the reservation | and an entry in the ledger, keyed by candidate | the same; reserving again changes nothing |
| the attempt was noted | and the attempt | waits until a job would be listed, looks for it; submits if there is none |
| the input was written (batch jobs) | and the input | the same; writing it again changes nothing |
| the call was sent, or answered | and a job with the candidate's label | waits as above, finds the job by its label, adopts it |
| the job was recorded | and the submission | adopts the recorded job |
| the deferral | and a trigger | nothing to do: another triggerer takes the trigger over |
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Generic, TypeVar

from genops_events.errors import TransientError
from genops_events.gcp.errors import CloudRefused, CloudUnavailable, google_call
from genops_events.record.document import BY_THE_CLOCK, Document, JobCancellation, JobSubmission
from genops_events.waiting.polling import ENDS, JobEnd, key_of

if TYPE_CHECKING:
    from google.genai.types import BatchJob, TuningJob

    from genops_events.cascade.stage_run import StageRun
    from genops_events.config import Config, Dataset
    from genops_events.config.inference import Batch
    from genops_events.config.tuning import Tuning
    from genops_events.gcp.record_store import RecordStore

log = logging.getLogger(__name__)

UNANSWERED = timedelta(minutes=2)
"""Time after an attempt without another submission: the call's timeout of a minute, and the time until a job is listed."""

QUOTA_PAUSE = timedelta(minutes=5)
"""Pause before the next attempt, where the project's quota allows no further job."""

CANCELLED_WITHIN = timedelta(minutes=10)
"""Time that a job which took too long has to end after its cancellation."""

LISTED_AT_ONCE = 100
"""Jobs on a page of a listing: the most that Vertex AI allows, so that a listing without a filter takes few calls."""

_CANCELLING = "JOB_STATE_CANCELLING"
_TOO_MANY = 429
_INVALID = 400
_LONG_AGO = datetime.min.replace(tzinfo=UTC)

NOT_FOUND = 404
"""HTTP status of the answer about a job that Vertex AI does not know."""


class SubmitLater(TransientError):
    """Nothing must be submitted now: the task waits without a worker, and keeps its place.

    Args:
        message: the reason.
        until: when to continue, aware, UTC.
    """

    def __init__(self, message: str, until: datetime) -> None:
        super().__init__(message, f"The task goes on at {until:%H:%M:%S} UTC.")
        self.args = (message, until)
        self.until = until


JobT = TypeVar("JobT", bound="TuningJob | BatchJob")


def end_of(job: TuningJob | BatchJob) -> JobEnd | None:
    """Return how the job has ended; None while it is not in a final state."""
    return None if job.state is None else ENDS.get(job.state.value)


def listed(
    pages: Callable[[str], Iterable[JobT]], asked: str, *, is_own: Callable[[JobT], bool], what: str
) -> list[JobT]:
    """Return the jobs of a listing that are a candidate's own, newest first.

    What Vertex AI's list filters take is documented only in general, and the order of a listing not at all. So a filter that
    is refused is left out, each job is compared here, and the jobs are put into order here.

    Args:
        pages: lists the jobs that match a filter; all of them where that is empty.
        asked: the filter.
        is_own: whether a job is the candidate's.
        what: the call in words for the error text.

    Raises:
        CloudUnavailable, CloudRefused: the jobs cannot be listed.
    """
    try:
        with google_call(what):
            found = [job for job in pages(asked) if is_own(job)]
    except CloudRefused as error:
        if error.status != _INVALID:
            raise
        log.warning("Vertex AI takes no filter, so all jobs are looked through. %s", error)
        with google_call(what):
            found = [job for job in pages("") if is_own(job)]
    return sorted(found, key=lambda job: job.create_time or _LONG_AGO, reverse=True)


def is_ending(job: TuningJob | BatchJob) -> bool:
    """Return whether the job is being cancelled already."""
    return job.state is not None and job.state.value == _CANCELLING


@dataclass(frozen=True, slots=True, kw_only=True)
class PaidJobs(Generic[JobT]):
    """The protocol for jobs of one kind, of which each candidate has exactly one, and all that differs between the kinds."""

    noun: str
    """Name of the kind, for sentences: `tuning job`."""
    settings: str
    """Path of the dataset's settings for waiting in genops.yaml: `tuning`."""
    wait_of: Callable[[Dataset], Tuning | Batch]
    """Returns these settings."""
    find_all: Callable[[Config, str], Sequence[JobT]]
    """Every job with the label of a candidate, newest first."""
    get: Callable[[Config, str], JobT]
    cancel_one: Callable[[Config, str], None]
    attempt: type[Document]
    attempt_path: Callable[[str], str]
    submission: type[JobSubmission]
    submission_path: Callable[[str], str]
    cancellation: type[JobCancellation]
    cancellation_path: Callable[[str], str]

    def limit_of(self, run: StageRun) -> str:
        """Return the time limit of the candidate's job in hours, with its key in genops.yaml."""
        return f"`{self.settings}.timeout_hours` ({self.wait_of(run.dataset).timeout_hours:g})"

    # Records and jobs of a candidate.

    def recorded(self, store: RecordStore, candidate: str) -> JobSubmission | None:
        """Return the recorded job of `candidate`."""
        return store.read(self.submission_path(candidate), self.submission)

    def attempted_at(self, store: RecordStore, candidate: str) -> datetime | None:
        """Return the time of the last attempt to submit the job; None where there was none, and so there is no job."""
        found = store.read(self.attempt_path(candidate), self.attempt)
        return None if found is None else found.written_at

    def cancellation_of(self, store: RecordStore, candidate: str) -> JobCancellation | None:
        """Return the recorded cancellation of `candidate`; None where there is none."""
        return store.read(self.cancellation_path(candidate), self.cancellation)

    def known(self, run: StageRun) -> JobSubmission | None:
        """Return the candidate's job, recorded or found by its label; None where none was submitted.

        Such a job is paid for already, so a lower budget or a higher price does not refuse it any more.
        """
        recorded = self.recorded(run.store, run.candidate)
        if recorded is not None:
            return recorded
        found = self.find_all(run.config, run.candidate)
        return self.record(run, found[0]) if found else None

    def submitted(self, run: StageRun) -> JobSubmission | None:
        """Return the same as `known`, but without a call to Vertex AI where no submission was ever attempted."""
        recorded = self.recorded(run.store, run.candidate)
        if recorded is not None or self.attempted_at(run.store, run.candidate) is None:
            return recorded
        return self.known(run)

    # Submission.

    def submit(
        self, run: StageRun, call: Callable[[], JobT], *, prepare: Callable[[], object] | None = None
    ) -> JobSubmission | None:
        """Submit the candidate's job by `call` and record it. Once a name is recorded, no other job is ever submitted.

        Return None, and submit nothing, if the candidate was cancelled. A cancellation writes its document and then looks
        for an attempt; a submission does it the other way round, so that one of the two always sees the other.

        Args:
            run: of the stage.
            call: submits the job; called once, without the client's retries.
            prepare: writes the input of the job. It may take long, and be repeated.

        Raises:
            SubmitLater: another process may have submitted it just now, or the project's quota allows no further job.
        """
        noted, earlier = self._note_attempt(run)
        # Looked for only now: the listing that showed none may be older than the time in which one would be listed.
        if earlier is not None and (found := self.find_all(run.config, run.candidate)):
            return self.record(run, found[0])
        if prepare is not None:
            prepare()
            # Noted again, since the recorded time must be that of the call.
            self._note_attempt(run, noted=noted)
        if self.cancellation_of(run.store, run.candidate) is not None:
            return None
        try:
            job = call()
        except CloudUnavailable as error:
            until = datetime.now(UTC) + (QUOTA_PAUSE if error.status == _TOO_MANY else UNANSWERED)
            raise SubmitLater(f"{error.message} If there is a job all the same, it is adopted.", until) from error
        return self.record(run, job)

    def is_cancelled_without_job(self, run: StageRun) -> bool:
        """Return whether the candidate was cancelled, and no job was submitted for it.

        Raises:
            SubmitLater: there may be a job that no listing shows yet.
        """
        if self.cancellation_of(run.store, run.candidate) is None:
            return False
        attempted_at = self.attempted_at(run.store, run.candidate)
        if attempted_at is None:
            return True
        if datetime.now(UTC) - attempted_at < UNANSWERED:
            raise self._unanswered(attempted_at)
        return self.known(run) is None  # looked for only now: a listing from before that time decides nothing

    def record(self, run: StageRun, job: JobT) -> JobSubmission:
        """Record `job` as the candidate's, unless another one is already; return the recorded one.

        Where the candidate is cancelled, the job is cancelled, too: whoever cancelled did not find it, since it was not
        submitted or not listed yet.
        """
        assert job.name is not None
        submission = self.submission(candidate=run.candidate, written_at=datetime.now(UTC), job=job.name)
        recorded = run.store.create_or_read(self.submission_path(run.candidate), submission)
        if recorded.job != job.name:
            # Another process has recorded its job first: this one is cancelled.
            self.cancel(run.config, run.store, run.candidate, but=recorded.job, known=job.name)
        if self.cancellation_of(run.store, run.candidate) is not None:
            self.cancel(run.config, run.store, run.candidate)
        return recorded

    def _unanswered(self, attempted_at: datetime) -> SubmitLater:
        return SubmitLater(
            f"A {self.noun} was being submitted a moment ago, and no answer is recorded.", attempted_at + UNANSWERED
        )

    def _note_attempt(self, run: StageRun, *, noted: Document | None = None) -> tuple[Document, Document | None]:
        """Record that the job is about to be submitted; return the note, and the one that another try has left.

        Args:
            run: of the stage.
            noted: what this try has noted before, if anything.

        Raises:
            SubmitLater: the job of that other try may not be listed yet.
        """
        earlier: Document | None = None
        now = datetime.now(UTC)
        own = self.attempt(candidate=run.candidate, written_at=now)

        def change(found: Document | None) -> Document:
            nonlocal earlier
            # `own`: this note was written already, and the answer was lost.
            others = found is not None and found not in (noted, own)
            if found is not None and others and (noted is not None or now - found.written_at < UNANSWERED):
                raise self._unanswered(found.written_at)
            earlier = found if others else earlier
            return own

        run.store.update(self.attempt_path(run.candidate), self.attempt, change)
        return own, earlier

    # Cancellation.

    def ask_to_cancel(
        self, config: Config, store: RecordStore, candidate: str, *, by: str, reason: str, claimed: str | None = None
    ) -> list[str]:
        """Cancel every job of `candidate` that is under way; return their names.

        The cancellation is recorded first, so that a task which submits at this moment finds it right after its call and
        cancels, too. After a crash between the two, the call can be repeated. The verdict names the first who cancelled.

        Args:
            config: project and location.
            store: the record.
            candidate: id.
            by: the person, such as `ada@example.com`.
            reason: a sentence.
            claimed: the person's name by the environment of the command, where that is another one.
        """
        more = {} if claimed is None else {"claimed": claimed}
        cancellation = self.cancellation.model_validate(
            {"candidate": candidate, "written_at": datetime.now(UTC), "by": by, "reason": reason, **more}
        )
        store.create(self.cancellation_path(candidate), cancellation)
        return self.cancel(config, store, candidate)

    def cancel(
        self, config: Config, store: RecordStore, candidate: str, *, but: str | None = None, known: str | None = None
    ) -> list[str]:
        """Cancel every job of `candidate` that is under way and not being cancelled; return their names.

        Args:
            config: project and location.
            store: the record.
            candidate: id.
            but: name of a job that is not cancelled.
            known: name of a further job, which may be in neither the listing nor the record.
        """
        recorded = self.recorded(store, candidate)
        if recorded is None and known is None and self.attempted_at(store, candidate) is None:
            return []
        found = {key_of(job.name): job for job in self.find_all(config, candidate) if job.name is not None}
        for name in (known, None if recorded is None else recorded.job):
            if name is not None and key_of(name) not in found and (unlisted := self._look(config, name)) is not None:
                found[key_of(name)] = unlisted
        cancelled = []
        for key, job in found.items():
            name = job.name
            if name is None or end_of(job) is not None or is_ending(job) or (but is not None and key == key_of(but)):
                continue
            try:
                self.cancel_one(config, name)
            except CloudRefused:
                now = self._look(config, name)
                if now is None or end_of(now) is not None:  # it may have ended just now
                    continue
                raise
            log.info("Asked Vertex AI to cancel %s of %s", name, candidate)
            cancelled.append(name)
        return cancelled

    def cancel_late(self, run: StageRun) -> bool:
        """Cancel a job that is over its time limit; return whether it is still running `CANCELLED_WITHIN` after that.

        The job's own state decides how it has ended: it may succeed in spite of the cancellation.
        """
        cancellation = self.cancellation_of(run.store, run.candidate)
        reason = f"It took longer than {self.limit_of(run)}."
        self.ask_to_cancel(run.config, run.store, run.candidate, by=BY_THE_CLOCK, reason=reason)
        return cancellation is not None and datetime.now(UTC) - cancellation.written_at >= CANCELLED_WITHIN

    def _look(self, config: Config, name: str) -> JobT | None:
        """Return the present state of the job of this name; None where Vertex AI does not know it."""
        try:
            return self.get(config, name)
        except CloudRefused as error:
            if error.status != NOT_FOUND:
                raise
            return None
