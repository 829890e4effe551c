"""Say for people why a line of a JSON Lines file is not one JSON value, and what to do about it.

One place for all readers of such files, so that one mistake is named alike in a training file, an evaluation file and a
file of prompts.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from genops_events.reading.json_places import after_first_value, byte_of, values_from

CR_ONLY = (
    "JSON Lines whose lines end with a carriage return alone, as old Macs wrote them. Write line feeds: "
    "`tr '\\r' '\\n' < FILE > NEW`"
)
BYTE_ORDER_MARK = (
    "a byte order mark (EF BB BF) stands in the middle of the file, where another file was appended; take it out"
)
MOST_LINE_BYTES = 20 * 1024 * 1024
"""Longest line: Vertex AI takes requests of 20 MB. What is longer fails without being held in memory."""
_MOST_COUNTED = 10_000
_NAME_BY_LINE = re.compile(r"line-([1-9][0-9]{0,17})")


@dataclass(frozen=True, slots=True)
class NotOneValue:
    """Why a line is not one JSON value, where somebody can be told more than a decoder says."""

    message: str
    """A clause that begins in lower case and has no full stop."""
    column: int
    """1-based byte of the line."""
    more: int = 0
    """So many further objects stand on the line; at most 10,000."""


def not_one_value(line: bytes) -> NotOneValue | None:
    """Say why a line that a JSON decoder has refused is not one value; None where the decoder's own word must do."""
    if line.startswith(codecs.BOM_UTF8):
        return NotOneValue(BYTE_ORDER_MARK, 1)
    if (found := after_first_value(line)) is not None and line.lstrip()[:1] in (b"{", b"["):
        text, end = found
        rest = text[end:].lstrip(" \t")
        start = len(text) - len(rest)
        if rest.startswith("\r") and rest.strip():
            return NotOneValue(
                f"this is {CR_ONLY}",
                byte_of(text, start),
                values_from(text, start, most=_MOST_COUNTED),
            )
        if rest.startswith(","):
            more = values_from(text, start, most=_MOST_COUNTED)
            what = "a comma stands behind the object; JSON Lines have none between the lines: take it out"
            if more:
                what = "several JSON objects stand on this line, with commas between them; put each on a line of its own, without a comma"
            return NotOneValue(what, byte_of(text, start), more)
        if rest.startswith(("{", "[", "\ufeff")):
            more = values_from(text, start, most=_MOST_COUNTED)
            what = "several JSON objects stand on this line, and the second begins here; put each on a line of its own"
            return NotOneValue(what, byte_of(text, start), more)
    if (column := _half_a_pair(line)) is not None:
        return NotOneValue("it holds half of a surrogate pair, such as \\ud83d, which is no character", column)
    return None


def begins_with_cr_lines(head: bytes) -> bool:
    """Tell from the beginning of a line too long to be held whether it is a file whose lines end with CR alone."""
    first, found, second = head.partition(b"\r")
    return bool(found) and first.rstrip().endswith(b"}") and second.lstrip().startswith(b"{")


def _half_a_pair(line: bytes) -> int | None:
    # Only an escape brings one, since half a pair is no UTF-8: whole emoji may be escaped, too.
    if b"\\ud" not in (lower := line.lower()):
        return None
    try:
        json.dumps(json.loads(line, parse_int=float), ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return lower.index(b"\\ud") + 1
    except (ValueError, RecursionError):
        return None
    return None


def lines_of(chunks: Iterable[bytes]) -> Iterator[bytes | int]:
    """Yield the lines of a file; of one that is longer than a request may be, only how many bytes it has.

    Args:
        chunks: the file's bytes, in pieces of any size.
    """
    rest = bytearray()
    held = 0
    for chunk in chunks:
        *whole, last = chunk.split(b"\n")
        for piece in whole:
            held += len(piece)
            yield bytes(rest + piece) if held <= MOST_LINE_BYTES else held
            rest.clear()
            held = 0
        held += len(last)
        if held <= MOST_LINE_BYTES:
            rest += last
        else:
            rest.clear()
    if held:
        yield bytes(rest) if held <= MOST_LINE_BYTES else held


def name_of(line: int) -> str:
    """Return what a row without an id is called."""
    return f"line-{line}"


def given(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return the members that have a value: `null` is none, as in the JSON of Protocol Buffers."""
    return {key: item for key, item in value.items() if item is not None}


class RowNames:
    """What the rows of a file are called: each name is one row's alone, given or made of its line.

    A hash is held of each name that was given, 0.1 kB, and a byte for each line.
    """

    def __init__(self) -> None:
        self._given: dict[int, int] = {}
        self._unnamed = bytearray(1)

    def refusal(self, line: int, own: str | None) -> str | None:
        """Return why a row cannot have its name, in a clause; None where it is the row's from now on.

        Args:
            line: 1-based line of the row; lines come in order.
            own: the id that the file gives it; None where it gives none.
        """
        self._unnamed.extend(bytes(line + 1 - len(self._unnamed)))
        if own is None:
            self._unnamed[line] = 1
            seen = self._given.get(hash(name_of(line)))
            if seen is not None:
                return f"it has no id, and the name that it would have, {name_of(line)!r}, is the id of line {seen}; give it one"
            return None
        seen = self._given.setdefault(hash(own), line)
        if seen != line:
            return f"the id {own!r} was given before, on line {seen}"
        by_line = _NAME_BY_LINE.fullmatch(own)
        if by_line is not None and (other := int(by_line[1])) < line and self._unnamed[other]:
            return f"the id {own!r} is the name of line {other}, which has no id; give one of them another"
        return None
