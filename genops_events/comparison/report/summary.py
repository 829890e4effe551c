"""The table of all contestants: model and settings, scores and cost, and the reason where there are no figures."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from genops_events.comparison.report.chart import dollars
from genops_events.comparison.report.contestant_name import ContestantName, contestant_name
from genops_events.record.comparison import ComparisonSummary, ContestantResult
from genops_events.record.evaluation import MetricSummary
from genops_events.reports import Signal, number, short

_REASON_CHARACTERS, _CAUSE_CHARACTERS, _SETTINGS_CHARACTERS = 1_000, 400, 300
_MOST_CAUSES = 5


@dataclass(frozen=True, slots=True)
class Fact:
    """A fact about a contestant beside its model."""

    words: str = ""
    """Of this report."""
    name: str = ""
    """A name after the words, shown as code."""
    text: str = ""
    """A user's text after the words, such as a system instruction."""


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell of the table: a figure, and notes below it."""

    figure: str
    notes: Sequence[str] = ()
    is_highest: bool = False


@dataclass(frozen=True, slots=True)
class ContestantLine:
    """A contestant in the table."""

    who: ContestantName
    state: Signal
    status: str
    model: str
    facts: Sequence[Fact]
    reason: str
    help: str
    cells: Sequence[Cell]
    """The mean of each metric, then answers, cost, tokens and latency."""


@dataclass(frozen=True, slots=True)
class FailureLine:
    """A cause of missing scores of a contestant."""

    who: ContestantName
    cause: str
    times: str


def thousand_usd(one: ContestantResult) -> float | None:
    """Return the cost of 1,000 of its answers in USD; None where that is not known."""
    if one.answers_usd is None or not one.answered:
        return None
    return float(one.answers_usd / one.answered * 1000)


def contestant_lines(comparison: ComparisonSummary) -> list[ContestantLine]:
    """Return a line for each contestant, in the order of the request."""
    highest = {
        metric.name: max(
            (value for one in comparison.contestants if (value := _mean(one, metric.name)) is not None), default=None
        )
        for metric in comparison.metrics
    }
    return [
        ContestantLine(
            who=contestant_name(place, one.name),
            state="passed" if one.status == "completed" else "refused",
            status=one.status,
            model=short(one.model),
            facts=_facts(one),
            reason=short(one.reason, _REASON_CHARACTERS),
            help=short(one.help or "", _REASON_CHARACTERS),
            cells=[
                *(_figure(one.metrics.get(name), most, one.rows) for name, most in highest.items()),
                _answered(one),
                _cost(one),
                _tokens(one),
                _latency(one),
            ],
        )
        for place, one in enumerate(comparison.contestants, start=1)
    ]


def failure_lines(contestants: Sequence[ContestantResult]) -> list[FailureLine]:
    """Return the causes of missing scores by contestant; empty where every row has a score."""
    lines = []
    for place, one in enumerate(contestants, start=1):
        causes = sorted(one.failures.items(), key=lambda cause: -cause[1])
        shown, others = causes[:_MOST_CAUSES], causes[_MOST_CAUSES:]
        counts = [(short(cause, _CAUSE_CHARACTERS), count) for cause, count in shown]
        if others:
            counts.append((f"{len(others)} other causes", sum(count for _, count in others)))
        lines += [FailureLine(contestant_name(place, one.name), cause, f"{count:,}") for cause, count in counts]
    return lines


def _facts(one: ContestantResult) -> list[Fact]:
    facts = []
    if one.candidate and one.candidate != one.model:
        facts.append(Fact("candidate", short(one.candidate)))
    if one.called and one.called != one.model:
        *_, endpoint = one.called.rpartition("/endpoints/")  # without project and location, which are the same for all
        facts.append(Fact("asked", short(endpoint)))
    if one.billed_model and one.billed_model not in (one.model, one.called):
        facts.append(Fact("at the prices of", short(one.billed_model)))
    if one.settings:
        settings = ", ".join(f"{name} {_setting(value)}" for name, value in one.settings.items())
        facts.append(Fact(text=short(settings, _SETTINGS_CHARACTERS)))
    if one.system_instruction:
        facts.append(Fact("system instruction:", text=short(one.system_instruction, _SETTINGS_CHARACTERS)))
    elif one.system_instruction is not None:
        facts.append(Fact("no system instruction"))
    return facts


def _setting(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _mean(one: ContestantResult, metric: str) -> float | None:
    found = one.metrics.get(metric)
    return found.mean if found else None


def _figure(found: MetricSummary | None, highest: float | None, rows: int) -> Cell:
    if found is None or found.mean is None:
        return _cell(number(None), f"{found.failed:,} failed" if found and found.failed else "")
    between = "" if found.low is None or found.high is None else f"{found.low:.3g} to {found.high:.3g}"
    counted = "" if found.count == rows else f"of {found.count:,} row{'s' * (found.count != 1)}"
    return _cell(number(found.mean), between, counted, is_highest=found.mean == highest)


def _answered(one: ContestantResult) -> Cell:
    notes = [
        f"{count:,} {name}" for name, count in (*one.unusable.items(), ("without a score", one.failed_rows)) if count
    ]
    return _cell(f"{one.answered:,} of {one.rows:,}", *notes)


def _cost(one: ContestantResult) -> Cell:
    cost = thousand_usd(one)
    notes = [
        f"{name} {dollars(float(amount))}"
        for name, amount in (("answers", one.answers_usd), ("judge", one.judge_usd), ("spent", one.cost_usd))
        if amount is not None
    ]
    if one.cost_usd is None:
        notes.append("spent: unknown")
    return _cell(number(None) if cost is None else dollars(cost), *notes)


def _tokens(one: ContestantResult) -> Cell:
    if one.input_tokens is None and one.output_tokens is None:
        return _cell(number(None))
    return _cell(
        *(
            f"{name} –" if count is None else f"{count:,} {name}"  # noqa: RUF001 - a dash in a table
            for name, count in (("in", one.input_tokens), ("out", one.output_tokens))
        )
    )


def _latency(one: ContestantResult) -> Cell:
    found = one.latency
    if found is None:
        return _cell(number(None))
    of = f"of {found.count:,}" if found.count != one.answered else ""
    return _cell(f"{found.p50_seconds:.3g} s", f"95 %: {found.p95_seconds:.3g} s", of)


def _cell(figure: str, *notes: str, is_highest: bool = False) -> Cell:
    return Cell(figure, [note for note in notes if note], is_highest)
