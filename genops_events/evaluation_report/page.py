"""The page: verdict, conditions, figures with charts, the worst rows, and what could not be scored."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from html import escape

from genops_events.evaluation.metrics import PAIRWISE, Metric
from genops_events.evaluation.rows import Row, answers_in, causes, worst
from genops_events.evaluation.summary import Condition, MetricSummary
from genops_events.evaluation_report.charts import Bound, Mean, comparison, distribution
from genops_events.evaluation_report.rows import row_card
from genops_events.inference.endings import REMEDIES, UNUSABLE, in_words
from genops_events.report_parts import heading, html_page, mark, number, short, table

WORST_ROWS = 10
_NAMED_AT_MOST = 50
_CAUSE_CHARACTERS, _REASON_CHARACTERS = 500, 2_000
_STATES = {True: "passed", False: "refused"}
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
    return html_page(f"{title}: {_STATES[report.passed]}", title, "".join(_sections(report)))


def _sections(report: Report) -> Iterator[str]:
    yield _verdict(report)
    yield _tiles(report)
    if report.conditions:
        yield f"{heading('gate', 'Gate')}{_conditions(report.conditions)}\n"
    if report.figures:
        yield f"{heading('figures', 'Figures')}{_figures(report)}\n"
    if charts := "".join(_charts(report)):
        yield f'{heading("charts", "Charts")}{_legend(report)}<div class="charts">{charts}</div>\n'
    yield from _worst(report)
    yield from _failures(report)
    yield from _left_out(report)


def _verdict(report: Report) -> str:
    state = _STATES[report.passed]
    against = f"champion <code>{escape(report.champion)}</code>" if report.champion else "no champion yet"
    return (
        f'<p class="soft">Dataset <code>{escape(report.dataset)}</code>, {against}, '
        f"{report.written_at:%Y-%m-%d %H:%M} UTC</p>\n"
        f'<section class="verdict {state}" aria-label="Verdict"><p class="state">{mark(passed=report.passed)} '
        f'{state.capitalize()}</p><p dir="auto">{escape(short(report.reason, _REASON_CHARACTERS))}</p></section>\n'
    )


def _tiles(report: Report) -> str:
    """Return the figures that are looked for first."""
    decisive = report.figures.get(report.decisive, MetricSummary(count=0))
    asked = [row for row in report.rows if row.left_out is None]
    whole = [row for row in asked if row.scores and not row.failures]
    left_out = len(report.rows) - len(asked)
    met = sum(one.passed for one in report.conditions)
    interval = _interval(decisive)
    answers = answers_in(report.rows)
    none = in_words(answers.unusable)
    champion = "no champion yet"
    if report.champion:
        champion = "every row is held against it" if report.decisive == PAIRWISE else f"mean of {report.decisive}"
    tiles = (
        (f"{report.decisive} (decisive)", number(decisive.mean), f"95 %: {interval}" if interval else "no interval"),
        ("champion", number(decisive.champion_mean), champion),
        (
            "conditions met",
            f"{met} of {len(report.conditions)}",
            "of the gate" if report.conditions else "no gate is set",
        ),
        (
            "answers to score",
            f"{answers.usable} of {answers.asked}",
            none or ("all complete" if answers.usable == answers.asked else "the others were refused"),
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
        f'<tr><td class="outcome {_STATES[one.passed]}">{mark(passed=one.passed)} '
        f"<span>{'pass' if one.passed else 'fail'}</span></td>"
        f'<th scope="row">{escape(one.metric or "all metrics")}<br><span class="soft">{kinds[one.kind][0]}</span></th>'
        f'<td class="number">{number(one.figure)}</td>'
        f'<td class="number">{"" if one.bound is None else kinds[one.kind][1]} {number(one.bound)}</td>'
        f'<td class="words">{escape(one.reason)}</td></tr>'
        for one in conditions
    )
    return table("gate", ("Outcome", "Condition", "#Figure", "#Bound", "In words"), lines)


def _figures(report: Report) -> str:
    lines = ""
    for name, one in report.figures.items():
        same = ""
        if one.common_rows is not None and one.common_rows != one.count:
            same = f'<br><span class="soft">candidate {number(one.common_mean)} on these {one.common_rows} rows</span>'
        lines += (
            f'<tr><th scope="row">{escape(name)}{" (decisive)" if name == report.decisive else ""}</th>'
            f'<td class="number">{number(one.mean)}</td><td class="number">{_interval(one)}</td>'
            f'<td class="number">{number(one.champion_mean)}{same}</td>'
            f'<td class="number">{number(one.standard_deviation)}</td>'
            f'<td class="number">{one.count}</td><td class="number">{one.failed}</td></tr>'
        )
    headings = ("Metric", "#Mean", "#95 % interval", "#Champion", "#Standard deviation", "#Rows", "#Failed")
    return table("figures", headings, lines)


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
            if found.common_mean is not None and number(found.common_mean) != number(found.mean):
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
        yield heading("worst", f"{rows} by {escape(report.decisive)}")
        yield from (row_card(row, report.decisive) for row in found)


def _failures(report: Report) -> Iterator[str]:
    failed = [row for row in report.rows if row.failures]
    if not failed:
        return
    yield f"{heading('failures', f'Rows without a score: {len(failed)}')}<p>They are in no mean.</p>"
    lines = "".join(
        f'<tr><td class="words" dir="auto">{escape(short(cause, _CAUSE_CHARACTERS))}</td><td class="number">{count}</td></tr>'
        for cause, count in causes(failed).items()
    )
    yield table("failures", ("Cause", "#Times"), lines)
    others = [row for row in failed if row.state not in UNUSABLE]
    if others:
        yield f"<p>{_ids(others)}</p>\n"
    yield from _unusable(failed)


def _unusable(rows: Sequence[Row]) -> Iterator[str]:
    """Tell of the rows whose answer is none: how many of which state, what to do about them, and which they are."""
    lines = ""
    for state in UNUSABLE:
        if found := [row for row in rows if row.state == state]:
            lines += (
                f'<tr><th scope="row">{state}</th><td class="number">{len(found)}</td>'
                f'<td class="words">{escape(REMEDIES[state])}</td><td class="words">{_ids(found)}</td></tr>'
            )
    if lines:
        yield heading("unusable", f"Answers that are none: {sum(row.state in UNUSABLE for row in rows)}")
        yield table("unusable", ("Answer", "#Rows", "What to do", "Rows"), lines)


def _left_out(report: Report) -> Iterator[str]:
    left_out = [row for row in report.rows if row.left_out is not None]
    if left_out:
        yield heading("left-out", f"Rows that stand in the training file: {len(left_out)}")
        yield f"<p>They are left out of every score.</p><p>{_ids(left_out)}</p>\n"


def _ids(rows: Sequence[Row]) -> str:
    shown = ", ".join(f"<code>{escape(short(row.id))}</code>" for row in rows[:_NAMED_AT_MOST])
    return shown + (f", and {len(rows) - _NAMED_AT_MOST} more" if len(rows) > _NAMED_AT_MOST else "")


def _interval(found: MetricSummary) -> str:
    return "" if found.low is None or found.high is None else f"{found.low:.4g} to {found.high:.4g}"
