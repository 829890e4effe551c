"""What a JSON Schema says about a value, in words."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from docs.writing.markdown import code

OWN_KEYS = "keys of its own"


def anchor(dotted: str) -> str:
    """Return the anchor of a section, as GitHub makes it of the heading."""
    return re.sub(r"[^\w-]", "", dotted.lower())


def unwrapped(value: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a key without the alternative `null`."""
    kept = [one for one in value.get("anyOf", []) if one != {"type": "null"}]
    only = kept[0] if len(kept) == 1 else {}
    return {**value, "anyOf": kept, **({"anyOf": []} if only else {}), **only}


def values_of(shape: dict[str, Any]) -> dict[str, Any] | None:
    """Return the schema of what a map holds; None where the keys are given."""
    for values in (shape.get("additionalProperties"), *shape.get("patternProperties", {}).values()):
        if isinstance(values, dict):
            return values
    return None


def parts_of(shape: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield each part of the schema that a key holds, with what stands behind the key where it is one of several."""
    if "$ref" in shape:
        yield "", shape["$ref"].rpartition("/")[2]
    for one in shape.get("anyOf", []):
        yield from parts_of(one)
    if (values := values_of(shape)) is not None:
        yield from ((f".NAME{suffix}", name) for suffix, name in parts_of(values))
    if isinstance(items := shape.get("items"), dict):
        yield from ((f"[]{suffix}", name) for suffix, name in parts_of(items))


def in_words(shape: dict[str, Any]) -> str:
    """Return what a value may be; `OWN_KEYS` stands for a part of the schema that has keys of its own."""
    if choices := shape.get("enum", [shape["const"]] if "const" in shape else []):
        return ", ".join(code(str(one)) for one in choices)
    if several := shape.get("anyOf"):
        return _several([in_words({**one, **_bounds_of(shape)}) for one in several])
    kind = "part" if "$ref" in shape else shape.get("type", "object")
    if kind == "array":
        return f"list: {in_words(unwrapped(shape.get('items', {'type': 'string'})))}"
    if kind == "object" and (values := values_of(shape)) is not None:
        return f"`NAME:` {in_words(unwrapped(values))}"
    words = {"string": "text", "integer": "whole number", "number": "number", "boolean": "`true`, `false`"}
    return f"{words.get(kind, OWN_KEYS)}{_bounds(shape)}"


def _several(found: list[str]) -> str:
    # A sum in dollars may be a number or the same as a text.
    kept = [
        one for one in dict.fromkeys(found) if not (one.startswith("text") and any("number" in two for two in found))
    ]
    return " or ".join(kept)


def _bounds_of(shape: dict[str, Any]) -> dict[str, Any]:
    names = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "ge", "gt", "le", "lt")
    return {name: shape[name] for name in names if name in shape}


def _bounds(shape: dict[str, Any]) -> str:
    """Return the bounds of a number in words; pydantic leaves some under names of its own."""
    if shape.get("type") not in {"integer", "number"}:
        return ""
    found = _bounds_of(shape)
    words = {
        "at least": found.get("minimum", found.get("ge")),
        "more than": found.get("exclusiveMinimum", found.get("gt")),
        "at most": found.get("maximum", found.get("le")),
        "less than": found.get("exclusiveMaximum", found.get("lt")),
    }
    text = " and ".join(f"{word} {value:,}" for word, value in words.items() if value is not None)
    return f", {text}" if text else ""
