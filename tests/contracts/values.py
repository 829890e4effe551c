"""Hold one value to a schema of a discovery document: unknown fields, types, enums, who may set what, and what must be there.

How JSON is written of protocol buffers: https://protobuf.dev/programming-guides/json/ (read on 2026-11-30). So of requests: an
integer of 64 bits may be a number, too, an enum its number, null is as good as nothing, and Vertex AI takes names in snake_case. Of answers: an integer
of 64 bits is text, names are as the document spells them, and null stands for nothing but null.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

_DURATION = re.compile(r"-?\d+(\.\d{1,9})?s")
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)")
_DAY = re.compile(r"\d{4}-\d\d-\d\d")
_NO_NUMBERS = {"NaN", "Infinity", "-Infinity"}
_BOUNDS = {
    "int32": (-(2**31), 2**31 - 1),
    "uint32": (0, 2**32 - 1),
    "int64": (-(2**63), 2**63 - 1),
    "uint64": (0, 2**64 - 1),
}
_SHOWN = 120


@dataclass(slots=True)
class Reading:
    """What was found in the values of one call."""

    problems: list[str] = field(default_factory=list)
    deprecated: set[str] = field(default_factory=set)


@dataclass(slots=True)
class Values:
    """Holds values to the schemas of one document.

    Args:
        schemas: those of the document.
        found: takes what is wrong.
        of_request: whether the values were sent to the service, rather than by it.
        protobuf: whether the service reads JSON as protocol buffers do; Cloud Storage does not.
        creates: the method that is called, of a request that has to have all that the service needs; None of any other.
        in_url: what the path or the query says already, so that a body need not.
        enum_numbers: whether enums may be numbers.
        loose: fields, as `Message.field`, that may be null in an answer, or a number where they are text in a request.
    """

    schemas: Mapping[str, Any]
    found: Reading
    of_request: bool
    protobuf: bool = True
    creates: str | None = None
    in_url: frozenset[str] = frozenset()
    enum_numbers: bool = False
    loose: frozenset[str] = frozenset()

    def check(self, value: Any, schema: Mapping[str, Any], where: str) -> None:
        """Hold `value`, which stands at `where`, to `schema`."""
        if "$ref" in schema:
            self.check(value, self.schemas[schema["$ref"]], where)
            return
        kind = schema.get("type", "any")
        if kind == "any":
            self._any(value, where)
        elif value is None:
            if not self.of_request:
                self._wrong(where, value, "null, where Google leaves a field out")
        elif kind == "object":
            self._object(value, schema, where)
        elif kind == "array":
            if not isinstance(value, list):
                self._wrong(where, value, "not an array")
                return
            for at, one in enumerate(value):
                self.check(one, schema["items"], f"{where}[{at}]")
        else:
            self._scalar(value, schema, where)

    def _any(self, value: Any, where: str) -> None:
        """Hold a value of any type to the schema that its `@type` names, where it has one."""
        named = value.get("@type") if isinstance(value, Mapping) else None
        if named is None:
            return
        kind = str(named).removeprefix("type.googleapis.com/")
        rest = {name: one for name, one in value.items() if name != "@type"}
        schema = self.schemas.get("".join(part[:1].upper() + part[1:] for part in kind.split(".")))
        if schema is not None:
            self.check(rest, schema, where)
        elif kind.startswith("google.cloud."):
            self._wrong(where, named, "a type that this document does not have")
        elif kind == "google.protobuf.Empty" and rest:
            self._wrong(where, rest, "not empty")

    def _object(self, value: Any, schema: Mapping[str, Any], where: str) -> None:
        if not isinstance(value, Mapping):
            self._wrong(where, value, "not an object")
            return
        properties: Mapping[str, Any] = schema.get("properties", {})
        others = schema.get("additionalProperties")
        if not properties and others is None:
            if "properties" in schema or "id" in schema:
                for name in value:
                    self._wrong(f"{where}.{name}", value[name], f"unknown: {schema.get('id', 'this message')} is empty")
            return
        if others is not None and "@type" in value:
            self._any(value, where)
            return
        spelled = {self._spelled(name, properties): one for name, one in value.items()}
        for name, one in spelled.items():
            if name in properties:
                self._property(name, one, schema, f"{where}.{name}")
            elif others is not None:
                self.check(one, others, f"{where}.{name}")
            else:
                self._wrong(f"{where}.{name}", one, f"unknown to {schema.get('id', 'this message')}")
        if self.creates is not None:
            self._missing(properties, spelled.keys() | self.in_url, where)

    def _is_loose(self, value: Any, name: str) -> bool:
        if name not in self.loose:
            return False
        return isinstance(value, int | float) if self.of_request else value is None

    def _spelled(self, name: str, properties: Mapping[str, Any]) -> str:
        if name in properties or not (self.of_request and self.protobuf):
            return name
        return re.sub(r"_([a-z0-9])", lambda match: match[1].upper(), name)

    def _property(self, name: str, value: Any, message: Mapping[str, Any], where: str) -> None:
        schema = message["properties"][name]
        if self._is_loose(value, f"{message.get('id')}.{name}"):
            return
        if schema.get("deprecated"):
            self.found.deprecated.add(_anywhere(where))
        if name == "kind" and not self.of_request and value != schema.get("default", value):
            self._wrong(where, value, f"not {schema['default']}")
        if self.of_request and schema.get("readOnly") and value not in (None, "", [], {}):
            self._wrong(where, value, "output only")
            return
        self.check(value, schema, where)

    def _missing(self, properties: Mapping[str, Any], given: set[str], where: str) -> None:
        for name, schema in properties.items():
            annotated = self.creates in schema.get("annotations", {}).get("required", ())
            described = schema.get("description", "").startswith("Required.") and not schema.get("readOnly")
            if (annotated or described) and name not in given:
                self.found.problems.append(f"{where}.{name} is missing, and required")

    def _scalar(self, value: Any, schema: Mapping[str, Any], where: str) -> None:
        kind, form = schema["type"], schema.get("format", "")
        if kind == "boolean":
            if not isinstance(value, bool):
                self._wrong(where, value, "not a boolean")
        elif kind == "integer":
            self._integer(value, form or "int32", where, text=self.of_request)
        elif kind == "number":
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            if not is_number and value not in _NO_NUMBERS:
                self._wrong(where, value, "not a number")
        elif form in ("int64", "uint64"):
            if not self.of_request and not isinstance(value, str):
                self._wrong(where, value, f"not text, as {form} is in JSON")
            else:
                self._integer(value, form, where, text=True)
        elif "enum" in schema:
            self._enum(value, schema, where)
        elif not isinstance(value, str):
            self._wrong(where, value, "not text")
        else:
            self._text(value, schema, where)

    def _integer(self, value: Any, form: str, where: str, *, text: bool) -> None:
        if text and isinstance(value, str) and re.fullmatch(r"-?\d+", value):
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool):
            self._wrong(where, value, f"not of {form}")
            return
        low, high = _BOUNDS[form]
        if not low <= value <= high:
            self._wrong(where, value, f"out of the range of {form}")

    def _enum(self, value: Any, schema: Mapping[str, Any], where: str) -> None:
        names = schema["enum"]
        if isinstance(value, int) and not isinstance(value, bool):
            if not self.enum_numbers:
                self._wrong(where, value, "a number, where an enum's name was asked for")
        elif value not in names:
            self._wrong(where, value, f"none of {', '.join(names)}")
        elif schema.get("enumDeprecated", [])[names.index(value) : names.index(value) + 1] == [True]:
            self.found.deprecated.add(f"{_anywhere(where)}={value}")

    def _text(self, value: str, schema: Mapping[str, Any], where: str) -> None:
        match schema.get("format"):
            case "google-datetime" | "date-time":
                good = _MOMENT.fullmatch(value) is not None
            case "google-duration":
                good = _DURATION.fullmatch(value) is not None
            case "date":
                good = _DAY.fullmatch(value) is not None
            case "byte":
                good = _is_base64(value)
            case _:
                good = re.search(schema.get("pattern", ""), value) is not None
        if not good:
            self._wrong(where, value, f"not of the form {schema.get('format') or schema.get('pattern')}")

    def _wrong(self, where: str, value: Any, why: str) -> None:
        shown = repr(value)
        shown = shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}…"
        self.found.problems.append(f"{where} is {shown}: {why}")


def _anywhere(where: str) -> str:
    """Return a place without the numbers of the items on the way there."""
    return re.sub(r"\[\d+\]", "[]", where)


def _is_base64(value: str) -> bool:
    try:
        base64.b64decode(value.translate(str.maketrans("-_", "+/")) + "=" * (-len(value) % 4), validate=True)
    except binascii.Error:
        return False
    return True
