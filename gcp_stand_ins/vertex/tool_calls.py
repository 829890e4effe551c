"""Tool metrics of evaluateInstances: only the first tool call of each text is looked at, as Vertex AI documents it. No I/O.

A text is the JSON of `{"content": "", "tool_calls": [{"name": …, "arguments": {…}}]}`. Source:
https://cloud.google.com/vertex-ai/generative-ai/docs/models/determine-eval
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from gcp_stand_ins.vertex.errors import invalid


def _first_call(text: str) -> tuple[str, Mapping[str, Any]] | None:
    """Return name and arguments of the first tool call of a text; None where there is no valid one."""
    try:
        value = msgspec.json.decode(text)
    except msgspec.DecodeError:
        return None
    calls = value.get("tool_calls") if isinstance(value, dict) else None
    if not isinstance(calls, list) or not calls or not isinstance(calls[0], dict):
        return None
    name, arguments = calls[0].get("name"), calls[0].get("arguments", {})
    if not isinstance(name, str) or not name or not isinstance(arguments, dict):
        return None
    return name, arguments


def _reference(text: str) -> tuple[str, Mapping[str, Any]]:
    found = _first_call(text)
    if found is None:
        raise invalid('A reference must be the JSON of {"content": "", "tool_calls": [{"name": …, "arguments": {…}}]}.')
    return found


def _valid(prediction: str, reference: str, _strict: bool) -> float:  # noqa: FBT001
    _reference(reference)
    return float(_first_call(prediction) is not None)


def _name(prediction: str, reference: str, _strict: bool) -> float:  # noqa: FBT001
    wanted, found = _reference(reference), _first_call(prediction)
    return float(found is not None and found[0] == wanted[0])


def _keys(prediction: str, reference: str, _strict: bool) -> float:  # noqa: FBT001
    """Return the share of the reference's parameters that are named; 1 where there are none on either side."""
    return _share(prediction, reference, lambda _found, _wanted: True)


def _values(prediction: str, reference: str, strict: bool) -> float:  # noqa: FBT001
    """Return the share of the reference's parameters that have its value."""
    return _share(prediction, reference, lambda found, wanted: _same(found, wanted, strict=strict))


def _share(prediction: str, reference: str, same: Callable[[Any, Any], bool]) -> float:
    (name, wanted), found = _reference(reference), _first_call(prediction)
    if found is None or found[0] != name:
        return 0.0
    if not wanted:
        return float(not found[1])
    return sum(key in found[1] and same(found[1][key], value) for key, value in wanted.items()) / len(wanted)


def _same(found: Any, wanted: Any, *, strict: bool) -> bool:
    if not strict and isinstance(found, str) and isinstance(wanted, str):
        return found.strip().casefold() == wanted.strip().casefold()
    return bool(found == wanted)


TOOL_METRICS: Mapping[str, Callable[[str, str, bool], float]] = {
    "toolCallValid": _valid,
    "toolNameMatch": _name,
    "toolParameterKeyMatch": _keys,
    "toolParameterKvMatch": _values,
}
"""By the name of their input in JSON."""
