"""Read candidates from the record: one, all, or one repeatedly, for which only changed documents are fetched again."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, TypeVar

from pydantic import BaseModel

from genops_events.errors import PermanentError
from genops_events.record import paths as record_paths
from genops_events.record.candidates import Candidate
from genops_events.record.holds import Approval, Hold, Intent, stage_rounds
from genops_events.record.inference import InferenceProgress
from genops_events.record.inference import progress_path as inference_progress_path
from genops_events.record.intake import Arrival
from genops_events.record.promotion import PersonsAnswer, Question, answer_path, question_path
from genops_events.record.retries import Retry
from genops_events.record.stages import Stage
from genops_events.record.tuning import Cancellation, TuningProgress
from genops_events.record.verdicts import VERDICTS
from genops_events.waiting import queue

if TYPE_CHECKING:
    from genops_events.gcp.record_store import RecordStore
    from genops_events.record.promotion import Champion
    from genops_events.record.verdicts import Verdict

ModelT = TypeVar("ModelT", bound=BaseModel)

OUTSIDE_SECONDS = 5.0
"""Greatest age in seconds of what is read outside the candidate's folder: the queue, and the champion."""


def read_candidate(store: RecordStore, candidate: str) -> Candidate | None:
    """Return the candidate with all its documents; None where the record does not know it."""
    return CandidateReader(store).look(candidate)


def read_candidates(
    store: RecordStore, *, unreadable: Callable[[str, PermanentError], None] | None = None
) -> Iterator[Candidate]:
    """Yield every candidate of the record, in the order of their ids.

    Args:
        store: the record.
        unreadable: called for each candidate that cannot be read, which is then left out; if None, such a candidate raises.

    Raises:
        Unreadable: a document is not of the kind that its path says, and `unreadable` is None.
    """
    reader = CandidateReader(store)
    for folder in store.folders(record_paths.CANDIDATES):
        candidate = folder.removeprefix(record_paths.CANDIDATES).rstrip("/")
        try:
            found = reader.look(candidate)
        except PermanentError as error:
            if unreadable is None:
                raise
            unreadable(candidate, error)
            continue
        if found is not None:
            yield found


class CandidateReader:
    """Reads candidates from the record.

    Reading an unchanged candidate again takes one call, which lists its folder. Every `OUTSIDE_SECONDS`, the champion
    is read again, and the queue is listed for a candidate that may wait in it.

    Args:
        store: the record.
        clock: seconds, monotonic.
    """

    def __init__(self, store: RecordStore, clock: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._clock = clock
        self._candidate = ""
        self._generations: dict[str, int] = {}
        self._documents: dict[str, tuple[int, BaseModel]] = {}
        self._champions: dict[str, tuple[float, Champion | None]] = {}
        self._queue: tuple[float, list[str]] | None = None

    def look(self, candidate: str) -> Candidate | None:
        """Return the candidate with all its documents; None where the record does not know it.

        Raises:
            Unreadable: a document is not of the kind that its path says.
            CloudUnavailable: Cloud Storage does not answer.
        """
        generations = self._store.generations(record_paths.folder(candidate))
        is_same = candidate == self._candidate
        has_changed = is_same and generations != self._generations
        if not is_same:
            self._documents.clear()
        self._candidate, self._generations = candidate, generations
        arrival = self._read(record_paths.arrival_path(candidate), Arrival)
        if arrival is None:
            return None
        intents: dict[Stage, Intent] = {}
        verdicts: dict[Stage, Verdict] = {}
        holds: dict[Stage, Hold] = {}
        approvals: dict[Stage, Approval] = {}
        retries: dict[Stage, Retry] = {}
        rounds_by_stage = {stage: stage_rounds(generations, candidate, stage) for stage in Stage}
        at = record_paths.verdict_path(candidate, Stage.PROMOTION, rounds_by_stage[Stage.PROMOTION].retries)
        promoted = at in generations
        for stage, rounds in rounds_by_stage.items():
            path = record_paths.verdict_path(candidate, stage, rounds.retries)
            verdict = self._read(path, VERDICTS[stage])
            if verdict is not None:
                verdicts[stage] = verdict
                continue
            if rounds.retries:
                retry = self._read(record_paths.retry_path(candidate, stage, rounds.retries), Retry)
                retries |= {} if retry is None else {stage: retry}
            if rounds.is_held and (stage is Stage.INFERENCE or not promoted):
                hold = self._read(record_paths.hold_path(candidate, stage, rounds.holds), Hold)
                holds |= {} if hold is None else {stage: hold}
            elif rounds.released:
                approval = self._read(record_paths.approval_path(candidate, stage, rounds.released), Approval)
                approvals |= {} if approval is None else {stage: approval}
            intent = self._read(record_paths.intent_path(candidate, stage, rounds.round), Intent)
            if intent is not None:
                intents[stage] = intent
        tunes = Stage.TUNING not in verdicts
        champion = self._champion(arrival.dataset, oldest_seconds=0 if has_changed else OUTSIDE_SECONDS)
        return Candidate(
            arrival=arrival,
            intents=intents,
            verdicts=verdicts,
            champion=None if champion is None else champion.candidate,
            progress=self._read(record_paths.progress_path(candidate), TuningProgress) if tunes else None,
            inference_progress=None
            if Stage.INFERENCE in verdicts
            else self._read(inference_progress_path(candidate), InferenceProgress),
            queued_behind=self._queued_behind(candidate) if tunes and self._may_wait(candidate) else None,
            holds=holds,
            approvals=approvals,
            retries=retries,
            cancellation=self._read(record_paths.cancellation_path(candidate), Cancellation) if tunes else None,
            question=None if promoted else self._read(question_path(candidate), Question),
            answer=None if promoted else self._read(answer_path(candidate), PersonsAnswer),
        )

    def _read(self, path: str, kind: type[ModelT]) -> ModelT | None:
        """Return a document of the listed folder; it is fetched only if its generation has changed."""
        generation = self._generations.get(path)
        if generation is None:
            return None
        known = self._documents.get(path)
        if known is not None and known[0] == generation and isinstance(known[1], kind):
            return known[1]
        document = self._store.read(path, kind)
        if document is not None:  # None if it was removed after the listing
            self._documents[path] = (generation, document)
        return document

    def _champion(self, dataset: str, *, oldest_seconds: float) -> Champion | None:
        now = self._clock()
        known = self._champions.get(dataset)
        if known is None or now - known[0] >= oldest_seconds:
            known = self._champions[dataset] = (now, self._store.champion(dataset))
        return known[1]

    def _may_wait(self, candidate: str) -> bool:
        """Return whether the candidate is between validation and the submission of its job."""
        submitted = (record_paths.attempt_path(candidate), record_paths.submission_path(candidate))
        return record_paths.validation_path(candidate) in self._generations and not any(
            path in self._generations for path in submitted
        )

    def _queued_behind(self, candidate: str) -> int | None:
        now = self._clock()
        if self._queue is None or now - self._queue[0] >= OUTSIDE_SECONDS:
            self._queue = (now, queue.waiting(self._store))
        return self._queue[1].index(candidate) if candidate in self._queue[1] else None
