"""Decide from scores alone whether a candidate passes its gate, and whether it beats the champion."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Judgement:
    """Whether the scores reach the gate, and why."""

    passed: bool
    reason: str
    figures: dict[str, float]
    """For each metric of the gate `<metric>` (where it was measured) and `<metric>_least`."""


@dataclass(frozen=True, slots=True)
class Challenge:
    """Whether the candidate takes the champion's place, and why."""

    wins: bool
    reason: str


def judge(scores: Mapping[str, float], gate: Mapping[str, float]) -> Judgement:
    """Pass when each metric of the gate was measured and is at least its threshold; an empty gate passes.

    A metric that is missing, or is not a number, fails: what was not measured was not reached.
    """
    figures: dict[str, float] = {}
    reached: list[str] = []
    failed: list[str] = []
    for metric, least in gate.items():
        figures[f"{metric}_least"] = least
        score = scores.get(metric)
        if score is None:
            failed.append(f"{metric} was not measured (at least {_figure(least)} is asked)")
            continue
        figures[metric] = score
        if math.isnan(score):
            failed.append(f"{metric} is not a number (at least {_figure(least)} is asked)")
        elif score < least:
            below, asked = _distinct(score, least)
            failed.append(f"{metric} {below} is below {asked}")
        else:
            reached.append(f"{metric} {_figure(score)} is at least {_figure(least)}")
    if failed:
        return Judgement(passed=False, reason="Below the gate: " + "; ".join(failed) + ".", figures=figures)
    reason = "Passed the gate: " + "; ".join(reached) + "." if reached else "Passed: no gate is set."
    return Judgement(passed=True, reason=reason, figures=figures)


def challenge(candidate_score: float, champion_score: float | None, margin: float) -> Challenge:
    """Let the candidate win only when its score exceeds the champion's by more than the margin.

    A tie holds: a change of model must be worth its risk. Without a champion any number wins.
    """
    if math.isnan(candidate_score):
        return Challenge(wins=False, reason="The candidate's score is not a number.")
    if champion_score is None:
        return Challenge(
            wins=True, reason=f"No champion yet: the candidate's {_figure(candidate_score)} takes the place."
        )
    if math.isnan(champion_score):
        return Challenge(wins=False, reason="The champion's score is not a number: evaluate the champion again.")
    # Compared as the sum that the reason shows; floats such as 0.1 + 0.2 must not turn a tie into a win or a loss.
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
    """Write two different numbers so that they read as different."""
    for digits in range(4, 18):
        texts = (f"{one:.{digits}g}", f"{other:.{digits}g}")
        if texts[0] != texts[1]:
            return texts
    return repr(one), repr(other)
