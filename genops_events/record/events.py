"""Announce each verdict as a CloudEvent 1.0, in the binary mode of a Pub/Sub message.

Attributes have the event's context as `ce-…` (and `content-type`); the payload is the data, JSON in UTF-8.
Id, subject and payload follow from the verdict alone, so a repeated event has the same id.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import JsonValue
from pydantic.json_schema import models_json_schema

from genops_events.record.comparison import ComparisonSummary
from genops_events.record.comparison_plan import folder as comparison_folder
from genops_events.record.document import Announcement, Document
from genops_events.record.holds import HOLDABLE, Hold
from genops_events.record.paths import folder
from genops_events.record.promotion import Rollback
from genops_events.record.stages import STAGES, Outcome, Stage
from genops_events.record.verdicts import VERDICTS, Verdict

_NUMBER = {stage: 10 * number for number, stage in enumerate(Stage, start=1)}
"""Numbers in the order of the cascade, with gaps for further stages."""


def event_type(stage: Stage, outcome: Outcome) -> str:
    """Return the CloudEvents type that announces this outcome.

    The type of a rejection has the word `candidate` in place of a stage: no stage has done any paid work.
    """
    subject = "candidate" if outcome is Outcome.REJECTED else stage
    return f"genops.{subject}.{outcome}.v1"


EVENT_TYPES: dict[str, Stage] = {
    event_type(stage, outcome): stage for stage, facts in STAGES.items() for outcome in facts.outcomes
}
"""Every type that announces a verdict, with its stage."""

HOLD_TYPES: dict[str, Stage] = {f"genops.{stage}.held.v1": stage for stage in HOLDABLE}
"""The types that announce a hold: the stage has no verdict yet, and waits for an approval."""

ROLLED_BACK = f"genops.{Stage.PROMOTION}.rolled_back.v1"
"""The type that announces a rollback: a person gave the champion's place to another candidate."""

COMPARISON_TYPES: dict[str, str] = {
    f"genops.comparison.{outcome}.v1": outcome for outcome in ("completed", "failed", "refused")
}
"""The types that announce the end of a comparison, with its outcome."""

MEANINGS: dict[str, str] = {
    "genops.candidate.rejected.v1": "The training file is not valid, the evaluation or prompt file cannot be used, or tuning was cancelled "
    "before there was a job. Nothing was spent.",
    "genops.tuning.succeeded.v1": "The model is tuned.",
    "genops.evaluation.passed.v1": "Every score reaches the gate.",
    "genops.evaluation.refused.v1": "A score is below the gate, or too many rows have no score.",
    "genops.budget.approved.v1": "What answering the prompts costs is within the limits, or a person approved it.",
    "genops.promotion.promoted.v1": "The candidate is the dataset's champion now.",
    "genops.promotion.held.v1": "The champion stays.",
    ROLLED_BACK: "A person took the champion's place from `candidate` and gave it to `champion`.",
    "genops.inference.completed.v1": "The prompts are answered.",
    "genops.comparison.completed.v1": "A comparison has ended; at least one contestant completed.",
    "genops.comparison.failed.v1": "A comparison has ended, and no contestant completed.",
    "genops.comparison.refused.v1": "A comparison would have gone over a limit: no model was asked.",
}
"""When an event is published, by its type; without the types that every stage has."""


def meaning(kind: str) -> str:
    """Return a sentence that says when an event of this type is published."""
    if (stage := HOLD_TYPES.get(kind)) is not None:
        return f"{stage.capitalize()} would go over a limit. Nothing was spent, and the candidate waits for `genops approve --budget`."
    if (stage := EVENT_TYPES.get(kind)) is not None and kind.endswith(f".{Outcome.FAILED}.v1"):
        return f"{stage.capitalize()} could not be done; `genops retry` lets it go on where that can help."
    return MEANINGS[kind]


def announcement_path(candidate: str, stage: Stage, outcome: Outcome, retries: int = 0) -> str:
    """Return the path of the completion event of a verdict; `retries` is the number of verdicts that were set aside before it."""
    number = f"-{retries}" if retries else ""
    return f"{folder(candidate)}events/{_NUMBER[stage]:02}-{event_type(stage, outcome)}{number}.json"


def hold_announcement_path(candidate: str, stage: Stage, number: int) -> str:
    """Return the path of the completion event of a hold, which comes before that of the stage's verdict."""
    return f"{folder(candidate)}events/{_NUMBER[stage] - 5:02}-genops.{stage}.held.v1-{number}.json"


