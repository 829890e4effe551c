"""Find the byte of a line that a place such as `contents[1].parts[0].text` is about."""

from __future__ import annotations

import re

_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|[][{}:,]|[^][{}:,"\s]+')
_STEP = re.compile(r"\[(\d+)\]|([^.\[\]]+)")


def column_of(line: bytes, place: str) -> int | None:
    """Return the 1-based byte where the key or list item at `place` begins, or else its nearest parent that is there.

    Args:
        line: one JSON value.
        place: keys with dots between them, list indexes in brackets; `tools`, `contents[1].role`.

    Returns:
        None where not even the first step is there.
    """
    wanted = [int(index) if index else key for index, key in _STEP.findall(place)]
    path: list[int | str] = []  # the containers that are open: index of the item, or key of the member
    before, found, depth = b"", None, 0
    for token in _TOKEN.finditer(line):
        text = token.group()
        if text in b"]}":
            if path:
                path.pop()
        else:
            if path and before in (b"[", b"{", b","):  # an item or a member begins
                if isinstance(path[-1], int):
                    path[-1] += before == b","
                else:
                    path[-1] = text[1:-1].decode("utf-8", errors="replace")
                if len(path) > depth and path == wanted[: len(path)]:
                    found, depth = token.start() + 1, len(path)
                    if depth == len(wanted):
                        break
            if text == b"[":
                path.append(0)
            elif text == b"{":
                path.append("")
        before = text
    return found
