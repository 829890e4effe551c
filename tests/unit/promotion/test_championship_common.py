"""Contender and champion are held against each other on the rows that both were scored on, where these are known."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta

import pytest

from genops_events.promotion.championship import Contender, Decision, SharedMeans, Terms, champion_from, decide

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


def contender(name: str, score: float, common: SharedMeans | None = None) -> Contender:
    return Contender(
        candidate=name,
        dataset="banking77",
        model=f"models/{name}",
        endpoint=f"endpoints/{name}",
        checkpoint=None,
        metric="bleu",
        score=score,
        scores={"bleu": score},
        arrived_at=NOON,
        common=common,
    )


def decided(
    own: float, theirs: float, common: SharedMeans | None, *, margin: float = 0.0, asked_at: datetime | None = None
) -> Decision:
    champion = champion_from(contender("a", theirs), None, now=NOON)
    return decide(contender("b", own, common), champion, Terms(margin, timedelta(minutes=5), asked_at))


def test_a_candidate_that_was_scored_on_easier_rows_does_not_win_by_them() -> None:
    # Of its 100 rows, ten hard ones stand in its training file: on the other 90, the champion is the better one.
    assert decided(0.9, 0.85, None).wins
    found = decided(0.9, 0.85, SharedMeans("a", own=0.9, champions=0.92, rows=90))
    assert not found.wins
    assert found.reason.startswith("The candidate's 0.9 does not exceed the champion's 0.92: the champion stays. ")
    assert "These are the means over the 90 rows that both were scored on." in found.reason


def test_a_harder_evaluation_file_does_not_keep_the_better_candidate_out() -> None:
    found = decided(0.6, 0.9, SharedMeans("a", own=0.95, champions=0.9, rows=1))
    assert found.wins
    assert "over the row that both were scored on" in found.reason


def test_the_margin_holds_there_too() -> None:
    assert not decided(0.9, 0.5, SharedMeans("a", own=0.8, champions=0.75, rows=9), margin=0.1).wins


def test_rows_in_common_with_another_champion_say_nothing_about_this_one() -> None:
    assert decided(0.6, 0.5, SharedMeans("c", own=0.1, champions=0.9, rows=9)).wins


@pytest.mark.parametrize("common", [None, SharedMeans("a", own=0.6, champions=0.5, rows=9)])
def test_where_the_rows_are_the_same_nothing_is_said_of_them(common: SharedMeans | None) -> None:
    assert decided(0.6, 0.5, common).reason == "The candidate's 0.6 exceeds the champion's 0.5."


def test_a_word_counts_only_for_a_champion_that_was_there() -> None:
    late = dataclasses.replace(contender("b", 0.9), arrived_at=NOON - timedelta(hours=1))
    champion = champion_from(contender("a", 0.5), None, now=NOON)
    before = decide(late, champion, Terms(0.0, timedelta(minutes=5), NOON - timedelta(seconds=1)))
    assert (before.wins, before.late) == (False, True)
    assert "It was approved before a had the place." in before.reason
    assert decide(late, champion, Terms(0.0, timedelta(minutes=5), NOON)).wins
