"""Announce each verdict as a CloudEvent 1.0, in the binary mode of a Pub/Sub message.

Attributes carry the event's context as `ce-…` (and `content-type`); the payload is the data, JSON in UTF-8.
Id, subject and payload follow from the verdict alone, so a repeated event is recognised by its id.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import JsonValue
from pydantic.json_schema import models_json_schema

from genops_events.holds import HOLDABLE
from genops_events.record import VERDICTS, Announcement, Document, Hold, Verdict, folder
from genops_events.stages import POSSIBLE, Outcome, Stage

_NUMBER = {stage: 10 * number for number, stage in enumerate(Stage, start=1)}
"""Gaps leave room for stages to come; the order of the numbers is that of the cascade."""


def event_type(stage: Stage, outcome: Outcome) -> str:
    """Return the CloudEvents type that announces this outcome.

    A rejected candidate never reached a stage that its owner knows, so it is the candidate that the type names.
    """
    subject = "candidate" if outcome is Outcome.REJECTED else stage
    return f"genops.{subject}.{outcome}.v1"


EVENT_TYPES: dict[str, Stage] = {event_type(stage, outcome): stage for stage in Stage for outcome in POSSIBLE[stage]}
"""Every type of verdict there is, and the stage whose verdict it announces."""

HOLD_TYPES: dict[str, Stage] = {f"genops.{stage}.held.v1": stage for stage in HOLDABLE}
"""The types that announce a hold: the stage has no verdict yet, and waits for an approval."""


def announcement_path(candidate: str, stage: Stage, outcome: Outcome) -> str:
    """Return where the completion event of a verdict lies in the record."""
    return f"{folder(candidate)}events/{_NUMBER[stage]:02}-{event_type(stage, outcome)}.json"


def hold_announcement_path(candidate: str, stage: Stage, number: int) -> str:
    """Return where the completion event of a hold lies in the record: before that of the stage's verdict."""
    return f"{folder(candidate)}events/{_NUMBER[stage] - 5:02}-genops.{stage}.held.v1-{number}.json"


def hold_announcement(hold: Hold, *, bucket: str, now: datetime) -> Announcement:
    """Return the completion event of `hold`, ready for the outbox; arguments as `announcement`."""
    kind = f"genops.{hold.stage}.held.v1"
    text = hold.model_dump_json(by_alias=True, exclude={"schema_name", "written_at"}, exclude_none=True)
    data = {**json.loads(text), "outcome": str(Outcome.HELD)}
    return _announcement(
        hold.candidate, kind, data, event_id=f"{kind}/{hold.number}", at=hold.held_at, bucket=bucket, now=now
    )


def announcement(verdict: Verdict, *, bucket: str, now: datetime) -> Announcement:
    """Return the completion event of `verdict`, ready for the outbox.

    Args:
        verdict: the verdict as recorded.
        bucket: the bucket that holds the record; part of the event's source.
        now: when the outbox document is written, UTC.
    """
    kind = event_type(verdict.stage, verdict.outcome)
    data = event_data(verdict)
    return _announcement(verdict.candidate, kind, data, event_id=kind, at=verdict.ended_at, bucket=bucket, now=now)


def _announcement(
    candidate: str, kind: str, data: dict[str, Any], *, event_id: str, at: datetime, bucket: str, now: datetime
) -> Announcement:
    from cloudevents.core.bindings.http import to_binary
    from cloudevents.core.formats.json import JSONFormat
    from cloudevents.core.v1.event import CloudEvent

    event = CloudEvent(
        attributes={
            "specversion": "1.0",
            "id": f"{candidate}/{event_id}",
            "source": f"//storage.googleapis.com/projects/_/buckets/{bucket}/genops",
            "type": kind,
            "subject": candidate,
            "time": at,
            "datacontenttype": "application/json",
            "dataschema": schema_id(kind),
        },
        data=data,
    )
    # The HTTP binding is the one of the library whose attribute names (`ce-…`, `content-type`) Pub/Sub shares.
    attributes = to_binary(event, JSONFormat()).headers
    return Announcement(candidate=candidate, written_at=now, attributes=attributes, data=data)


def event_data(verdict: Verdict) -> dict[str, Any]:
    """Return the payload of the completion event: the verdict without what only the record needs."""
    # By way of the text: only there is a score that is no number a string, as JSON needs it.
    text = verdict.model_dump_json(by_alias=True, exclude={"schema_name", "written_at"}, exclude_none=True)
    data: dict[str, Any] = json.loads(text)
    return data


def schema_id(kind: str) -> str:
    """Return the URI that names the JSON Schema of `kind`'s data; the schemas ship in `genops_events/schemas/`."""
    return f"urn:genops-events:schema:{kind}"


def data_schema(kind: str) -> dict[str, JsonValue]:
    """Return the JSON Schema (2020-12) of the data of one event type.

    Raises:
        KeyError: there is no such type.
    """
    stage = HOLD_TYPES.get(kind) or EVENT_TYPES[kind]
    model: type[Document] = Hold if kind in HOLD_TYPES else VERDICTS[stage]
    outcome = Outcome.HELD
    if kind not in HOLD_TYPES:
        outcome = next(one for one in POSSIBLE[stage] if event_type(stage, one) == kind)
    _, whole = models_json_schema([(model, "serialization")], ref_template="#/$defs/{model}")
    definitions: dict[str, Any] = dict(whole["$defs"])
    schema: dict[str, Any] = definitions.pop(model.__name__)
    properties = {name: value for name, value in schema["properties"].items() if name not in {"schema", "written_at"}}
    properties["stage"] = {"const": str(stage)}
    properties["outcome"] = {"const": str(outcome)}
    always = {**Hold.model_fields, "outcome": None} if model is Hold else Verdict.model_fields
    required = [name for name in always if name in properties]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": schema_id(kind),
        "title": kind,
        "description": f"Data of the completion event {kind}.",
        "type": "object",
        "properties": _without_null(properties),
        "required": [*sorted(required)],
    }


def _without_null(properties: Mapping[str, Any]) -> dict[str, Any]:
    """Return `properties` without the null alternative and default: absent figures are left out, never null."""
    plain = {}
    for name, value in properties.items():
        kept = [one for one in value.get("anyOf", []) if one != {"type": "null"}]
        merged = {**{k: v for k, v in value.items() if k not in {"anyOf", "default"}}}
        if kept:
            merged |= kept[0] if len(kept) == 1 else {"anyOf": kept}
        plain[name] = merged
    return plain


def write_schemas(folder: Path) -> None:
    """Write the JSON Schema of every event type into `folder`; `make schemas` calls this."""
    for kind in (*EVENT_TYPES, *HOLD_TYPES):
        text = json.dumps(data_schema(kind), indent=2, ensure_ascii=False)
        (folder / f"{kind}.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    write_schemas(Path(__file__).parent / "schemas")
