"""Check the parts of one turn of an example: their content, and whether it is allowed there."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from genops_events.catalogue.tokens import estimated_tokens, json_tokens
from genops_events.reading.addresses import addresses_in, form_problem
from genops_events.reading.media_types import TYPES, not_taken, plain_type
from genops_events.training.file_tokens import FileTokens, take_file
from genops_events.training.reasons import BadExample, Reason, shown


class Part(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """One part of a turn, in either of the spellings that Google's pages use.

    `null` means an absent value, as in the JSON of Protocol Buffers (https://protobuf.dev/programming-guides/json/):
    google-genai writes all fields, the absent ones as null.
    """

    text: str | None = None
    fileData: dict[str, Any] | None = None  # noqa: N815
    inlineData: dict[str, Any] | None = None  # noqa: N815
    functionCall: dict[str, Any] | None = None  # noqa: N815
    functionResponse: dict[str, Any] | None = None  # noqa: N815
    file_data: dict[str, Any] | None = None
    inline_data: dict[str, Any] | None = None
    function_call: dict[str, Any] | None = None
    function_response: dict[str, Any] | None = None
    # Accepted without a check.
    thought: bool | None = None
    thoughtSignature: str | None = None  # noqa: N815
    thought_signature: str | None = None
    videoMetadata: dict[str, Any] | None = None  # noqa: N815
    video_metadata: dict[str, Any] | None = None
    mediaResolution: Any = None  # noqa: N815
    media_resolution: Any = None
    # Fields of the API's Part that no page on tuning mentions: they are allowed as long as they are null.
    executableCode: Any = None  # noqa: N815
    executable_code: Any = None
    codeExecutionResult: Any = None  # noqa: N815
    code_execution_result: Any = None
    toolCall: Any = None  # noqa: N815
    tool_call: Any = None
    toolResponse: Any = None  # noqa: N815
    tool_response: Any = None
    partMetadata: Any = None  # noqa: N815
    part_metadata: Any = None
    audioTranscription: Any = None  # noqa: N815
    audio_transcription: Any = None
    mediaProcessing: Any = None  # noqa: N815
    media_processing: Any = None
    speechMetadata: Any = None  # noqa: N815
    speech_metadata: Any = None

    def payloads(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield the content of the part other than text: name in Gemini's spelling, and value."""
        for name, value in (
            ("fileData", self.fileData),
            ("fileData", self.file_data),
            ("inlineData", self.inlineData),
            ("inlineData", self.inline_data),
            ("functionCall", self.functionCall),
            ("functionCall", self.function_call),
            ("functionResponse", self.functionResponse),
            ("functionResponse", self.function_response),
        ):
            if value is not None:
                yield name, value


_SPELLINGS = {
    "thought_signature": "thoughtSignature",
    "video_metadata": "videoMetadata",
    "media_resolution": "mediaResolution",
}
"""Spellings of the fields beside the payload; a second payload is refused in any spelling."""
_NOT_TUNED_ON = Part.__struct_fields__[Part.__struct_fields__.index("executableCode") :]


@dataclass(slots=True)
class ExampleTally:
    """Figures of an example so far."""

    tokens: int = 0
    media: int = 0
    images: int = 0
    documents: int = 0
    odd_types: int = 0
    """Number of MIME types with capital letters."""
    files: list[str] = field(default_factory=list)
    """Addresses of files."""
    file_tokens: FileTokens = field(default_factory=FileTokens)
    calls: Counter[str] = field(default_factory=Counter)
    """Function calls of the last turn of the model that have no response yet."""


@dataclass(frozen=True, slots=True)
class Side:
    """A side of the conversation, and the parts that it may have."""

    name: str
    allowed: tuple[str, ...]


SYSTEM = Side("The system instruction", ("text",))
USER = Side("The user's side", ("text", "fileData", "inlineData", "functionResponse"))
MODEL = Side("The model", ("text", "functionCall"))
FUNCTION = Side("A function", ("functionResponse",))


def text_only(side: Side) -> Side:
    """Return this side with text as the only allowed part."""
    return Side(side.name, ("text",))


def refuse_two_spellings(found: msgspec.Struct, spellings: Mapping[str, str], place: str) -> None:
    """Raise BadExample if a field has a value in both spellings, snake_case and camelCase."""
    for snake, camel in spellings.items():
        if getattr(found, snake) is not None and getattr(found, camel) is not None:
            raise _two_spellings(snake, camel, place)


def _two_spellings(snake: str, camel: str, place: str) -> BadExample:
    return BadExample(
        Reason.REPEATED_KEY,
        f"{f'`{place}`' if place else 'The example'} has `{camel}` and `{snake}`, two spellings of one key; "
        "keep one of them.",
        place=f"{place}.{snake}" if place else snake,
    )


def take_parts(parts: list[Part], place: str, side: Side, tally: ExampleTally) -> None:
    """Add the parts of one turn to `tally`; raise BadExample with their first error."""
    if not parts:
        raise BadExample(Reason.EMPTY_PART, f"`{place}.parts` is missing or empty.", place=f"{place}.parts")
    for index, part in enumerate(parts):
        at = f"{place}.parts[{index}]"
        payloads = list(part.payloads())
        text = part.text
        if other := next((key for key in _NOT_TUNED_ON if getattr(part, key) is not None), None):
            message = f"The key `{other}` in `{at}` is not known to tuning."
            raise BadExample(Reason.UNKNOWN_KEY, message, place=f"{at}.{other}")
        refuse_two_spellings(part, _SPELLINGS, at)
        if len(payloads) + (text is not None) != 1:
            raise BadExample(
                Reason.EMPTY_PART,
                f"`{at}` must hold exactly one of text, fileData, inlineData, functionCall, functionResponse.",
                place=at,
            )
        if payloads:
            name, value = payloads[0]
            _refuse_incomplete(name, value, at)
            _refuse_misplaced(name, at, side)
            _TAKE[name](value, at, tally)
            if name in ("fileData", "inlineData"):
                video = part.videoMetadata or part.video_metadata
                take_file(tally.file_tokens, _either(value, "mimeType", "mime_type"), video)
                tally.file_tokens.has_resolution |= bool(part.mediaResolution or part.media_resolution)
        elif isinstance(text, str):
            _refuse_misplaced("text", at, side)
            if not text.strip():
                raise BadExample(Reason.EMPTY_TEXT, f"`{at}.text` is empty.", place=f"{at}.text")
            tally.tokens += estimated_tokens(text)
    if side.name == MODEL.name and all(part.thought for part in parts):
        raise BadExample(
            Reason.EMPTY_PART,
            f"`{place}` holds thoughts and no answer; give it a part without `thought`, which is what is learned.",
            place=f"{place}.parts",
        )


_NEEDED = {
    "fileData": (("fileUri", "file_uri"), ("mimeType", "mime_type")),
    "inlineData": (("data",), ("mimeType", "mime_type")),
    "functionCall": (("name",),),
    "functionResponse": (("name",),),
}


def _refuse_incomplete(name: str, value: dict[str, Any], at: str) -> None:
    for spellings in _NEEDED[name]:
        if len(spellings) > 1 and all(value.get(one) is not None for one in spellings):
            raise _two_spellings(spellings[1], spellings[0], f"{at}.{name}")
        if not isinstance(found := _either(value, *spellings), str) or not found:
            raise BadExample(Reason.EMPTY_PART, f"`{at}.{name}` needs `{spellings[0]}`, a text.", place=at)


def _refuse_misplaced(name: str, at: str, side: Side) -> None:
    if name not in side.allowed:
        allowed = " or ".join(side.allowed)
        raise BadExample(Reason.WRONG_PART, f"`{at}` holds {name}. {side.name} may hold {allowed} only.", place=at)


def _either(value: dict[str, Any], name: str, other: str = "") -> Any:
    return value.get(other) if value.get(name) is None else value[name]


_MIME_TYPE = re.compile(r"[\w.+-]+/[\w.+-]+(\s*;.*)?", re.DOTALL)
_BASE64 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_"
_GROUP = 4


def _take_file(value: dict[str, Any], at: str, tally: ExampleTally) -> None:
    _take_media(value, f"{at}.fileData", tally)
    uri = _either(value, "fileUri", "file_uri")
    if (problem := form_problem(uri)) is not None:
        raise BadExample(
            Reason.BAD_MEDIA,
            f"`{at}.fileData.fileUri` {problem}; it is {shown(uri)}.",
            place=f"{at}.fileData.fileUri",
        )
    tally.files.append(uri)


def _take_inline(value: dict[str, Any], at: str, tally: ExampleTally) -> None:
    data = value["data"].encode(errors="replace")
    # Characters outside both base64 alphabets; `=` may fill up the last group of four.
    rest = data.translate(None, _BASE64)
    letters = len(data) - len(rest)
    filled = not rest or (rest in (b"=", b"==") and data.endswith(rest) and len(data) % _GROUP == 0)
    if not filled or letters % _GROUP == 1:
        raise BadExample(
            Reason.BAD_MEDIA,
            f"`{at}.inlineData.data` is not base64: {len(data):,} characters from {shown(value['data'])}.",
            place=f"{at}.inlineData.data",
        )
    _take_media(value, f"{at}.inlineData", tally)


def _take_media(value: dict[str, Any], at: str, tally: ExampleTally) -> None:
    mime_type = _either(value, "mimeType", "mime_type")
    if not _MIME_TYPE.fullmatch(mime_type):
        raise BadExample(
            Reason.BAD_MEDIA,
            f"`{at}.mimeType` is {shown(mime_type)}; it must be a MIME type such as image/png.",
            place=f"{at}.mimeType",
        )
    if (kind := plain_type(mime_type)) not in TYPES:
        raise BadExample(
            Reason.BAD_MEDIA,
            f"`{at}.mimeType` is {shown(mime_type)}: {not_taken('such files')}.",
            place=f"{at}.mimeType",
        )
    tally.media += 1
    tally.images += kind.startswith("image/")
    tally.documents += kind == "application/pdf"
    tally.odd_types += kind != mime_type.partition(";")[0].strip()


def _take_call(value: dict[str, Any], at: str, tally: ExampleTally) -> None:
    _refuse_no_object(value.get("args"), f"{at}.functionCall.args")
    tally.calls[value["name"]] += 1
    tally.tokens += json_tokens(value)


def _take_response(value: dict[str, Any], at: str, tally: ExampleTally) -> None:
    name = value["name"]
    _refuse_no_object(value.get("response"), f"{at}.functionResponse.response")
    if value.get("response") is None and not value.get("parts"):
        raise BadExample(Reason.EMPTY_PART, f"`{at}.functionResponse` needs `response`, an object.", place=at)
    if not tally.calls[name]:
        called = ", ".join(sorted(+tally.calls)) or "no function"
        raise BadExample(
            Reason.UNMATCHED_RESPONSE,
            f"`{at}` answers {shown(name)}, but the calls of the turn before that wait for an answer are: {called}.",
            place=f"{at}.functionResponse.name",
        )
    tally.files += addresses_in(value.get("parts"))
    tally.calls[name] -= 1
    tally.tokens += json_tokens(value)


def _refuse_no_object(value: Any, at: str) -> None:
    if value is not None and not isinstance(value, dict):
        raise BadExample(Reason.WRONG_TYPE, f"`{at}` must be of type object.", place=at)


_TAKE = {
    "fileData": _take_file,
    "inlineData": _take_inline,
    "functionCall": _take_call,
    "functionResponse": _take_response,
}