def comparison_announcement_path(comparison: ComparisonSummary) -> str:
    """Return the path of the completion event of a comparison; each end of it is announced."""
    return f"{comparison_folder(comparison.id)}events/{comparison.number:02}-genops.comparison.{comparison.outcome}.v1.json"


def rollback_announcement_path(rollback: Rollback) -> str:
    """Return the path of the completion event of a rollback; a candidate can be rolled back repeatedly."""
    number = _NUMBER[Stage.PROMOTION] + 5
    return f"{folder(rollback.candidate)}events/{number:02}-{ROLLED_BACK}-{_stamp(rollback)}.json"


def publication_path(event_path: str) -> str:
    """Return the path of the note that an event was published."""
    folder_, _, name = event_path.rpartition("/events/")
    return f"{folder_}/published/{name}"


def event_of_publication(path: str) -> str | None:
    """Return the path of the event whose publication `path` notes, or None where it is no such note."""
    folder_, found, name = path.rpartition("/published/")
    return f"{folder_}/events/{name}" if found else None


def announcement(verdict: Verdict, *, bucket: str, now: datetime) -> Announcement:
    """Return the completion event of `verdict`, ready for the outbox.

    Args:
        verdict: the verdict as recorded.
        bucket: the bucket of the record; part of the event's source.
        now: when the outbox document is written, UTC.
    """
    kind = event_type(verdict.stage, verdict.outcome)
    event_id = f"{verdict.candidate}/{kind}" + (f"/{verdict.retries}" if verdict.retries else "")
    return _announcement(verdict, kind, event_id, at=verdict.ended_at, bucket=bucket, now=now)


def hold_announcement(hold: Hold, *, bucket: str, now: datetime) -> Announcement:
    """Return the completion event of a hold, ready for the outbox; arguments as `announcement`."""
    kind = f"genops.{hold.stage}.held.v1"
    event_id = f"{hold.candidate}/{kind}/{hold.number}"
    return _announcement(hold, kind, event_id, at=hold.held_at, bucket=bucket, now=now)


def comparison_announcement(comparison: ComparisonSummary, *, bucket: str, now: datetime) -> Announcement:
    """Return the completion event of a comparison; its subject is the comparison's id."""
    kind = f"genops.comparison.{comparison.outcome}.v1"
    event_id = f"{comparison.id}/{kind}/{comparison.number}"
    return _announcement(comparison, kind, event_id, at=comparison.ended_at, bucket=bucket, now=now)


def rollback_announcement(rollback: Rollback, *, bucket: str, now: datetime) -> Announcement:
    """Return the completion event of a rollback; its subject is the candidate that has lost its place."""
    event_id = f"{rollback.candidate}/{ROLLED_BACK}/{_stamp(rollback)}"
    return _announcement(rollback, ROLLED_BACK, event_id, at=rollback.written_at, bucket=bucket, now=now)


def _stamp(rollback: Rollback) -> str:
    return f"{rollback.written_at.astimezone(UTC):%Y%m%dT%H%M%S.%f}"


def _announcement(
    document: Document, kind: str, event_id: str, *, at: datetime, bucket: str, now: datetime
) -> Announcement:
    from cloudevents.core.bindings.http import to_binary
    from cloudevents.core.formats.json import JSONFormat
    from cloudevents.core.v1.event import CloudEvent

    data = event_data(document)
    event = CloudEvent(
        attributes={
            "specversion": "1.0",
            "id": event_id,
            "source": f"//storage.googleapis.com/projects/_/buckets/{bucket}/genops",
            "type": kind,
            "subject": document.candidate,
            "time": at,
            "datacontenttype": "application/json",
            "dataschema": schema_id(kind),
        },
        data=data,
    )
    # Of the library's bindings, HTTP has the attribute names of Pub/Sub (`ce-…`, `content-type`).
    attributes = to_binary(event, JSONFormat()).headers
    return Announcement(candidate=document.candidate, written_at=now, attributes=attributes, data=data)


