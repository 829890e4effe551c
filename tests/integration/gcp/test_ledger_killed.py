"""Fifty processes in one ledger under Cloud Storage's limit, each killed -9 at another of its lines, and begun again."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from decimal import Decimal

from cloud import ROOT, StandIns
from ledger_processes import COST, DATASET, PROJECT
from waiting import HANG_SECONDS

from genops_events.config import Config
from genops_events.gcp.ledger_store import all_accounts, read
from genops_events.gcp.record_store import RecordStore
from genops_events.money.ledger import Ledger, committed
from genops_events.record.paths import ledger_paths, ledger_prefix

AT_ONCE = 50
PASSED = 37
"""As many as fit, and not one more: 37 times 1.07 is 39.59 of 40."""
NAMES = [f"{('banking77', 'other')[number % 2]}-{number:016x}" for number in range(AT_ONCE)]


def ends(*processes: tuple[str, int | None]) -> list[str]:
    """Return how processes end that are forked at once: in "settled" or "refused" and a number of lines, or in nothing."""
    told = json.dumps([{"candidate": candidate, "lines": lines} for candidate, lines in processes])
    made = subprocess.run(
        [sys.executable, str(ROOT / "tests" / "integration" / "ledger_processes.py")],
        input=told,
        capture_output=True,
        text=True,
        timeout=10 * HANG_SECONDS,
        check=False,
    )
    assert made.returncode == 0, made.stderr
    found: list[str] = json.loads(made.stdout)
    return found


def test_fifty_processes_that_are_killed_at_any_line_never_pass_a_limit_and_end_even(
    config: Config, store: RecordStore, cloud: StandIns
) -> None:
    (alone,) = ends(("banking77-ffffffffffffffff", None))
    lines = int(alone.removeprefix("settled "))
    for name in store.names("genops/ledger/"):
        store.bucket.blob(name).delete()
    cloud.storage.faults(object_write_seconds=0.2)
    seen: list[Decimal] = []
    done = threading.Event()

    def watch() -> None:
        own = RecordStore.open(config)
        while not done.is_set():
            seen.append(committed(read(own, "2026-11") or Ledger(month="2026-11")))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        first = ends(*((name, 1 + lines * number // AT_ONCE) for number, name in enumerate(NAMES)))
        second = ends(*((name, None) for name in NAMES))
    finally:
        done.set()
        watcher.join()
    assert first.count("") > AT_ONCE / 2
    outcomes = [one.partition(" ")[0] for one in second]
    assert (outcomes.count("settled"), outcomes.count("refused")) == (PASSED, AT_ONCE - PASSED)
    assert max(seen) <= PROJECT
    ledger, accounts = read(store, "2026-11"), all_accounts(store, "2026-11")
    assert ledger is not None
    assert committed(ledger) == PASSED * COST
    for dataset in ("banking77", "other"):
        assert committed(ledger, dataset) <= DATASET
    assert sorted(accounts) == sorted(name for name, end in zip(NAMES, outcomes, strict=True) if end == "settled")
    assert {(entry.reserved_usd, entry.spent_usd) for entry in accounts.values()} == {(Decimal(0), COST)}
    refused = cloud.storage.admin("GET", f"/writes?prefix={store.bucket.name}/{ledger_prefix('2026-11')}")["refused"]
    assert not {f"{store.bucket.name}/{path}" for path in ledger_paths("2026-11")} & refused.keys()
