"""One row as a card that folds: its scores, what was asked, answered and expected, and the judge's words."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from genops_events.evaluation.rows import Row
from genops_events.report_parts import short, text_box


def row_card(row: Row, decisive: str) -> str:
    """Return the row, with its score in the metric `decisive` first."""
    names = sorted(row.scores, key=lambda name: name != decisive)
    scores = "".join(f"<span>{escape(name)} {_score(row, name)}</span> " for name in names)
    texts = "".join(f"<dt>{escape(name)}</dt><dd>{text_box(name, text)}</dd>" for name, text in _texts(row))
    return f'<details class="row" open><summary><code>{escape(short(row.id))}</code> <span class="scores">{scores}</span></summary><dl>{texts}</dl></details>\n'


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
