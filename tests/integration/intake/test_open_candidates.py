"""Open candidates: minted once, marked before they arrive, and unmarked only as they were seen."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from cloud import DATASET, PREFIX, StandIns, at_once
from made_up import now
from waiting import FOREVER_SECONDS, until

from genops_events.config import Config
from genops_events.gcp.at_once import CONNECTIONS, widen
from genops_events.gcp.errors import CloudUnavailable
from genops_events.gcp.record_store import RecordStore
from genops_events.intake.notifications import Notice, arrival
from genops_events.intake.open_candidates import Marker, claim_waking, mint, open_candidates, settle, traces_of
from genops_events.record.intake import Arrival
from genops_events.record.paths import arrival_path, open_path


def coming(config: Config, name: str, generation: int = 1) -> Arrival:
    """Return an arrival that nobody has recorded."""
    notice = Notice(bucket=config.bucket, object=f"{PREFIX}{name}", generation=generation)
    return arrival(notice, dataset=DATASET, found_by="notification", now=now())


def later(one: Arrival, seconds: int = 1) -> Arrival:
    """Return the arrival as another task would record it."""
    return one.model_copy(update={"written_at": one.written_at + timedelta(seconds=seconds)})


# Minting


def test_an_arrival_is_minted_once_and_its_candidate_is_open(config: Config, store: RecordStore) -> None:
    one, other = coming(config, "one.jsonl"), coming(config, "other.jsonl")
    assert mint(store, [one, other]) == {one.candidate, other.candidate}
    assert mint(store, [later(one), later(other)]) == set()
    assert store.read(arrival_path(one.candidate), Arrival) == one
    assert store.read(open_path(one.candidate), Arrival) == one
    assert {marker.candidate for marker in open_candidates(store)} == {one.candidate, other.candidate}


def test_of_many_who_mint_the_same_arrivals_at_once_each_candidate_goes_to_one(
    config: Config, store: RecordStore
) -> None:
    arrivals = [coming(config, f"{number}.jsonl") for number in range(20)]
    seen = [[later(one, number) for one in arrivals] for number in range(4)]
    won = at_once(*(lambda mine=mine: mint(RecordStore.open(config), mine) for mine in seen))
    assert sum(len(one) for one in won) == len(arrivals)
    assert set.union(*won) == {one.candidate for one in arrivals}


def test_a_mint_whose_answer_was_lost_knows_its_own_arrival(
    cloud: StandIns, config: Config, store: RecordStore
) -> None:
    one = coming(config, "unanswered.jsonl")
    cloud.storage.faults(lose_answers=1.0, error_methods=["objects.insert"])
    assert mint(store, [one]) == {one.candidate}
    cloud.storage.faults()
    assert store.read(arrival_path(one.candidate), Arrival) == one


def test_a_mint_that_dies_between_its_two_steps_leaves_the_marker_and_not_the_arrival(
    cloud: StandIns, config: Config, store: RecordStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = coming(config, "half.jsonl")
    create = RecordStore.create

    def dying(self: RecordStore, path: str, document: Arrival) -> bool:
        if path == arrival_path(one.candidate):
            raise CloudUnavailable("killed here", "")
        return create(self, path, document)

    with monkeypatch.context() as killed:
        killed.setattr(RecordStore, "create", dying)
        with pytest.raises(CloudUnavailable):
            mint(store, [one])
    assert [marker.candidate for marker in open_candidates(store)] == [one.candidate]
    assert not traces_of(store, one.candidate).has_arrived
    assert mint(store, [one]) == {one.candidate}


def test_many_arrivals_are_minted_at_once_over_connections_that_are_kept(
    cloud: StandIns, config: Config, store: RecordStore, caplog: pytest.LogCaptureFixture
) -> None:
    widen(store.bucket.client)
    cloud.storage.faults(delay_seconds=FOREVER_SECONDS, error_methods=["objects.insert"])
    arrivals = [coming(config, f"{number}.jsonl") for number in range(160)]
    with caplog.at_level(logging.WARNING, logger="urllib3"), ThreadPoolExecutor() as threads:
        minted = threads.submit(mint, store, arrivals)
        until(lambda: cloud.storage.delayed() == {"objects.insert": CONNECTIONS}, what="as many writes as connections")
        cloud.storage.faults()
        cloud.storage.let_go()
        assert len(minted.result()) == len(arrivals)
    assert caplog.messages == [], "urllib3 warns of each connection beyond those that are kept"


def test_one_failing_call_ends_all_and_is_raised(cloud: StandIns, config: Config, store: RecordStore) -> None:
    cloud.storage.faults(error_code="403", error_share=1.0, error_methods=["objects.insert"])
    before = store.names("")
    with pytest.raises(Exception, match="403"):
        mint(store, [coming(config, f"{number}.jsonl") for number in range(CONNECTIONS * 4)])
    assert store.names("") == before


# Markers


def only_marker(store: RecordStore) -> Marker:
    (marker,) = open_candidates(store)
    return marker


def test_of_sweeps_that_wake_a_candidate_at_once_one_gets_it_and_its_patience_begins_anew(
    config: Config, store: RecordStore
) -> None:
    mint(store, [coming(config, "one.jsonl")])
    seen = only_marker(store)
    assert sorted(at_once(*(lambda: claim_waking(RecordStore.open(config), seen) for _ in range(4)))) == [
        False,
        False,
        False,
        True,
    ]
    touched = only_marker(store)
    assert touched.touched_at > seen.touched_at
    assert store.read(open_path(seen.candidate), Arrival) is not None, "the marker is still the arrival"


def test_a_marker_is_deleted_only_as_it_was_seen(config: Config, store: RecordStore) -> None:
    mint(store, [coming(config, "one.jsonl")])
    seen = only_marker(store)
    assert claim_waking(store, seen)
    settle(store, seen)
    current = only_marker(store)
    settle(store, current)
    settle(store, current)
    assert open_candidates(store) == []
    assert not claim_waking(store, current), "what is settled is not woken"


def test_what_else_lies_beside_the_markers_is_no_candidate(store: RecordStore) -> None:
    store.bucket.blob("genops/open/").upload_from_string(b"")
    store.bucket.blob("genops/open/note.txt").upload_from_string(b"")
    assert open_candidates(store) == []
