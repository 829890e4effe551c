"""Say in words for people why a line cannot be decoded as an example."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeVar

import msgspec

from genops_events.training.reasons import BadExample, Reason

T = TypeVar("T")

_decode_raw = msgspec.json.Decoder(msgspec.Raw).decode
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


def decoded(decode: Callable[[bytes], T], line: bytes, form: str) -> T:
    """Return the line as an example; raise BadExample where it is none. `form` is how an example of this file reads."""
    try:
        return decode(line)
    except msgspec.ValidationError as error:
        _refuse_non_json(line)  # the decoder stops at the first wrong form, before it has seen the end of the line
        raise _wrong_form(str(error), form) from None
    except (msgspec.DecodeError, RecursionError) as error:
        raise _wrong_json(error) from None


def _refuse_non_json(line: bytes) -> None:
    """Raise BadExample for a line that is not one JSON value."""
    try:
        _decode_raw(line)
    except (msgspec.DecodeError, RecursionError) as error:
        raise _wrong_json(error) from None


def _wrong_json(error: Exception) -> BadExample:
    """Return what a line is told that the decoder cannot read."""
    text = str(error).removeprefix("JSON is malformed: ")
    if isinstance(error, RecursionError):
        text = "it is nested too deeply"
    byte = _BYTE.search(text)
    what = _BYTE.sub("", text).strip().rstrip(".")
    return BadExample(
        Reason.NOT_JSON, f"The line is not one JSON value: {what}.", int(byte.group(1)) + 1 if byte else None
    )


def _wrong_form(text: str, form: str) -> BadExample:
    """Return what a line of another form is told; `form` is how an example of this file reads."""
    if (match := _UNKNOWN.search(text)) is not None:
        key, place = match["key"], match["place"]
        where = f"in `{place}`" if place else "in the example"
        foreign = "" if place else _FOREIGN.get(key, "")
        hint = f"; {foreign}, an example of Gemini reads {form}" if foreign else ""
        at = f"{place}.{key}" if place else key
        return BadExample(Reason.UNKNOWN_KEY, f"The key `{key}` {where} is not known{hint}.", place=at)
    if (match := _EXPECTED.search(text)) is not None:
        expected, got = (_JSON_WORDS.get(word, word) for word in (match["expected"].split(" | ")[0], match["got"]))
        place = match["place"]
        if not place:
            return BadExample(Reason.NOT_AN_OBJECT, f"The line is a JSON {got}; each line must be one JSON object.")
        return BadExample(Reason.WRONG_TYPE, f"`{place}` must be of type {expected}, not {got}.", place=place)
    return BadExample(Reason.WRONG_TYPE, text)
