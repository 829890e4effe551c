"""The ledger in the bucket: fifty candidates at once, and what somebody changed by hand."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial

import pytest
from airflow.sdk import RetryAction
from cloud import at_once

from genops_events.airflow.retries import STAGE_RETRIES
from genops_events.config import Config
from genops_events.gcp.ledger_store import committed, read, reserve, settle
from genops_events.gcp.record_store import RecordStore
from genops_events.money.ledger import Ledger, LedgerDamaged
from genops_events.money.ledger import committed as committed_in
from genops_events.record.paths import ledger_path

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
    assert len(passed) == len(ledger.entries) == 37
    assert committed_in(ledger) == 37 * COST
    assert max(seen) <= PROJECT
    for dataset in ("banking77", "other"):
        assert committed(store, dataset=dataset, at=MONTH) <= DATASET
    spent = sum((entry.spent_usd for entry in ledger.entries.values()), Decimal(0))
    assert spent == COST * ends.count("settled")


DAMAGES = {
    "cut off": lambda text: text[:-20],
    "a negative amount": lambda text: text.replace('"1.07"', '"-1.07"'),
    "another month": lambda text: text.replace("2026-11", "2026-10"),
    "settled and reserved": lambda text: text.replace('"settled": false', '"settled": true'),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_ledger_that_was_changed_by_hand_is_an_error_and_stays_as_it_is(store: RecordStore, damage: str) -> None:
    mine = {"candidate": "banking77-0123456789abcdef", "purpose": "tuning", "at": MONTH}
    assert reserve(store, dataset="banking77", amount=COST, limit=DATASET, **mine) is None  # type: ignore[arg-type]
    blob = store.bucket.blob(ledger_path("2026-11"))
    changed = DAMAGES[damage](blob.download_as_text())
    blob.upload_from_string(changed)
    for call in (
        partial(reserve, store, dataset="banking77", amount=COST, limit=DATASET, **mine),
        partial(settle, store, spent=COST, **mine),
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
