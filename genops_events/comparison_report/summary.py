"""All contestants in one table: what each is, what it reached and cost, and why one of them has no figures."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from html import escape

from genops_events.comparison.record import Comparison, ContestantResult
from genops_events.comparison_report.answers import who
from genops_events.comparison_report.chart import dollars
from genops_events.evaluation.summary import MetricSummary
from genops_events.report_parts import heading, mark, number, short, table

_REASON_CHARACTERS, _CAUSE_CHARACTERS, _SETTINGS_CHARACTERS = 1_000, 400, 300
_MOST_CAUSES = 5


def thousand_usd(one: ContestantResult) -> float | None:
    """Return what 1,000 of its answers cost in US dollars; None where that is not known."""
    if one.answers_usd is None or not one.answered:
        return None
    return float(one.answers_usd / one.answered * 1000)


def summary_table(comparison: Comparison) -> str:
    """Return the contestants in the order in which they were named, a line each."""
    metrics = [one.name for one in comparison.metrics]
    highest = {
        name: max((value for one in comparison.contestants if (value := _mean(one, name)) is not None), default=None)
        for name in metrics
    }
    lines = "".join(
        f"<tr>{_name(place, one)}{_what(one)}"
        + "".join(_figure(one.metrics.get(name), highest[name], one.rows) for name in metrics)
        + f"{_answered(one)}{_cost(one)}{_tokens(one)}{_latency(one)}</tr>"
        for place, one in enumerate(comparison.contestants, start=1)
    )
    means = [f"#{escape(name)}" for name in metrics]
    headings = ("Contestant", "What it is", *means, "#Answers", "#Cost of 1,000", "#Tokens", "#Latency")
    return table("contestants", headings, lines)


def failures(contestants: Sequence[ContestantResult]) -> Iterator[str]:
    """Yield what left rows without a score, by contestant; nothing where every row has one."""
    failing = [(place, one) for place, one in enumerate(contestants, start=1) if one.failures]
    if not failing:
        return
    yield f"{heading('failures', 'Rows without a score')}<p>They are in no mean.</p>"
    lines = ""
    for place, one in failing:
        causes = sorted(one.failures.items(), key=lambda cause: -cause[1])
        more = len(causes) - _MOST_CAUSES
        for cause, count in causes[:_MOST_CAUSES]:
            lines += (
                f'<tr><th scope="row">{who(place, one.name)}</th>'
                f'<td class="words" dir="auto">{escape(short(cause, _CAUSE_CHARACTERS))}</td>'
                f'<td class="number">{count:,}</td></tr>'
            )
        if more > 0:
            rest = sum(count for _, count in causes[_MOST_CAUSES:])
            lines += (
                f'<tr><th scope="row">{who(place, one.name)}</th><td class="words">{more} other causes</td>'
                f'<td class="number">{rest:,}</td></tr>'
            )
    yield table("failures", ("Contestant", "Cause", "#Times"), lines)


def _name(place: int, one: ContestantResult) -> str:
    passed = one.status == "completed"
    outcome = f'<span class="outcome {"passed" if passed else "refused"}">{mark(passed=passed)} {one.status}</span>'
    return f'<th scope="row">{who(place, one.name)}<br>{outcome}</th>'


def _what(one: ContestantResult) -> str:
    parts = [_told(one.model)]
    if one.candidate and one.candidate != one.model:
        parts.append(f"candidate {_told(one.candidate)}")
    if one.called and one.called != one.model:
        *_, endpoint = one.called.rpartition("/endpoints/")  # an endpoint's project and place tell nobody anything here
        parts.append(f"asked {_told(endpoint)}")
    if one.billed_model and one.billed_model not in (one.model, one.called):
        parts.append(f"at the prices of {_told(one.billed_model)}")
    if one.settings:
        told = ", ".join(f"{name} {_setting(value)}" for name, value in one.settings.items())
        parts.append(f"<bdi>{escape(short(told, _SETTINGS_CHARACTERS))}</bdi>")
    if one.system_instruction is not None:
        told = short(one.system_instruction, _SETTINGS_CHARACTERS)
        parts.append(f"told: <bdi>{escape(told)}</bdi>" if told else "no system instruction")
    first, *others = parts
    reason = f'<p dir="auto">{escape(short(one.reason, _REASON_CHARACTERS))}</p>' if one.reason else ""
    todo = f'<p class="soft" dir="auto">{escape(short(one.help, _REASON_CHARACTERS))}</p>' if one.help else ""
    return f'<td class="what">{first}{_below(others)}{reason}{todo}</td>'


def _told(name: str) -> str:
    return f"<code>{escape(short(name))}</code>"


def _setting(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _mean(one: ContestantResult, metric: str) -> float | None:
    found = one.metrics.get(metric)
    return found.mean if found else None


def _figure(found: MetricSummary | None, highest: float | None, rows: int) -> str:
    if found is None or found.mean is None:
        failed = f"{found.failed:,} failed" if found and found.failed else ""
        return _numbers(number(None), failed)
    mean = f"<strong>{number(found.mean)}</strong>" if found.mean == highest else number(found.mean)
    between = "" if found.low is None or found.high is None else f"{found.low:.3g} to {found.high:.3g}"
    counted = "" if found.count == rows else f"of {found.count:,} row{'s' * (found.count != 1)}"
    return _numbers(mean, between, counted)


def _answered(one: ContestantResult) -> str:
    notes = [
        f"{count:,} {name}" for name, count in (*one.unusable.items(), ("without a score", one.failed_rows)) if count
    ]
    return _numbers(f"{one.answered:,} of {one.rows:,}", *notes)


def _cost(one: ContestantResult) -> str:
    cost = thousand_usd(one)
    notes = [
        f"{name} {dollars(float(amount))}"
        for name, amount in (("answers", one.answers_usd), ("judge", one.judge_usd), ("spent", one.cost_usd))
        if amount is not None
    ]
    return _numbers(number(None) if cost is None else dollars(cost), *notes)


def _tokens(one: ContestantResult) -> str:
    if one.input_tokens is None and one.output_tokens is None:
        return _numbers(number(None))
    return _numbers(
        *(
            f"{name} –" if count is None else f"{count:,} {name}"  # noqa: RUF001 - a dash in a table
            for name, count in (("in", one.input_tokens), ("out", one.output_tokens))
        )
    )


def _latency(one: ContestantResult) -> str:
    found = one.latency
    if found is None:
        return _numbers(number(None))
    of = f"of {found.count:,}" if found.count != one.answered else ""
    return _numbers(f"{found.p50_seconds:.3g} s", f"95 %: {found.p95_seconds:.3g} s", of)


def _numbers(first: str, *notes: str) -> str:
    """Return a cell: what is looked for, and below it what belongs to it."""
    return f'<td class="number">{first}{_below(notes)}</td>'


def _below(notes: Sequence[str]) -> str:
    return "".join(f'<br><span class="soft">{note}</span>' for note in notes if note)
