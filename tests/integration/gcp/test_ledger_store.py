"""The ledger in the bucket: fifty candidates at once, and what somebody changed by hand."""

from __future__ import annotations

import json
import threading
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any

import pytest
from airflow.sdk import RetryAction
from cloud import StandIns, at_once

from genops_events.airflow.retries import STAGE_RETRIES
from genops_events.config import Config
from genops_events.errors import TransientError
from genops_events.gcp import ledger_commits
from genops_events.gcp.ledger_reads import COMMIT, Version, load, look
from genops_events.gcp.ledger_store import account, all_accounts, committed, read, reserve, settle
from genops_events.gcp.record_store import Contended, RecordStore
from genops_events.money import group_commit
from genops_events.money.group_commit import LedgerWish
from genops_events.money.ledger import Ledger, LedgerDamaged, Refusal
from genops_events.money.ledger import committed as committed_in
from genops_events.record.paths import (
    LEDGER_OBJECTS,
    ledger_of_commit,
    ledger_path,
    ledger_paths,
    ledger_prefix,
    ledger_turn_path,
    ledger_wish_path,
)

MONTH = datetime(2026, 11, 5, tzinfo=UTC)
COST = Decimal("1.07")
PROJECT, DATASET = Decimal(40), Decimal(25)


def test_fifty_candidates_at_once_never_pass_a_limit_by_a_cent(config: Config, store: RecordStore) -> None:
    seen: list[Decimal] = []
    done = threading.Event()

    def one(number: int) -> str:
        dataset = ("banking77", "other")[number % 2]
        own = RecordStore.open(config)
        mine = {"candidate": f"{dataset}-{number:016x}", "purpose": "tuning", "at": MONTH}
        refusal = reserve(own, dataset=dataset, amount=COST, limit=DATASET, project_limit=PROJECT, **mine)  # type: ignore[arg-type]
        if refusal is not None:
            return f"refused: {', '.join(refusal.limits)}"
        if number % 5 == 0:
            settle(own, spent=COST, **mine)  # type: ignore[arg-type]
            return "settled"
        return "reserved"

    def watch() -> None:
        own = RecordStore.open(config)
        while not done.is_set():
            seen.append(committed_in(read(own, "2026-11") or Ledger(month="2026-11")))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        ends = at_once(*(partial(one, number) for number in range(50)))
    finally:
        done.set()
        watcher.join()
    ledger = read(store, "2026-11")
    assert ledger is not None
    passed = [end for end in ends if not end.startswith("refused")]
    # As many as fit, and not one more: 37 times 1.07 is 39.59 of 40.
    assert len(passed) == len(all_accounts(store, "2026-11")) == 37
    assert committed_in(ledger) == 37 * COST
    assert max(seen) <= PROJECT
    for dataset in ("banking77", "other"):
        assert committed(store, dataset=dataset, at=MONTH) <= DATASET
    spent = sum((entry.spent_usd for entry in all_accounts(store, "2026-11").values()), Decimal(0))
    assert spent == COST * ends.count("settled")


