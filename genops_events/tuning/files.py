"""Copy the generation of a training file that arrived, validate the copy, and quarantine its invalid lines."""

from __future__ import annotations

import tempfile
from dataclasses import asdict
from datetime import UTC, datetime
from typing import IO, TYPE_CHECKING

from genops_events.catalogue.tuning_models import Method
from genops_events.errors import PermanentError
from genops_events.gcp.clients import CALL_TIMEOUT_SECONDS
from genops_events.gcp.errors import google_call
from genops_events.gcp.streams import CHUNK_BYTES, StoredEncoded, read_object
from genops_events.record import paths as record_paths
from genops_events.record.intake import Arrival
from genops_events.record.tuning import Validation
from genops_events.training.examples import Measure
from genops_events.training.validator import (
    InvalidLines,
    ModelLimits,
    Problem,
    Reason,
    ValidationExamples,
    ValidationReport,
    validate,
    validate_validation_file,
)

if TYPE_CHECKING:
    from google.cloud.storage import Blob

    from genops_events.gcp.record_store import RecordStore

COPY_TIMEOUT_SECONDS = 300.0
_JSONL = "application/jsonl"


class ObjectGone(PermanentError):
    """The object was deleted or overwritten before it was read."""


def validate_arrival(
    store: RecordStore,
    arrival: Arrival,
    limits: ModelLimits,
    *,
    invalid_lines: InvalidLines = "reject",
    validation_file: str | None = None,
    method: Method = "supervised",
    note: str = "",
) -> Validation:
    """Validate the training file of `arrival` in bounded memory; return the findings, not yet recorded.

    The file is first copied, inside Cloud Storage, to the candidate's folder. The copy is validated and tuned on, so it does
    not matter if the upload is overwritten or deleted later. The same goes for the validation file. Invalid lines go
    to the quarantine; with `quarantine` as policy, the valid lines are written to an object of their own.

    After a crash at any point, calling it again gives the same result.

    Args:
        store: the record.
        arrival: the uploaded object.
        limits: of the source model.
        invalid_lines: the dataset's policy.
        validation_file: name of the dataset's validation file in the bucket; an invalid one ends the candidate.
        method: tuning method of the dataset, which decides the format of a line.
        note: a caveat about the estimated cost; empty for none.

    Raises:
        ObjectGone: this generation of the object does not exist any more.
        CloudUnavailable: Cloud Storage does not answer.
    """
    source = store.bucket.client.bucket(arrival.bucket).blob(arrival.object, generation=arrival.generation)
    gone = ObjectGone(
        f"{_uri(source)} (generation {arrival.generation}) was deleted or overwritten before it was read.",
        "Upload the file again; leave it in place until its candidate is past validation.",
    )
    copy = _copy(store, source, record_paths.training_path(arrival.candidate), gone)
    examples, validation_uri = ValidationExamples(), None
    if validation_file is not None:
        refusal, examples, validation_uri = _validation_file(store, arrival, limits, validation_file, method)
        if refusal is not None:
            return refusal
    with tempfile.SpooledTemporaryFile(max_size=CHUNK_BYTES) as quarantined:

        def quarantine(problem: Problem) -> None:
            quarantined.write(problem.to_json_line())

        try:
            report = validate(
                read_object(copy),
                limits=limits,
                on_problem=quarantine,
                invalid_lines=invalid_lines,
                validation=examples,
                method=method,
            )
        except StoredEncoded as error:
            return _stored_encoded(arrival, error, copy, source)
        if report.problems_total:
            _write_quarantine(store, arrival.candidate, quarantined)
    tuned_on = _write_valid_lines(store, arrival.candidate, copy, limits, method) if report.quarantined else copy
    return _validation(arrival, report, training=tuned_on, validation_uri=validation_uri, note=note)


def _validation(
    arrival: Arrival,
    report: ValidationReport,
    *,
    training: Blob | None = None,
    validation_uri: str | None = None,
    about: str = "",
    note: str = "",
) -> Validation:
    return Validation(
        candidate=arrival.candidate,
        written_at=datetime.now(UTC),
        valid=report.valid,
        summary=f"{about}{report.summary}",
        examples=report.examples,
        lines=report.lines,
        lines_checked=report.lines_checked,
        size_bytes=report.size_bytes,
        tokens_estimate=report.tokens_estimate,
        quarantined=report.quarantined,
        duplicates=report.duplicates,
        leaked=report.leaked,
        problems_total=report.problems_total,
        problems_by_reason=report.problems_by_reason,
        problems=[asdict(problem) for problem in report.problems],
        warnings=[*report.warnings, *([f"About the estimated cost: {note}."] if note else [])],
        training_uri=None if training is None else _uri(training),
        validation_uri=validation_uri,
    )


