"""Answers of a given form: JSON that keeps to a schema, and calls of functions. Made up from the question. No I/O."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from gcp_stand_ins.vertex.errors import invalid

_TYPES = ("string", "number", "integer", "boolean", "array", "object", "null")
_DEPTH = 20


def check_schema(schema: Any, where: str) -> Mapping[str, Any]:
    """Return a schema that is one.

    Raises:
        ApiError: it is none.
    """
    if not isinstance(schema, Mapping):
        raise invalid(f"Unable to submit request because the {where} must be an object.")
    kind = schema.get("type")
    kinds = kind if isinstance(kind, list) else [kind]
    if kind is not None and any(str(one).lower() not in _TYPES for one in kinds):
        raise invalid(f"Unable to submit request because the {where} has a type that is not known: {kind!r}.")
    for name, one in (schema.get("properties") or {}).items():
        check_schema(one, f"{where}.{name}")
    if isinstance(schema.get("items"), Mapping):
        check_schema(schema["items"], f"{where}.items")
    return schema


def shaped(schema: Mapping[str, Any] | None, text: str, *, mime_type: str) -> str:
    """Return the answer `text` in the form that was asked for."""
    if mime_type == "text/plain":
        return text
    if schema is None:
        return json.dumps({"answer": text}, ensure_ascii=False)
    made = example_of(schema, text)
    return str(made) if mime_type == "text/x.enum" else json.dumps(made, ensure_ascii=False)


def example_of(schema: Mapping[str, Any], text: str, *, depth: int = 0) -> Any:
    """Return a value that keeps to the schema; every text in it is `text`, or the value of an enumeration that is nearest."""
    if depth > _DEPTH:
        return None
    if choices := schema.get("enum"):
        return next((one for one in choices if str(one) in text or text in str(one)), choices[0])
    if choices := schema.get("anyOf"):
        return example_of(choices[0], text, depth=depth + 1)
    kind = schema.get("type", "object" if "properties" in schema else "string")
    kind = str(kind[0] if isinstance(kind, list) else kind).lower()
    if kind == "object":
        properties = schema.get("properties") or {}
        return {name: example_of(one, text, depth=depth + 1) for name, one in properties.items()}
    if kind == "array":
        return [example_of(schema.get("items") or {}, text, depth=depth + 1)]
    simple = {"string": text, "boolean": True, "null": None}
    return simple[kind] if kind in simple else len(text.split())


def called(functions: tuple[Mapping[str, Any], ...], question: str, *, must: bool) -> dict[str, Any] | None:
    """Return the call of the first function whose name's words stand in the question; of the first of all if one must be."""
    words = set(question.lower().replace("?", " ").replace(".", " ").split())
    fits = [one for one in functions if words.intersection(str(one["name"]).lower().replace("-", "_").split("_"))]
    chosen = fits[0] if fits else functions[0] if must and functions else None
    if chosen is None:
        return None
    schema = chosen.get("parametersJsonSchema") or chosen.get("parameters") or {}
    return {"name": chosen["name"], "args": example_of(schema, question) if schema else {}}
