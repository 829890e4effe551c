"""Check one line of a supervised-tuning file: one example in Gemini's `systemInstruction` and `contents` form."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import msgspec

CHARACTERS_PER_TOKEN = 4
"""Rule of thumb for English text and Gemini's tokenizer. Vertex AI bills its own count, known only after the job."""


class Reason(StrEnum):
    """Why a line, or a whole file, cannot be tuned on. The set is closed: records and events carry these words."""

    EMPTY_FILE = "empty_file"
    """No bytes, or blank lines only."""
    NOT_JSONL = "not_jsonl"
    """Some other kind of file: a JSON array, CSV, an archive."""
    FILE_TOO_LARGE = "file_too_large"
    TOO_FEW_EXAMPLES = "too_few_examples"
    TOO_MANY_EXAMPLES = "too_many_examples"
    NOT_UTF8 = "not_utf8"
    LINE_TOO_LONG = "line_too_long"
    NOT_JSON = "not_json"
    NOT_AN_OBJECT = "not_an_object"
    UNKNOWN_KEY = "unknown_key"
    WRONG_TYPE = "wrong_type"
    MISSING_CONTENTS = "missing_contents"
    """`contents` is missing or empty."""
    WRONG_ROLE = "wrong_role"
    WRONG_ORDER = "wrong_order"
    """The turns do not alternate, or do not go from the user to the model."""
    EMPTY_PART = "empty_part"
    """A turn without parts, or a part that holds nothing or several things."""
    EMPTY_TEXT = "empty_text"
    TOO_MANY_TOKENS = "too_many_tokens"


class BadExample(Exception):
    """A line is no usable example: no error of the program, but the verdict on the line."""

    def __init__(self, reason: Reason, message: str, column: int | None = None) -> None:
        super().__init__(reason, message, column)
        self.reason = reason
        self.message = message
        self.column = column


@dataclass(frozen=True, slots=True)
class Measure:
    """What one good example holds."""

    tokens: int
    """Estimate: a quarter of the characters of each text, rounded up; files and inline data count nothing."""
    has_media: bool


