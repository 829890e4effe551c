"""Read a training file once, from the generation that arrived: copy it, validate it, quarantine what is wrong."""

from __future__ import annotations

import tempfile
from dataclasses import asdict
from datetime import UTC, datetime
from typing import IO, TYPE_CHECKING

from genops_events import record
from genops_events.errors import PermanentError
from genops_events.gcp.clients import CALL_TIMEOUT_SECONDS
from genops_events.gcp.errors import google_call
from genops_events.record import Arrival, Validation
from genops_events.training_data import ModelLimits, Problem, TrainingDataValidator

if TYPE_CHECKING:
    from google.cloud.storage import Blob

    from genops_events.gcp.record_store import RecordStore

CHUNK_BYTES = 8 * 1024 * 1024
COPY_TIMEOUT_SECONDS = 300.0


class ObjectGone(PermanentError):
    """The object was deleted or overwritten before it was read."""


def validate_arrival(store: RecordStore, arrival: Arrival, limits: ModelLimits) -> Validation:
    """Validate the training file of `arrival` in constant memory; return what was found, not yet recorded.

    The file is first copied, inside Cloud Storage, to the candidate's folder: what is validated is what is tuned on,
    even when the upload is overwritten or deleted meanwhile. Rejected lines go to the quarantine.

    Raises:
        ObjectGone: this generation of the object is not there any more.
        CloudUnavailable: Cloud Storage does not answer.
    """
    copy = _copy(store, arrival)
    with tempfile.SpooledTemporaryFile(max_size=CHUNK_BYTES) as quarantined:

        def quarantine(problem: Problem) -> None:
            quarantined.write(problem.to_json_line())

        validator = TrainingDataValidator(limits, on_problem=quarantine)
        with google_call(f"read gs://{store.bucket.name}/{copy.name}"), copy.open("rb", chunk_size=CHUNK_BYTES) as file:
            while validator.wants_more and (chunk := file.read(CHUNK_BYTES)):
                validator.feed(chunk)
        report = validator.close()
        if report.problems_total:
            _write_quarantine(store, arrival.candidate, quarantined)
    return Validation(
        candidate=arrival.candidate,
        written_at=datetime.now(UTC),
        valid=report.valid,
        summary=report.summary,
        examples=report.examples,
        lines=report.lines,
        size_bytes=report.size_bytes,
        tokens_estimate=report.tokens_estimate,
        problems_total=report.problems_total,
        problems_by_reason=report.problems_by_reason,
        problems=[asdict(problem) for problem in report.problems],
        warnings=list(report.warnings),
        training_uri=f"gs://{store.bucket.name}/{copy.name}",
    )


def _copy(store: RecordStore, arrival: Arrival) -> Blob:
    from google.api_core.exceptions import NotFound, PreconditionFailed

    source = store.bucket.client.bucket(arrival.bucket).blob(arrival.object, generation=arrival.generation)
    copy = store.bucket.blob(record.training_path(arrival.candidate))
    token = None
    with google_call(f"copy gs://{arrival.bucket}/{arrival.object}"):
        try:
            while True:
                token, _, _ = copy.rewrite(
                    source,
                    token=token,
                    if_generation_match=0,
                    timeout=COPY_TIMEOUT_SECONDS,
                )
                if token is None:
                    return copy
        except PreconditionFailed:
            return copy  # an earlier try made the copy
        except NotFound as error:
            if copy.exists(timeout=CALL_TIMEOUT_SECONDS):
                return copy  # the upload went away after it was copied
            raise ObjectGone(
                f"gs://{arrival.bucket}/{arrival.object} (generation {arrival.generation}) was deleted or "
                "overwritten before it was read.",
                "Upload the file again; leave it in place until its candidate is past validation.",
            ) from error


def _write_quarantine(store: RecordStore, candidate: str, quarantined: IO[bytes]) -> None:
    quarantined.seek(0)
    blob = store.bucket.blob(record.quarantine_path(candidate))
    with google_call(f"write gs://{store.bucket.name}/{blob.name}"):
        # No precondition: a repeated try writes the same lines.
        blob.upload_from_file(quarantined, content_type="application/jsonl", timeout=COPY_TIMEOUT_SECONDS)
