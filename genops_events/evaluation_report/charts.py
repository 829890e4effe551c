"""Charts as inline SVG: how scores are distributed, and how two means compare. Colours come from the page's style."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from genops_events.evaluation_statistics import histogram

BINS = 10
_WIDTH, _HEIGHT, _BASE = 420, 150, 120


def distribution(title: str, scores: Sequence[float], champion: Sequence[float], *, low: float, high: float) -> str:
    """Return how many rows have which score: the candidate's as bars, the champion's beside them where there are any.

    Args:
        title: what the chart is of, for people who hear it.
        scores: the candidate's.
        champion: the champion's; empty where it was not scored.
        low: left end of the axis.
        high: right end of the axis.
    """
    high = high if high > low else low + 1
    groups = [(name, histogram(one, low=low, high=high, bins=BINS)) for name, one in _named(scores, champion)]
    most = max((count for _, counts in groups for count in counts), default=0) or 1
    step = (_WIDTH - 20) / BINS
    bar = (step - 6) / len(groups)
    drawn = []
    for place, (name, counts) in enumerate(groups):
        for index, count in enumerate(counts):
            if not count:
                continue
            height = max(2.0, (_BASE - 20) * count / most)
            x = 10 + index * step + 3 + place * bar
            start, end = low + (high - low) * index / BINS, low + (high - low) * (index + 1) / BINS
            drawn.append(
                f'<rect class="{name}" x="{x:.1f}" y="{_BASE - height:.1f}" width="{bar:.1f}" height="{height:.1f}">'
                f"<title>{name}: {count} from {start:.3g} to {end:.3g}</title></rect>"
                f'<text class="count" x="{x + bar / 2:.1f}" y="{_BASE - height - 3:.1f}">{count}</text>'
            )
    ends = (
        f'<text class="end" x="10" y="{_BASE + 16}">{low:g}</text>'
        f'<text class="end right" x="{_WIDTH - 10}" y="{_BASE + 16}">{high:g}</text>'
    )
    axis = f'<line class="axis" x1="10" y1="{_BASE}" x2="{_WIDTH - 10}" y2="{_BASE}"/>'
    return _svg(f"Distribution of {title}", "".join(drawn) + axis + ends, height=_HEIGHT)


def comparison(
    title: str, rows: Sequence[tuple[str, float, float | None, float | None]], *, low: float, high: float
) -> str:
    """Return means as points on one axis, each with its confidence interval where it has one.

    Args:
        title: what the chart is of.
        rows: class and name (`candidate` or `champion`), mean, and the ends of the interval.
        low: left end of the axis.
        high: right end of the axis.
    """
    high = high if high > low else low + 1
    left, right = 90, _WIDTH - 20

    def place(value: float) -> float:
        return left + (right - left) * (min(max(value, low), high) - low) / (high - low)

    drawn = []
    for index, (name, mean, least, most) in enumerate(rows):
        y = 22 + index * 30
        drawn.append(f'<text class="label" x="6" y="{y + 4}">{escape(name)}</text>')
        drawn.append(f'<line class="axis" x1="{left}" y1="{y}" x2="{right}" y2="{y}"/>')
        if least is not None and most is not None:
            drawn.append(
                f'<line class="{name} interval" x1="{place(least):.1f}" y1="{y}" x2="{place(most):.1f}" y2="{y}"/>'
            )
        drawn.append(
            f'<circle class="{name}" cx="{place(mean):.1f}" cy="{y}" r="5"><title>{name}: {mean:.4g}</title></circle>'
            f'<text class="count" x="{place(mean):.1f}" y="{y - 9}">{mean:.3g}</text>'
        )
    bottom = 22 + len(rows) * 30
    drawn.append(f'<text class="end" x="{left}" y="{bottom}">{low:g}</text>')
    drawn.append(f'<text class="end right" x="{right}" y="{bottom}">{high:g}</text>')
    return _svg(title, "".join(drawn), height=bottom + 8)


def _named(scores: Sequence[float], champion: Sequence[float]) -> list[tuple[str, Sequence[float]]]:
    return [("candidate", scores)] + ([("champion", champion)] if champion else [])


def _svg(title: str, drawn: str, *, height: int) -> str:
    return f'<svg viewBox="0 0 {_WIDTH} {height}" role="img" aria-label="{escape(title, quote=True)}">{drawn}</svg>'
