"""Check one line of a supervised-tuning file: one example in Gemini's `systemInstruction` and `contents` form.

The form is that of Google's pages "Prepare supervised fine-tuning data for Gemini models" and "Tune function calling"
(read in stored copies of September 2026), and of the API's `Content` and `Part`.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from genops_events.training.parts import (
    CHARACTERS_PER_TOKEN,
    FUNCTION,
    MODEL,
    SYSTEM,
    USER,
    Part,
    Side,
    Tally,
    json_tokens,
    take_parts,
)
from genops_events.training.reasons import BadExample, Reason, shown

__all__ = ["CHARACTERS_PER_TOKEN", "Measure", "measure_example"]


class Measure(msgspec.Struct, frozen=True, gc=False):
    """What one good example holds. No dataclass: one is made for each line of files of a gigabyte."""

    tokens: int
    """Estimate: a quarter of the characters of each text, rounded up; files and inline data count nothing."""
    identity: int
    """The same for two examples that say the same, whatever their white space and order of keys; in this process."""
    media: int = 0
    """Files and inline data."""
    images: int = 0
    documents: int = 0


# First the form of nearly every line, so that it costs little: texts only. It is decoded without looking at anything else.


class _Text(msgspec.Struct, forbid_unknown_fields=True, frozen=True, gc=False):
    text: str


class _TextTurn(msgspec.Struct, forbid_unknown_fields=True, frozen=True, gc=False):
    role: str
    parts: tuple[_Text, ...]


class _TextSystem(msgspec.Struct, forbid_unknown_fields=True, frozen=True, gc=False):
    parts: tuple[_Text, ...]
    role: str = ""


class _TextExample(msgspec.Struct, forbid_unknown_fields=True, frozen=True, gc=False):
    contents: tuple[_TextTurn, ...]
    systemInstruction: _TextSystem | None = None  # noqa: N815  # Gemini's own spelling
    system_instruction: _TextSystem | None = None


# Then the whole form.


class _Content(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    role: str = ""
    parts: list[Part] = []


class _Example(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    contents: list[_Content] = []
    systemInstruction: _Content | None = None  # noqa: N815
    system_instruction: _Content | None = None
    tools: list[dict[str, Any]] | None = None
    # Accepted and passed on unseen.
    generationConfig: dict[str, Any] | None = None  # noqa: N815
    generation_config: dict[str, Any] | None = None
    toolConfig: dict[str, Any] | None = None  # noqa: N815
    tool_config: dict[str, Any] | None = None
    safetySettings: list[dict[str, Any]] | None = None  # noqa: N815
    safety_settings: list[dict[str, Any]] | None = None
    labels: dict[str, str] | None = None


_decode_text = msgspec.json.Decoder(_TextExample).decode
_decode = msgspec.json.Decoder(_Example).decode
_decode_any = msgspec.json.Decoder().decode
_decode_raw = msgspec.json.Decoder(msgspec.Raw).decode
_encode_sorted = msgspec.json.Encoder(order="sorted").encode
_FORM = '{"contents": [{"role": "user", "parts": [{"text": …}]}, {"role": "model", "parts": [{"text": …}]}]}'


def measure_example(line: bytes) -> Measure:
    """Return what the example on this line holds; raise BadExample with the first thing that is wrong with it."""
    if not line.isascii():
        _refuse_non_utf8(line)
    try:
        example = _decode_text(line)
    except (msgspec.DecodeError, RecursionError):  # and ValidationError, which is one
        return _measure_any(line)
    return _measure_texts(example) or _measure_any(line)


def _measure_texts(example: _TextExample) -> Measure | None:
    """Return what an example of texts holds; None where anything is wrong with it."""
    tokens, role = 0, "user"
    for turn in example.contents:
        if turn.role != role or not (more := _text_tokens(turn.parts)):
            return None
        tokens += more
        role = "model" if role == "user" else "user"
    if role != "user" or not tokens:
        return None  # the user's turn is the last one, or there is none
    if (system := example.systemInstruction or example.system_instruction) is not None:
        if not (more := _text_tokens(system.parts)):
            return None
        tokens += more
    return Measure(tokens, hash(example))


def _text_tokens(parts: tuple[_Text, ...]) -> int:
    """Return the tokens of these texts; 0 where one is empty, or there is none."""
    tokens = 0
    for part in parts:
        text = part.text
        if not text or text.isspace():
            return 0
        tokens += (len(text) + 3) // CHARACTERS_PER_TOKEN
    return tokens


def _measure_any(line: bytes) -> Measure:
    try:
        example = _decode(line)
    except msgspec.ValidationError as error:
        _refuse_non_json(line)  # the decoder stops at the first wrong form, before it has seen the end of the line
        raise _wrong_form(str(error)) from None
    except (msgspec.DecodeError, RecursionError) as error:
        raise _wrong_json(error) from None
    contents = example.contents
    if not contents:
        raise BadExample(
            Reason.MISSING_CONTENTS, f"`contents` is missing or empty; an example reads {_FORM}.", place="contents"
        )
    tally = Tally()
    if (system := example.systemInstruction or example.system_instruction) is not None:
        name = "systemInstruction" if example.systemInstruction else "system_instruction"
        take_parts(system.parts, name, SYSTEM, tally)
    if example.tools:
        tally.tokens += json_tokens(example.tools)
    before = MODEL
    for index, content in enumerate(contents):
        side = _side(contents, index)
        _refuse_order(index, content.role, before, side)
        if side is MODEL:
            tally.calls.clear()
        take_parts(content.parts, f"contents[{index}]", side, tally)
        before = side
    if before is not MODEL:
        raise BadExample(
            Reason.WRONG_ORDER,
            "The last turn is the user's; the last turn must be the model's answer to learn.",
            place=f"contents[{len(contents) - 1}]",
        )
    identity = hash(_encode_sorted(_decode_any(line)))
    return Measure(tally.tokens, identity, tally.media, tally.images, tally.documents)


_ROLES = {"user": USER, "model": MODEL, "function": FUNCTION, "tool": FUNCTION}
_SINGLE_TURN = 2


def _side(contents: list[_Content], index: int) -> Side:
    role = contents[index].role
    if role in _ROLES:
        side = _ROLES[role]
    elif role == "" and any(part.functionResponse or part.function_response for part in contents[index].parts):
        side = FUNCTION  # as in Google's own example of a chat with functions
    elif role == "" and index == 0 and len(contents) == _SINGLE_TURN:
        side = USER  # "for non-multi-turn conversations, this field can be left blank or unset"
    else:
        raise _wrong_role(index, role)
    if index == 0 and side is FUNCTION:
        raise _wrong_role(index, role or "function")
    return side


def _refuse_order(index: int, role: str, before: Side, side: Side) -> None:
    if (side is MODEL) != (before is MODEL) or (side is FUNCTION and before is FUNCTION):
        return  # several functions may answer one after the other
    place = f"contents[{index}]"
    if index == 0:
        raise BadExample(
            Reason.WRONG_ORDER, "The first turn is the model's; the first turn must be the user's.", place=place
        )
    raise BadExample(
        Reason.WRONG_ORDER,
        f"`{place}` is a second turn of the same side in a row ({role or 'no role'}); user and model must alternate.",
        place=place,
    )


# What the decoder says, in words for people.

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


def _refuse_non_utf8(line: bytes) -> None:
    try:
        line.decode("utf-8")
    except UnicodeDecodeError as error:
        byte = line[error.start]
        raise BadExample(
            Reason.NOT_UTF8,
            f"Byte {error.start + 1} of the line is 0x{byte:02x}, which is not UTF-8 text; save the file as UTF-8.",
            error.start + 1,
        ) from None


def _refuse_non_json(line: bytes) -> None:
    try:
        _decode_raw(line)
    except (msgspec.DecodeError, RecursionError) as error:
        raise _wrong_json(error) from None


def _wrong_json(error: Exception) -> BadExample:
    text = str(error).removeprefix("JSON is malformed: ")
    if isinstance(error, RecursionError):
        text = "it is nested too deeply"
    byte = _BYTE.search(text)
    what = _BYTE.sub("", text).strip().rstrip(".")
    return BadExample(
        Reason.NOT_JSON, f"The line is not one JSON value: {what}.", int(byte.group(1)) + 1 if byte else None
    )


def _wrong_form(text: str) -> BadExample:
    if (match := _UNKNOWN.search(text)) is not None:
        key, place = match["key"], match["place"]
        where = f"in `{place}`" if place else "in the example"
        foreign = "" if place else _FOREIGN.get(key, "")
        hint = f"; {foreign}, an example of Gemini reads {_FORM}" if foreign else ""
        at = f"{place}.{key}" if place else key
        return BadExample(Reason.UNKNOWN_KEY, f"The key `{key}` {where} is not known{hint}.", place=at)
    if (match := _EXPECTED.search(text)) is not None:
        expected, got = (_JSON_WORDS.get(word, word) for word in (match["expected"].split(" | ")[0], match["got"]))
        place = match["place"]
        if not place:
            return BadExample(Reason.NOT_AN_OBJECT, f"The line is a JSON {got}; each line must be one JSON object.")
        return BadExample(Reason.WRONG_TYPE, f"`{place}` must be of type {expected}, not {got}.", place=place)
    return BadExample(Reason.WRONG_TYPE, text)


def _wrong_role(index: int, role: str) -> BadExample:
    hints = {
        "assistant": " Gemini calls this role `model`.",
        "system": " Put it under `systemInstruction`.",
        "": " Each turn needs a role.",
        "function": " A function's response follows the model's call.",
        "tool": " A function's response follows the model's call.",
    }
    return BadExample(
        Reason.WRONG_ROLE,
        f"`contents[{index}].role` is {shown(role)}, allowed are user and model (and function after a model's turn)."
        + hints.get(role, ""),
        place=f"contents[{index}].role",
    )
