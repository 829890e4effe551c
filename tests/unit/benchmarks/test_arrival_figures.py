from datetime import UTC, datetime, timedelta

import pytest

from benchmarks.arrival_figures import Arrival, Fate, Outcome, fates, percentile

AT = datetime(2026, 1, 1, tzinfo=UTC)


def after(seconds: float) -> datetime:
    return AT + timedelta(seconds=seconds)


@pytest.mark.parametrize(("share", "expected"), [(50, 50), (95, 95), (99, 99)])
def test_percentile_is_the_nearest_rank(share, expected):
    assert percentile(list(range(100, 0, -1)), share) == expected


def test_percentiles_of_a_single_value_are_that_value():
    assert [percentile([2.5], share) for share in (50, 95, 99)] == [2.5, 2.5, 2.5]


def test_each_arrival_has_exactly_one_fate():
    arrivals = [Arrival(key, AT) for key in ("seen", "twice", "stranded", "lost")]
    found = fates(
        arrivals,
        stored={"seen", "twice", "stranded"},
        starts={"seen": [after(2)], "twice": [after(5), after(3)], "someone else's": [after(1)]},
    )
    outcome = Outcome("ours", 4, found)
    assert [one.seconds for one in found] == [2.0, 3.0, None, None]
    assert (outcome.lost, outcome.stranded, outcome.twice) == (1, 1, 1)
    assert not outcome.clean


def test_an_arrival_that_a_run_saw_without_a_stored_event_is_not_lost():
    outcome = Outcome("ours", 1, [Fate(Arrival("a", AT), stored=False, starts=(after(4),))])
    assert outcome.clean
    assert outcome.seconds() == [4.0]


def test_an_outcome_of_nothing_but_losses_has_no_times():
    document = Outcome("ours", 1, [Fate(Arrival("a", AT), stored=False, starts=())]).to_json()
    assert document["to_tuning_run_seconds"] is None
    assert document["lost"] == 1
