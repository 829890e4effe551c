"""Who has how many permits of a block: decisions alone, with given times."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genops_events.gemini.quota_shares import (
    BLOCK_SECONDS,
    MOST_SLOTS,
    PIECE_SECONDS,
    PIECES,
    QUOTA_PERMILLE,
    REST,
    Demand,
    begins_at,
    block_at,
    closes_at,
    divided,
    next_demand,
    permits_of,
    pieces,
    settles_at,
    shares,
    slots,
)

BLOCKS = st.integers(350_000_000, 400_000_000)
QUOTAS = st.integers(1, 100_000_000)
WISHES = st.dictionaries(
    st.text("abcdef0123456789", min_size=1, max_size=8),
    st.builds(Demand, st.just(300), st.none() | st.integers(0, 50)),
    max_size=40,
)
MINUTE = 60 // BLOCK_SECONDS


@given(per_minute=QUOTAS, block=BLOCKS)
def test_a_minute_of_blocks_holds_a_minutes_share_of_the_quota(per_minute: int, block: int) -> None:
    minute = sum(permits_of(per_minute, block + number) for number in range(MINUTE))
    assert abs(minute - per_minute * QUOTA_PERMILLE / 1000) < 1


@given(demands=WISHES, block=BLOCKS)
def test_shares_never_add_up_to_more_than_the_block_has(demands: dict[str, Demand], block: int) -> None:
    found = shares(demands, block)
    total = permits_of(300, block)
    assert found.keys() == demands.keys()
    assert all(permits >= 0 for permits in found.values())
    assert sum(found.values()) <= total
    assert all(wish.most is None or found[holder] <= wish.most for holder, wish in demands.items())
    if any(wish.most is None for wish in demands.values()):
        assert sum(found.values()) == total, "nothing is left where somebody could use it"


@given(demands=WISHES, block=BLOCKS)
def test_who_wants_more_than_he_has_has_no_less_than_any_other(demands: dict[str, Demand], block: int) -> None:
    found = shares(demands, block)
    for holder, wish in demands.items():
        if wish.most is None or found[holder] < wish.most:
            assert all(found[other] <= found[holder] + 1 for other in found)


def test_a_holder_alone_has_all() -> None:
    assert shares({"one": Demand(6000)}, 7) == {"one": permits_of(6000, 7)}


def test_what_one_does_not_want_the_others_have() -> None:
    found = shares({"idle": Demand(6000, 10), "first": Demand(6000), "second": Demand(6000)}, 0)
    assert found == {"idle": 10, "first": 241, "second": 241}


def test_more_holders_than_permits_take_turns() -> None:
    holders = {f"holder-{number}": Demand(60) for number in range(50)}
    had = Counter[str]()
    for block in range(400):
        found = shares(holders, block)
        assert set(found.values()) <= {0, 1}
        had.update(found)
    assert len(+had) == 50, "nobody goes without for ever"
    assert max(had.values()) < 3 * min(had.values())


def test_all_compute_the_same_whatever_order_the_entries_came_in() -> None:
    holders = {f"holder-{number}": Demand(300, None if number % 3 else number) for number in range(20)}
    turned = dict(reversed(holders.items()))
    assert shares(holders, 5) == shares(turned, 5)


def test_the_lowest_number_holds_while_configurations_disagree() -> None:
    found = shares({"old": Demand(6000), "new": Demand(600)}, 3)
    assert sum(found.values()) == permits_of(600, 3)


def test_nobody_shares_nothing() -> None:
    assert shares({}, 3) == {}


@given(demands=WISHES, block=BLOCKS)
def test_a_holders_moments_are_its_permits_and_all_moments_are_spaced_evenly(
    demands: dict[str, Demand], block: int
) -> None:
    found = shares(demands, block)
    moments = []
    for holder, permits in found.items():
        mine = slots(found, holder)
        assert sum(slot.permits for slot in mine) == permits
        moments += [slot.seconds for slot in mine]
    moments.sort()
    spacing = BLOCK_SECONDS / max(1, len(moments))
    assert moments == pytest.approx([(number + 0.5) * spacing for number in range(len(moments))])


def test_sixty_seconds_from_any_moment_on_hold_no_more_than_the_quota() -> None:
    for holders in (1, 3, 8, 40):
        demands = {f"holder-{number}": Demand(300) for number in range(holders)}
        calls = sorted(
            begins_at(block) + slot.seconds
            for block in range(3 * MINUTE)
            for holder in demands
            for slot in slots(shares(demands, block), holder)
        )
        most = max(sum(first <= one < first + 60 for one in calls) for first in calls)
        assert most <= 300


def test_a_great_quota_has_few_moments_with_many_permits_each() -> None:
    found = shares({"one": Demand(100_000_000), "two": Demand(100_000_000)}, 9)
    mine = slots(found, "one")
    assert len(mine) <= MOST_SLOTS / 2 + 1
    assert sum(slot.permits for slot in mine) == found["one"]


def test_a_block_closes_and_settles_before_it_begins() -> None:
    assert block_at(begins_at(77)) == 77
    assert block_at(begins_at(77) - 0.001) == 76
    assert begins_at(76) < closes_at(77) < settles_at(77) < begins_at(77)


def test_who_waits_wants_twice_what_he_had_and_who_does_not_a_little_more_than_he_used() -> None:
    assert next_demand(had=100, waiting=True, per_minute=6000) == 200
    assert next_demand(had=3, waiting=True, per_minute=6000) == 63, "an eighth of a block at least"
    assert next_demand(had=100, waiting=False, per_minute=6000) == 126
    assert next_demand(had=0, waiting=False, per_minute=6000) == 1


def test_who_begins_leaves_something_to_those_who_begin_later() -> None:
    newcomers = {f"holder-{n}": Demand(6000, next_demand(had=0, waiting=True, per_minute=6000)) for n in range(5)}
    assert divided(newcomers, 3, per_minute=6000)[REST] >= permits_of(6000, 3) // 3
    assert next_demand(had=0, waiting=True, per_minute=1) == 1


@given(demands=WISHES, block=BLOCKS, per_minute=st.integers(1, 100_000))
def test_shares_and_what_is_left_are_the_whole_block_and_no_more_than_anybody_takes_the_quota_for(
    demands: dict[str, Demand], block: int, per_minute: int
) -> None:
    found = divided(demands, block, per_minute=per_minute)
    assert {holder: permits for holder, permits in found.items() if holder != REST} == shares(demands, block)
    least = permits_of(min([per_minute, *(300 for _ in demands)]), block)
    assert found[REST] == max(0, least - sum(shares(demands, block).values()))


@given(demands=WISHES, block=BLOCKS)
def test_the_pieces_are_what_is_left_when_it_would_fall_due(demands: dict[str, Demand], block: int) -> None:
    found = divided(demands, block, per_minute=300)
    counts = pieces(found)
    assert len(counts) == PIECES
    assert sum(counts) == found[REST]
    if len(found) == 1:
        assert max(counts) - min(counts) <= 1, "of a block that nobody has entered, all pieces are alike"


def test_sixty_seconds_hold_no_more_than_the_quota_with_all_pieces_used_at_their_beginning_or_end() -> None:
    demands = {"one": Demand(6000, 100), "two": Demand(6000, 7)}
    for moment in (0.0, PIECE_SECONDS):
        calls = []
        for block in range(3 * MINUTE):
            given_here = divided(demands, block, per_minute=6000)
            for holder in demands:
                calls += [begins_at(block) + slot.seconds for slot in slots(given_here, holder)]
            for piece, permits in enumerate(pieces(given_here)):
                calls += [begins_at(block) + piece * PIECE_SECONDS + moment] * permits
        calls.sort()
        most = max(sum(first <= one < first + 60 for one in calls) for first in calls[:: len(calls) // 40])
        assert most <= 6000


def test_a_small_quotas_rest_is_in_some_pieces_and_whole() -> None:
    counts = pieces(divided({}, 3, per_minute=60))
    assert sum(counts) == permits_of(60, 3)
    assert set(counts) == {0, 1}
