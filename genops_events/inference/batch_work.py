"""Inference by a batch prediction job: write its input, submit it, and sort its answers into the order of the prompts."""

from __future__ import annotations

from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING

from genops_events.cascade import job_ends
from genops_events.cascade.stage_run import StageRun
from genops_events.gemini.results import WrittenRows, write_results
from genops_events.inference import batch_jobs
from genops_events.inference.batch_jobs import BATCH_JOBS
from genops_events.inference.batch_output import NO_PREDICTION, joined
from genops_events.inference.work import CandidateInference
from genops_events.record import inference as places
from genops_events.record.paths import answers_path
from genops_events.record.stages import Outcome
from genops_events.record.verdicts import InferenceVerdict, Verdict
from genops_events.waiting.polling import JobEnd

if TYPE_CHECKING:
    from google.genai.types import BatchJob

    from genops_events.record.document import JobSubmission

_AGAIN = "Upload the training file again."


def cancelled(run: StageRun) -> Verdict | None:
    """Conclude that inference was cancelled before a batch job was submitted; None where it was not cancelled."""
    cancellation = BATCH_JOBS.cancellation_of(run.store, run.candidate)
    if cancellation is None:
        return None
    reason = job_ends.cancelled_before(BATCH_JOBS, cancellation)
    figures = {"end": str(JobEnd.CANCELLED), "way": "batch", "cost_usd": Decimal(0)}
    return run.conclude(InferenceVerdict, Outcome.FAILED, reason, **figures)


def submit(inference: CandidateInference) -> JobSubmission | None:
    """Write the input, submit the batch job and record it, as `PaidJobs.submit` does."""
    run = inference.run
    source = places.batch_input_path(run.candidate)

    def prepare() -> None:
        batch_jobs.write_input(inference.bucket, source, inference.rows(), inference.requests(None))

    def call() -> BatchJob:
        return batch_jobs.submit(
            run.config,
            candidate=run.candidate,
            model=inference.plan.model,
            source=run.config.uri(source),
            target=run.config.uri(places.batch_output_prefix(run.candidate)),
        )

    return BATCH_JOBS.submit(run, call, prepare=prepare)


def conclude(inference: CandidateInference, name: str, seen: JobEnd) -> Verdict | None:
    """Return the verdict on a batch job that has ended, as `job_ends.conclude` does."""

    def failed(end: JobEnd, reason: str) -> Verdict:
        return _failed(inference.run, end, name, reason)

    return job_ends.conclude(
        BATCH_JOBS, inference.run, name, seen, ended=partial(_ended, inference, name), failed=failed
    )


def _ended(inference: CandidateInference, name: str, job: BatchJob, end: JobEnd) -> Verdict:
    written = _write_answers(inference, job)
    if end in {JobEnd.SUCCEEDED, JobEnd.PARTIALLY_SUCCEEDED}:
        if not written.totals.answered and f"{NO_PREDICTION}." in written.causes:
            # The cost is unknown, up to all that was reserved: there is neither an answer nor a refusal.
            reason = (
                f"Batch job {name} ended as {end}, but its answers were not found below {_directory(inference, job)}."
            )
            return _failed(inference.run, end, name, reason)
        return inference.conclude(written, batch=True, job=name, end=str(end))
    run = inference.run
    end, reason = job_ends.ended_badly(BATCH_JOBS, run, job, end, BATCH_JOBS.cancellation_of(run.store, run.candidate))
    if not written.totals.answered:
        return _failed(run, end, name, reason)
    # Finished rows are written and billed, no matter how the job has ended.
    return inference.conclude(
        written, batch=True, remark=reason, is_unwanted=end is JobEnd.CANCELLED, job=name, end=str(end)
    )


def _directory(inference: CandidateInference, job: BatchJob) -> str:
    """Return the gs:// address of the job's output: that of the job, or the prefix that it was submitted with."""
    info = job.output_info
    directory = None if info is None else info.gcs_output_directory
    return directory or inference.run.config.uri(places.batch_output_prefix(inference.candidate))


def _write_answers(inference: CandidateInference, job: BatchJob) -> WrittenRows:
    rows = joined(
        inference.bucket,
        _directory(inference, job),
        inference.rows(),
        inference.requests(None),
        model=inference.answered_by,
    )
    return write_results(
        inference.bucket,
        rows,
        answers=answers_path(inference.candidate),
        failures=places.failures_path(inference.candidate),
    )


def _failed(run: StageRun, end: JobEnd, name: str, reason: str) -> Verdict:
    return run.conclude(InferenceVerdict, Outcome.FAILED, reason, job=name, end=str(end), way="batch", help=_AGAIN)
