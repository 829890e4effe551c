"""Find where in a JSON text something stands: the byte of a place, a repeated key, what follows the first value.

Texts come from outside and may have many megabytes. Whatever is not on the way is passed over by json's C scanner, and
after so many members the search ends with what it has found: the work grows with the text, and is small.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from json.decoder import scanstring  # type: ignore[attr-defined]  # there, and not in the stubs
from typing import Any

MOST_MEMBERS = 200_000
"""So many members and items are looked at; what lies behind them has no column."""
_STEP = re.compile(r"\[(\d+)\]|([^.\[\]]+)")
_SPACE = " \t\r\n"
# Integers as floats: a number of thousands of digits must not be an error here, nor cost anything.
_scan: Any = json.JSONDecoder(parse_int=float, strict=False).scan_once  # type: ignore[attr-defined]  # as above
_TOKEN = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|[][{}:,]|[^][{}:,"\s]+', re.DOTALL)


class _Lost(Exception):
    """There is nothing at this place, or it is too far away."""


@dataclass(frozen=True, slots=True)
class RepeatedKey:
    """A key that one object has twice."""

    key: str
    place: str
    """Of the object, as `contents[1]`; empty for the whole."""
    first_column: int
    """1-based byte of the text, as `column`."""
    column: int


def column_of(line: bytes, place: str) -> int | None:
    """Return the 1-based byte where the key or list item at `place` begins, or else its nearest parent that is there.

    Args:
        line: one JSON value.
        place: keys with dots between them, list indexes in brackets; `tools`, `contents[1].role`.

    Returns:
        None where not even the first step is there.
    """
    text = _text(line)
    at, found, left = _skip_space(text, 0), None, MOST_MEMBERS
    try:
        for index, key in _STEP.findall(place):
            if index:
                left -= int(index)
                found = at = _item(text, at, int(index) if left >= 0 else None)
            else:
                found, at, left = _member(text, at, key, left)
    except (_Lost, StopIteration, ValueError, IndexError, RecursionError):
        pass  # what was found so far is the nearest parent
    return None if found is None else byte_of(text, found)


def after_first_value(line: bytes) -> tuple[str, int] | None:
    """Return the line as text, and the character behind its first JSON value; None where it begins with no value."""
    text = _text(line)
    try:
        _, end = _scan(text, _skip_space(text, 0))
    except (StopIteration, ValueError, RecursionError):
        return None
    return text, end


def values_from(text: str, start: int, *, most: int) -> int:
    """Count the JSON values that follow from a character on, with white space and commas between them; at most `most`."""
    found = 0
    while found < most:
        while start < len(text) and text[start] in _SPACE + ",\ufeff":
            start += 1
        try:
            _, start = _scan(text, start)
        except (StopIteration, ValueError, RecursionError):
            break
        found += 1
    return found


def byte_of(text: str, character: int) -> int:
    """Return the 1-based byte of a 0-based character of a text that `after_first_value` returned."""
    return len(text[:character].encode("utf-8", errors="surrogateescape")) + 1


def strings_in(text: bytes) -> int:
    """Return how many strings, keys included, a JSON text has, at the speed of counting bytes.

    A decoder that keeps the last of two equal keys leaves out at least the key: what it has read, written again, has
    fewer strings than the text. So two counts tell whether a key was repeated.
    """
    quotes = text.count(b'"')
    if b"\\" in text:
        quotes -= text.replace(b"\\\\", b"").count(b'\\"')
    return quotes // 2


def repeated_key(line: bytes) -> RepeatedKey | None:
    """Return the first key of a JSON text that its object has twice; None where there is none, or it is too far away."""
    text = _text(line)
    # Of each container that is open: its keys with their columns, or None of a list; and where in it we are.
    seen: list[dict[str, int] | None] = []
    path: list[str] = []
    before = ""
    for number, token in enumerate(_TOKEN.finditer(text)):
        if number == 4 * MOST_MEMBERS:
            break
        word = token.group()
        if word in "]}":
            if not seen:
                break
            seen.pop()
            path.pop()
        elif word in ":,":
            if word == "," and seen and seen[-1] is None:
                path[-1] = f"[{int(path[-1][1:-1]) + 1}]"
        else:
            if seen and (keys := seen[-1]) is not None and before in "{,":
                key = scanstring(text, token.start() + 1, False)[0]
                if (first := keys.setdefault(key, token.start())) != token.start():
                    return RepeatedKey(key, _place(path[:-1]), byte_of(text, first), byte_of(text, token.start()))
                path[-1] = f".{key}"
            if word in "[{":
                seen.append({} if word == "{" else None)
                path.append("" if word == "{" else "[0]")
        before = word
    return None


def _place(path: list[str]) -> str:
    return "".join(path).removeprefix(".")


def _text(line: bytes) -> str:
    return line.decode("utf-8", errors="surrogateescape")


def _skip_space(text: str, at: int) -> int:
    while text[at : at + 1] in _SPACE and at < len(text):
        at += 1
    return at


def _member(text: str, at: int, wanted: str, left: int) -> tuple[int, int, int]:
    """Return where the key of an object stands, and its value; and how many members may still be looked at."""
    if text[at] != "{":
        raise _Lost
    while left > 0:
        left -= 1
        start = _skip_space(text, at + 1)
        if text[start] != '"':
            raise _Lost
        key, end = scanstring(text, start + 1, False)
        value = _skip_space(text, _skip_space(text, end) + 1)
        if key == wanted:
            return start, value, left
        _, end = _scan(text, value)
        at = _skip_space(text, end)
        if text[at] != ",":
            raise _Lost
    raise _Lost


def _item(text: str, at: int, index: int | None) -> int:
    """Return where the item of a list stands."""
    if index is None or text[at] != "[":
        raise _Lost
    at = _skip_space(text, at + 1)
    for _ in range(index):
        _, end = _scan(text, at)
        at = _skip_space(text, end)
        if text[at] != ",":
            raise _Lost
        at = _skip_space(text, at + 1)
    if text[at] == "]":
        raise _Lost
    return at
