"""The page: how it went, quality against cost, all contestants, what failed, and the answers side by side."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from html import escape

from genops_events.comparison.record import ComparedRow, Comparison, Measured
from genops_events.comparison_report.answers import answers_card, who
from genops_events.comparison_report.chart import Point, dollars, quality_against_cost
from genops_events.comparison_report.choice import Chosen, differ_most, rows_shown
from genops_events.comparison_report.style import STYLE
from genops_events.comparison_report.summary import failures, summary_table, thousand_usd
from genops_events.report_parts import heading, html_page, mark, number, short

_REASON_CHARACTERS = 2_000
_READ = (
    "Below a mean is its 95 % interval; the highest mean is bold. What 1,000 answers cost is reckoned from their tokens, "
    "whoever paid for them; spent is what this comparison paid. Of latencies, the middle one is shown, and what 95 % of them do not exceed."
)


def render(comparison: Comparison, rows: Iterable[ComparedRow]) -> str:
    """Return the report as one HTML document; whatever stands in prompts, answers and names is text in it, never markup.

    Its size is bounded, however many rows there are: of them, it shows those on which the contestants differ most.

    Args:
        comparison: its summary.
        rows: all of them, in any order; they are gone through once, and only those that are shown are kept.
    """
    title = f"Comparison {comparison.id}"
    chosen = differ_most(rows, [one.name for one in comparison.metrics], rows_shown(len(comparison.contestants)))
    return html_page(f"{title}: {_state(comparison)}", title, "".join(_sections(comparison, chosen)), style=STYLE)


def _sections(comparison: Comparison, chosen: Chosen) -> Iterator[str]:
    yield _outcome(comparison)
    yield _tiles(comparison)
    yield from (f'<p dir="auto">{escape(short(note, _REASON_CHARACTERS))}</p>\n' for note in comparison.notes)
    if comparison.contestants:
        yield from _charts(comparison)
        yield f"{heading('contestants', 'Contestants')}{summary_table(comparison)}"
        yield f"<p>{_READ}</p>\n"
        yield from failures(comparison.contestants)
    yield from _answers(comparison, chosen)
    yield from _addresses(comparison)


def _outcome(comparison: Comparison) -> str:
    passed = comparison.outcome == "completed"
    mixed = passed and bool(_missing(comparison))
    state = "partly" if mixed else "passed" if passed else "refused"
    champion = f"champion <code>{escape(comparison.champion)}</code>" if comparison.champion else "no champion yet"
    started = "started by a promotion" if comparison.started_by == "promotion" else "started by a person"
    return (
        f'<p class="soft">Dataset <code>{escape(comparison.dataset)}</code>, {champion}, {started}, '
        f"{comparison.ended_at:%Y-%m-%d %H:%M} UTC</p>\n"
        f'<section class="verdict {state}" aria-label="Outcome">'
        f'<p class="state">{mark(passed=None if mixed else passed)} {_state(comparison).capitalize()}</p>'
        f'<p dir="auto">{escape(short(comparison.reason, _REASON_CHARACTERS))}</p></section>\n'
    )


def _state(comparison: Comparison) -> str:
    """Return how it went in a few words; that somebody is missing is among them."""
    missing, every = _missing(comparison), len(comparison.contestants)
    if comparison.outcome != "completed" or not missing:
        return comparison.outcome
    return f"completed without {missing} of {every} contestants"


def _missing(comparison: Comparison) -> int:
    return sum(one.status != "completed" for one in comparison.contestants)


def _tiles(comparison: Comparison) -> str:
    """Return the figures that are looked for first."""
    completed = len(comparison.contestants) - _missing(comparison)
    names = [one.name for one in comparison.metrics]
    reserved = "" if comparison.estimated_usd is None else f"of {dollars(float(comparison.estimated_usd))} at most"
    if comparison.missing_usd is not None:
        reserved += f", {dollars(float(comparison.missing_usd))} over the limits"
    tiles = [
        ("contestants", f"{completed} of {len(comparison.contestants)}", "completed"),
        ("prompts", f"{comparison.rows:,}", f"scored by {len(names)} metric{'s' * (len(names) != 1)}"),
        *([_highest(comparison, names[0])] if names else []),
        ("spent", dollars(float(comparison.cost_usd)), reserved or "by this comparison"),
    ]
    drawn = "".join(
        f'<div class="tile"><dt>{escape(name)}</dt><dd class="big">{figure}</dd><dd class="soft">{note}</dd></div>'
        for name, figure, note in tiles
    )
    return f'<dl class="tiles">{drawn}</dl>\n'


def _highest(comparison: Comparison, metric: str) -> tuple[str, str, str]:
    """Return who is first in a metric, and how sure that is."""
    found = [
        (figures.mean, place, one.name, figures)
        for place, one in enumerate(comparison.contestants, start=1)
        if (figures := one.metrics.get(metric)) is not None and figures.mean is not None
    ]
    if not found:
        return f"highest {metric}", number(None), "nobody was scored"
    mean, place, name, first = max(found, key=lambda one: (one[0], -one[1]))
    near = sum(
        first.low is not None and one.high is not None and one.high >= first.low
        for *_, one in found
        if one is not first
    )
    sure = f"intervals of {near} other{'s' * (near != 1)} overlap" if near else "no other interval overlaps"
    return f"highest {metric}", number(mean), f"{who(place, name)}" + (f"<br>{sure}" if len(found) > 1 else "")


def _charts(comparison: Comparison) -> Iterator[str]:
    yield heading("trade", "Quality against cost")
    drawn = [(metric, found) for metric in comparison.metrics if (found := _points(comparison, metric))]
    if not drawn:
        yield "<p>No contestant has both a score and a known cost.</p>\n"
        return
    (metric, points), *others = drawn
    yield (
        '<p class="legend"><span class="key best">no other is both as good and as cheap</span>'
        '<span class="key other">another is as good for less, or better for no more</span><span class="soft">a bar through a point: 95 % interval; '
        "a higher mean is better</span></p>\n"
        f'<div class="trade">{_figure(metric, points)}<div>{_names(comparison, metric, points)}</div></div>\n'
    )
    if others:
        yield f'<div class="charts more">{"".join(_figure(*one) for one in others)}</div>\n'


def _figure(metric: Measured, points: Sequence[Point]) -> str:
    chart = quality_against_cost(metric.name, points, low=metric.low, high=metric.high)
    return f"<figure><h3>{escape(metric.name)}</h3>{chart}</figure>"


def _points(comparison: Comparison, metric: Measured) -> list[Point]:
    return [
        Point(place, one.name, figures.mean, figures.low, figures.high, cost)
        for place, one in enumerate(comparison.contestants, start=1)
        if (figures := one.metrics.get(metric.name)) is not None
        and figures.mean is not None
        and (cost := thousand_usd(one)) is not None
    ]


def _names(comparison: Comparison, metric: Measured, points: Sequence[Point]) -> str:
    """Return whom each number stands for, those too who are not in the chart."""
    shown = {one.number: one for one in points}
    lines = ""
    for place, one in enumerate(comparison.contestants, start=1):
        if point := shown.get(place):
            told = f"{point.quality:.4g} for {dollars(point.cost_usd)}"
        elif one.status != "completed":
            told = f"not in the chart: {one.status}"
        else:
            figures = one.metrics.get(metric.name)
            told = f"not in the chart: no {'score' if figures is None or figures.mean is None else 'known cost'}"
        lines += f'<li>{who(place, one.name)} <span class="soft">{told}</span></li>'
    return f'<ul role="list" aria-label="points of the chart">{lines}</ul>'


def _answers(comparison: Comparison, chosen: Chosen) -> Iterator[str]:
    if not chosen.rows:
        return
    shown, total = len(chosen.rows), chosen.total
    if shown == total:
        told = "the row" if total == 1 else f"all {total:,} rows"
    else:
        told = f"the {shown:,} rows that differ most, of {total:,}"
    yield heading("answers", f"Answers side by side: {told}")
    if shown < total:
        where = f"<code>{escape(comparison.rows_uri)}</code>" if comparison.rows_uri else "the file of rows"
        yield f"<p>{total - shown:,} rows are not shown; all of them are in {where}.</p>"
    yield (
        "<p>Answers that are the same stand there once, with all who gave them. Where one is much like that of most, "
        "<mark>words that are other</mark> are underlined.</p>\n"
    )
    metrics = [one.name for one in comparison.metrics]
    yield from (answers_card(row, comparison.contestants, metrics) for row in chosen.rows)


def _addresses(comparison: Comparison) -> Iterator[str]:
    addresses = (
        ("prompts", comparison.prompts),
        ("rows, JSON Lines", comparison.rows_uri),
        ("rows, Parquet", comparison.parquet_uri),
        ("this report", comparison.report_uri),
    )
    yield heading("files", "Files")
    drawn = "".join(f"<dt>{name}</dt><dd><code>{escape(uri)}</code></dd>" for name, uri in addresses if uri)
    yield f'<dl class="files">{drawn}</dl>\n'
