"""Inference by a batch prediction job: submitted once, whoever dies, and joined back into the order of the prompts.

As in `submission`, step by step: intent, input, attempt, call, record, deferral. What a crash leaves is found by the next
try: the recorded job, or one of the candidate's display name. Nobody submits within two minutes of a noted attempt.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from genops_events.cascade.stage_run import StageRun
from genops_events.gcp.errors import CloudRefused, CloudUnavailable
from genops_events.gemini.results import write_results
from genops_events.inference import batch_jobs
from genops_events.inference.batch_cancellation import cancel_batches
from genops_events.inference.batch_cancellation import wish_to_cancel as ask_to_cancel
from genops_events.inference.work import Answering
from genops_events.record import inference as places
from genops_events.record.document import BY_THE_CLOCK
from genops_events.record.inference import BatchAttempt, BatchCancellation, BatchSubmission
from genops_events.record.paths import answers_path
from genops_events.record.stages import Outcome
from genops_events.record.verdicts import InferenceVerdict, Verdict
from genops_events.tuning.submission import QUOTA_PAUSE, UNANSWERED, SubmitLater
from genops_events.waiting.jobs import code_name
from genops_events.waiting.polling import ENDS, JobEnd

if TYPE_CHECKING:
    from google.genai.types import BatchJob

log = logging.getLogger(__name__)

CANCELLED_WITHIN = timedelta(minutes=10)
"""How long a job that took too long may take to be cancelled, or to end otherwise."""

_TOO_MANY = 429
_AGAIN = "Upload the training file again."


def known_job(run: StageRun) -> BatchSubmission | None:
    """Return the candidate's batch job, recorded or found by its name; None where none was submitted."""
    recorded = run.store.read(places.submission_path(run.candidate), BatchSubmission)
    if recorded is not None:
        return recorded
    jobs = batch_jobs.find_all(run.config, run.candidate)
    return _recorded(run, jobs[0]) if jobs else None


def wish_to_cancel(run: StageRun) -> BatchCancellation | None:
    """Return who wants the candidate's batch job not to go on; None where nobody does."""
    return run.store.read(places.cancellation_path(run.candidate), BatchCancellation)


def cancelled(run: StageRun) -> Verdict | None:
    """Conclude that inference was cancelled before a batch job was submitted; None where nobody has cancelled it."""
    wish = wish_to_cancel(run)
    if wish is None:
        return None
    reason = f"Cancelled by {wish.by} before a batch job was submitted. {wish.reason}"
    return run.conclude(InferenceVerdict, Outcome.FAILED, reason, end=str(JobEnd.CANCELLED), way="batch")


def submit(answering: Answering) -> BatchSubmission:
    """Write the input, submit the batch job and record it.

    Raises:
        SubmitLater: somebody may have submitted it just now, or the project has no room for it.
    """
    run = answering.run
    noted = _note_attempt(run)
    source = places.batch_input_path(run.candidate)
    batch_jobs.write_input(answering.bucket, source, answering.rows(), answering.requests(None))
    # Writing a long file takes a while: what is said about the moment of the call must be about that moment.
    _note_attempt(run, noted=noted)
    try:
        job = batch_jobs.submit(
            run.config,
            candidate=run.candidate,
            model=answering.plan.model,
            source=run.config.uri(source),
            target=run.config.uri(places.batch_output_prefix(run.candidate)),
        )
    except CloudUnavailable as error:
        until = datetime.now(UTC) + (QUOTA_PAUSE if error.status == _TOO_MANY else UNANSWERED)
        raise SubmitLater(f"{error.message} If there is a job all the same, it is adopted.", until) from error
    submission = _recorded(run, job)
    if wish_to_cancel(run) is not None:  # who asked between our look and the call found no job
        cancel_batches(run.config, run.store, run.candidate)
    return submission


def conclude(answering: Answering, name: str, end: JobEnd) -> Verdict | None:
    """Return the verdict on a batch job that has ended, as it says itself now; None where it goes on."""
    run = answering.run
    if end is JobEnd.VANISHED:
        reason = (
            f"Vertex AI does not know batch job {name} any more: it was deleted, or is in another project or region."
        )
        return _failed(run, end, name, reason)
    try:
        job = batch_jobs.get(run.config, name)
    except CloudRefused as error:
        return _failed(run, end, name, error.message)
    ended = ENDS.get(job.state.value) if job.state is not None else None
    if ended is None:
        if end is JobEnd.TIMED_OUT:
            return _late(answering, name)
        log.warning("%s was seen to have ended as %s, and has not: waiting on", name, end)
        return None
    if ended in {JobEnd.SUCCEEDED, JobEnd.PARTIALLY_SUCCEEDED}:
        return _answers(answering, job, name, ended)
    return _ended_badly(run, job, name, ended)