def _stored_encoded(arrival: Arrival, error: StoredEncoded, copy: Blob, source: Blob, *, about: str = "") -> Validation:
    """Return the findings about a file that is stored with a `Content-Encoding`; they name the upload, not its copy."""
    message = f"{error.message} {error.hint}".replace(_uri(copy), _uri(source))
    problem = Problem(None, None, Reason.COMPRESSED, message, "")
    return Validation(
        candidate=arrival.candidate,
        written_at=datetime.now(UTC),
        valid=False,
        summary=f"{about}The file cannot be tuned on. {message}",
        problems_total=1,
        problems_by_reason={problem.reason.value: 1},
        problems=[asdict(problem)],
    )


def _uri(blob: Blob) -> str:
    return f"gs://{blob.bucket.name}/{blob.name}"


def _validation_file(
    store: RecordStore, arrival: Arrival, limits: ModelLimits, name: str, method: Method
) -> tuple[Validation | None, ValidationExamples, str | None]:
    """Return why the validation file cannot be used, or else its examples and the uri of its copy."""
    source = store.bucket.blob(name)
    where = _uri(source)
    gone = ObjectGone(
        f"The validation file {where} is not there, but genops.yaml names it.",
        "Upload it, or fix its name in genops.yaml; then upload the training file again.",
    )
    try:
        copy = _copy(store, source, record_paths.validation_examples_path(arrival.candidate), gone)
    except ObjectGone as error:
        refusal = Validation(
            candidate=arrival.candidate,
            written_at=datetime.now(UTC),
            valid=False,
            summary=f"{error.message} {error.hint}",
            problems_total=1,
        )
        return refusal, ValidationExamples(), None
    about = f"The validation file {where} that genops.yaml names is not valid; the training file was not looked at. "
    try:
        report, examples = validate_validation_file(read_object(copy), limits=limits, method=method)
    except StoredEncoded as error:
        return _stored_encoded(arrival, error, copy, source, about=about), ValidationExamples(), None
    if report.valid:
        return None, examples, _uri(copy)
    return _validation(arrival, report, about=about), examples, None


def _copy(store: RecordStore, source: Blob, path: str, gone: ObjectGone) -> Blob:
    from google.api_core.exceptions import NotFound, PreconditionFailed

    copy = store.bucket.blob(path)
    token = None
    with google_call(f"copy {_uri(source)}"):
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
                return copy  # the upload was deleted after it had been copied
            raise gone from error


def _write_quarantine(store: RecordStore, candidate: str, quarantined: IO[bytes]) -> None:
    quarantined.seek(0)
    blob = store.bucket.blob(record_paths.quarantine_path(candidate))
    with google_call(f"write {_uri(blob)}"):
        # No precondition: another try writes the same lines.
        blob.upload_from_file(quarantined, content_type=_JSONL, timeout=COPY_TIMEOUT_SECONDS)


def _write_valid_lines(store: RecordStore, candidate: str, copy: Blob, limits: ModelLimits, method: Method) -> Blob:
    """Write the valid lines of `copy` to an object of their own.

    A second validation of the file decides which lines those are, so that the first need not keep them in memory.
    """
    blob = store.bucket.blob(record_paths.valid_lines_path(candidate))
    # No precondition, as above. The object appears only when it is complete: an upload that fails leaves none.
    upload = blob.open(
        "wb", chunk_size=CHUNK_BYTES, content_type=_JSONL, ignore_flush=True, timeout=COPY_TIMEOUT_SECONDS
    )
    with google_call(f"write {_uri(blob)}"), upload as file:

        def keep(_line: int, text: bytes, _measure: Measure) -> None:
            file.write(text + b"\n")

        validate(read_object(copy), limits=limits, on_example=keep, invalid_lines="quarantine", method=method)
    return blob
