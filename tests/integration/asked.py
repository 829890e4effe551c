"""What the tests of asking by hand share: a champion that can be asked, and what stands in the ledger."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import yaml
from cloud import DATASET, StandIns
from made_up import arrived, now, tuned
from waiting import FOREVER_SECONDS

from genops_events.config import Config
from genops_events.gcp import ledger_store
from genops_events.gcp.record_store import RecordStore
from genops_events.money.ledger import LedgerEntry, month_of
from genops_events.record.paths import champion_path
from genops_events.record.promotion import Champion

MODEL = "gemini-2.5-flash"


def champion_of(config: Config, store: RecordStore) -> str:
    """Return a candidate that serves the dataset now; it answers as the published model does."""
    made = arrived(config, store).candidate
    endpoint = f"projects/{config.project}/locations/{config.location}/publishers/google/models/{MODEL}"
    tuned(store, made, endpoint=endpoint, source_model=MODEL)
    champion = Champion(
        candidate=made,
        written_at=now(),
        dataset=DATASET,
        metric="exact_match",
        score=1.0,
        scores={"exact_match": 1.0},
        promoted_at=now(),
        model="projects/p/locations/l/models/1@1",
        endpoint=endpoint,
    )
    store.put(champion_path(DATASET), champion)
    return made


def entries(store: RecordStore) -> dict[str, LedgerEntry]:
    """Return this month's accounts."""
    return ledger_store.all_accounts(store, month_of(now()))


def reserved(store: RecordStore) -> Decimal:
    return sum((entry.reserved_usd for entry in entries(store).values()), Decimal(0))


def spent(store: RecordStore) -> Decimal:
    return sum((entry.spent_usd for entry in entries(store).values()), Decimal(0))


def objects(store: RecordStore) -> list[str]:
    """Return what asking has left in the bucket."""
    return sorted(blob.name for blob in store.bucket.list_blobs(prefix="genops/asks/"))


def lines(store: RecordStore, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in store.bucket.blob(name).download_as_bytes().splitlines()]


FOLDERS = f"{Path(__file__).parent}:{Path(__file__).parents[1]}"
"""Where a process that a test starts finds what the tests have in common."""
AT_ONCE = 32
"""So many prompts are under way when a test ends the work, and none of them is answered."""


def few_at_once() -> None:
    """Let this process have at most `AT_ONCE` prompts under way."""
    from genops_events.gemini import online

    online.MOST_AT_ONCE = AT_ONCE


def answered_then_silent(cloud: StandIns, answers: int) -> None:
    """Let Vertex AI answer so many prompts, and be silent from then on."""
    cloud.vertex.faults(delay_seconds=FOREVER_SECONDS, pass_calls=answers, error_methods=["generateContent"])


def change(tmp_path: Path, **settings: Any) -> None:
    """Change top-level keys of the test's genops.yaml."""
    file = tmp_path / "genops.yaml"
    found = yaml.safe_load(file.read_text(encoding="utf-8"))
    file.write_text(yaml.safe_dump(found | settings), encoding="utf-8")
