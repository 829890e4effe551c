"""`genops spend`, through Google's clients on the stand-in."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from typer.testing import CliRunner

from genops_events.cli import app
from genops_events.gcp.ledger_store import reserve, settle
from genops_events.gcp.record_store import RecordStore
from genops_events.record.paths import ledger_path

MONTH, NOW = "2026-11", datetime(2026, 11, 5, tzinfo=UTC)
"""Not the month under way: a test that runs while a month ends has two of these."""


def spend(*words: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["spend", *words])
    return done.exit_code, done.stdout if "--json" in words else "\n".join(map(str.rstrip, done.stderr.splitlines()))


def posted(store: RecordStore, number: int, dataset: str, amount: str, spent: str | None = None) -> None:
    mine = {"candidate": f"{dataset}-{number:016x}", "purpose": "tuning", "at": NOW}
    given = {"amount": Decimal(amount), "limit": Decimal(500)}
    assert reserve(store, dataset=dataset, **given, **mine) is None  # type: ignore[arg-type]
    if spent is not None:
        settle(store, spent=Decimal(spent), **mine)  # type: ignore[arg-type]


def test_a_month_is_shown_by_dataset_and_stage_with_what_the_limits_leave(store: RecordStore) -> None:
    posted(store, 1, "banking77", "10", "7.25")
    posted(store, 2, "banking77", "10")
    posted(store, 3, "gone", "1.5")
    code, text = spend("--month", MONTH)
    assert code == 0
    lines = text.splitlines()
    assert lines[0] == f"{MONTH} (UTC): $7.25 spent, $11.50 reserved"
    rows = [line.split() for line in lines[2:]]
    assert rows[0] == ["banking77", "tuning", "2", "$10.00", "$7.25", "$10.00"]
    assert rows[1] == ["banking77", "all", "$7.25", "$10.00", "$200.00", "$182.75"]
    assert rows[3] == ["gone", "all", "$0.00", "$1.50", "no", "longer", "in", "genops.yaml"]
    assert rows[4] == ["all", "$7.25", "$11.50", "no", "limit"]
    code, text = spend("--month", MONTH, "--json")
    document = json.loads(text)
    assert (code, document["spent_usd"], document["reserved_usd"]) == (0, "7.25", "11.50")
    assert document["datasets"]["banking77"]["stages"]["tuning"] == {
        "candidates": 2,
        "reserved_usd": "10",
        "spent_usd": "7.25",
        "estimated_usd": "10",
        "approved_usd": "0",
    }
    assert document["datasets"]["banking77"]["left_usd"] == "182.75"


def test_a_month_in_which_nothing_happened_is_empty_and_no_error(store: RecordStore) -> None:
    code, text = spend("--month", "2020-01", "--json")
    assert code == 0
    assert json.loads(text)["datasets"] == {"banking77": {"limit_usd": "200", "left_usd": "200", "stages": {}}}
    assert store.names("genops/ledger/") == []


@pytest.mark.parametrize("month", ["november", "2026-13", "2026"])
def test_what_is_no_month_is_an_error(store: RecordStore, month: str) -> None:
    code, text = spend("--month", month)
    assert code == 1
    assert f"{month!r} is no month." in text


def test_a_ledger_that_somebody_broke_is_an_error_that_names_the_place(store: RecordStore) -> None:
    posted(store, 1, "banking77", "10")
    blob = store.bucket.blob(ledger_path(MONTH))
    blob.upload_from_string(blob.download_as_text().replace(',"10","10",', ',"ten","10",'))
    code, text = spend("--month", MONTH)
    assert code == 1
    assert "makes no sense: entries.banking77-0000000000000001.purposes.tuning.reserved_usd" in text
