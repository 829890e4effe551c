from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genops_events.config.promotion import Promotion
from genops_events.promotion.championship import (
    Contender,
    Terms,
    champion_after_rollback,
    champion_from,
    decide,
    duration,
    kept_for_rollback,
    predecessor_of,
)
from genops_events.record.promotion import Champion, Rollback

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
BOUT = Terms(margin=0.0, late_after=timedelta(minutes=5))


def contender(name: str, score: float, *, arrived: datetime = NOON) -> Contender:
    return Contender(
        candidate=name,
        dataset="banking77",
        model=f"models/{name}",
        endpoint=f"endpoints/{name}",
        checkpoint=None,
        metric="exact_match",
        score=score,
        scores={"exact_match": score},
        arrived_at=arrived,
    )


def champion(name: str, score: float, *, arrived: datetime = NOON) -> Champion:
    return champion_from(contender(name, score, arrived=arrived), None, now=NOON)


def test_the_better_one_wins_and_the_other_is_told_who_is_champion() -> None:
    assert decide(contender("b", 0.6), champion("a", 0.5), BOUT).wins
    lost = decide(contender("b", 0.4), champion("a", 0.5), BOUT)
    assert not lost.wins
    assert lost.reason == (
        "The candidate's 0.4 does not exceed the champion's 0.5: the champion stays. "
        "a is champion since 2026-11-23 12:00:00 UTC."
    )


@pytest.mark.parametrize(("before", "late"), [(0, False), (300, False), (301, True), (86_400, True)])
def test_a_better_candidate_that_arrived_long_before_the_champion_is_late(before: float, late: bool) -> None:  # noqa: FBT001
    decided = decide(contender("b", 0.6, arrived=NOON - timedelta(seconds=before)), champion("a", 0.5), BOUT)
    assert (decided.wins, decided.late) == (not late, late)
    assert ("genops rollback banking77 --to b" in decided.reason) is late


def test_a_late_candidate_wins_when_it_is_asked_for_and_only_if_it_is_better() -> None:
    asked = Terms(margin=0.0, late_after=timedelta(minutes=5), asked_at=NOON)
    old = NOON - timedelta(days=2)
    decided = decide(contender("b", 0.6, arrived=old), champion("a", 0.5), asked)
    assert decided.wins
    assert "Although it arrived 2 days before a, the champion" in decided.reason
    worse = decide(contender("b", 0.4, arrived=old), champion("a", 0.5), asked)
    assert (worse.wins, worse.late) == (False, False)


def test_a_champion_of_which_no_arrival_is_known_makes_nobody_late() -> None:
    old = champion("a", 0.5).model_copy(update={"arrived_at": None})
    assert decide(contender("b", 0.6, arrived=NOON - timedelta(days=9)), old, BOUT).wins


def test_a_champion_whose_arrival_a_forged_message_put_into_the_year_9999_makes_nobody_late() -> None:
    poisoned = champion("a", 0.5, arrived=datetime(9999, 12, 31, tzinfo=UTC))
    decided = decide(contender("b", 0.6, arrived=NOON + timedelta(days=1)), poisoned, BOUT)
    assert (decided.wins, decided.late) == (True, False)


def test_a_champion_that_was_never_measured_by_the_metric_gives_way_and_is_named() -> None:
    unmeasured = champion("a", 0.5).model_copy(update={"scores": {"rouge": 0.9}})
    decided = decide(contender("b", 0.1), unmeasured, BOUT)
    assert decided.wins
    assert decided.reason.startswith("a, the champion, was never measured by exact_match")


def rolled(frm: str, to: str) -> Rollback:
    return Rollback(candidate=frm, written_at=NOON, dataset="banking77", champion=to, by="ada@laptop", reason="Why.")


def test_going_back_twice_goes_back_two_steps() -> None:
    a = champion("a", 0.5)
    b = champion_from(contender("b", 0.6), a, now=NOON)
    c = champion_from(contender("c", 0.7), b, now=NOON)
    assert (c.predecessor, c.earlier) == ("b", ("b", "a"))
    back = predecessor_of("b", c.earlier, None)
    assert back == "a"
    again = champion_after_rollback(contender("b", 0.6), c, rolled("c", "b"), predecessor=back, now=NOON)
    assert (again.candidate, again.predecessor, again.earlier) == ("b", "a", ("c", "b", "a"))
    assert again.unannounced == (rolled("c", "b"),)


def test_a_champion_that_follows_a_rollback_at_once_still_has_it_to_announce() -> None:
    a = champion("a", 0.5)
    b = champion_from(contender("b", 0.6), a, now=NOON)
    back = champion_after_rollback(contender("a", 0.5), b, rolled("b", "a"), predecessor=None, now=NOON)
    assert champion_from(contender("c", 0.9), back, now=NOON).unannounced == (rolled("b", "a"),)


def test_what_is_kept_is_the_last_champions_and_where_the_next_rollback_leads() -> None:
    now = champion("e", 0.5).model_copy(update={"earlier": ("d", "e", "c", "b", "a"), "predecessor": "b"})
    assert kept_for_rollback(now, 2) == ("d", "c", "b")
    assert kept_for_rollback(now, 9) == ("d", "c", "b", "a")
    assert kept_for_rollback(now, 0) == ()


def test_a_document_from_before_rollbacks_is_still_read() -> None:
    old = champion("a", 0.5).model_dump(mode="json", by_alias=True, exclude={"arrived_at", "rollback", "unannounced"})
    read = Champion.model_validate(old)
    assert (read.arrived_at, read.rollback, read.unannounced) == (None, None, ())


@settings(deadline=None)
@given(st.permutations([(f"c{number}", number / 10) for number in range(6)]))
def test_whatever_the_order_of_those_that_arrive_together_the_best_is_champion(order: list[tuple[str, float]]) -> None:
    now: Champion | None = None
    for name, score in order:
        challenger = contender(name, score)
        if decide(challenger, now, BOUT).wins:
            now = champion_from(challenger, now, now=NOON)
    assert now is not None
    assert now.candidate == "c5"


@pytest.mark.parametrize(
    ("seconds", "words"), [(7, "7 seconds"), (300, "5 minutes"), (7200, "2 hours"), (200_000, "2 days")]
)
def test_durations_read_as_people_say_them(seconds: float, words: str) -> None:
    assert duration(timedelta(seconds=seconds)) == words


def test_by_default_no_person_is_asked_and_a_silent_one_rejects() -> None:
    assert (Promotion().approval, Promotion().on_timeout, Promotion().keep) == ("none", "reject", 3)
