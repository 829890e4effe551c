from __future__ import annotations

import math
import random
import statistics

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genops_events.evaluation.statistics import describe, histogram, win_rate

SCORES = st.lists(st.floats(min_value=-5, max_value=5), min_size=1, max_size=40)


@settings(deadline=None)
@given(SCORES)
def test_the_interval_holds_the_mean_and_lies_within_the_scores(scores: list[float]) -> None:
    found = describe(scores)
    assert found is not None
    assert found.count == len(scores)
    assert found.mean == pytest.approx(statistics.fmean(scores))
    assert found.low <= found.mean <= found.high
    assert min(scores) - 1e-9 <= found.low
    assert found.high <= max(scores) + 1e-9
    expected = statistics.stdev(scores) if len(scores) > 1 else 0.0
    assert found.standard_deviation == pytest.approx(expected, abs=1e-9)


def test_the_same_scores_have_the_same_interval_in_any_order() -> None:
    scores = [random.Random(1).random() for _ in range(50)]
    assert describe(scores) == describe(list(scores))
    turned = describe(scores[::-1])
    first = describe(scores)
    assert first is not None
    assert turned is not None
    assert (first.low, first.high) == (turned.low, turned.high)


def test_the_bootstrap_agrees_with_the_normal_interval_where_that_one_holds() -> None:
    chance = random.Random(3)
    scores = [chance.gauss(3.0, 1.0) for _ in range(400)]
    found = describe(scores)
    assert found is not None
    half = 1.96 * statistics.stdev(scores) / math.sqrt(len(scores))
    assert found.low == pytest.approx(found.mean - half, abs=0.02)
    assert found.high == pytest.approx(found.mean + half, abs=0.02)


def test_no_scores_have_no_statistics_and_what_is_no_number_is_refused() -> None:
    assert describe([]) is None
    assert win_rate([]) is None
    for wrong in (math.nan, math.inf):
        with pytest.raises(ValueError, match="not a finite number"):
            describe([0.5, wrong])
    with pytest.raises(ValueError, match="won, lost or tied"):
        win_rate([2.0])


def test_a_share_of_rows_won_has_wilsons_interval() -> None:
    # Worked out by hand: 8 of 10, z = 1.96.
    found = win_rate([1.0] * 8 + [0.0] * 2)
    assert found is not None
    assert (found.mean, found.low, found.high) == (
        0.8,
        pytest.approx(0.4902, abs=1e-4),
        pytest.approx(0.9433, abs=1e-4),
    )
    ties = win_rate([0.5] * 4)
    assert ties is not None
    assert ties.mean == 0.5
    everything = win_rate([1.0] * 10)
    assert everything is not None
    assert everything.low < 0.8, "ten rows are no certainty"
    assert everything.high == 1.0


def test_every_score_is_in_one_part_of_the_histogram() -> None:
    assert histogram([0.0, 0.05, 0.1, 0.95, 1.0], low=0.0, high=1.0, bins=10) == [2, 1, 0, 0, 0, 0, 0, 0, 0, 2]
    tenths = [index / 10 for index in range(10)]
    assert histogram(tenths, low=0.0, high=1.0, bins=10) == [1] * 10, "0.3 is a part of its own"
    assert histogram([3.0, 3.0], low=3.0, high=3.0, bins=2) == [2, 0]