def _late(answering: Answering, name: str) -> Verdict | None:
    """Cancel a job that outlives its deadline; a verdict only where it has not even ended of that."""
    run, hours = answering.run, answering.inference.batch.timeout_hours
    wish = wish_to_cancel(run)
    if wish is None:
        reason = f"It took longer than `inference.batch.timeout_hours` ({hours:g})."
        ask_to_cancel(run.store, run.candidate, by=BY_THE_CLOCK, reason=reason)
    cancel_batches(run.config, run.store, run.candidate)
    if wish is None or datetime.now(UTC) - wish.written_at < CANCELLED_WITHIN:
        return None
    return _failed(run, JobEnd.TIMED_OUT, name, _too_long(name, hours))


def _answers(answering: Answering, job: BatchJob, name: str, end: JobEnd) -> Verdict:
    info = job.output_info
    rows = batch_jobs.joined(
        answering.bucket,
        None if info is None else info.gcs_output_directory,
        answering.rows(),
        answering.requests(None),
        model=answering.answered_by,
    )
    written = write_results(
        answering.bucket,
        rows,
        answers=answers_path(answering.candidate),
        failures=places.failures_path(answering.candidate),
    )
    if not written.totals.answered and f"{batch_jobs.NO_PREDICTION}." in written.causes:
        # It may have cost all that was reserved: without an answer, and without a refusal, nobody knows.
        where = "anywhere" if info is None else f"below {info.gcs_output_directory}"
        reason = f"Batch job {name} ended as {end}, but its answers were not found {where}."
        return _failed(answering.run, end, name, reason)
    return answering.conclude(written, batch=True, job=name, end=str(end))


def _too_long(name: str, hours: float) -> str:
    return f"Batch job {name} took longer than `inference.batch.timeout_hours` ({hours:g}) and was cancelled."


def _ended_badly(run: StageRun, job: BatchJob, name: str, end: JobEnd) -> Verdict:
    if end is JobEnd.CANCELLED:
        wish = wish_to_cancel(run)
        if wish is not None and wish.by == BY_THE_CLOCK:
            hours = run.dataset.inference.batch.timeout_hours
            return _failed(run, JobEnd.TIMED_OUT, name, _too_long(name, hours))
        who = "in Vertex AI, not by genops" if wish is None else f"by {wish.by}. {wish.reason}"
        return _failed(run, end, name, f"Batch job {name} was cancelled {who}".rstrip(". ") + ".")
    code = job.error.code if job.error is not None else None
    said = job.error.message if job.error is not None and job.error.message else "It gave no reason."
    kind = f"{code_name(code)}: " if code else ""
    return _failed(run, end, name, f"Batch job {name} ended as {end}. {kind}{said}")


def _failed(run: StageRun, end: JobEnd, name: str, reason: str) -> Verdict:
    told = {"job": name, "end": str(end), "way": "batch", "help": _AGAIN}
    return run.conclude(InferenceVerdict, Outcome.FAILED, reason, cost_usd=None, **told)  # what it cost, nobody knows


def _note_attempt(run: StageRun, *, noted: BatchAttempt | None = None) -> BatchAttempt:
    """Note that the job is about to be submitted; `noted` is what this try has noted before, if nobody else has since."""
    now = datetime.now(UTC)
    own = BatchAttempt(candidate=run.candidate, written_at=now)

    def change(found: BatchAttempt | None) -> BatchAttempt:
        # `own`: this very note, whose answer was lost.
        others = found is not None and found not in (noted, own)
        if found is not None and others and (noted is not None or now - found.written_at < UNANSWERED):
            until = found.written_at + UNANSWERED
            raise SubmitLater("A batch job was being submitted a moment ago, and no answer is recorded.", until)
        return own

    run.store.update(places.attempt_path(run.candidate), BatchAttempt, change)
    return own


def _recorded(run: StageRun, job: BatchJob) -> BatchSubmission:
    """Record `job` as the candidate's, unless another one is already; return the recorded one."""
    assert job.name is not None
    mine = BatchSubmission(candidate=run.candidate, written_at=datetime.now(UTC), job=job.name)
    recorded = run.store.create_or_read(places.submission_path(run.candidate), mine)
    if recorded.job != job.name:
        cancel_batches(run.config, run.store, run.candidate, but=recorded.job)  # one job is enough
    return recorded
