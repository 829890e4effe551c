"""The page: verdict, conditions, figures with charts, the worst rows, and what could not be scored."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from html import escape

from genops_events.evaluation_report.charts import Bound, Mean, comparison, distribution
from genops_events.evaluation_report.rows import row_card, short
from genops_events.evaluation_report.style import STYLE
from genops_events.evaluation_rows import Row, causes, worst
from genops_events.evaluation_summary import Condition, MetricSummary
from genops_events.metrics import PAIRWISE, Metric

WORST_ROWS = 10
_NAMED_AT_MOST = 50
_CAUSE_CHARACTERS, _REASON_CHARACTERS = 500, 2_000
_MARKS = {True: ("M3 8.5l3.4 3.4L13 4.6", "passed"), False: ("M3.8 3.8l8.4 8.4m0-8.4l-8.4 8.4", "refused")}
_BOUNDS = {"minimum": "minimum", "no_regression": "no regression"}


@dataclass(frozen=True, slots=True)
class Report:
    """All that the report shows."""

    candidate: str
    dataset: str
    champion: str | None
    passed: bool
    reason: str
    decisive: str
    metrics: Sequence[Metric]
    figures: Mapping[str, MetricSummary]
    conditions: Sequence[Condition]
    rows: Sequence[Row]
    written_at: datetime


def report_html(report: Report) -> str:
    """Return the report as one HTML document; whatever stands in prompts and answers is text in it, and never markup."""
    title = f"Evaluation of {report.candidate}"
    page = (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}: {_MARKS[report.passed][1]}</title><style>{STYLE}</style></head><body><main>\n"
        f"<h1>{escape(title)}</h1>\n{''.join(_sections(report))}</main></body></html>\n"
    )
    # Half a surrogate pair, as a text that was cut may end in, could not be written as UTF-8.
    return page.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _sections(report: Report) -> Iterator[str]:
    yield _verdict(report)
    yield _tiles(report)
    if report.conditions:
        yield f"{_heading('gate', 'Gate')}{_conditions(report.conditions)}\n"
    if report.figures:
        yield f"{_heading('figures', 'Figures')}{_figures(report)}\n"
    if charts := "".join(_charts(report)):
        yield f'{_heading("charts", "Charts")}{_legend(report)}<div class="charts">{charts}</div>\n'
    yield from _worst(report)
    yield from _failures(report)
    yield from _left_out(report)


def _verdict(report: Report) -> str:
    state = _MARKS[report.passed][1]
    against = f"champion <code>{escape(report.champion)}</code>" if report.champion else "no champion yet"
    return (
        f'<p class="soft">Dataset <code>{escape(report.dataset)}</code>, {against}, '
        f"{report.written_at:%Y-%m-%d %H:%M} UTC</p>\n"
        f'<section class="verdict {state}" aria-label="Verdict"><p class="state">{_mark(passed=report.passed)} '
        f'{state.capitalize()}</p><p dir="auto">{escape(short(report.reason, _REASON_CHARACTERS))}</p></section>\n'
    )


def _tiles(report: Report) -> str:
    """Return the four figures that are looked for first."""
    decisive = report.figures.get(report.decisive, MetricSummary(count=0))
    asked = [row for row in report.rows if row.left_out is None]
    whole = [row for row in asked if row.scores and not row.failures]
    left_out = len(report.rows) - len(asked)
    met = sum(one.passed for one in report.conditions)
    interval = _interval(decisive)
    champion = "no champion yet"
    if report.champion:
        champion = "every row is held against it" if report.decisive == PAIRWISE else f"mean of {report.decisive}"
    tiles = (
        (f"{report.decisive} (decisive)", _number(decisive.mean), f"95 %: {interval}" if interval else "no interval"),
        ("champion", _number(decisive.champion_mean), champion),
        (
            "conditions met",
            f"{met} of {len(report.conditions)}",
            "of the gate" if report.conditions else "no gate is set",
        ),
        (
            "rows scored in full",
            f"{len(whole)} of {len(asked)}",
            f"{left_out} left out" if left_out else "none left out",
        ),
    )
    drawn = "".join(
        f'<div class="tile"><dt>{escape(name)}</dt><dd class="big">{figure}</dd><dd class="soft">{escape(note)}</dd></div>'
        for name, figure, note in tiles
    )
    return f'<dl class="tiles">{drawn}</dl>\n'


def _conditions(conditions: Sequence[Condition]) -> str:
    kinds = {"minimum": ("minimum", "≥"), "no_regression": ("no regression", "≥"), "failed_rows": ("failed rows", "≤")}
    lines = "".join(
        f'<tr><td class="outcome {_MARKS[one.passed][1]}">{_mark(passed=one.passed)} '
        f"<span>{'pass' if one.passed else 'fail'}</span></td>"
        f'<th scope="row">{escape(one.metric or "all metrics")}<br><span class="soft">{kinds[one.kind][0]}</span></th>'
        f'<td class="number">{_number(one.figure)}</td>'
        f'<td class="number">{"" if one.bound is None else kinds[one.kind][1]} {_number(one.bound)}</td>'
        f'<td class="words">{escape(one.reason)}</td></tr>'
        for one in conditions
    )
    return _table("gate", ("Outcome", "Condition", "#Figure", "#Bound", "In words"), lines)


def _figures(report: Report) -> str:
    lines = ""
    for name, one in report.figures.items():
        same = ""
        if one.common_rows is not None and one.common_rows != one.count:
            same = f'<br><span class="soft">candidate {_number(one.common_mean)} on these {one.common_rows} rows</span>'
        lines += (
            f'<tr><th scope="row">{escape(name)}{" (decisive)" if name == report.decisive else ""}</th>'
            f'<td class="number">{_number(one.mean)}</td><td class="number">{_interval(one)}</td>'
            f'<td class="number">{_number(one.champion_mean)}{same}</td>'
            f'<td class="number">{_number(one.standard_deviation)}</td>'
            f'<td class="number">{one.count}</td><td class="number">{one.failed}</td></tr>'
        )
    headings = ("Metric", "#Mean", "#95 % interval", "#Champion", "#Standard deviation", "#Rows", "#Failed")
    return _table("figures", headings, lines)


def _legend(report: Report) -> str:
    keys = ["candidate", *(["champion"] if report.champion else [])]
    drawn = "".join(f'<span class="key {key}">{key}</span>' for key in keys)
    if any(one.kind in _BOUNDS and one.bound is not None for one in report.conditions):
        drawn += '<span class="key bound">bound of the gate</span>'
    return f'<p class="legend">{drawn}<span class="soft">a bar through a point: 95 % interval</span></p>'


def _charts(report: Report) -> Iterator[str]:
    for metric in report.metrics:
        found = report.figures.get(metric.name)
        if found is None or found.mean is None:
            continue
        own = [row.scores[metric.name] for row in report.rows if metric.name in row.scores]
        theirs = [row.champion_scores[metric.name] for row in report.rows if metric.name in row.champion_scores]
        means = [Mean("candidate", "candidate", found.mean, found.low, found.high)]
        notes = ["1: won against the champion, 0.5: tie, 0: lost"] if metric.name == PAIRWISE else []
        if found.champion_mean is not None:
            if found.common_mean is not None and _number(found.common_mean) != _number(found.mean):
                means.append(Mean("candidate", "on same rows", found.common_mean))
                notes.append(f"same rows: the {found.common_rows} that the champion was scored on, too")
            means.append(Mean("champion", "champion", found.champion_mean))
        bounds = [
            Bound(_BOUNDS[one.kind], one.bound)
            for one in report.conditions
            if one.metric == metric.name and one.kind in _BOUNDS and one.bound is not None
        ]
        seen = [*own, *theirs, *(mean.value for mean in means), *(bound.value for bound in bounds)]
        low = min(seen) if metric.low is None else metric.low
        high = max(seen) if metric.high is None else metric.high
        caption = f"<figcaption>{escape('; '.join(notes))}</figcaption>" if notes else ""
        yield (
            f"<figure><h3>{escape(metric.name)}</h3>{distribution(metric.name, own, theirs, low=low, high=high)}"
            f"{comparison(f'Means of {metric.name}', means, bounds, low=low, high=high)}"
            f"{caption}</figure>"
        )


def _worst(report: Report) -> Iterator[str]:
    found = worst(report.rows, report.decisive, WORST_ROWS)
    if found:
        rows = "The worst row" if len(found) == 1 else f"The {len(found)} worst rows"
        yield _heading("worst", f"{rows} by {escape(report.decisive)}")
        yield from (row_card(row, report.decisive) for row in found)


def _failures(report: Report) -> Iterator[str]:
    failed = [row for row in report.rows if row.failures]
    if not failed:
        return
    yield f"{_heading('failures', f'Rows without a score: {len(failed)}')}<p>They are in no mean.</p>"
    lines = "".join(
        f'<tr><td class="words" dir="auto">{escape(short(cause, _CAUSE_CHARACTERS))}</td><td class="number">{count}</td></tr>'
        for cause, count in causes(failed).items()
    )
    yield _table("failures", ("Cause", "#Times"), lines)
    yield f"<p>{_ids(failed)}</p>\n"


def _left_out(report: Report) -> Iterator[str]:
    left_out = [row for row in report.rows if row.left_out is not None]
    if left_out:
        yield _heading("left-out", f"Rows that stand in the training file: {len(left_out)}")
        yield f"<p>They are left out of every score.</p><p>{_ids(left_out)}</p>\n"


def _ids(rows: Sequence[Row]) -> str:
    shown = ", ".join(f"<code>{escape(short(row.id))}</code>" for row in rows[:_NAMED_AT_MOST])
    return shown + (f", and {len(rows) - _NAMED_AT_MOST} more" if len(rows) > _NAMED_AT_MOST else "")


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}"  # noqa: RUF001 - a dash in a table


def _interval(found: MetricSummary) -> str:
    return "" if found.low is None or found.high is None else f"{found.low:.4g} to {found.high:.4g}"


def _mark(*, passed: bool) -> str:
    return f'<svg class="mark" viewBox="0 0 16 16" aria-hidden="true"><path d="{_MARKS[passed][0]}"/></svg>'


def _heading(name: str, text: str) -> str:
    return f'<h2 id="{name}">{text}</h2>'


def _table(named_by: str, headings: Sequence[str], lines: str) -> str:
    """Return a table that scrolls by itself where it is wider than the page; `#` marks a column of numbers."""
    head = "".join(
        f'<th scope="col" class="number">{one[1:]}</th>' if one[0] == "#" else f'<th scope="col">{one}</th>'
        for one in headings
    )
    return (
        f'<div class="wide" role="region" aria-labelledby="{named_by}" tabindex="0">'
        f'<table aria-labelledby="{named_by}"><thead><tr>{head}</tr></thead><tbody>{lines}</tbody></table></div>'
    )