DAMAGES = {
    "cut off": lambda text: text[:-20],
    "a negative amount": lambda text: text.replace('"1.07"', '"-1.07"'),
    "another month": lambda text: text.replace("2026-11", "2026-10"),
    "settled and reserved": lambda text: text.replace('Z"]', 'Z","1.07"]'),
    "a total that is too small": lambda text: text.replace('"totals":', '"totals":{"banking77":{}},"was":'),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_ledger_that_was_changed_by_hand_is_an_error_and_stays_as_it_is(store: RecordStore, damage: str) -> None:
    whose: dict[str, Any] = {"candidate": "banking77-0123456789abcdef", "purpose": "tuning", "at": MONTH}
    assert reserve(store, dataset="banking77", amount=COST, limit=DATASET, **whose) is None
    blob = store.bucket.blob(ledger_path("2026-11"))
    changed = DAMAGES[damage](blob.download_as_text())
    blob.upload_from_string(changed)
    for call in (
        partial(reserve, store, dataset="banking77", amount=COST, limit=DATASET, **whose),
        partial(settle, store, spent=COST, **whose),
        partial(committed, store, dataset="banking77", at=MONTH),
    ):
        with pytest.raises(LedgerDamaged, match=r"ledger/2026-11\.json makes no sense: .*Nothing was spent") as raised:
            call()
        assert "genops spend --month 2026-11" in raised.value.hint
    assert blob.download_as_text() == changed


def test_a_damaged_ledger_is_waited_for_an_hour() -> None:
    waiting = STAGE_RETRIES.evaluate(LedgerDamaged("damaged"), try_number=1, max_tries=6)
    assert waiting.action is RetryAction.RETRY
    assert waiting.retry_delay is not None
    assert waiting.retry_delay.total_seconds() * 6 >= 3600


# One write a second to one object name


def mine(number: int = 0, **more: object) -> dict[str, Any]:
    return {"candidate": f"banking77-{number:016x}", "purpose": "tuning", "at": MONTH, **more}


def hold_back(store: RecordStore, number: int = 0, **more: object) -> Refusal | None:
    return reserve(store, **mine(number, **{"dataset": "banking77", "amount": COST, "limit": PROJECT, **more}))


def figures(store: RecordStore, number: int = 0) -> tuple[str, str] | None:
    entry = account(store, "2026-11", mine(number)["candidate"])
    return None if entry is None else (str(entry.reserved_usd), str(entry.spent_usd))


def ledger_writes(cloud: StandIns, store: RecordStore) -> dict[str, dict[str, int]]:
    """Return how often each of the ledger's objects was written, and how often that was refused."""
    counts = cloud.storage.admin("GET", f"/writes?prefix={store.bucket.name}/{ledger_prefix('2026-11')}")
    every = [f"{store.bucket.name}/{path}" for path in ledger_paths("2026-11")]
    return {word: {name: count for name, count in found.items() if name in every} for word, found in counts.items()}


@pytest.fixture
def few_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Postings leave the ledger after two commits."""
    monkeypatch.setattr(group_commit, "KEPT_COMMITS", 2)


def test_thirty_at_once_are_taken_in_by_few_writes_none_of_which_the_limit_refuses(
    config: Config, store: RecordStore, cloud: StandIns, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_commits, "APART_SECONDS", 0.25)  # as they are outside of tests
    monkeypatch.setattr(ledger_commits, "SAME_APART_SECONDS", 1.05)
    cloud.storage.faults(object_write_seconds=1)
    stores = [RecordStore.open(config) for _ in range(30)]
    assert at_once(*(partial(hold_back, one, number) for number, one in enumerate(stores))) == [None] * 30
    at_once(*(partial(settle, one, spent=Decimal(1), **mine(number)) for number, one in enumerate(stores)))
    writes = ledger_writes(cloud, store)
    assert writes["refused"] == {}
    assert sum(writes["made"].values()) < 30, "as many as before this there were at least 60"
    assert committed(store, dataset="banking77", at=MONTH) == 30


def test_commits_in_a_row_go_to_an_object_each(store: RecordStore) -> None:
    for number in range(LEDGER_OBJECTS):
        assert hold_back(store, number) is None
    blobs = store.bucket.list_blobs(prefix=ledger_prefix("2026-11"))
    lies = {blob.metadata[COMMIT]: blob.name for blob in blobs if blob.name in ledger_paths("2026-11")}
    assert lies == {str(number): path for number, path in enumerate(ledger_paths("2026-11"), 1)}


def test_a_commit_that_was_put_back_by_hand_without_its_metadata_is_the_ledger_still(store: RecordStore) -> None:
    for number in range(3):
        assert hold_back(store, number) is None
    blob = store.bucket.blob(ledger_of_commit("2026-11", 3))
    content = blob.download_as_bytes()
    blob.delete()
    store.bucket.blob(blob.name).upload_from_string(content)
    assert committed(store, dataset="banking77", at=MONTH) == 3 * COST
    assert hold_back(store, 3, limit=3 * COST) is not None, "what the second commit would allow"
    assert hold_back(store, 4) is None
    assert committed(store, dataset="banking77", at=MONTH) == 4 * COST


def test_a_write_that_the_limit_refuses_all_the_same_is_made_again(
    store: RecordStore, cloud: StandIns, few_kept: None
) -> None:
    cloud.storage.faults(object_write_seconds=3)
    for number in range(LEDGER_OBJECTS + 1):  # the last would write an object anew that was written just now
        assert hold_back(store, number) is None
    writes = ledger_writes(cloud, store)
    assert sum(writes["refused"].values()) >= 1
    assert committed(store, dataset="banking77", at=MONTH) == (LEDGER_OBJECTS + 1) * COST


def test_answers_that_are_lost_change_nothing(store: RecordStore, cloud: StandIns, few_kept: None) -> None:
    cloud.storage.faults(lose_answers=0.3, error_methods=["objects.insert", "objects.delete"])
    for number in range(6):
        while True:
            with suppress(TransientError):
                assert hold_back(store, number) is None
                settle(store, spent=Decimal(1), **mine(number))
                break
    assert committed(store, dataset="banking77", at=MONTH) == 6


def test_what_has_left_the_ledger_is_read_and_settled_as_what_stands_in_it(store: RecordStore, few_kept: None) -> None:
    for number in range(6):
        assert hold_back(store, number) is None
    ledger = read(store, "2026-11")
    assert ledger is not None
    assert mine(0)["candidate"] not in ledger.entries
    assert [figures(store, number) for number in range(6)] == [("1.07", "0")] * 6
    assert sorted(all_accounts(store, "2026-11")) == [mine(number)["candidate"] for number in range(6)]
    before = load(store, "2026-11").version
    assert hold_back(store, 0) is None, "reserved already"
    assert load(store, "2026-11").version == before
    settle(store, spent=Decimal("0.5"), **mine(0))
    for number in range(6, 10):
        assert hold_back(store, number) is None
    assert (figures(store, 0), figures(store, 1)) == (("0", "0.5"), ("1.07", "0"))
    assert committed(store, dataset="banking77", at=MONTH) == 9 * COST + Decimal("0.5")
    refusal = hold_back(store, 0, purpose="inference", candidate_limit=Decimal("1.56"))
    assert refusal is not None
    assert (refusal.limits, refusal.missing_usd) == (("budget.candidate_usd",), Decimal("0.01"))


def test_accounts_are_found_by_the_beginning_of_their_names_and_no_others(store: RecordStore, few_kept: None) -> None:
    for name in ("a-1", "a-1/flash", "a-1/flash/2", "a-12", "b-1", "b-2", "b-3"):
        assert hold_back(store, candidate=name) is None
    assert sorted(all_accounts(store, "2026-11", prefix="a-1/")) == ["a-1/flash", "a-1/flash/2"]
    assert sorted(all_accounts(store, "2026-11", prefix="a-1")) == ["a-1", "a-1/flash", "a-1/flash/2", "a-12"]
    assert account(store, "2026-11", "a-1/flash") == all_accounts(store, "2026-11")["a-1/flash"]
    settle(store, candidate="a-1", purpose="tuning", spent=Decimal(1), at=MONTH)
    assert len(all_accounts(store, "2026-11")) == 7


def wished_by_the_dead(store: RecordStore, **more: Any) -> None:
    """Leave a wish as a process does that dies as soon as it is written."""
    found = look(store, "2026-11", mine()["candidate"])
    known = {} if found.entry is None else found.entry.purposes
    wish = LedgerWish(
        account=mine()["candidate"],
        dataset="banking77",
        purpose="tuning",
        at=MONTH,
        seen=found.ledger.commit,
        series=found.ledger.series,
        known=known,
        **more,
    )
    path = ledger_wish_path("2026-11", wish.account, f"of-the-dead-{time.monotonic_ns()}")
    blob = store.bucket.blob(path)
    blob.metadata = {"wish": wish.to_json()}
    blob.upload_from_string(b"")


def test_what_a_dead_process_has_wished_to_reserve_is_seen_and_released_by_whoever_settles(store: RecordStore) -> None:
    wished_by_the_dead(store, kind="reserve", amount=COST, limit=PROJECT)
    settle(store, spent=Decimal(0), **mine())
    assert figures(store) == ("0", "0")
    assert committed(store, dataset="banking77", at=MONTH) == 0


def test_what_a_dead_process_has_wished_to_settle_counts_before_anybody_relies_on_its_reservation(
    store: RecordStore,
) -> None:
    assert hold_back(store) is None
    wished_by_the_dead(store, kind="settle", amount=Decimal(1))
    assert figures(store) == ("0", "1")


def test_a_process_that_died_with_its_turn_noted_holds_nobody_up_for_good(
    store: RecordStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_commits, "TURN_SECONDS", 0.1)
    store.bucket.blob(ledger_turn_path("2026-11", str(Version()), 0)).upload_from_string(b"")
    store.bucket.blob(ledger_turn_path("2026-11", str(Version()), 1)).upload_from_string(b"")
    assert hold_back(store) is None
    assert figures(store) == ("1.07", "0")


def test_what_the_dead_have_left_is_tidied_by_whoever_writes_later(
    store: RecordStore, few_kept: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_commits, "FORGOTTEN", timedelta(0))
    monkeypatch.setattr(ledger_commits, "YOUNG", timedelta(0))
    wished_by_the_dead(store, kind="reserve", amount=COST, limit=PROJECT)
    for number in range(1, 3 * ledger_commits.TIDYING_COMMITS):
        assert hold_back(store, number) is None
    assert figures(store) == ("1.07", "0")
    ledger = read(store, "2026-11")
    assert ledger is not None
    assert mine()["candidate"] not in ledger.entries
    names = store.names("genops/ledger/2026-11.")
    assert [name for name in names if "of-the-dead" in name] == []


@pytest.mark.parametrize("others", [1, LEDGER_OBJECTS - 1, LEDGER_OBJECTS, LEDGER_OBJECTS + 1])
def test_whoever_was_stopped_before_its_write_writes_over_nobody(
    config: Config, store: RecordStore, monkeypatch: pytest.MonkeyPatch, others: int
) -> None:
    for number in range(1, LEDGER_OBJECTS + 2):  # each object of the ledger is there
        assert hold_back(store, number) is None
    whole = ledger_commits.committed_group

    def stopped(*given: Any, **more: Any) -> Ledger | None:
        monkeypatch.setattr(ledger_commits, "committed_group", whole)
        after = whole(*given, **more)
        for number in range(others):
            assert hold_back(RecordStore.open(config), 100 + number, dataset="other") is None
        return after

    monkeypatch.setattr(ledger_commits, "committed_group", stopped)
    assert hold_back(store, 0) is None
    assert committed(store, dataset="other", at=MONTH) == others * COST
    assert committed(store, dataset="banking77", at=MONTH) == (LEDGER_OBJECTS + 2) * COST
    assert len(all_accounts(store, "2026-11")) == LEDGER_OBJECTS + 2 + others


def test_what_is_decided_without_a_write_is_decided_by_a_new_look(config: Config, store: RecordStore) -> None:
    other = RecordStore.open(config)
    assert hold_back(store, 1) is None
    assert account(store, "2026-11", mine(0)["candidate"]) is None
    settle(other, spent=Decimal(0), **mine(1))
    assert hold_back(store, 0, limit=COST) is None, "there is room now"
    assert account(store, "2026-11", mine(0)["candidate"]) is not None
    settle(other, spent=Decimal(1), **mine(0))
    assert hold_back(other, 0, amount=2 * COST, again=True) is None
    settle(store, spent=Decimal(2), **mine(0))
    assert figures(store) == ("0", "2")


def test_a_ledger_that_is_listed_and_cannot_be_found_is_no_loop(store: RecordStore, cloud: StandIns) -> None:
    assert hold_back(store) is None
    cloud.storage.faults(error_code="404", error_share=1.0, error_methods=["objects.get"])
    with pytest.raises(Contended):
        read(store, "2026-11")


def test_what_others_put_beside_the_wishes_keeps_nobody_out(store: RecordStore) -> None:
    prefix = "genops/ledger/2026-11.wishes/"
    store.bucket.blob(f"{prefix}notes.txt").upload_from_string("by hand")
    blob = store.bucket.blob(f"{prefix}{mine()['candidate']}/newer")
    blob.metadata = {"wish": '{"schema": "genops.wish.v9"}'}
    blob.upload_from_string(b"")
    assert hold_back(store) is None
    settle(store, spent=Decimal(1), **mine())
    assert figures(store) == ("0", "1")


OLD = """{
  "schema": "genops.ledger.v1", "month": "2026-11", "entries": {
    "banking77-0000000000000000": {"dataset": "banking77", "purposes": {"tuning": {"reserved_usd": "1.07", "spent_usd": "0",
      "settled": false, "reserved_at": "2026-11-05T00:00:00.123456Z", "estimated_usd": "1.07", "approved_by": null}}},
    "banking77-0000000000000001": {"dataset": "banking77", "purposes": {"tuning": {"reserved_usd": "0", "spent_usd": "0.9",
      "settled": true, "reserved_at": "2026-11-05T00:00:00Z", "estimated_usd": "1.07", "approved_by": "ada@laptop"}}}
  }
}"""


def test_a_ledger_of_an_older_version_is_read_and_goes_over_bit_by_bit(
    store: RecordStore, few_kept: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_commits, "FOLDED_AT_ONCE", 1)
    store.bucket.blob(ledger_path("2026-11")).upload_from_string(OLD)
    assert committed(store, dataset="banking77", at=MONTH) == Decimal("1.97")
    assert (figures(store, 0), figures(store, 1)) == (("1.07", "0"), ("0", "0.9"))
    assert store.bucket.blob(ledger_path("2026-11")).download_as_text() == OLD, "reading changes nothing"
    assert hold_back(store, 2, limit=Decimal("3.03")) is not None
    assert hold_back(store, 0, limit=Decimal(0)) is None, "reserved already"
    settle(store, spent=Decimal(1), **mine(0))
    stored = json.loads(store.bucket.blob(ledger_path("2026-11")).download_as_text())
    assert stored["schema"] == "genops.ledger.v2", "what an older version cannot read it does not change"
    for number in range(3, 8):
        assert hold_back(store, number, dataset="other") is None
    ledger = read(store, "2026-11")
    assert ledger is not None
    assert not {mine(0)["candidate"], mine(1)["candidate"]} & ledger.entries.keys()
    assert (figures(store, 0), figures(store, 1)) == (("0", "1"), ("0", "0.9"))
    kept = account(store, "2026-11", mine(1)["candidate"])
    assert kept is not None
    assert kept.purposes["tuning"].approved_by == "ada@laptop"
    assert committed(store, dataset="banking77", at=MONTH) == Decimal("1.9")


def test_a_ledger_that_was_put_aside_stays_and_is_followed_by_one_that_knows_nothing_of_its_accounts(
    store: RecordStore, few_kept: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_commits, "FORGOTTEN", timedelta(0))
    for number in range(5):
        assert hold_back(store, number) is None
    for path in ledger_paths("2026-11"):
        store.bucket.rename_blob(store.bucket.blob(path), f"{path}.unreadable")  # as `genops doctor` names it
    assert [figures(store, number) for number in range(5)] == [None] * 5
    for number in range(2):
        assert hold_back(store, number, amount=Decimal(2)) is None
    assert committed(store, dataset="banking77", at=MONTH) == 4
    assert all(store.bucket.blob(f"{path}.unreadable").exists() for path in ledger_paths("2026-11"))
