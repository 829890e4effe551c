from __future__ import annotations

import math

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from genops_events.evaluation.gates import Gate, Judgement, challenge
from genops_events.evaluation.gates import judge as judge_all
from genops_events.record.evaluation import MetricSummary

SCORES = st.floats(min_value=0, max_value=5)


def judge(scores: dict, gate: dict) -> Judgement:
    """Hold means alone against minimums alone."""
    metrics = {name: MetricSummary(count=1, mean=mean) for name, mean in scores.items()}
    return judge_all(metrics, Gate(gate), failed_rows=0, champion=False)


def test_equal_to_the_threshold_passes() -> None:
    judgement = judge({"exact_match": 0.5}, {"exact_match": 0.5})
    assert judgement.passed
    condition, failed = judgement.conditions
    assert (condition.kind, condition.metric, condition.figure, condition.bound) == ("minimum", "exact_match", 0.5, 0.5)
    assert (failed.kind, failed.figure, failed.bound, failed.passed) == ("failed_rows", 0, 0, True)
    assert judgement.reason == "Passed the gate: exact_match 0.5 is at least 0.5."


def test_below_the_threshold_fails_with_the_figures() -> None:
    judgement = judge({"exact_match": 0.49, "rouge": 0.9}, {"exact_match": 0.5, "rouge": 0.3})
    assert not judgement.passed
    assert judgement.reason == "Below the gate: exact_match 0.49 is below 0.5."


def test_figures_that_differ_read_as_different() -> None:
    assert "0.499999 is below 0.500000" in judge({"m": 0.499999}, {"m": 0.5}).reason.replace("0.5.", "0.500000.")


def test_metric_that_was_not_measured_fails() -> None:
    judgement = judge({}, {"rouge": 0.0})
    assert not judgement.passed
    assert "rouge was not measured" in judgement.reason


def test_metric_that_is_not_a_number_fails() -> None:
    assert not judge({"rouge": math.nan}, {"rouge": 0.0}).passed


def test_empty_gate_passes() -> None:
    assert judge({"rouge": 0.1}, {}).passed


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from("abc"), SCORES), st.dictionaries(st.sampled_from("abc"), SCORES))
def test_passes_exactly_when_every_metric_reaches_its_threshold(scores: dict, gate: dict) -> None:
    expected = all(metric in scores and scores[metric] >= least for metric, least in gate.items())
    judgement = judge(scores, gate)
    assert judgement.passed == expected
    assert judgement.reason


def weigh(
    found: MetricSummary, *, margin: float = 0.0, failed_rows: int = 0, most: int = 0, champion: bool = True
) -> Judgement:
    gate = Gate(no_regression={"rouge_l": margin}, failed_rows=most)
    return judge_all({"rouge_l": found}, gate, failed_rows=failed_rows, champion=champion)


@pytest.mark.parametrize(
    ("mean", "champion_mean", "margin", "passes"),
    [
        (0.7, 0.7, 0.0, True),
        (0.69, 0.7, 0.0, False),
        (0.6, 0.7, 0.1, True),  # 0.7 - 0.1 is 0.6 in the reason, whatever it is in floats
        (0.59, 0.7, 0.1, False),
        (0.9, 0.7, 0.0, True),
    ],
)
def test_a_mean_may_fall_below_the_champions_by_the_margin_and_no_further(
    mean: float, champion_mean: float, margin: float, *, passes: bool
) -> None:
    judgement = weigh(MetricSummary(count=9, mean=mean, champion_mean=champion_mean), margin=margin)
    assert judgement.passed is passes
    condition = judgement.conditions[0]
    assert (condition.kind, condition.figure, condition.passed) == ("no_regression", mean, passes)
    assert condition.bound == pytest.approx(champion_mean - margin)


def test_a_regression_is_judged_on_the_rows_that_both_were_scored_on() -> None:
    found = MetricSummary(count=9, mean=0.9, common_rows=4, common_mean=0.5, champion_mean=0.6)
    judgement = weigh(found)
    assert judgement.reason == "Below the gate: rouge_l 0.5 is below the champion's 0.6 (0.6)."


def test_without_a_champion_a_comparison_is_met_and_says_so() -> None:
    judgement = weigh(MetricSummary(count=9, mean=0.1), champion=False)
    assert judgement.passed
    assert "there is no champion" in judgement.reason
    pairwise = judge_all({}, Gate({"pairwise": 0.5}), failed_rows=0, champion=False)
    assert pairwise.passed
    assert not judge_all({}, Gate({"pairwise": 0.5}), failed_rows=0, champion=True).passed


@pytest.mark.parametrize(("failed", "most", "passes"), [(0, 0, True), (1, 0, False), (3, 3, True), (4, 3, False)])
def test_at_most_so_many_rows_may_be_left_without_a_score(failed: int, most: int, *, passes: bool) -> None:
    judgement = weigh(MetricSummary(count=9, mean=0.5, champion_mean=0.5), failed_rows=failed, most=most)
    assert judgement.passed is passes
    assert ("evaluation.failed_rows" in judgement.reason) is not passes
    assert judge_all({}, Gate(), failed_rows=1, champion=False).passed is False, "with an empty gate, too"


def test_first_candidate_wins() -> None:
    assert challenge(0.0, None, 0.5).wins


@pytest.mark.parametrize(
    ("candidate", "champion", "margin", "wins"),
    [
        (0.6, 0.5, 0.0, True),
        (0.5, 0.5, 0.0, False),
        (0.4, 0.5, 0.0, False),
        (0.6, 0.5, 0.1, False),
        (0.61, 0.5, 0.1, True),
        (0.3, 0.1, 0.2, False),  # 0.1 + 0.2 is 0.30000000000000004 in floats: a tie all the same
        (0.8, 0.7, 0.1, False),  # 0.7 + 0.1 is 0.7999999999999999: a tie all the same
        (math.nan, 0.5, 0.0, False),
        (0.5, math.nan, 0.0, False),
        (math.nan, None, 0.0, False),
    ],
)
def test_challenger_must_exceed_champion_and_margin(
    candidate: float, champion: float | None, margin: float, wins
) -> None:
    result = challenge(candidate, champion, margin)
    assert result.wins == wins
    assert result.reason


def test_reason_names_the_scores() -> None:
    reason = challenge(0.55, 0.7, 0.05).reason
    assert reason == (
        "The candidate's 0.55 does not exceed the champion's 0.7 plus the margin 0.05: the champion stays."
    )


@settings(deadline=None)
@given(SCORES, SCORES, st.floats(min_value=0, max_value=1))
def test_two_models_never_both_beat_each_other(one: float, other: float, margin: float) -> None:
    assume(one != other)
    assert not (challenge(one, other, margin).wins and challenge(other, one, margin).wins)
