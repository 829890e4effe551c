"""One row as a card that folds: its scores, prompt, answers, reference, and the judge's explanations."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from genops_events.evaluation.rows import Row
from genops_events.reports import TextBox, short, text_box


@dataclass(frozen=True, slots=True)
class RowScore:
    """A score of the row, with the champion's where that is known."""

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
        scores=[RowScore(name, f"{row.scores[name]:.4g}", _champion_score(row, name)) for name in names],
        texts=[text_box(name, text) for name, text in _texts(row)],
    )


def _champion_score(row: Row, name: str) -> str:
    score = row.champion_scores.get(name)
    return "" if score is None else f"(champion {score:.4g})"


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
