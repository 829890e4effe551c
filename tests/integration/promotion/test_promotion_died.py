"""Promotion that died after the champion was changed and before its verdict was written."""

from __future__ import annotations

from cloud import DATASET
from promotions import champion, changed_by_hand, judged, promote

from genops_events.config import Config
from genops_events.gcp.record_store import RecordStore
from genops_events.promotion.rollbacks import roll_back
from genops_events.record.paths import champion_path
from genops_events.record.promotion import Champion
from genops_events.record.stages import Outcome


def test_who_died_as_champion_is_promoted(config: Config, store: RecordStore) -> None:
    first, second = judged(config, store, 0.5), judged(config, store, 0.6)
    promote(first)
    changed_by_hand(store, second, score=0.6, after=first)
    before = champion(store)
    made = promote(second)
    assert (made.outcome, made.champion_before, made.champion_score) == (Outcome.PROMOTED, first, 0.5)
    assert "0.6 exceeds the champion's 0.5" in made.reason
    assert champion(store) == before


def test_who_died_as_the_first_champion_is_promoted(config: Config, store: RecordStore) -> None:
    first = judged(config, store, 0.5)
    changed_by_hand(store, first, score=0.5)
    assert promote(first).outcome is Outcome.PROMOTED


def test_who_died_as_champion_is_promoted_although_a_better_one_came_since(config: Config, store: RecordStore) -> None:
    first, second = judged(config, store, 0.5), judged(config, store, 0.6)
    changed_by_hand(store, first, score=0.5)
    assert promote(second).outcome is Outcome.PROMOTED
    made = promote(first)
    assert made.outcome is Outcome.PROMOTED
    assert second in made.reason
    assert champion(store).candidate == second


def test_who_died_as_champion_is_promoted_although_two_better_ones_came_since(
    config: Config, store: RecordStore
) -> None:
    first, second, third = (judged(config, store, score) for score in (0.5, 0.6, 0.7))
    changed_by_hand(store, first, score=0.5)
    promote(second)
    promote(third)
    assert promote(first).outcome is Outcome.PROMOTED
    assert champion(store).candidate == third


def test_a_repeated_promotion_changes_nothing(config: Config, store: RecordStore) -> None:
    candidate = judged(config, store, 0.5)
    made = promote(candidate)
    before = champion(store)
    assert promote(candidate) == made
    assert champion(store) == before


def test_who_died_as_champion_and_was_rolled_back_since_is_told_so(config: Config, store: RecordStore) -> None:
    first, second = judged(config, store, 0.5), judged(config, store, 0.6)
    promote(first)
    changed_by_hand(store, second, score=0.6, after=first)
    store.update(champion_path(DATASET), Champion, lambda now: now and now.model_copy(update={"earlier": (first,)}))
    roll_back(config, store, DATASET, to=first, by="ada@laptop", reason="Why.")
    made = promote(second)
    assert (made.outcome, made.champion_before) == (Outcome.PROMOTED, first)
    assert made.reason == f"It was the champion before {first}."
    assert champion(store).candidate == first
