"""The documents of the record: those of one candidate, and those that candidates share.

Documents of a candidate are written once. Shared documents (champion, ledger) change by compare-and-set on their
generation. Formats have a version in `schema`; readers ignore fields that they do not know.
The verdicts are in `verdicts`, and all paths in `paths`.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, ClassVar

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator


class Document(BaseModel):
    """The fields that all documents have in common."""

    model_config = ConfigDict(frozen=True, populate_by_name=True, ser_json_inf_nan="strings")

    SCHEMA: ClassVar[str] = "genops.document.v1"

    schema_name: Annotated[str, Field(alias="schema")] = ""
    candidate: str
    """Id of the candidate that the document is about."""
    written_at: AwareDatetime

    @model_validator(mode="before")
    @classmethod
    def _name_schema(cls, values: Any) -> Any:
        return {"schema": cls.SCHEMA, **values} if isinstance(values, dict) else values

    def to_json(self) -> bytes:
        """Return the document as it is stored: UTF-8 JSON, indented for people."""
        return self.model_dump_json(by_alias=True, indent=2).encode()


class JobSubmission(Document):
    """A candidate's job is submitted; no other one is ever submitted after this."""

    job: str
    """Resource name, `projects/…/locations/…/tuningJobs/…` or `…/batchPredictionJobs/…`."""


class JobCancellation(Document):
    """A candidate's job was cancelled."""

    by: str
    """The person who cancelled it, by the identity of the credentials, such as `ada@example.com`; or `Airflow`."""
    reason: str


BY_AIRFLOW = "Airflow"
"""`by` of a job whose task in Airflow was ended, or cleared."""

BY_THE_CLOCK = "genops, by the clock"
"""`by` of a job that took longer than its `timeout_hours`."""


class Announcement(Document):
    """A completion event in the outbox: written with its verdict, then published."""

    SCHEMA: ClassVar[str] = "genops.announcement.v1"

    attributes: dict[str, str]
    """The Pub/Sub message's attributes: CloudEvents 1.0 in binary mode."""
    data: dict[str, Any]
    published_at: datetime | None = None
    """Stored by older versions alone; see `Publication`."""
    message_id: str | None = None


class Publication(Document):
    """A completion event was published, at `written_at`.

    It is no part of the event's own document: Cloud Storage takes one write a second to an object name
    (https://cloud.google.com/storage/quotas, read 2026-11-30), and an event is published at once.
    """

    SCHEMA: ClassVar[str] = "genops.publication.v1"

    message_id: str
    """Of Pub/Sub's message."""