def event_data(document: Document) -> dict[str, Any]:
    """Return the payload of the completion event: the document without the fields that only the record needs."""
    # By way of the text, in which a NaN score is a string, as JSON needs it.
    text = document.model_dump_json(by_alias=True, exclude={"schema_name", "written_at"}, exclude_none=True)
    data: dict[str, Any] = json.loads(text)
    # An unknown cost is null: if it were left out, it could be taken for 0.
    for one in (data, *data.get("contestants", ())) if isinstance(document, Verdict | ComparisonSummary) else ():
        one.setdefault("cost_usd", None)
    # A hold is not a verdict; subscribers can distinguish the two by the type, and by this.
    return {**data, "outcome": str(Outcome.HELD)} if isinstance(document, Hold) else data


def schema_id(kind: str) -> str:
    """Return the URI that names the JSON Schema of `kind`'s data; the schemas ship in `genops_events/schemas/`."""
    return f"urn:genops-events:schema:{kind}"


def data_schema(kind: str) -> dict[str, JsonValue]:
    """Return the JSON Schema (2020-12) of the data of one event type.

    Raises:
        KeyError: there is no such type.
    """
    if kind == ROLLED_BACK:
        required = ["candidate", "dataset", "champion", "by", "reason"]
        return _schema(kind, Rollback, {}, required)
    if (held := HOLD_TYPES.get(kind)) is not None:
        fixed = _fixed(held, Outcome.HELD)
        return _schema(kind, Hold, fixed, {*Hold.model_fields, *fixed})
    if (outcome_ := COMPARISON_TYPES.get(kind)) is not None:
        given = {name for name, one in ComparisonSummary.model_fields.items() if one.is_required()}
        return _schema(kind, ComparisonSummary, {"outcome": {"const": outcome_}}, {*given, "contestants", "cost_usd"})
    stage = EVENT_TYPES[kind]
    outcome = next(one for one in STAGES[stage].outcomes if event_type(stage, one) == kind)
    return _schema(kind, VERDICTS[stage], _fixed(stage, outcome), Verdict.model_fields.keys() - {"retries"})


def _fixed(stage: Stage, outcome: Outcome) -> dict[str, JsonValue]:
    return {"stage": {"const": str(stage)}, "outcome": {"const": str(outcome)}}


def _schema(
    kind: str, model: type[Document], fixed: Mapping[str, JsonValue], required: Collection[str]
) -> dict[str, JsonValue]:
    _, whole = models_json_schema([(model, "serialization")], ref_template="#/$defs/{model}")
    definitions: dict[str, Any] = dict(whole["$defs"])
    schema: dict[str, Any] = definitions.pop(model.__name__)
    properties = {name: value for name, value in schema["properties"].items() if name not in {"schema", "written_at"}}
    properties |= fixed
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": schema_id(kind),
        "title": kind,
        "description": f"Data of the completion event {kind}: {meaning(kind)}",
        "type": "object",
        "properties": _without_null(properties, always=frozenset(required)),
        "required": [*sorted(name for name in required if name in properties)],
        **_definitions(properties, definitions),
    }


def _definitions(properties: Mapping[str, Any], definitions: Mapping[str, Any]) -> dict[str, Any]:
    """Return the definitions that `properties` refer to, under the key `$defs`; an empty dict where there are none."""
    used: dict[str, Any] = {}
    text = json.dumps(properties)
    while new := {name: one for name, one in definitions.items() if name not in used and f'"#/$defs/{name}"' in text}:
        used |= new
        text = json.dumps(new)  # definitions refer to others
    return {"$defs": used} if used else {}


def _without_null(properties: Mapping[str, Any], *, always: Collection[str]) -> dict[str, Any]:
    """Return `properties` without default and null alternative: absent figures are left out; those of `always` are null."""
    plain = {}
    for name, value in properties.items():
        kept = [one for one in value.get("anyOf", []) if one != {"type": "null"} or name in always]
        merged = {**{k: v for k, v in value.items() if k not in {"anyOf", "default"}}}
        if kept:
            merged |= kept[0] if len(kept) == 1 else {"anyOf": kept}
        plain[name] = merged
    return plain


def write_schemas(folder: Path) -> None:
    """Write the JSON Schema of every event type into `folder`; `make schemas` calls this."""
    for kind in (*EVENT_TYPES, *HOLD_TYPES, *COMPARISON_TYPES, ROLLED_BACK):
        text = json.dumps(data_schema(kind), indent=2, ensure_ascii=False)
        (folder / f"{kind}.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    write_schemas(Path(__file__).parents[1] / "schemas")
