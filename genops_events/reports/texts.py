"""Texts and figures as a page shows them. Texts that somebody else wrote are cut where they are long; templates escape them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

TEXT_CHARACTERS = 2_000
_ID_CHARACTERS = 120
_LONG_CHARACTERS, _LONG_LINES = 700, 9
"""Longer texts scroll by themselves, and so must be reachable by keyboard."""

Signal = Literal["passed", "partly", "refused"]
"""How something ended, as colours and marks show it; the words beside them say the same."""


@dataclass(frozen=True, slots=True)
class VerdictBox:
    """How it went, at first sight."""

    state: Signal
    headline: str
    reason: str


@dataclass(frozen=True, slots=True)
class Tile:
    """A figure that is looked for first."""

    name: str
    figure: str
    note: str


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a text."""

    text: str
    is_marked: bool = False


@dataclass(frozen=True, slots=True)
class TextBox:
    """A text in a box of its own, which says where it was cut."""

    name: str
    """What the text is, for people who hear it."""
    pieces: Sequence[Piece]
    """What is shown of the text; nothing of an empty one."""
    empty: str
    """What stands in place of the empty text."""
    left: str
    """How many characters are not shown; empty where all are."""
    scrolls: bool


def short(text: str, most: int = _ID_CHARACTERS) -> str:
    """Return the text, or its beginning where it is longer than `most` characters."""
    return text if len(text) <= most else text[:most] + "…"


def number(value: float | None) -> str:
    """Return a figure with four digits, or a dash where there is none."""
    return "–" if value is None else f"{value:.4g}"  # noqa: RUF001 - a dash in a table


def shown(text: str) -> str:
    """Return what a text box shows of a text: the beginning, where it is long."""
    return text[:TEXT_CHARACTERS]


def text_box(name: str, text: str, *, empty: str = "nothing", pieces: Sequence[Piece] | None = None) -> TextBox:
    """Return a text as it is shown.

    Args:
        name: what the text is.
        text: as it was written.
        empty: what stands in place of the empty text.
        pieces: what is `shown` of the text, where parts of it are marked.
    """
    seen, left = shown(text), len(text) - TEXT_CHARACTERS
    return TextBox(
        name=name,
        pieces=([Piece(seen)] if pieces is None else pieces) if text else (),
        empty=empty,
        left=f"{left:,}" if left > 0 else "",
        scrolls=len(seen) > _LONG_CHARACTERS or seen.count("\n") >= _LONG_LINES,
    )
