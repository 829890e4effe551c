"""Keep the record in the bucket: documents written once, and shared ones changed by compare-and-set."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, TypeVar

from pydantic import BaseModel, ValidationError

from genops_events.back_off import back_off_seconds
from genops_events.errors import PermanentError, TransientError
from genops_events.gcp.clients import CALL_TIMEOUT_SECONDS, storage_client
from genops_events.gcp.errors import google_call
from genops_events.gcp.streams import read_whole
from genops_events.record import paths as record_paths
from genops_events.record.document import Announcement, Document, Publication
from genops_events.record.events import publication_path
from genops_events.record.holds import stage_rounds
from genops_events.record.promotion import Champion
from genops_events.record.stages import Outcome, Stage
from genops_events.record.verdicts import VERDICTS, Verdict

if TYPE_CHECKING:
    from datetime import datetime

    from google.cloud.storage import Bucket

    from genops_events.config import Config

ModelT = TypeVar("ModelT", bound=BaseModel)
DocumentT = TypeVar("DocumentT", bound=Document)

COMPARE_AND_SET_ATTEMPTS = 60
"""Tries of one change before it is left to a retry of the task: enough for dozens of writers at once."""


class Unreadable(PermanentError):
    """A document of the record is not what its path says."""


class Contended(TransientError):
    """Too many writers changed a shared document at once."""


class RecordStore:
    """The record of all candidates in one bucket.

    Args:
        bucket: the bucket that holds it, as google-cloud-storage gives it.
    """

    def __init__(self, bucket: Bucket) -> None:
        self.bucket = bucket

    @classmethod
    def open(cls, config: Config) -> RecordStore:
        """Return the record in the bucket that `config` names; no call is made."""
        return cls(storage_client(config).bucket(config.bucket))

    def create(self, path: str, document: Document) -> bool:
        """Write `document` unless there is one; return whether this call wrote it.

        A repeated call of a write whose answer was lost returns False: a caller that gets False reads what is there.
        """
        from google.api_core.exceptions import PreconditionFailed

        with google_call(f"write gs://{self.bucket.name}/{path}"):
            try:
                self.bucket.blob(path).upload_from_string(
                    document.to_json(),
                    content_type="application/json",
                    if_generation_match=0,
                    timeout=CALL_TIMEOUT_SECONDS,
                )
            except PreconditionFailed:
                return False
        return True

    def put(self, path: str, document: BaseModel) -> None:
        """Write `document`, whatever is there: for figures that no decision depends on."""
        with google_call(f"write gs://{self.bucket.name}/{path}"):
            self.bucket.blob(path).upload_from_string(
                document.model_dump_json(by_alias=True, indent=2),
                content_type="application/json",
                timeout=CALL_TIMEOUT_SECONDS,
            )

    def create_or_read(self, path: str, document: DocumentT) -> DocumentT:
        """Write `document` unless there is one; return the one that is there now."""
        if self.create(path, document):
            return document
        kept = self.read(path, type(document))
        return document if kept is None else kept

    def read(self, path: str, kind: type[ModelT]) -> ModelT | None:
        """Return the document at `path`, or None where there is none.

        Raises:
            Unreadable: it is there but cannot be read: unreadable is never absent.
        """
        found = self._read(path, kind)
        return None if found is None else found[0]

    def update(
        self,
        path: str,
        kind: type[ModelT],
        change: Callable[[ModelT | None], ModelT | None],
        *,
        metadata: dict[str, str] | None = None,
    ) -> ModelT | None:
        """Change a shared document by compare-and-set; return it as it stands afterwards.

        Args:
            path: where it lies.
            kind: its model.
            change: gets the document (None where there is none), returns the new one, or None to leave it.
                It is called again whenever another writer came first, so it must be free of side effects.
            metadata: of the object that is written; a listing shows it without reading the document.

        Raises:
            Contended: other writers came first `COMPARE_AND_SET_ATTEMPTS` times.
        """
        from google.api_core.exceptions import PreconditionFailed

        for attempt in range(1, COMPARE_AND_SET_ATTEMPTS + 1):
            found = self._read(path, kind)
            before, generation = found if found is not None else (None, 0)
            after = change(before)
            if after is None or after == before:
                return before
            with google_call(f"write gs://{self.bucket.name}/{path}"):
                blob = self.bucket.blob(path)
                blob.metadata = metadata
                try:
                    blob.upload_from_string(
                        after.model_dump_json(by_alias=True, indent=2),
                        content_type="application/json",
                        if_generation_match=generation,
                        timeout=CALL_TIMEOUT_SECONDS,
                    )
                except PreconditionFailed:
                    # Anything up to the bound: who comes in the same moment comes back at different ones.
                    time.sleep(back_off_seconds(attempt, first=0.02, longest=5.0, least_share=0.0))
                    continue
            return after
        raise Contended(
            f"gs://{self.bucket.name}/{path} changed {COMPARE_AND_SET_ATTEMPTS} times while it was being written.",
            "The task is retried.",
        )

    def _read(self, path: str, kind: type[ModelT]) -> tuple[ModelT, int] | None:
        from google.api_core.exceptions import NotFound

        blob = self.bucket.blob(path)
        with google_call(f"read gs://{self.bucket.name}/{path}"):
            try:
                content = read_whole(blob)
            except NotFound:
                return None
        # The download's own headers name the generation that was read: content and precondition belong together.
        try:
            return kind.model_validate_json(content), int(blob.generation)
        except ValidationError as error:
            raise Unreadable(
                f"gs://{self.bucket.name}/{path} is no {kind.__name__}: {error}",
                "Fix or remove the object; nothing else in the record is touched.",
            ) from error

    def verdict(self, candidate: str, stage: Stage) -> Verdict | None:
        """Return the verdict of one stage, or None where it has not ended.

        A failed one that somebody has set aside counts no more: whether that is so is asked only of a failed one.
        """
        verdict = self.read(record_paths.verdict_path(candidate, stage), VERDICTS[stage])
        if verdict is None or verdict.outcome is not Outcome.FAILED:
            return verdict
        names = set(self.names(record_paths.holds_folder(candidate)))
        retries = stage_rounds(names, candidate, stage).retries
        return (
            verdict if not retries else self.read(record_paths.verdict_path(candidate, stage, retries), VERDICTS[stage])
        )

    def champion(self, dataset: str) -> Champion | None:
        """Return the model that `dataset` serves now, or None before its first promotion."""
        return self.read(record_paths.champion_path(dataset), Champion)

    def names(self, prefix: str) -> list[str]:
        """Return the names of all objects under `prefix`, in order."""
        with google_call(f"list gs://{self.bucket.name}/{prefix}"):
            return [
                blob.name
                for blob in self.bucket.list_blobs(
                    prefix=prefix, fields="items(name),nextPageToken", timeout=CALL_TIMEOUT_SECONDS
                )
            ]

    def generations(self, prefix: str, *, delimiter: str | None = None) -> dict[str, int]:
        """Return the generation of each object under `prefix`, by name; with a delimiter, of those right below it alone."""
        with google_call(f"list gs://{self.bucket.name}/{prefix}"):
            return {
                blob.name: int(blob.generation)
                for blob in self.bucket.list_blobs(
                    prefix=prefix,
                    delimiter=delimiter,
                    fields="items(name,generation),nextPageToken",
                    timeout=CALL_TIMEOUT_SECONDS,
                )
            }

    def folders(self, prefix: str) -> list[str]:
        """Return the folders right below `prefix`, in order: `prefix` itself in front, `/` at the end."""
        with google_call(f"list gs://{self.bucket.name}/{prefix}"):
            listing = self.bucket.list_blobs(prefix=prefix, delimiter="/", timeout=CALL_TIMEOUT_SECONDS)
            for _ in listing:
                pass
            return sorted(listing.prefixes)

    def announcements(self, candidate: str | None, *, skip: set[str]) -> Iterator[tuple[str, Announcement]]:
        """Yield path and completion event of one candidate or of all, in the order of their times.

        Of its publication an event has the time alone; `publication` has the rest.

        Args:
            candidate: None for all, those of comparisons too.
            skip: paths that the caller has seen already; they are not read again.
        """
        everybody = [record_paths.CANDIDATES, record_paths.COMPARISONS]
        prefixes = everybody if candidate is None else [record_paths.folder(candidate)]
        written = {name: at for prefix in prefixes for name, at in self._times(prefix).items()}
        paths = [name for name in written if "/events/" in name and name not in skip]
        found = [(path, event) for path in paths if (event := self.read(path, Announcement)) is not None]
        for path, event in sorted(found, key=lambda one: (one[1].attributes["ce-time"], one[0])):
            at = written.get(publication_path(path))
            yield path, event if at is None else event.model_copy(update={"published_at": at})

    def publication(self, event_path: str) -> Publication | None:
        """Return the note that an event was published, or None where there is none."""
        return self.read(publication_path(event_path), Publication)

    def _times(self, prefix: str) -> dict[str, datetime]:
        """Return when each object under `prefix` was written, by name, in their order."""
        fields = "items(name,updated),nextPageToken"
        with google_call(f"list gs://{self.bucket.name}/{prefix}"):
            blobs = self.bucket.list_blobs(prefix=prefix, fields=fields, timeout=CALL_TIMEOUT_SECONDS)
            return {blob.name: blob.updated for blob in blobs}
