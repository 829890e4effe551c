"""Messages for people about a line that cannot be decoded as an example."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from genops_events.reading.json_lines import not_one_value
from genops_events.reading.json_places import repeated_key, strings_in
from genops_events.training.reasons import BadExample, Reason, shown

T = TypeVar("T")

MOST_LEVELS = 100
"""Deepest nesting. Protocol Buffers, which Google's services use, read JSON of at most 100 levels:
https://protobuf.dev/programming-guides/proto-limits/#depth-limit."""
_decode_any = msgspec.json.Decoder().decode
_encode_sorted = msgspec.json.Encoder(order="sorted").encode
_JSON_WORDS = {"str": "text", "int": "number", "float": "number", "bool": "boolean", "array": "list"}
_FOREIGN = {
    "messages": "this looks like the chat form of OpenAI",
    "input_text": "this looks like the form of the older PaLM models",
    "output_text": "this looks like the form of the older PaLM models",
    "prompt": "this looks like a file of prompts and answers",
    "completion": "this looks like a file of prompts and answers",
    "request": "this looks like the input of a batch prediction",
}
_UNKNOWN = re.compile(r"unknown field `(?P<key>[^`]*)`(?: - at `\$\.?(?P<place>[^`]*)`)?")
_EXPECTED = re.compile(r"Expected `(?P<expected>[^`]*)`, got `(?P<got>[^`]*)`(?: - at `\$\.?(?P<place>[^`]*)`)?")
_BYTE = re.compile(r"\(byte (\d+)\)")


def refuse_non_utf8(line: bytes) -> None:
    """Raise BadExample for a line that is not UTF-8 text."""
    try:
        line.decode("utf-8")
    except UnicodeDecodeError as error:
        byte = line[error.start]
        raise BadExample(
            Reason.NOT_UTF8,
            f"Byte {error.start + 1} of the line is 0x{byte:02x}, which is not UTF-8 text; save the file as UTF-8.",
            error.start + 1,
        ) from None


def decoded(decode: Callable[[bytes], T], line: bytes, form: str) -> tuple[T, int]:
    """Return the line as an example, and its identity; raise BadExample if it is not an example.

    Within this process, the identity is the same for JSON values that differ in white space and the order of keys only.

    Args:
        decode: decodes the line as an example.
        line: valid UTF-8.
        form: an example of this file, for messages.
    """
    try:
        value = _decode_any(line)
    except (msgspec.DecodeError, RecursionError) as error:
        raise _wrong_json(line, error) from None
    _refuse_depth(line, value)
    plain = _encode_sorted(value)
    if strings_in(plain) != strings_in(line):
        raise _repeated(line)
    try:
        return decode(line), hash(plain)
    except msgspec.ValidationError as error:
        raise _wrong_form(str(error), form) from None


def _refuse_depth(line: bytes, value: Any) -> None:
    if line.count(b"[") + line.count(b"{") <= MOST_LEVELS:
        return
    level = [value]
    for _ in range(MOST_LEVELS + 1):
        inner = [one.values() if isinstance(one, dict) else one for one in level if isinstance(one, (dict, list))]
        level = [one for some in inner for one in some]
        if not level:
            return
    raise BadExample(
        Reason.NOT_JSON,
        f"The line is not one JSON value that Google's services read: it is nested too deeply, at most {MOST_LEVELS} "
        "levels are read.",
    )


def _repeated(line: bytes) -> BadExample:
    found = repeated_key(line)
    if found is None:  # it is beyond the part of the line that is searched
        return BadExample(Reason.REPEATED_KEY, "A key occurs twice in one object; keep one of them.")
    where = f"`{found.place}`" if found.place else "the example"
    return BadExample(
        Reason.REPEATED_KEY,
        f"The key {shown(found.key)} occurs twice in {where}, first at column {found.first_column}; keep one of them.",
        found.column,
    )


def _wrong_json(line: bytes, error: Exception) -> BadExample:
    """Return the error about a line that the decoder cannot read."""
    if (known := not_one_value(line)) is not None:
        return BadExample(
            Reason.NOT_JSON, f"The line is not one JSON value: {known.message}.", known.column, more=known.more
        )
    text = str(error).removeprefix("JSON is malformed: ")
    if isinstance(error, RecursionError):
        text = "it is nested too deeply"
    elif isinstance(error, msgspec.ValidationError):  # decoding without a schema raises it for numbers only
        text = "a number is longer, or larger, than a number can be"
    byte = _BYTE.search(text)
    what = _BYTE.sub("", text).strip().rstrip(".")
    return BadExample(
        Reason.NOT_JSON, f"The line is not one JSON value: {what}.", int(byte.group(1)) + 1 if byte else None
    )


def _wrong_form(text: str, form: str) -> BadExample:
    """Return the error about a line of another form; `form` is an example of this file."""
    if (match := _UNKNOWN.search(text)) is not None:
        key, place = match["key"], match["place"]
        where = f"in `{place}`" if place else "in the example"
        foreign = "" if place else _FOREIGN.get(key, "")
        hint = f"; {foreign}, an example of Gemini reads {form}" if foreign else ""
        at = f"{place}.{key}" if place else key
        return BadExample(Reason.UNKNOWN_KEY, f"The key {shown(key, '`')} {where} is not known{hint}.", place=at)
    if (match := _EXPECTED.search(text)) is not None:
        expected, got = (_JSON_WORDS.get(word, word) for word in (match["expected"].split(" | ")[0], match["got"]))
        place = match["place"]
        if not place:
            return BadExample(Reason.NOT_AN_OBJECT, f"The line is a JSON {got}; each line must be one JSON object.")
        return BadExample(Reason.WRONG_TYPE, f"`{place}` must be of type {expected}, not {got}.", place=place)
    return BadExample(Reason.WRONG_TYPE, text)
