"""Set a candidate's failed verdict aside, so that the stage goes on from where it stood: what is paid for is not paid again.

Verdict and completion event stay where they are, and stay true. The next verdict is written beside them, and its event has
an id of its own. What a crash leaves behind, step by step, and who goes on:

| died after | what is there | who goes on |
|---|---|---|
| the marker was written anew | a marker of a settled candidate | the next sweep deletes it |
| the retry was written | `holds/<stage>-retry-<n>.json`: a round that no Dag run has taken on | a sweep, once nothing has moved for patience; or `genops retry` again |
| the marker was noted | and `released` on the marker | the next sweep, at once |
| a sweep noted a wake-up | marker without `released` | a sweep after another patience |
| a Dag run took the stage on | and the intent of the round | Airflow's retry; else a sweep lets it go on once more |
| a stage reserved again | and an entry in the ledger | the same; reserving again changes nothing |
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from genops_events.cascade.paid_jobs import NOT_FOUND, end_of
from genops_events.gcp.errors import CloudRefused
from genops_events.gcp.outbox import was_published
from genops_events.inference.batch_jobs import BATCH_JOBS
from genops_events.intake.open_candidates import note_release
from genops_events.record import holds
from genops_events.record import paths as record_paths
from genops_events.record.document import BY_AIRFLOW, BY_THE_CLOCK
from genops_events.record.events import announcement_path
from genops_events.record.promotion import Pruned, pruned_path
from genops_events.record.retries import Retry
from genops_events.record.stages import Outcome, Stage
from genops_events.tuning.jobs import TUNING_JOBS, find
from genops_events.waiting.polling import JobEnd

if TYPE_CHECKING:
    from genops_events.config import Config
    from genops_events.gcp.record_store import RecordStore
    from genops_events.record.candidates import Candidate
    from genops_events.record.verdicts import Verdict

_ANEW = "Upload the file again to tune anew."
_OWN_ENDS = {JobEnd.FAILED, JobEnd.CANCELLED, JobEnd.EXPIRED, JobEnd.VANISHED}
"""How a job can end so that going on would find the same end: there is one job for a candidate, and no other."""


@dataclass(frozen=True, slots=True)
class NotRetried:
    """Why a candidate does not go on, and what to do instead."""

    text: str


def retry(
    config: Config, store: RecordStore, found: Candidate, *, by: str, reason: str, claimed: str | None = None
) -> tuple[Retry, ...] | NotRetried:
    """Set every failed verdict of a candidate aside; return how that is recorded: the first who asks is the one who counts.

    Nothing is changed where any of its failures is its own: where its job has ended badly, or a person has cancelled it.

    Args:
        config: project and location.
        store: the record.
        found: the candidate, which has failed.
        by: who asks: the identity of the credentials.
        reason: why, a sentence.
        claimed: who the environment of the command says it is.

    Raises:
        CloudUnavailable: its job, or the record, cannot be asked. Nothing, or not everything, is changed: ask again.
    """
    failed = [one for one in found.verdicts.values() if one.outcome is Outcome.FAILED]
    names = set(store.names(record_paths.folder(found.id)))
    for verdict in failed:
        why = _why_not(config, store, verdict)
        if why is not None:
            return NotRetried(why)
    reopen(store, found)
    made = tuple(_set_aside(store, names, one, by=by, reason=reason, claimed=claimed) for one in failed)
    reopen(store, found)
    return made


def reopen(store: RecordStore, found: Candidate) -> None:
    """Let sweeps look at the candidate again, and wake it without patience."""
    store.create(record_paths.open_path(found.id), found.arrival)  # a settled candidate has none
    note_release(store, found.id)


def _set_aside(
    store: RecordStore, names: set[str], verdict: Verdict, *, by: str, reason: str, claimed: str | None
) -> Retry:
    rounds = holds.stage_rounds(names, verdict.candidate, verdict.stage)
    mine = Retry(
        candidate=verdict.candidate,
        written_at=datetime.now(UTC),
        stage=verdict.stage,
        number=rounds.retries + 1,
        round=rounds.round + 1,
        by=by,
        claimed=claimed,
        reason=reason,
        failed_because=verdict.reason,
        started_at=verdict.started_at,
    )
    return store.create_or_read(record_paths.retry_path(verdict.candidate, verdict.stage, mine.number), mine)


def _why_not(config: Config, store: RecordStore, verdict: Verdict) -> str | None:
    """Return why a stage cannot go on from where it stood, and what to do instead; None where it can."""
    candidate, stage = verdict.candidate, verdict.stage
    if not was_published(store, announcement_path(candidate, stage, verdict.outcome, verdict.retries or 0)):
        return (
            f"That {stage} of {candidate} has failed is not announced yet, and the events of a candidate come in order. "
            "Ask again in a moment; a sweep announces what was left."
        )
    if stage is not Stage.TUNING and (pruned := store.read(pruned_path(candidate), Pruned)) is not None:
        return f"{pruned.by} has taken the model of {candidate} away with `genops prune`. {_ANEW}"
    if stage is Stage.TUNING:
        return _tuning_is_over(config, store, candidate)
    return _batch_is_over(config, store, candidate) if stage is Stage.INFERENCE else None


def _tuning_is_over(config: Config, store: RecordStore, candidate: str) -> str | None:
    recorded = TUNING_JOBS.recorded(store, candidate)
    try:
        job = find(config, candidate) if recorded is None else TUNING_JOBS.get(config, recorded.job)
    except CloudRefused as error:
        if recorded is None or error.status != NOT_FOUND:
            raise
        return f"Vertex AI does not know tuning job {recorded.job} of {candidate} any more. {_ANEW}"
    cancellation = TUNING_JOBS.cancellation_of(store, candidate)
    end = None if job is None else end_of(job)
    by_a_person = cancellation is not None and cancellation.by not in {BY_AIRFLOW, BY_THE_CLOCK}
    if cancellation is not None and (job is None or end is None or (by_a_person and end is JobEnd.SUCCEEDED)):
        return f"{candidate} was cancelled by {cancellation.by}: {cancellation.reason} {_ANEW}"
    if job is None or end is None or end is JobEnd.SUCCEEDED:
        return None
    who = (
        f" by {cancellation.by}: {cancellation.reason}" if cancellation is not None and end is JobEnd.CANCELLED else "."
    )
    return f"Tuning job {job.name} of {candidate} has ended as {_words(end)}{who} A candidate has one job, and no other. {_ANEW}"


def _batch_is_over(config: Config, store: RecordStore, candidate: str) -> str | None:
    recorded = BATCH_JOBS.recorded(store, candidate)
    if recorded is None and BATCH_JOBS.attempted_at(store, candidate) is None:
        return None
    again = "Its model is champion; let it answer with `genops ask`, or upload the training file again."
    try:
        found = BATCH_JOBS.find_all(config, candidate) if recorded is None else [BATCH_JOBS.get(config, recorded.job)]
    except CloudRefused as error:
        if error.status != NOT_FOUND:
            raise
        return f"Vertex AI does not know the batch job of {candidate} any more. {again}"
    end = end_of(found[0]) if found else None
    cancellation = BATCH_JOBS.cancellation_of(store, candidate)
    if cancellation is not None and end is None:
        return f"The batch job of {candidate} was cancelled by {cancellation.by}: {cancellation.reason} {again}"
    if end not in _OWN_ENDS:
        return None
    return f"Batch job {found[0].name} of {candidate} has ended as {_words(end)}. A candidate has one job, and no other. {again}"


def _words(end: JobEnd) -> str:
    return str(end).replace("_", " ")
