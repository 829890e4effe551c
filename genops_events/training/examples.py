"""Check one line for supervised tuning or distillation: an example in Gemini's `systemInstruction` and `contents` form.

The form is that of Google's pages "Prepare supervised fine-tuning data for Gemini models" and "Tune function calling"
(read in stored copies of September 2026), and of the API's `Content` and `Part`.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import msgspec

from genops_events.catalogue.tokens import estimated_tokens, fewest_tokens, json_tokens
from genops_events.reading.json_places import strings_in
from genops_events.training.file_tokens import FileTokens
from genops_events.training.parts import (
    FUNCTION,
    MODEL,
    SYSTEM,
    USER,
    ExampleTally,
    Part,
    Side,
    refuse_two_spellings,
    take_parts,
    text_only,
)
from genops_events.training.reasons import BadExample, Reason, shown
from genops_events.training.wording import decoded, refuse_non_utf8

__all__ = ["Measure", "measure_example", "measure_prompt"]


class Measure(msgspec.Struct, frozen=True, gc=False):
    """Figures of one valid example. Not a dataclass, for speed: one is made for each line of files of a gigabyte."""

    tokens: int
    """Estimated tokens of the texts, by `estimated_tokens`; those of files are in `file_tokens`."""
    identity: int
    """Hash that is the same for examples that differ in white space and the order of keys only; valid in this process."""
    media: int = 0
    """Number of files and inline data."""
    images: int = 0
    documents: int = 0
    odd_types: int = 0
    """Number of MIME types with capital letters, which Google's pages do not mention."""
    billed_on_top: int = 0
    """Tokens that are billed on top of `tokens`."""
    files: tuple[str, ...] = ()
    """Addresses of files."""
    file_tokens: FileTokens | None = None
    """Files and inline data; None where there are none."""


# Nearly every line has texts only: this form is tried first, since decoding it is fast.


class _Text(msgspec.Struct, forbid_unknown_fields=True, frozen=True, gc=False):
    text: str


class _TextTurn(msgspec.Struct, forbid_unknown_fields=True, frozen=True, gc=False):
    role: str
    parts: tuple[_Text, ...]


class _TextSystem(msgspec.Struct, forbid_unknown_fields=True, frozen=True, gc=False):
    parts: tuple[_Text, ...]
    role: str | msgspec.UnsetType = msgspec.UNSET


class _TextExample(msgspec.Struct, forbid_unknown_fields=True, frozen=True, gc=False):
    contents: tuple[_TextTurn, ...]
    systemInstruction: _TextSystem | None = None  # noqa: N815  # Gemini's own spelling
    system_instruction: _TextSystem | None = None


# The complete form.


