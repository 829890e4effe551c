"""The page: outcome, quality against cost, all contestants, failures, and the answers side by side."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from genops_events.comparison.report.answers import PromptCard, prompt_card
from genops_events.comparison.report.chart import dollars
from genops_events.comparison.report.choice import ShownRows, differ_most, rows_shown
from genops_events.comparison.report.contestant_name import ContestantName, contestant_name
from genops_events.comparison.report.summary import ContestantLine, FailureLine, contestant_lines, failure_lines
from genops_events.comparison.report.trade import Trade, trade
from genops_events.record.comparison import ComparedRow, ComparisonSummary
from genops_events.reports import Signal, VerdictBox, html_page, number, short

_REASON_CHARACTERS = 2_000
_PACKAGE = "genops_events.comparison.report"


@dataclass(frozen=True, slots=True)
class ComparisonTile:
    """A main figure, which is shown first."""

    name: str
    figure: str
    note: str
    who: ContestantName | None = None
    """The contestant of the figure; None where it is about all of them."""


@dataclass(frozen=True, slots=True)
class PromptCards:
    """The answers side by side."""

    which: str
    """Words for the rows that are shown."""
    not_shown: str
    """Number of rows that are not shown; empty where all are."""
    rows: Sequence[PromptCard]


@dataclass(frozen=True, slots=True)
class File:
    """A file of the comparison."""

    name: str
    uri: str


@dataclass(frozen=True, slots=True)
class ComparisonPage:
    """The page as the template `report.html.j2` reads it."""

    title: str
    state: str
    dataset: str
    champion: str | None
    started_by: str
    ended_at: str
    verdict: VerdictBox
    tiles: Sequence[ComparisonTile]
    notes: Sequence[str]
    metrics: Sequence[str]
    trade: Trade | None
    """None where no contestant has both a score and a known cost."""
    contestants: Sequence[ContestantLine]
    failures: Sequence[FailureLine]
    answers: PromptCards | None
    rows_uri: str | None
    files: Sequence[File]


def render(comparison: ComparisonSummary, rows: Iterable[ComparedRow]) -> str:
    """Return the report as one HTML document, in which prompts, answers and names are escaped: text, and never markup.

    Its size is bounded: it shows the rows on which the contestants differ most.

    Args:
        comparison: its summary.
        rows: all of them, in any order; they are read once, and only those that are shown are kept in memory.
    """
    return html_page(_PACKAGE, page_of(comparison, rows))


def page_of(comparison: ComparisonSummary, rows: Iterable[ComparedRow]) -> ComparisonPage:
    """Return the page of a comparison."""
    metrics = [one.name for one in comparison.metrics]
    chosen = differ_most(rows, metrics, rows_shown(len(comparison.contestants)))
    files = (
        ("prompts", comparison.prompts),
        ("rows, JSON Lines", comparison.rows_uri),
        ("rows, Parquet", comparison.parquet_uri),
        ("this report", comparison.report_uri),
    )
    return ComparisonPage(
        title=f"Comparison {comparison.id}",
        state=_state(comparison),
        dataset=comparison.dataset,
        champion=comparison.champion,
        started_by=comparison.started_by,
        ended_at=f"{comparison.ended_at:%Y-%m-%d %H:%M} UTC",
        verdict=_verdict(comparison),
        tiles=_tiles(comparison),
        notes=[short(note, _REASON_CHARACTERS) for note in comparison.notes],
        metrics=metrics,
        trade=trade(comparison),
        contestants=contestant_lines(comparison),
        failures=failure_lines(comparison.contestants),
        answers=_answers(comparison, chosen, metrics) if chosen.rows else None,
        rows_uri=comparison.rows_uri,
        files=[File(name, uri) for name, uri in files if uri],
    )


def _verdict(comparison: ComparisonSummary) -> VerdictBox:
    passed = comparison.outcome == "completed"
    state: Signal = "refused"
    if passed:
        state = "partly" if _missing(comparison) else "passed"
    return VerdictBox(state, _state(comparison).capitalize(), short(comparison.reason, _REASON_CHARACTERS))


def _state(comparison: ComparisonSummary) -> str:
    """Return the outcome in a few words, with the number of contestants that did not complete."""
    missing, every = _missing(comparison), len(comparison.contestants)
    if comparison.outcome != "completed" or not missing:
        return comparison.outcome
    return f"completed without {missing} of {every} contestants"


def _missing(comparison: ComparisonSummary) -> int:
    return sum(one.status != "completed" for one in comparison.contestants)


def _tiles(comparison: ComparisonSummary) -> list[ComparisonTile]:
    """Return the main figures, which are shown first."""
    completed = len(comparison.contestants) - _missing(comparison)
    names = [one.name for one in comparison.metrics]
    reserved = "" if comparison.estimated_usd is None else f"of {dollars(float(comparison.estimated_usd))} at most"
    if comparison.missing_usd is not None:
        reserved += f", {dollars(float(comparison.missing_usd))} over the limits"
    return [
        ComparisonTile("contestants", f"{completed} of {len(comparison.contestants)}", "completed"),
        ComparisonTile("prompts", f"{comparison.rows:,}", f"scored by {len(names)} metric{'s' * (len(names) != 1)}"),
        *([_highest(comparison, names[0])] if names else []),
        ComparisonTile("spent", _spent(comparison), reserved or "by this comparison"),
    ]


def _spent(comparison: ComparisonSummary) -> str:
    if comparison.cost_usd is None:
        return "unknown"
    is_least = any(one.cost_usd is None for one in comparison.contestants)
    return f"{'at least ' if is_least else ''}{dollars(float(comparison.cost_usd))}"


def _highest(comparison: ComparisonSummary, metric: str) -> ComparisonTile:
    """Return the contestant with the highest mean in a metric, and whether other intervals overlap with its own."""
    found = [
        (figures.mean, place, one.name, figures)
        for place, one in enumerate(comparison.contestants, start=1)
        if (figures := one.metrics.get(metric)) is not None and figures.mean is not None
    ]
    if not found:
        return ComparisonTile(f"highest {metric}", number(None), "no contestant has a score")
    mean, place, name, first = max(found, key=lambda one: (one[0], -one[1]))
    near = sum(
        first.low is not None and one.high is not None and one.high >= first.low
        for *_, one in found
        if one is not first
    )
    sure = f"intervals of {near} other{'s' * (near != 1)} overlap" if near else "no other interval overlaps"
    return ComparisonTile(
        f"highest {metric}", number(mean), sure if len(found) > 1 else "", contestant_name(place, name)
    )


def _answers(comparison: ComparisonSummary, chosen: ShownRows, metrics: Sequence[str]) -> PromptCards:
    shown, total = len(chosen.rows), chosen.total
    if shown == total:
        which = "the row" if total == 1 else f"all {total:,} rows"
    else:
        which = f"the {shown:,} rows that differ most, of {total:,}"
    return PromptCards(
        which=which,
        not_shown=f"{total - shown:,}" if shown < total else "",
        rows=[prompt_card(row, comparison.contestants, metrics) for row in chosen.rows],
    )
