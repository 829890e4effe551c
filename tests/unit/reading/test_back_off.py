"""The pause after failures: each place has a range of its own, and all the same formula."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genops_events.back_off import back_off_seconds

FAILURES, SHARES = st.integers(0, 10_000), st.floats(0, 1)
FIRST, LONGEST = st.floats(0.01, 100), st.floats(0.01, 1000)


@given(FAILURES, FIRST, LONGEST, SHARES, SHARES)
def test_a_pause_lies_in_its_range_and_never_shrinks_with_failures(
    failures: int, first: float, longest: float, least_share: float, drawn: float
) -> None:
    def pause(number: int) -> float:
        return back_off_seconds(number, first=first, longest=longest, least_share=least_share, drawn=drawn)

    bound = min(first * 2.0 ** min(max(failures - 1, 0), 60), longest)
    assert bound * least_share * 0.999 <= pause(failures) <= bound * 1.001
    assert pause(failures) <= pause(failures + 1)


def test_the_ends_of_the_range_are_reached() -> None:
    found = [
        back_off_seconds(number, first=2.0, longest=20.0, least_share=0.25, drawn=drawn)
        for number, drawn in ((1, 0.0), (1, 1.0), (3, 0.0), (3, 1.0), (50, 1.0))
    ]
    assert found == [0.5, 2.0, 2.0, 8.0, 20.0]


@pytest.mark.parametrize(("least_share", "alike"), [(1.0, True), (0.5, False), (0.0, False)])
def test_many_that_failed_together_do_not_come_back_together_unless_nothing_is_drawn(
    *, least_share: float, alike: bool
) -> None:
    pauses = {back_off_seconds(4, first=1.0, longest=60.0, least_share=least_share) for _ in range(50)}
    assert (len(pauses) == 1) == alike
    assert max(pauses) <= 8.0