class Content(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """One turn, or the system instruction."""

    role: str | None = None
    parts: list[Part] | None = None


class Conversation(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """The fields of every example."""

    contents: list[Content] | None = None
    systemInstruction: Content | None = None  # noqa: N815
    system_instruction: Content | None = None


class _Example(Conversation, forbid_unknown_fields=True, gc=False):
    tools: list[dict[str, Any]] | None = None
    # Accepted without a check.
    generationConfig: dict[str, Any] | None = None  # noqa: N815
    generation_config: dict[str, Any] | None = None
    toolConfig: dict[str, Any] | None = None  # noqa: N815
    tool_config: dict[str, Any] | None = None
    safetySettings: list[dict[str, Any]] | None = None  # noqa: N815
    safety_settings: list[dict[str, Any]] | None = None
    labels: dict[str, str] | None = None


_decode_text = msgspec.json.Decoder(_TextExample).decode
_decode = msgspec.json.Decoder(_Example).decode
_SPELLINGS = {
    "generation_config": "generationConfig",
    "tool_config": "toolConfig",
    "safety_settings": "safetySettings",
}
_FORM = '{"contents": [{"role": "user", "parts": [{"text": …}]}, {"role": "model", "parts": [{"text": …}]}]}'


def measure_example(line: bytes, *, is_prompt: bool = False) -> Measure:
    """Return the figures of the example on this line; raise BadExample with its first error."""
    if not line.isascii():
        refuse_non_utf8(line)
    try:
        example = _decode_text(line)
    except (msgspec.DecodeError, RecursionError):  # ValidationError is a DecodeError
        return _measure_any(line, is_prompt=is_prompt)
    return _measure_texts(example, line, is_prompt=is_prompt) or _measure_any(line, is_prompt=is_prompt)


def measure_prompt(line: bytes) -> Measure:
    """Return the figures of the prompt on this line, for distillation; raise BadExample as `measure_example` does.

    It has the form of an example whose last turn is the user's. An answer of the model may follow: "you don't need to
    provide expected answers" (Google's page "Gemini Distillation Service").
    """
    return measure_example(line, is_prompt=True)


def _measure_texts(example: _TextExample, line: bytes, *, is_prompt: bool) -> Measure | None:
    """Return the figures of an example of texts; None if it has an error."""
    tokens, role = 0, "user"
    quotes = 2  # quotation marks of keys and texts: if the line has more, it has a key twice
    for turn in example.contents:
        if turn.role != role or not (more := _text_tokens(turn.parts)):
            return None
        tokens += more
        quotes += 6 + 4 * len(turn.parts)
        role = "model" if role == "user" else "user"
    if not tokens or (role != "user" and not is_prompt):
        return None  # there is no turn, or the last one is the user's
    if (system := example.systemInstruction or example.system_instruction) is not None:
        if not (more := _tokens_as_before(system.parts)):
            return None
        tokens += more
        quotes += (4 if system.role is msgspec.UNSET else 8) + 4 * len(system.parts)
    if quotes == line.count(b'"') or quotes == 2 * strings_in(
        line
    ):  # the first, faster test fails if a text has a quote
        return Measure(tokens, hash(example))
    return None


def _text_tokens(parts: tuple[_Text, ...]) -> int:
    """Return the tokens of these texts; 0 if one is empty, or there are none."""
    tokens = 0
    for part in parts:
        text = part.text
        if not text or text.isspace():
            return 0
        tokens += estimated_tokens(text)
    return tokens


_tokens_as_before = lru_cache(maxsize=1)(_text_tokens)
"""The same with a cache of one entry: most files have the same system instruction on every line."""


def _measure_any(line: bytes, *, is_prompt: bool) -> Measure:
    example, identity = decoded(_decode, line, _FORM)
    refuse_two_spellings(example, _SPELLINGS, "")
    tally = opened(example, _FORM)
    contents = example.contents or []
    if example.tools:
        tally.tokens += json_tokens(example.tools)
    if take_turns(contents, tally) is not MODEL and not is_prompt:
        raise BadExample(
            Reason.WRONG_ORDER,
            "The last turn is the user's; the last turn must be the model's answer to learn.",
            place=f"contents[{len(contents) - 1}]",
        )
    config = example.generationConfig or example.generation_config or {}
    tally.file_tokens.has_resolution |= bool(config.get("mediaResolution") or config.get("media_resolution"))
    return Measure(
        tally.tokens,
        identity,
        tally.media,
        tally.images,
        tally.documents,
        tally.odd_types,
        files=tuple(tally.files),
        file_tokens=tally.file_tokens if tally.media else None,
    )


def fewest_tokens_of(line: bytes) -> int:
    """Return a lower bound on the tokens of a valid example; of several answers, the longest one counts."""
    example: dict[str, Any] = msgspec.json.decode(line)
    answers = example.pop("completions", None) or []
    return _fewest(example) + max(map(_fewest, answers), default=0)


def _fewest(value: Any) -> int:
    found, todo = 0, [value]
    while todo:
        one = todo.pop()
        if isinstance(one, dict):
            found += fewest_tokens(text) if isinstance(text := one.get("text"), str) else 0
            todo += one.values()
        elif isinstance(one, list):
            todo += one
    return found


def opened(example: Conversation, form: str) -> ExampleTally:
    """Return a tally with the system instruction; raise BadExample if that is wrong, or there are no turns."""
    if not example.contents:
        raise BadExample(
            Reason.MISSING_CONTENTS, f"`contents` is missing or empty; an example reads {form}.", place="contents"
        )
    refuse_two_spellings(example, {"system_instruction": "systemInstruction"}, "")
    tally = ExampleTally()
    if (system := example.systemInstruction or example.system_instruction) is not None:
        name = "systemInstruction" if example.systemInstruction else "system_instruction"
        take_parts(system.parts or [], name, SYSTEM, tally)
    return tally


def take_turns(contents: list[Content], tally: ExampleTally, *, texts_only: bool = False) -> Side:
    """Add all turns to `tally` and return the side of the last one; raise BadExample with the first error."""
    before = MODEL
    for index, content in enumerate(contents):
        side = _side(contents, index)
        _refuse_order(index, content.role or "", before, side)
        if side is MODEL:
            tally.calls.clear()
        take_parts(content.parts or [], f"contents[{index}]", text_only(side) if texts_only else side, tally)
        before = side
    return before


_ROLES = {"user": USER, "model": MODEL, "function": FUNCTION, "tool": FUNCTION}
_SINGLE_TURN = 2


def _side(contents: list[Content], index: int) -> Side:
    role = contents[index].role or ""
    if role in _ROLES:
        side = _ROLES[role]
    elif role == "" and any(part.functionResponse or part.function_response for part in contents[index].parts or []):
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