class _Part(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    text: str | msgspec.UnsetType = msgspec.UNSET
    fileData: dict[str, Any] | None = None  # noqa: N815  # Gemini's own spelling
    inlineData: dict[str, Any] | None = None  # noqa: N815
    functionCall: dict[str, Any] | None = None  # noqa: N815
    functionResponse: dict[str, Any] | None = None  # noqa: N815
    file_data: dict[str, Any] | None = None
    inline_data: dict[str, Any] | None = None
    function_call: dict[str, Any] | None = None
    function_response: dict[str, Any] | None = None
    # Accepted and passed on unseen.
    thought: bool = False
    thoughtSignature: str = ""  # noqa: N815
    thought_signature: str = ""
    videoMetadata: dict[str, Any] | None = None  # noqa: N815
    video_metadata: dict[str, Any] | None = None


class _Content(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    role: str = ""
    parts: list[_Part] = []


class _Example(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    contents: list[_Content] = []
    systemInstruction: _Content | None = None  # noqa: N815  # Gemini's own spelling
    system_instruction: _Content | None = None
    # Accepted and passed on unseen; Raw is checked to be JSON and not built.
    generationConfig: msgspec.Raw = msgspec.Raw()  # noqa: N815
    generation_config: msgspec.Raw = msgspec.Raw()
    tools: msgspec.Raw = msgspec.Raw()
    toolConfig: msgspec.Raw = msgspec.Raw()  # noqa: N815
    tool_config: msgspec.Raw = msgspec.Raw()


_decode = msgspec.json.Decoder(_Example).decode
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
_FORM = '{"contents": [{"role": "user", "parts": [{"text": …}]}, {"role": "model", "parts": [{"text": …}]}]}'
_UNKNOWN = re.compile(r"unknown field `(?P<key>[^`]*)`(?: - at `\$\.?(?P<place>[^`]*)`)?")
_EXPECTED = re.compile(r"Expected `(?P<expected>[^`]*)`, got `(?P<got>[^`]*)`(?: - at `\$\.?(?P<place>[^`]*)`)?")
_BYTE = re.compile(r"\(byte (\d+)\)")


def measure_example(line: bytes) -> Measure:
    """Return what the example on this line holds; raise BadExample with the first thing that is wrong with it."""
    if not line.isascii():
        _refuse_non_utf8(line)
    try:
        example = _decode(line)
    except msgspec.ValidationError as error:
        _refuse_non_json(line)  # the decoder stops at the first wrong form, before it has seen the end of the line
        raise _wrong_form(str(error)) from None
    except (msgspec.DecodeError, RecursionError) as error:
        raise _wrong_json(error) from None
    if not example.contents:
        raise BadExample(Reason.MISSING_CONTENTS, f"`contents` is missing or empty; an example reads {_FORM}.")
    tokens, has_media = 0, False
    if (system := example.systemInstruction or example.system_instruction) is not None:
        tokens, has_media = _measure_parts(system.parts, "systemInstruction")
    users_turn = True
    for index, content in enumerate(example.contents):
        users_turn = _turn(index, content.role, users_turn)
        parts = content.parts
        # The usual turn, one text, without a call: this loop sees every example of files of a gigabyte.
        if len(parts) == 1 and (text := parts[0].text) and not text.isspace() and not _payloads(parts[0]):
            tokens += -(-len(text) // CHARACTERS_PER_TOKEN)
        else:
            more, media = _measure_parts(parts, f"contents[{index}]")
            tokens, has_media = tokens + more, has_media or media
    if not users_turn:
        raise BadExample(
            Reason.WRONG_ORDER, "The last turn is the user's; the last turn must be the model's answer to learn."
        )
    return Measure(tokens, has_media)


def _turn(index: int, role: str, users_turn: bool) -> bool:  # noqa: FBT001  # one of two sides
    """Take one turn; return whether the next one is the user's. A function's response is on the user's side."""
    is_model = role == "model"
    if not is_model and role != "user" and (role != "function" or index == 0):
        raise _wrong_role(index, role)
    if is_model == users_turn:
        raise _wrong_order(index, role)
    return is_model


def _payloads(part: _Part) -> tuple[tuple[str, dict[str, Any]], ...]:
    """Return what a part holds beside text: name and value."""
    if (
        part.fileData is None
        and part.inlineData is None
        and part.functionCall is None
        and part.functionResponse is None
        and part.file_data is None
        and part.inline_data is None
        and part.function_call is None
        and part.function_response is None
    ):
        return ()
    pairs = (
        ("fileData", part.fileData),
        ("fileData", part.file_data),
        ("inlineData", part.inlineData),
        ("inlineData", part.inline_data),
        ("functionCall", part.functionCall),
        ("functionCall", part.function_call),
        ("functionResponse", part.functionResponse),
        ("functionResponse", part.function_response),
    )
    return tuple((name, value) for name, value in pairs if value is not None)


_NEEDED = {
    "fileData": (("fileUri", "file_uri"), ("mimeType", "mime_type")),
    "inlineData": (("data",), ("mimeType", "mime_type")),
    "functionCall": (("name",),),
    "functionResponse": (("name",),),
}


def _measure_parts(parts: list[_Part], place: str) -> tuple[int, bool]:
    if not parts:
        raise BadExample(Reason.EMPTY_PART, f"`{place}.parts` is missing or empty.")
    tokens, has_media = 0, False
    for index, part in enumerate(parts):
        at = f"{place}.parts[{index}]"
        payloads = _payloads(part)
        text = part.text
        if len(payloads) + (text is not msgspec.UNSET) != 1:
            raise BadExample(
                Reason.EMPTY_PART,
                f"`{at}` must hold exactly one of text, fileData, inlineData, functionCall, functionResponse.",
            )
        if isinstance(text, str):
            if not text.strip():
                raise BadExample(Reason.EMPTY_TEXT, f"`{at}.text` is empty.")
            tokens += -(-len(text) // CHARACTERS_PER_TOKEN)
        for name, value in payloads:
            for spellings in _NEEDED[name]:
                if not any(isinstance(value.get(key), str) and value[key] for key in spellings):
                    raise BadExample(Reason.EMPTY_PART, f"`{at}.{name}` needs `{spellings[0]}`, a text.")
            if name.endswith("Data"):
                has_media = True
            else:
                tokens += -(-len(msgspec.json.encode(value)) // CHARACTERS_PER_TOKEN)
    return tokens, has_media


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
        return BadExample(Reason.UNKNOWN_KEY, f"The key `{key}` {where} is not known{hint}.")
    if (match := _EXPECTED.search(text)) is not None:
        expected, got = (_JSON_WORDS.get(word, word) for word in (match["expected"].split(" | ")[0], match["got"]))
        if not match["place"]:
            return BadExample(Reason.NOT_AN_OBJECT, f"The line is a JSON {got}; each line must be one JSON object.")
        return BadExample(Reason.WRONG_TYPE, f"`{match['place']}` must be of type {expected}, not {got}.")
    return BadExample(Reason.WRONG_TYPE, text)


def _wrong_role(index: int, role: str) -> BadExample:
    hints = {
        "assistant": " Gemini calls this role `model`.",
        "system": " Put it under `systemInstruction`.",
        "": " Each turn needs a role.",
        "function": " A function's response follows the model's call.",
    }
    shown = role if len(role) <= 40 else role[:40] + "…"  # noqa: PLR2004  # a role is a word
    return BadExample(
        Reason.WRONG_ROLE,
        f"`contents[{index}].role` is {shown!r}, allowed are user and model (and function after a model's turn)."
        + hints.get(role, ""),
    )


def _wrong_order(index: int, role: str) -> BadExample:
    if index == 0:
        return BadExample(Reason.WRONG_ORDER, "The first turn is the model's; the first turn must be the user's.")
    return BadExample(
        Reason.WRONG_ORDER,
        f"`contents[{index}]` is a second turn of the same side in a row ({role}); user and model must alternate.",
    )
