"""Say for people why a line of a JSON Lines file is not one JSON value, and what to do about it.

One place for all readers of such files, so that one mistake is named alike in a training file, an evaluation file and a
file of prompts.
"""

from __future__ import annotations

import codecs
import json
from dataclasses import dataclass

from genops_events.json_places import after_first_value, byte_of, values_from

CR_ONLY = (
    "JSON Lines whose lines end with a carriage return alone, as old Macs wrote them. Write line feeds: "
    "`tr '\\r' '\\n' < FILE > NEW`"
)
BYTE_ORDER_MARK = (
    "a byte order mark (EF BB BF) stands in the middle of the file, where another file was appended; take it out"
)
_MOST_COUNTED = 10_000


@dataclass(frozen=True, slots=True)
class NotOneValue:
    """Why a line is not one JSON value, where somebody can be told more than a decoder says."""

    message: str
    """A clause that begins in lower case and has no full stop."""
    column: int
    """1-based byte of the line."""
    more: int = 0
    """So many further objects stand on the line; at most 10,000."""
    has_cr_ends: bool = False


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
                has_cr_ends=True,
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
