from __future__ import annotations

import ast
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genops_events.reading.storable import (
    DEEPEST,
    MOST_BYTES,
    MOST_INTEGER,
    MOST_TEXT_BYTES,
    NotStorable,
    check_storable,
)

ROOT = Path(__file__).resolve().parents[3]


def nested(levels: int) -> object:
    value: object = 1
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (MOST_INTEGER + 1, "more than 64 bits"),
        (-MOST_INTEGER - 2, "more than 64 bits"),
        (10**30, "more than 64 bits"),
        (float("nan"), "no finite number"),
        (float("inf"), "no finite number"),
        ("a\0b", "NUL"),
        ("\ud800", "surrogate"),
        ("ü" * (MOST_TEXT_BYTES // 2 + 1), "a text of more than"),
        (["x" * 1000] * (MOST_BYTES // 1000), "has more than"),
        ([None] * MOST_BYTES, "has more than"),
        (nested(DEEPEST + 1), "nested deeper"),
        ({1: 2}, "a key that is no text"),
        ({"a\0": 2}, "NUL"),
        (b"bytes", "JSON does not have"),
        (object(), "JSON does not have"),
    ],
)
def test_what_airflow_cannot_store_is_refused_with_its_reason(value: object, reason: str) -> None:
    with pytest.raises(NotStorable, match=reason):
        check_storable({"field": value})


@pytest.mark.parametrize(
    "value", [MOST_INTEGER, -MOST_INTEGER - 1, 0.5, None, True, "ü\U0001f600", nested(DEEPEST - 1)]
)
def test_everything_else_passes(value: object) -> None:
    check_storable({"field": value})


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec=None)) | st.binary(),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters(codec=None)) | st.integers(), inner)
    ),
)


@given(ANYTHING)
def test_what_passes_goes_through_msgpack_and_json(value: object) -> None:
    try:
        check_storable(value)
    except NotStorable:
        return
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(value)) == value
    assert msgspec.json.decode(msgspec.json.encode(value)) == value


def test_every_event_of_every_trigger_is_made_where_it_is_checked() -> None:
    makers = {
        file.name
        for file in (ROOT / "triggers").glob("*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id.endswith("Event")
    }
    assert makers == {"events.py"}
