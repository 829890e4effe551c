"""One row as a card that folds: its scores, what was asked, answered and expected, and the judge's words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from genops_events.evaluation.rows import Row
from genops_events.reports import TextBox, short, text_box


@dataclass(frozen=True, slots=True)
class RowScore:
    """A score of the row, with the champion's where it is known."""

    metric: str
    score: str
    champion: str


@dataclass(frozen=True, slots=True)
class RowCard:
    """A row with its scores and texts."""

    id: str
    scores: Sequence[RowScore]
    texts: Sequence[TextBox]


def row_card(row: Row, decisive: str) -> RowCard:
    """Return the row, with its score in the metric `decisive` first."""
    names = sorted(row.scores, key=lambda name: name != decisive)
    return RowCard(
        id=short(row.id),
        scores=[RowScore(name, f"{row.scores[name]:.4g}", _champions(row, name)) for name in names],
        texts=[text_box(name, text) for name, text in _texts(row)],
    )


def _champions(row: Row, name: str) -> str:
    theirs = row.champion_scores.get(name)
    return "" if theirs is None else f"(champion {theirs:.4g})"


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
