"""Rows of the tables: made from documents alone, the same in every format, and readable whatever the record holds."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest

from genops_events.evaluation.rows import Row
from genops_events.money.ledger import LedgerEntry, Posting
from genops_events.record.tables import candidate_part, ledger_part, pending_path
from genops_events.tables.rows import json_lines, scored_rows, spend_rows
from genops_events.tables.schema import COMPLETIONS, SPEND, TABLES, differences, merge_sql

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


def test_every_key_day_and_cluster_is_a_column_and_keys_are_required() -> None:
    for table in TABLES.values():
        columns = {one.name: one for one in table.columns}
        assert len(columns) == len(table.columns)
        assert all(columns[name].mode == "REQUIRED" for name in table.key)
        assert columns[table.day].kind == "TIMESTAMP"
        assert columns[table.day].mode == "REQUIRED"
        assert set(table.clusters) <= set(columns)
        assert len(table.clusters) <= 4


def test_amounts_keep_every_digit_instants_are_utc_and_what_is_no_number_is_null() -> None:
    local = NOON.astimezone(timezone(timedelta(hours=5)))
    row = {"month": "2026-11", "posted_at": local, "spent_usd": Decimal("1E+3"), "reserved_usd": float("nan")}
    [line] = json_lines(SPEND, [row]).splitlines()
    found = json.loads(line)
    assert list(found) == list(SPEND.names)
    assert (found["posted_at"], found["spent_usd"], found["reserved_usd"]) == (
        "2026-11-23T12:00:00+00:00",
        "1000",
        None,
    )


def test_a_column_that_the_table_has_not_is_a_mistake_in_the_code() -> None:
    with pytest.raises(KeyError, match="completions has no column oops"):
        json_lines(COMPLETIONS, [{"oops": 1}])


def test_each_prompt_has_a_row_for_each_metric_that_it_was_asked_about() -> None:
    rows = [
        Row(id="a", prompt="p", scores={"bleu": 0.5}, failures={"fluency": "no score"}),
        Row(id="b", prompt="p", left_out="is in the training file"),
        Row(id="c", prompt="p", scores={"bleu": 0.0}),
    ]
    found = [
        (one["position"], one["metric"], one["score"], one["failure"], one["left_out"]) for one in scored_rows(rows, {})
    ]
    why = "is in the training file"
    assert found == [
        (1, "bleu", 0.5, None, None),
        (1, "fluency", None, "no score", None),
        (2, "bleu", None, None, why),
        (2, "fluency", None, None, why),
        (3, "bleu", 0.0, None, None),
    ]


def test_what_was_spent_without_a_reservation_lies_at_the_begin_of_its_month() -> None:
    postings = {"tuning": Posting(spent_usd=Decimal(1), settled=True), "inference": Posting(reserved_at=NOON)}
    rows = spend_rows("2026-11", {"c": LedgerEntry(dataset="d", purposes=postings)})
    found = [(one["purpose"], one["posted_at"]) for one in rows]
    assert found == [("tuning", datetime(2026, 11, 1, tzinfo=UTC)), ("inference", NOON)]


def test_differences_tell_what_is_missing_from_what_is_wrong() -> None:
    whole = {one.name: (str(one.kind), str(one.mode)) for one in SPEND.columns}
    assert differences(SPEND, whole) == ([], [])
    assert differences(SPEND, {**whole, "theirs": ("STRING", "NULLABLE")}) == ([], [])
    changed = {**whole, "month": ("INTEGER", "REQUIRED"), "theirs": ("STRING", "REQUIRED")}
    del changed["settled"]
    missing, wrong = differences(SPEND, changed)
    assert [one.name for one in missing] == ["settled"]
    assert wrong == ["column month is INTEGER, not STRING", "column theirs is REQUIRED, and nothing of ours"]


def test_a_merge_takes_one_row_for_each_key_and_never_changes_the_key() -> None:
    sql = merge_sql(SPEND, target="p.d.spend", staging="p.d.s")
    assert "ON T.month = S.month AND T.candidate = S.candidate AND T.purpose = S.purpose" in sql
    assert "PARTITION BY month, candidate, purpose) = 1" in sql
    assert "SET dataset = S.dataset" in sql


def test_a_part_has_one_place_whatever_zone_its_arrival_is_told_in() -> None:
    late = datetime(2026, 11, 23, 23, 30, tzinfo=timezone(timedelta(hours=-5)))
    part = candidate_part("candidates", "c-1", late)
    assert part == "genops/tables/parts/candidates/2026-11-24/c-1"
    assert pending_path("genops", "candidates", part) == "genops/tables/bigquery/genops/candidates/c-1.json"
    assert ledger_part("2026-11") == "genops/tables/parts/spend/2026-11-01/2026-11"
