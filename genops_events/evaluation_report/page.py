"""The page: verdict, conditions, figures with charts, the worst rows, and what could not be scored."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from html import escape

from genops_events.evaluation_report.charts import comparison, distribution
from genops_events.evaluation_report.style import STYLE
from genops_events.evaluation_rows import Row, causes, worst
from genops_events.evaluation_summary import Condition, MetricSummary
from genops_events.metrics import PAIRWISE, Metric

WORST_ROWS = 10
_NAMED_AT_MOST = 50
_TEXT_CHARACTERS = 2_000


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
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head><body><main>\n"
        f"<h1>{escape(title)}</h1>\n{''.join(_sections(report))}</main></body></html>\n"
    )


def _sections(report: Report) -> Iterator[str]:
    yield _verdict(report)
    if report.conditions:
        yield f"<h2>Gate</h2>{_conditions(report.conditions)}\n"
    yield f"<h2>Figures</h2>{_figures(report)}\n"
    yield f'<h2>Charts</h2>{_legend(report)}<div class="charts">{"".join(_charts(report))}</div>\n'
    yield from _worst(report)
    yield from _failures(report)
    yield from _left_out(report)


def _verdict(report: Report) -> str:
    state = "passed" if report.passed else "refused"
    against = f"champion <code>{escape(report.champion)}</code>" if report.champion else "no champion yet"
    return (
        f'<p class="verdict {state}"><strong>{state}</strong> {escape(report.reason)}</p>'
        f"<p>Dataset <code>{escape(report.dataset)}</code>, {against}, {len(_asked(report))} rows, "
        f"{report.written_at:%Y-%m-%d %H:%M} UTC.</p>\n"
    )


def _conditions(conditions: Sequence[Condition]) -> str:
    kinds = {"minimum": "at least", "no_regression": "not below the champion", "failed_rows": "rows without a score"}
    lines = "".join(
        f"<tr><td>{escape(one.metric or 'all metrics')}</td><td>{kinds[one.kind]}</td>"
        f'<td class="number">{_number(one.figure)}</td><td class="number">{_number(one.bound)}</td>'
        f'<td class="{"passed" if one.passed else "refused"}">{"pass" if one.passed else "fail"}</td>'
        f"<td>{escape(one.reason)}</td></tr>"
        for one in conditions
    )
    return _table(("metric", "condition", "figure", "bound", "", "in words"), lines)


def _figures(report: Report) -> str:
    lines = ""
    for name, one in report.figures.items():
        between = "" if one.low is None or one.high is None else f"{one.low:.4g} to {one.high:.4g}"
        common = f" ({one.common_rows} rows)" if one.common_rows is not None else ""
        lines += (
            f"<tr><td>{escape(name)}{' (decisive)' if name == report.decisive else ''}</td>"
            f'<td class="number">{_number(one.mean)}</td><td class="number">{between}</td>'
            f'<td class="number">{_number(one.standard_deviation)}</td><td class="number">{one.count}</td>'
            f'<td class="number">{one.failed}</td><td class="number">{_number(one.champion_mean)}{common}</td></tr>'
        )
    headings = ("metric", "mean", "95 % interval", "standard deviation", "rows", "failed", "champion")
    return _table(headings, lines)


def _legend(report: Report) -> str:
    champion = ' <span class="key champion">champion</span>' if report.champion else ""
    return f'<p><span class="key candidate">candidate</span>{champion}</p>'


def _charts(report: Report) -> Iterator[str]:
    for metric in report.metrics:
        figures = report.figures.get(metric.name)
        if figures is None or figures.mean is None:
            continue
        own = [row.scores[metric.name] for row in report.rows if metric.name in row.scores]
        theirs = [row.champion_scores[metric.name] for row in report.rows if metric.name in row.champion_scores]
        low = min([*own, *theirs]) if metric.low is None else metric.low
        high = max([*own, *theirs]) if metric.high is None else metric.high
        means = [("candidate", figures.mean, figures.low, figures.high)]
        if figures.champion_mean is not None:
            means.append(("champion", figures.champion_mean, None, None))
        shown = distribution(metric.name, own, theirs, low=low, high=high)
        compared = comparison(f"Means of {metric.name}", means, low=low, high=high)
        note = (
            "<figcaption>1: won against the champion, 0.5: tie, 0: lost</figcaption>" if metric.name == PAIRWISE else ""
        )
        yield f"<figure><h3>{escape(metric.name)}</h3>{shown}{compared}{note}</figure>"


def _worst(report: Report) -> Iterator[str]:
    found = worst(report.rows, report.decisive, WORST_ROWS)
    if not found:
        return
    yield f"<h2>The {len(found)} worst rows by {escape(report.decisive)}</h2>\n"
    for row in found:
        scores = ", ".join(f"{name} {score:.4g}" for name, score in row.scores.items())
        yield f'<details class="row" open><summary><code>{escape(row.id)}</code> {escape(scores)}</summary><dl>'
        for name, text in (
            ("prompt", row.prompt),
            ("answer", row.answer),
            ("reference", row.reference),
            ("champion's answer", row.champion_answer),
            *((f"{name}, explained", text) for name, text in row.explanations.items()),
        ):
            if text is not None:
                yield f"<dt>{escape(name)}</dt><dd>{_text(text)}</dd>"
        yield "</dl></details>\n"


def _failures(report: Report) -> Iterator[str]:
    failed = [row for row in report.rows if row.failures]
    if not failed:
        return
    yield f"<h2>Rows without a score: {len(failed)}</h2><p>They are in no mean.</p>"
    lines = "".join(
        f'<tr><td>{escape(cause)}</td><td class="number">{count}</td></tr>' for cause, count in causes(failed).items()
    )
    yield _table(("cause", "times"), lines)
    yield f"<p>{_ids(failed)}</p>\n"


def _left_out(report: Report) -> Iterator[str]:
    left_out = [row for row in report.rows if row.left_out is not None]
    if left_out:
        yield f"<h2>Rows that stand in the training file: {len(left_out)}</h2><p>They are left out of every score.</p>"
        yield f"<p>{_ids(left_out)}</p>\n"


def _asked(report: Report) -> list[Row]:
    return [row for row in report.rows if row.left_out is None]


def _ids(rows: Sequence[Row]) -> str:
    shown = ", ".join(f"<code>{escape(row.id)}</code>" for row in rows[:_NAMED_AT_MOST])
    return shown + (f", and {len(rows) - _NAMED_AT_MOST} more" if len(rows) > _NAMED_AT_MOST else "")


def _text(text: str) -> str:
    shown = text if len(text) <= _TEXT_CHARACTERS else text[:_TEXT_CHARACTERS] + "…"
    return escape(shown) or "<em>nothing</em>"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}"  # noqa: RUF001 - a dash in a table


def _table(headings: Sequence[str], lines: str) -> str:
    head = "".join(f"<th>{heading}</th>" for heading in headings)
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{lines}</tbody></table></div>'
