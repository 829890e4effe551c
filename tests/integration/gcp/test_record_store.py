"""The record in the bucket: written once, changed by compare-and-set, and never silently misread."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial

import pytest
from cloud import DATASET, StandIns, at_once
from made_up import arrived, ended, now, taken_on, tuned, verdict

from genops_events.cascade.candidate_reader import read_candidate, read_candidates
from genops_events.config import Config
from genops_events.gcp.errors import CloudUnavailable
from genops_events.gcp.ledger_store import all_accounts, committed, reserve, settle
from genops_events.gcp.record_store import RecordStore, Unreadable
from genops_events.money.ledger import Ledger, Refusal
from genops_events.record.events import announcement, announcement_path
from genops_events.record.holds import Intent
from genops_events.record.intake import Arrival
from genops_events.record.paths import arrival_path, champion_path, intent_path, ledger_path
from genops_events.record.promotion import Champion
from genops_events.record.stages import CandidateState, Outcome, Stage

MONTH = datetime(2026, 11, 5, tzinfo=UTC)


def intent(run_id: str, candidate: str = "banking77-0123456789abcdef") -> Intent:
    return Intent(candidate=candidate, written_at=now(), stage=Stage.TUNING, run_id=run_id, started_at=now())


def test_of_eight_writers_at_once_one_wins_and_all_others_read_what_it_wrote(
    config: Config, store: RecordStore
) -> None:
    path = intent_path("banking77-0123456789abcdef", Stage.TUNING)
    mine = [intent(f"run-{number}") for number in range(8)]
    kept = at_once(*(partial(RecordStore.open(config).create_or_read, path, one) for one in mine))
    (winner,) = {one.run_id for one in kept}
    assert store.read(path, Intent) == next(one for one in mine if one.run_id == winner)
    assert store.create(path, intent("too late")) is False
    assert store.create_or_read(path, intent("too late")).run_id == winner


def test_of_eight_writers_at_once_one_is_told_that_it_wrote(config: Config) -> None:
    path = intent_path("banking77-0123456789abcdef", Stage.BUDGET)
    wrote = at_once(*(partial(RecordStore.open(config).create, path, intent(f"run-{n}")) for n in range(8)))
    assert sorted(wrote) == [False] * 7 + [True]


def reserving(config: Config, candidate: str, *, limit: str) -> Callable[[], Refusal | None]:
    return partial(
        reserve,
        RecordStore.open(config),
        candidate=candidate,
        dataset=DATASET,
        purpose="tuning",
        amount=Decimal("1.25"),
        limit=Decimal(limit),
        at=MONTH,
    )


def test_sixteen_writers_of_one_ledger_lose_nothing(config: Config, store: RecordStore) -> None:
    names = [f"banking77-{number:016x}" for number in range(16)]
    assert at_once(*(reserving(config, name, limit="200") for name in names)) == [None] * 16
    assert sorted(all_accounts(store, "2026-11")) == names
    assert committed(store, dataset=DATASET, at=MONTH) == Decimal(20)
    at_once(
        *(
            partial(settle, RecordStore.open(config), candidate=name, purpose="tuning", spent=Decimal("0.5"), at=MONTH)
            for name in names
        )
    )
    assert committed(store, dataset=DATASET, at=MONTH) == Decimal(8)


def test_writers_at_once_never_reserve_more_than_the_limit(config: Config, store: RecordStore) -> None:
    names = [f"banking77-{number:016x}" for number in range(8)]
    refused = [one for one in at_once(*(reserving(config, name, limit="6.25") for name in names)) if one is not None]
    assert len(refused) == 3
    assert committed(store, dataset=DATASET, at=MONTH) == Decimal("6.25")


def test_a_change_that_changes_nothing_writes_nothing(config: Config, store: RecordStore) -> None:
    assert reserving(config, "banking77-0123456789abcdef", limit="200")() is None
    before = store.bucket.get_blob(ledger_path("2026-11")).generation
    assert store.update(ledger_path("2026-11"), Ledger, lambda found: found) is not None
    assert store.update(ledger_path("2026-11"), Ledger, lambda _: None) is not None
    assert store.bucket.get_blob(ledger_path("2026-11")).generation == before
    assert store.update(ledger_path("2026-12"), Ledger, lambda _: None) is None


def test_one_look_for_a_document_is_one_call_and_needs_no_right_on_the_bucket_itself(store: RecordStore) -> None:
    asked: list[str] = []
    store.bucket.client._http.hooks["response"].append(lambda answer, **_: asked.append(answer.request.path_url))
    others = set(threading.enumerate())
    assert store.champion(DATASET) is None
    for thread in set(threading.enumerate()) - others:
        thread.join()
    (path,) = asked
    assert path.startswith("/download/")


@pytest.mark.parametrize("content", ["", "{", "[]", '{"candidate": "x"}', "null", "\xff"])
def test_a_document_that_cannot_be_read_is_named_and_never_taken_for_absent(store: RecordStore, content: str) -> None:
    path = champion_path(DATASET)
    store.bucket.blob(path).upload_from_string(content.encode("latin-1"))
    with pytest.raises(Unreadable, match=path) as raised:
        store.read(path, Champion)
    assert store.bucket.name in str(raised.value)
    with pytest.raises(Unreadable, match=path):
        store.update(path, Champion, lambda _: None)
    with pytest.raises(Unreadable, match=path):
        store.create_or_read(path, champion("banking77-0123456789abcdef"))
    assert store.bucket.blob(path).download_as_bytes() == content.encode("latin-1")


def test_a_field_of_a_newer_version_does_no_harm(config: Config, store: RecordStore) -> None:
    path = arrival_path("banking77-0123456789abcdef")
    made = arrived(config, store)
    newer = made.to_json().replace(b'"found_by"', b'"to_come": 1, "found_by"')
    store.bucket.blob(path).upload_from_string(newer)
    assert store.read(path, Arrival) == made


def champion(candidate: str) -> Champion:
    return Champion(
        candidate=candidate,
        written_at=now(),
        dataset=DATASET,
        model="m",
        endpoint="e",
        metric="exact_match",
        score=0.5,
        scores={"exact_match": 0.5},
        promoted_at=now(),
    )


def test_a_candidate_is_its_arrival_its_open_stages_its_verdicts_and_the_champion(
    config: Config, store: RecordStore
) -> None:
    assert read_candidate(store, "banking77-0123456789abcdef") is None
    assert store.champion(DATASET) is None
    one, other = arrived(config, store), arrived(config, store)
    taken_on(store, Stage.TUNING, one.candidate)
    tuned(store, one.candidate, cost_usd="1.5")
    taken_on(store, Stage.EVALUATION, one.candidate, run_id="run-2")
    store.create(champion_path(DATASET), champion(other.candidate))
    found = read_candidate(store, one.candidate)
    assert found is not None
    assert found.arrival == one
    assert {stage: intent.run_id for stage, intent in found.intents.items()} == {Stage.EVALUATION: "run-2"}
    assert found.outcomes == {Stage.TUNING: Outcome.SUCCEEDED}
    assert found.verdicts[Stage.TUNING] == store.verdict(one.candidate, Stage.TUNING)
    assert found.champion == other.candidate
    assert found.cost_usd == Decimal("1.5")
    assert found.state is CandidateState.UNDER_WAY


def test_all_candidates_are_listed_in_order_of_their_ids_and_what_never_arrived_is_not(
    config: Config, store: RecordStore
) -> None:
    assert list(read_candidates(store)) == []
    ids = sorted(arrived(config, store).candidate for _ in range(3))
    taken_on(store, Stage.TUNING, "banking77-ffffffffffffffff")
    assert [one.id for one in read_candidates(store)] == ids


def test_announcements_come_in_the_order_of_their_times_and_seen_ones_are_passed_over(
    config: Config, store: RecordStore
) -> None:
    one, other = arrived(config, store).candidate, arrived(config, store).candidate
    paths = []
    for candidate, stage, outcome, second in (
        (one, Stage.TUNING, Outcome.SUCCEEDED, 1),
        (other, Stage.TUNING, Outcome.REJECTED, 2),
        (one, Stage.BUDGET, Outcome.APPROVED, 3),
        (one, Stage.EVALUATION, Outcome.PASSED, 4),
    ):
        made = verdict(stage, outcome, candidate, ended_at=MONTH.replace(second=second))
        paths.append(announcement_path(candidate, stage, outcome))
        store.create(paths[-1], announcement(made, bucket=config.bucket, now=now()))
    assert [path for path, _ in store.announcements(None, skip=set())] == paths
    assert [path for path, _ in store.announcements(one, skip={paths[2]})] == [paths[0], paths[3]]
    (_, event), *_ = store.announcements(other, skip=set())
    assert event.attributes["ce-type"] == "genops.candidate.rejected.v1"


def test_storage_that_is_away_is_no_absence(
    cloud: StandIns, store: RecordStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended(store, Stage.TUNING, Outcome.REJECTED, "banking77-0123456789abcdef")
    # 429 without the client's patience of two minutes: what is asked is what it is taken for.
    monkeypatch.setattr("google.cloud.storage.retry.DEFAULT_RETRY._timeout", 0.1)
    cloud.storage.faults(error_code="429", error_share=1.0)
    with pytest.raises(CloudUnavailable):
        store.verdict("banking77-0123456789abcdef", Stage.TUNING)


def test_changes_of_one_document_that_come_sooner_than_cloud_storage_takes_them_all_come_through(
    config: Config, store: RecordStore, strict_cloud: StandIns
) -> None:
    path = champion_path(DATASET)

    def add(number: int, found: Champion | None) -> Champion:
        kept = found or champion("c")
        return kept.model_copy(update={"candidate": f"{kept.candidate}-{number}"})

    at_once(*(partial(RecordStore.open(config).update, path, Champion, partial(add, number)) for number in range(3)))
    found = store.champion(DATASET)
    assert found is not None
    assert all(f"-{number}" in found.candidate.removeprefix(champion("c").candidate) for number in range(3))
    name = f"{store.bucket.name}/{path}"
    writes = strict_cloud.storage.admin("GET", f"/writes?prefix={name}")
    assert writes["made"] == {name: 3}
