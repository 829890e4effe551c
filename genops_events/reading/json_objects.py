"""Read JSON from outside strictly: what one reader takes and another does not see is refused, with its place.

A repeated key is the plainest case. Of `{"text": …, "text": …}` most readers keep the last one, and nobody has counted the
first. The API of Gemini takes every field in two spellings, `systemInstruction` and `system_instruction`: both at once are
two values of one field. Neither is read here, so that what is counted, checked and paid for is what is sent.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any, NoReturn

from genops_events.reading.json_lines import not_one_value

MOST_LEVELS = 100
"""Deepest nesting. Protocol Buffers, which Google's APIs are written in, read JSON of at most 100 levels:
https://protobuf.dev/programming-guides/json/ and the recursion limit of its parsers."""
MOST_DIGITS = 400
"""Longest number, its point and exponent included: the largest double has 309 digits, and no field has more."""
_FOUND_CHARACTERS = 40
_FREE = frozenset(
    {
        *("args", "arguments", "response", "labels"),
        *("properties", "$defs", "defs", "patternProperties"),
        *("parametersJsonSchema", "parameters_json_schema", "responseJsonSchema", "response_json_schema"),
        *("responseSchema", "response_schema", "parameters", "structValue", "struct_value"),
    }
)
"""Objects whose keys are the user's own: a function may well have the arguments `userId` and `user_id`. What stands in
them is one value that is sent, and counted, whole."""


class WrongJson(ValueError):
    """A text is no JSON, or says something twice.

    Args:
        message: what is wrong, to follow "the line is wrong: "; ends without a full stop.
        place: where, as `contents[1].parts[0].text`; empty for the whole.
        column: 1-based character of the text; None where it is not known.
    """

    def __init__(self, message: str, *, place: str = "", column: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.place = place
        self.column = column


class SaidTwice(WrongJson):
    """An object has one key twice, or one field in two spellings."""


class _Pairs(list[tuple[str, Any]]):
    """The members of an object, as they stand there."""


def read_json(content: bytes | str) -> Any:
    """Return the JSON value that a text holds.

    Args:
        content: UTF-8 where it is bytes; no byte order mark.

    Raises:
        SaidTwice: a key is repeated in its object, or a field stands there in both of its spellings.
        WrongJson: it is no JSON (NaN and Infinity are none), not UTF-8, nested deeper than MOST_LEVELS, has a number of more
            than MOST_DIGITS characters or beyond a double, or holds half of a surrogate pair.
    """
    text = _text(content)
    suspects: list[None] = []

    def members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        value = dict(pairs)
        if len(value) != len(pairs) or _twins(value):
            suspects.append(None)  # where it is, nobody knows here; below a key of _FREE it is right
        return value

    value = _decoded(text, members)
    _refuse_depth(value)
    if suspects:
        _refuse_twice(_decoded(text, _Pairs))
    if "\\ud" in text.lower():
        _refuse_half_a_pair(value)
    return value


def _text(content: bytes | str) -> str:
    if isinstance(content, str):
        return content
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise WrongJson(f"it is not UTF-8 (byte {error.start})") from None


def camel(key: str) -> str:
    """Return a field's name as the API of Gemini writes it: `system_instruction` is `systemInstruction`."""
    first, *rest = key.split("_")
    return first + "".join(word[:1].upper() + word[1:] for word in rest)


def _twins(value: dict[str, Any]) -> bool:
    return any("_" in key and (other := camel(key)) != key and other in value for key in value)


def _decoded(text: str, members: Callable[[list[tuple[str, Any]]], Any]) -> Any:
    try:
        return json.loads(
            text, object_pairs_hook=members, parse_int=_int, parse_float=_float, parse_constant=_refuse_constant
        )
    except json.JSONDecodeError as error:
        encoded = text.encode("utf-8", errors="surrogatepass")
        if (known := not_one_value(encoded)) is not None:
            column = len(encoded[: known.column - 1].decode("utf-8", errors="surrogatepass")) + 1
            raise WrongJson(f"it is not one JSON value: {known.message}, column {column}", column=column) from None
        said = f"{error.msg[:1].lower()}{error.msg[1:]}, column {error.pos + 1}"
        raise WrongJson(f"it is not JSON ({said})", column=error.pos + 1) from None
    except RecursionError:
        raise _too_deep() from None


def _int(text: str) -> int:
    _refuse_long(text)
    return int(text)


def _float(text: str) -> float:
    _refuse_long(text)
    found = float(text)
    if not math.isfinite(found):
        raise WrongJson(f"the number {_shown(text)} is larger than a number can be")
    return found


def _refuse_long(text: str) -> None:
    if len(text) > MOST_DIGITS:
        raise WrongJson(f"a number has {len(text):,} characters, {_shown(text)}; at most {MOST_DIGITS} are read")


def _refuse_constant(text: str) -> NoReturn:
    raise WrongJson(f"it is not JSON ({text} is no number that JSON has)")


def _too_deep() -> WrongJson:
    return WrongJson(f"it is nested too deeply; at most {MOST_LEVELS} levels are read")


def _refuse_depth(value: Any) -> None:
    level = [value] if isinstance(value, (dict, list)) else []
    for _ in range(MOST_LEVELS):
        if not level:
            return
        every = (inner for one in level for inner in (one.values() if isinstance(one, dict) else one))
        level = [inner for inner in every if isinstance(inner, (dict, list))]
    if not level:
        return
    raise _too_deep()


def _refuse_twice(value: Any) -> None:
    """Raise SaidTwice for the first object of a value, its members as pairs, that says something twice."""
    todo: list[tuple[Any, str, bool]] = [(value, "", False)]
    while todo:
        one, place, is_free = todo.pop()
        if isinstance(one, _Pairs):
            seen: dict[str, str] = {}
            for key, _ in one:
                before = seen.get(name := key if is_free else camel(key))
                if before == key:
                    said = f"{_in(place)} has the key {_shown(key)} more than once; keep one of them"
                    raise SaidTwice(said, place=_below(place, key))
                if before is not None:
                    said = f"{_in(place)} has {_shown(before)} and {_shown(key)}, two spellings of one field; keep one of them"
                    raise SaidTwice(said, place=_below(place, key))
                seen[name] = key
            todo += [(inner, _below(place, key), is_free or key in _FREE) for key, inner in reversed(one)]
        elif isinstance(one, list):
            todo += [(inner, f"{place}[{number}]", is_free) for number, inner in reversed(list(enumerate(one)))]


def _in(place: str) -> str:
    return f"`{place}`" if place else "the object"


def _below(place: str, key: str) -> str:
    return f"{place}.{key}" if place else key


def _refuse_half_a_pair(value: Any) -> None:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise WrongJson("it holds half of a surrogate pair, such as \\ud83d, which is no character") from None


def _shown(text: str) -> str:
    return repr(text if len(text) <= _FOUND_CHARACTERS else text[:_FOUND_CHARACTERS] + "…")
