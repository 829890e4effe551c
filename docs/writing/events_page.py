"""The page about completion events: every type, when it is published, and the fields of its data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from pydantic import BaseModel

from docs.writing.field_docs import field_docs, first_sentence, models_below
from docs.writing.json_schemas import OWN_KEYS, anchor, in_words, parts_of, unwrapped
from docs.writing.markdown import code, page, table
from genops_events.record.comparison import ComparisonSummary
from genops_events.record.events import (
    COMPARISON_TYPES,
    EVENT_TYPES,
    HOLD_TYPES,
    ROLLED_BACK,
    data_schema,
    meaning,
)
from genops_events.record.holds import Hold
from genops_events.record.promotion import Rollback
from genops_events.record.stages import Stage
from genops_events.record.verdicts import VERDICTS, Verdict

INTRODUCTION = """
Each verdict is a [CloudEvent 1.0](https://cloudevents.io) on the Pub/Sub topic `genops-completions` (`topics.completions` of genops.yaml), in the
binary mode of a message: attributes `ce-type`, `ce-id`, `ce-subject`, …, and the data as JSON. Subject and ordering key are the candidate id; a
repeated event has the same `ce-id`. [How to subscribe](../how-to/subscribe.md).

The JSON Schema of each type ships with the package, in `genops_events/schemas/`. What is not known is left out, but for `cost_usd`, which is null: never 0. Amounts in US
dollars are decimal numbers as texts, times are those of RFC 3339, in UTC.
"""
SHOWN: tuple[type[BaseModel], ...] = (*VERDICTS.values(), Hold, Rollback, ComparisonSummary)
COMMON = sorted(Verdict.model_fields.keys() - {"schema_name", "written_at"})


def _types(kinds: Sequence[str]) -> str:
    return table(["type", "when"], [[code(kind), meaning(kind)] for kind in kinds])


def fields_table(
    properties: Mapping[str, Any], docs: Mapping[str, str], required: Sequence[str], *, where: str = ""
) -> str:
    """Return the table of a document's fields.

    Args:
        properties: of its JSON Schema.
        docs: what the code says about them, by name.
        required: the names of those that are always there.
        where: the page that has the objects within, from the page that has the table.
    """
    rows = [
        [code(name), docs.get(name, ""), _holds(name, unwrapped(shape), where), "always" if name in required else ""]
        for name, shape in properties.items()
    ]
    return table(["field", "what", "holds", "there"], rows)


def _holds(name: str, shape: dict[str, Any], where: str) -> str:
    if name in {"stage", "outcome"} and not where:
        return "as the type says"
    if shape.get("format") == "date-time":
        return "time"
    found = [name for _, name in parts_of(shape) if name in objects_within()]
    return in_words(shape).replace(OWN_KEYS, f"[{found[0]}]({where}#{anchor(found[0])})" if found else "an object")


def _section(title: str, kinds: Sequence[str], model: type[BaseModel], *, but: Sequence[str] = ()) -> str:
    """Return the section of the types whose data is of this model; `but` is said elsewhere."""
    schema: dict[str, Any] = data_schema(kinds[0])
    own = {name: one for name, one in schema["properties"].items() if name not in but}
    required = [name for name in schema["required"] if name not in but]
    return f"## {title}\n\n{_types(kinds)}\n{fields_table(own, field_docs(model), required)}"


@cache
def objects_within() -> dict[str, type[BaseModel]]:
    """Return by name the models of the objects that events hold."""
    return {below.__name__: below for one in SHOWN for below in models_below(one)}


def _definition(model: type[BaseModel]) -> str:
    schema = model.model_json_schema(mode="serialization")
    fields = fields_table(schema["properties"], field_docs(model), schema.get("required", []))
    return f"### {model.__name__}\n\n{first_sentence(model.__doc__)}\n\n{fields}"


def events_page() -> str:
    """Return the page about every type of completion event."""
    stages = [
        _section(stage.capitalize(), [kind for kind, one in EVENT_TYPES.items() if one is stage], model, but=COMMON)
        for stage, model in VERDICTS.items()
    ]
    some: dict[str, Any] = data_schema(next(kind for kind, stage in EVENT_TYPES.items() if stage is Stage.TUNING))
    common = {name: one for name, one in some["properties"].items() if name in COMMON}
    return page(
        "Completion events",
        INTRODUCTION,
        f"## Every verdict\n\n{fields_table(common, field_docs(Verdict), some['required'])}",
        *stages,
        _section("Waiting for money", list(HOLD_TYPES), Hold),
        _section("Rollback", [ROLLED_BACK], Rollback),
        _section("Comparison", list(COMPARISON_TYPES), ComparisonSummary),
        "## Objects within",
        *map(_definition, objects_within().values()),
    )
