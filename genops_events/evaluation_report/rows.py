"""One row as a card that folds: its scores, what was asked, answered and expected, and the judge's words."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from genops_events.evaluation_rows import Row

_TEXT_CHARACTERS = 2_000
_ID_CHARACTERS = 120
_LONG_CHARACTERS, _LONG_LINES = 700, 9
"""Longer texts scroll by themselves, and so must be reachable by keyboard."""


def row_card(row: Row, decisive: str) -> str:
    """Return the row, with its score in the metric `decisive` first."""
    names = sorted(row.scores, key=lambda name: name != decisive)
    scores = "".join(f"<span>{escape(name)} {_score(row, name)}</span> " for name in names)
    texts = "".join(f"<dt>{escape(name)}</dt><dd>{_text(name, text)}</dd>" for name, text in _texts(row))
    return f'<details class="row" open><summary><code>{escape(short(row.id))}</code> <span class="scores">{scores}</span></summary><dl>{texts}</dl></details>\n'


def short(text: str, most: int = _ID_CHARACTERS) -> str:
    """Return the text, or its beginning where it is longer than `most` characters."""
    return text if len(text) <= most else text[:most] + "…"


def _score(row: Row, name: str) -> str:
    theirs = row.champion_scores.get(name)
    against = "" if theirs is None else f' <span class="soft">(champion {theirs:.4g})</span>'
    return f"<strong>{row.scores[name]:.4g}</strong>{against}"


def _texts(row: Row) -> Iterator[tuple[str, str]]:
    explained = ((f"{name}, explained", text) for name, text in row.explanations.items())
    for name, text in (
        ("prompt", row.prompt),
        ("reference", row.reference),
        ("answer", row.answer),
        ("champion's answer", row.champion_answer),
        *explained,
    ):
        if text is not None:
            yield name, text


def _text(name: str, text: str) -> str:
    if not text:
        return "<em>nothing</em>"
    shown, left = text[:_TEXT_CHARACTERS], len(text) - _TEXT_CHARACTERS
    cut = f'<span class="cut">… and {left:,} characters more, in the file of rows</span>' if left > 0 else ""
    # The text decides which way it runs, and ends what it began: nothing of it reaches beyond its own box.
    if len(shown) <= _LONG_CHARACTERS and shown.count("\n") < _LONG_LINES:
        return f'<div class="text" dir="auto">{escape(shown)}</div>'
    reached = f'role="region" aria-label="{escape(name, quote=True)}" tabindex="0"'
    return f'<div class="text long" dir="auto" {reached}>{escape(shown)}</div>{cut}'
