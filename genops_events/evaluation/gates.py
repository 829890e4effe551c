"""Decide from scores alone whether a candidate passes its gate, and whether it beats the champion."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from genops_events.catalogue.metrics import PAIRWISE
from genops_events.record.evaluation import Condition, MetricSummary


@dataclass(frozen=True, slots=True)
class Gate:
    """The conditions that a candidate's scores must meet."""

    least: Mapping[str, float] = field(default_factory=dict)
    """Least mean of each metric named here."""
    no_regression: Mapping[str, float] = field(default_factory=dict)
    """How far the mean of each metric named here may be below the champion's."""
    failed_rows: int = 0
    """Most rows that may have no score."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """Whether the scores pass the gate, and why."""

    passed: bool
    reason: str
    conditions: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Challenge:
    """Whether the candidate takes the champion's place, and why."""

    wins: bool
    reason: str


def judge(metrics: Mapping[str, MetricSummary], gate: Gate, *, failed_rows: int, champion: bool) -> Judgement:
    """Pass when every condition of the gate is met; a gate without conditions passes.

    A metric that was not measured fails its conditions. Without a champion, conditions that compare with it are met. Where no
    row has any score, the candidate fails, no matter how many rows may have none.

    Args:
        metrics: figures of the measured metrics, by name.
        gate: the conditions.
        failed_rows: number of rows without a score in some metric.
        champion: whether there is a champion.
    """
    conditions = [
        *(_minimum(name, metrics.get(name), least, champion=champion) for name, least in gate.least.items()),
        *(
            _no_regression(name, metrics.get(name), margin, champion=champion)
            for name, margin in gate.no_regression.items()
        ),
    ]
    if failed_rows or conditions:
        is_scored = not failed_rows or any(one.count for one in metrics.values())
        conditions.append(_failed_rows(failed_rows, gate.failed_rows, is_scored=is_scored))
    missed = [one.reason for one in conditions if not one.passed]
    if missed:
        return Judgement(
            passed=False, reason="Below the gate: " + "; ".join(missed) + ".", conditions=tuple(conditions)
        )
    met = [one.reason for one in conditions if one.kind != "failed_rows" or failed_rows]
    reason = "Passed the gate: " + "; ".join(met) + "." if met else "Passed: no gate is set."
    return Judgement(passed=True, reason=reason, conditions=tuple(conditions))


def _minimum(name: str, found: MetricSummary | None, least: float, *, champion: bool) -> Condition:
    asked = f"at least {_figure(least)} is asked"
    if found is None and name == PAIRWISE and not champion:
        reason = f"{name} has no champion to be measured against ({asked})"
        return Condition(kind="minimum", metric=name, bound=least, passed=True, reason=reason)
    score = None if found is None else found.mean
    if score is None:
        reason = f"{name} was not measured ({asked})"
        return Condition(kind="minimum", metric=name, bound=least, passed=False, reason=reason)
    passed = not math.isnan(score) and score >= least
    if math.isnan(score):
        reason = f"{name} is not a number ({asked})"
    elif passed:
        reason = f"{name} {_figure(score)} is at least {_figure(least)}"
    else:
        below, bound = _distinct(score, least)
        reason = f"{name} {below} is below {bound}"
    return Condition(kind="minimum", metric=name, figure=score, bound=least, passed=passed, reason=reason)


def _no_regression(name: str, found: MetricSummary | None, margin: float, *, champion: bool) -> Condition:
    score = None if found is None else found.mean if found.common_mean is None else found.common_mean
    champion_mean = None if found is None else found.champion_mean
    if champion_mean is None:
        why = "the champion was never measured by it" if champion else "there is no champion"
        reason = f"{name} is compared with no other model: {why}"
        return Condition(kind="no_regression", metric=name, figure=score, passed=True, reason=reason)
    # Rounded to the figure that the reason shows: with floats such as 0.3 - 0.1, an equal figure could count as a lower one.
    bound = round(champion_mean - margin, 12)
    if score is None:
        reason = f"{name} was not measured (at least {_figure(bound)} is asked, by the champion)"
        return Condition(kind="no_regression", metric=name, bound=bound, passed=False, reason=reason)
    asked = f"the champion's {_figure(champion_mean)}" + (f" less the margin {_figure(margin)}" if margin else "")
    passed = round(score, 12) >= bound
    own, other = (_figure(score), _figure(bound)) if passed else _distinct(score, bound)
    reason = f"{name} {own} is {'not ' if passed else ''}below {asked}" + (
        f" ({other})" if margin or not passed else ""
    )
    return Condition(kind="no_regression", metric=name, figure=score, bound=bound, passed=passed, reason=reason)


def _failed_rows(failed: int, most: int, *, is_scored: bool) -> Condition:
    passed = failed <= most and is_scored
    rows = "1 row has" if failed == 1 else f"{failed} rows have"
    reason = f"{rows} no score in some metric, at most {most} may" + ("" if passed else " (`evaluation.failed_rows`)")
    if not is_scored:
        reason += ", and no row has any score"
    return Condition(kind="failed_rows", figure=failed, bound=most, passed=passed, reason=reason)


def challenge(candidate_score: float, champion_score: float | None, margin: float) -> Challenge:
    """Let the candidate win only if its score exceeds the champion's by more than the margin.

    At a tie, the champion stays: a change of model has a risk. Without a champion, any number wins.
    """
    if math.isnan(candidate_score):
        return Challenge(wins=False, reason="The candidate's score is not a number.")
    if champion_score is None:
        return Challenge(
            wins=True, reason=f"No champion yet: the candidate's {_figure(candidate_score)} takes the place."
        )
    if math.isnan(champion_score):
        return Challenge(wins=False, reason="The champion's score is not a number: evaluate the champion again.")
    # Rounded to the figure that the reason shows: with floats such as 0.1 + 0.2, a tie could become a win or a loss.
    bar = round(champion_score + margin, 12)
    wins = round(candidate_score, 12) > bar
    own, other = _distinct(candidate_score, bar) if wins else (_figure(candidate_score), _figure(bar))
    asked = f"the champion's {_figure(champion_score)}" + (f" plus the margin {_figure(margin)}" if margin else "")
    if wins:
        return Challenge(
            wins=True, reason=f"The candidate's {own} exceeds {asked}" + (f" ({other})." if margin else ".")
        )
    return Challenge(wins=False, reason=f"The candidate's {own} does not exceed {asked}: the champion stays.")


def _figure(value: float) -> str:
    return f"{value:.4g}"


def _distinct(one: float, other: float) -> tuple[str, str]:
    """Return two different numbers as texts with so many digits that the texts differ."""
    for digits in range(4, 18):
        texts = (f"{one:.{digits}g}", f"{other:.{digits}g}")
        if texts[0] != texts[1]:
            return texts
    return repr(one), repr(other)
