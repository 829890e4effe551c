"""Text of strangers as people may see it: one line, and nothing in it that a terminal obeys."""

from __future__ import annotations

import re

# Controls of C0 and C1 (a terminal obeys them), separators of lines, marks and overrides of the writing direction (what is shown
# is not what is there), the byte order mark, and halves of surrogate pairs (names of files that are not UTF-8; no stream takes
# them). Joiners stay: Persian and emoji need them.
_HIDDEN = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")
_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def printable(text: str, *, lines: bool = False) -> str:
    r"""Return `text` with all that a terminal would obey written as an escape, such as `\x1b`.

    Args:
        text: names, keys, reasons, answers: whatever somebody else may have written.
        lines: keep line feeds and tabs, for texts of several lines.
    """
    return _HIDDEN.sub(lambda found: _kept(found[0]) if lines else _escaped(found[0]), text)


def _kept(character: str) -> str:
    return character if character in "\n\t" else _escaped(character)


def _escaped(character: str) -> str:
    code = ord(character)
    return _SHORT.get(character) or (f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}")  # noqa: PLR2004 - one byte


def printable_json(document: str) -> str:
    r"""Return a JSON text with the same characters as `\u` escapes, which means the same; line feeds and tabs between values stay."""
    return _HIDDEN.sub(lambda found: found[0] if found[0] in "\n\t" else f"\\u{ord(found[0]):04x}", document)


def spreadsheet_cell(text: str) -> str:
    """Return `text` as a CSV cell that no spreadsheet takes for a formula: with an apostrophe before `=`, `+`, `-`, `@`, a tab or a return.

    Numbers stay as they are. As OWASP recommends against CSV injection (owasp.org/www-community/attacks/CSV_Injection, read on
    2026-11-30).
    """
    if text[:1] in ("=", "+", "-", "@", "\t", "\r") and not _NUMBER.fullmatch(text):
        return f"'{text}"
    return text


_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
