"""Texts that somebody else wrote, shown as they are: cut where they are long, and never markup."""

from __future__ import annotations

from collections.abc import Callable
from html import escape

TEXT_CHARACTERS = 2_000
_ID_CHARACTERS = 120
_LONG_CHARACTERS, _LONG_LINES = 700, 9
"""Longer texts scroll by themselves, and so must be reachable by keyboard."""


def short(text: str, most: int = _ID_CHARACTERS) -> str:
    """Return the text, or its beginning where it is longer than `most` characters."""
    return text if len(text) <= most else text[:most] + "…"


def text_box(name: str, text: str, *, empty: str = "nothing", show: Callable[[str], str] = escape) -> str:
    """Return a text in a box of its own, which says where it was cut.

    Args:
        name: what the text is, for people who hear it.
        text: as it was written; only its beginning is shown where it is long.
        empty: what stands in place of the empty text.
        show: makes HTML of what is shown of the text; must escape it.
    """
    if not text:
        return f"<em>{empty}</em>"
    shown, left = text[:TEXT_CHARACTERS], len(text) - TEXT_CHARACTERS
    cut = f'<span class="cut">… and {left:,} characters more, in the file of rows</span>' if left > 0 else ""
    # The text decides which way it runs, and ends what it began: nothing of it reaches beyond its own box.
    if len(shown) <= _LONG_CHARACTERS and shown.count("\n") < _LONG_LINES:
        return f'<div class="text" dir="auto">{show(shown)}</div>'
    reached = f'role="region" aria-label="{escape(name, quote=True)}" tabindex="0"'
    return f'<div class="text long" dir="auto" {reached}>{show(shown)}</div>{cut}'
