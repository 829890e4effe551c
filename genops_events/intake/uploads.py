"""Upload a file into the bucket, and return the id of its candidate."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from genops_events.config.identity import candidate_id
from genops_events.errors import PermanentError
from genops_events.gcp.clients import storage_client
from genops_events.gcp.errors import google_call
from genops_events.intake.admission import Refused, admission

if TYPE_CHECKING:
    from genops_events.config import Config

UPLOAD_TIMEOUT_SECONDS = 300.0


class NotAFile(PermanentError):
    """The path of an upload is not a file."""


class NameIsIgnored(PermanentError):
    """No candidate is made of a file with this name."""


@dataclass(frozen=True, slots=True)
class Upload:
    """An object that was just written, and the id of its candidate."""

    candidate: str
    bucket: str
    object: str
    generation: int


def object_name(file: Path, prefix: str, *, now: datetime) -> str:
    """Return a name under `prefix` that no other upload has: overwriting an object that is not read yet would lose it."""
    return f"{prefix}{now:%Y%m%dT%H%M%S%f}-{file.name}"


def upload(config: Config, file: Path, *, dataset: str, name: str) -> Upload:
    """Write `file` to the bucket; return the object, with the id that its candidate will have.

    Raises:
        NotAFile: `file` does not exist, or is a directory.
        NameIsIgnored: `name` is under a watched prefix, but looks like an upload tool's temporary object.
        CloudRefused: the bucket does not exist, or may not be written to.
    """
    if not file.is_file():
        what = "is a directory" if file.is_dir() else "does not exist"
        raise NotAFile(f"{file} {what}.", "Name one JSONL file, for instance examples/banking77/train.jsonl.")
    refused = admission(config, config.bucket, name) if name.startswith(config.dataset(dataset).prefix) else None
    if isinstance(refused, Refused):
        raise NameIsIgnored(
            f"No candidate would be made of {file.name!a}: {refused.reason}.",
            "Rename the file, for instance to train.jsonl, and upload it again.",
        )
    bucket = storage_client(config).bucket(config.bucket)
    blob = bucket.blob(name)
    with google_call(f"upload to gs://{config.bucket}/{name}"):
        blob.upload_from_filename(str(file), content_type="application/jsonl", timeout=UPLOAD_TIMEOUT_SECONDS)
    generation = int(blob.generation)
    return Upload(
        candidate=candidate_id(dataset, config.bucket, name, generation),
        bucket=config.bucket,
        object=name,
        generation=generation,
    )


def upload_if_absent(config: Config, file: Path, *, name: str) -> bool:
    """Write `file` to the bucket unless an object of that name exists; return whether this call has written it."""
    from google.api_core.exceptions import PreconditionFailed

    blob = storage_client(config).bucket(config.bucket).blob(name)
    with google_call(f"upload to gs://{config.bucket}/{name}"):
        try:
            blob.upload_from_filename(str(file), if_generation_match=0, timeout=UPLOAD_TIMEOUT_SECONDS)
        except PreconditionFailed:
            return False
    return True
