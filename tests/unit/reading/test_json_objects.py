"""JSON from outside: what is said twice, or no reader can hold, is refused with its place."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genops_events.reading.json_objects import MOST_DIGITS, MOST_LEVELS, SaidTwice, WrongJson, read_json

VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(VALUES)
def test_what_json_holds_is_read(value: Any) -> None:
    assert read_json(json.dumps({"args": value})) == {"args": value}


@pytest.mark.parametrize(
    ("text", "place", "said"),
    [
        ('{"a": 1, "a": 2}', "a", "the object has the key 'a' more than once"),
        ('{"a": 1, "\\u0061": 2}', "a", "the object has the key 'a' more than once"),
        (
            '{"contents": [{"parts": [{"text": "short", "text": "long"}]}]}',
            "contents[0].parts[0].text",
            "`contents[0].parts[0]` has the key 'text' more than once",
        ),
        (
            '{"systemInstruction": {}, "contents": [], "system_instruction": {}}',
            "system_instruction",
            "has 'systemInstruction' and 'system_instruction', two spellings of one field",
        ),
        (
            '{"contents": [{"parts": [{"file_data": {}, "fileData": {}}]}]}',
            "contents[0].parts[0].fileData",
            "two spellings",
        ),
        ('{"args": {"a": {"b": 1, "b": 2}}}', "args.a.b", "`args.a` has the key 'b' more than once"),
        ('[{"a": {"b_c": 1}}, {"b_c": 1, "bC": 1}]', "[1].bC", "`[1]` has 'b_c' and 'bC'"),
    ],
)
def test_what_is_said_twice_is_refused_with_its_place(text: str, place: str, said: str) -> None:
    for content in (text, text.encode()):
        with pytest.raises(SaidTwice) as caught:
            read_json(content)
        assert caught.value.place == place
        assert said in caught.value.message


def test_the_keys_of_a_function_are_its_own() -> None:
    called = {"functionCall": {"name": "f", "args": {"user_id": 1, "userId": 2, "more": {"a_b": 1, "aB": 2}}}}
    assert read_json(json.dumps({"parts": [called]})) == {"parts": [called]}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "it is not JSON (expecting property name enclosed in double quotes, column 2)"),
        ("", "it is not JSON (expecting value, column 1)"),
        (
            "{} {}",
            "several JSON objects stand on this line, and the second begins here; put each on a line of its own, column 4",
        ),
        ("{} x", "it is not JSON (extra data, column 4)"),
        ("[NaN]", "NaN is no number that JSON has"),
        ("[-Infinity]", "-Infinity is no number that JSON has"),
        ("[1e999]", "the number '1e999' is larger than a number can be"),
        ("1" * 5000, "a number has 5,000 characters, '1111111111111111111111111111111111111111…'"),
        ("0." + "1" * 5000, "a number has 5,002 characters"),
        ("[" * 100_000, "nested too deeply"),
        ("[" * (MOST_LEVELS + 1) + "]" * (MOST_LEVELS + 1), f"at most {MOST_LEVELS} levels are read"),
        ('{"a":' * 50_000 + "1" + "}" * 50_000, "nested too deeply"),
        ('["\\ud83d"]', "half of a surrogate pair"),
        ('{"\\ud83d": 1}', "half of a surrogate pair"),
    ],
)
def test_what_is_no_json_that_can_be_held_says_why(text: str, said: str) -> None:
    with pytest.raises(WrongJson) as caught:
        read_json(text)
    assert said in caught.value.message


def test_bytes_that_are_no_text_are_refused() -> None:
    with pytest.raises(WrongJson, match=r"it is not UTF-8 \(byte 2\)"):
        read_json(b'["\xff"]')


def test_what_is_at_a_bound_is_read() -> None:
    assert read_json("1" * MOST_DIGITS) == int("1" * MOST_DIGITS)
    assert read_json("[" * MOST_LEVELS + "]" * MOST_LEVELS) is not None
    assert read_json('["\\ud83d\\ude00"]') == ["\U0001f600"]
