"""The parts of the tables in the bucket: written from what has changed, and the same again after any interruption."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from cloud import StandIns, at_once
from made_up import arrived, ended, now
from tables_cloud import whole_candidate, with_dataset

from genops_events.config import Config
from genops_events.errors import GenopsError
from genops_events.gcp.outbox import announce
from genops_events.gcp.record_store import RecordStore
from genops_events.gcp.table_marks import note_due
from genops_events.intake.open_candidates import mint
from genops_events.money.ledger import month_of
from genops_events.record.evaluation import rows_path
from genops_events.record.paths import arrival_path, ledger_path, verdict_path
from genops_events.record.stages import Outcome, Stage
from genops_events.record.tables import DUE, TABLES_ROOT, TablesState, parts_prefix, state_path
from genops_events.tables.parts import write_parts
from genops_events.tables.query import SqlProblem, query
from genops_events.tables.schema import TABLES, fingerprint


@pytest.fixture
def off(config: Config) -> Config:
    """The configuration without BigQuery."""
    return with_dataset(config, "off")


def found(store: RecordStore, sql: str) -> list[tuple[Any, ...]]:
    return query(store, sql, cache=None).rows


def everything(store: RecordStore) -> dict[str, list[tuple[Any, ...]]]:
    return {name: sorted(found(store, f"SELECT * FROM {name}"), key=str) for name in TABLES}


def test_a_candidate_is_in_all_tables_as_its_record_says(off: Config, store: RecordStore) -> None:
    candidate = whole_candidate(off, store)
    written = write_parts(off, store)
    assert (written.candidates, written.ledgers, written.problems, written.more) == (1, 1, [], False)
    row = found(
        store,
        "SELECT candidate, state, tuning, evaluation, budget, promotion, model, metric, score, cost_usd, tuning_usd, "
        "promoted_at = updated_at FROM genops.candidates",
    )
    assert row == [
        (
            *(candidate, "under_way", "succeeded", "passed", None, "promoted", "models/1", "exact_match", 0.5),
            *(Decimal("1.250001"), Decimal("1.25"), True),
        )
    ]
    assert found(store, "SELECT position, row_id, metric, score, failure FROM evaluations ORDER BY position") == [
        (1, "line-1", "exact_match", 1.0, None),
        (2, "line-2", "exact_match", 1.0, None),
        (3, "odd", "exact_match", None, "exact_match gave no score"),
    ]
    assert (
        found(store, "SELECT type, data->>'$.outcome' FROM completions ORDER BY happened_at, type")
        == [
            ("genops.evaluation.passed.v1", "passed"),
            ("genops.promotion.promoted.v1", "promoted"),
            ("genops.tuning.succeeded.v1", "succeeded"),
        ]
        or len(found(store, "SELECT * FROM completions")) == 3
    )
    assert found(store, "SELECT purpose, estimated_usd, reserved_usd, spent_usd, settled FROM spend ORDER BY 1") == [
        ("inference", Decimal("0.25"), Decimal("0.25"), Decimal(0), False),
        ("tuning", Decimal("1.5"), Decimal(0), Decimal("1.25"), True),
    ]


def test_json_lines_lie_beside_the_parquet_with_the_same_rows(off: Config, store: RecordStore) -> None:
    candidate = whole_candidate(off, store)
    write_parts(off, store)
    names = store.names(parts_prefix("candidates"))
    day = now().strftime("%Y-%m-%d")
    assert names == [f"genops/tables/parts/candidates/{day}/{candidate}.{kind}" for kind in ("jsonl", "parquet")]
    line = json.loads(store.bucket.blob(names[0]).download_as_text())
    assert list(line) == list(TABLES["candidates"].names)
    assert (line["candidate"], line["cost_usd"]) == (candidate, "1.250001")


def test_a_second_run_writes_nothing_and_a_verdict_makes_its_candidate_due(off: Config, store: RecordStore) -> None:
    candidate = whole_candidate(off, store)
    assert write_parts(off, store).candidates == 1
    before = store.generations(TABLES_ROOT)
    again = write_parts(off, store)
    assert (again.candidates, again.ledgers, again.rows) == (0, 0, 0)
    assert store.generations(TABLES_ROOT) == before
    announce(off, store, ended(store, Stage.INFERENCE, Outcome.COMPLETED, candidate, prompts=7))
    assert write_parts(off, store).candidates == 1
    assert found(store, "SELECT state, inference, prompts FROM candidates") == [("answered", "completed", 7)]


def test_a_version_with_other_columns_writes_everything_anew(off: Config, store: RecordStore) -> None:
    whole_candidate(off, store)
    write_parts(off, store)
    state = store.read(state_path(), TablesState)
    assert state is not None
    store.put(state_path(), state.model_copy(update={"columns": "of an earlier version"}))
    again = write_parts(off, store)
    assert (again.candidates, again.ledgers) == (1, 1)
    assert write_parts(off, store).candidates == 0


def test_a_candidate_is_there_before_its_first_verdict(off: Config, store: RecordStore) -> None:
    write_parts(off, store)
    arrival = arrived(off, store)
    store.bucket.blob(arrival_path(arrival.candidate)).delete()
    assert mint(store, [arrival]) == {arrival.candidate}
    assert write_parts(off, store).candidates == 1
    assert found(store, "SELECT candidate, state, tuning FROM candidates") == [(arrival.candidate, "under_way", None)]


def test_candidates_from_before_there_were_tables_are_written_too(off: Config, store: RecordStore) -> None:
    candidates = {arrived(off, store).candidate for _ in range(3)}
    assert store.names(DUE) == []
    assert write_parts(off, store).candidates == 3
    assert {one for (one,) in found(store, "SELECT candidate FROM candidates")} == candidates


@pytest.mark.parametrize("first", [True, False])
def test_an_interruption_after_any_call_is_made_up_for(
    off: Config, cloud: StandIns, store: RecordStore, *, first: bool
) -> None:
    candidate = whole_candidate(off, store)
    write_parts(off, store)
    expected = everything(store)
    assert [len(rows) for rows in expected.values()] == [1, 3, 2, 3]
    for calls in range(int(first), 200, 2):  # each kind of call, by one of the two ways
        for name in store.names(TABLES_ROOT):
            store.bucket.blob(name).delete()
        if not first:
            # Nothing but the mark tells of the candidate: it is no new one.
            store.put(state_path(), TablesState(columns=fingerprint(), open=(candidate,)))
            note_due(store, candidate)
        cloud.storage.faults(error_share=1, error_code="400", pass_calls=calls)
        try:
            problems = write_parts(off, store).problems
        except GenopsError:
            problems = ["it died"]
        cloud.storage.faults()
        assert write_parts(off, store).problems == []
        assert everything(store) == expected, f"interrupted after {calls} calls"
        assert store.names(DUE) == []
        if not problems:
            break
    assert not problems
    assert calls > 15


def test_marks_within_a_second_lie_beside_each_other_and_are_one_candidate(
    off: Config, cloud: StandIns, store: RecordStore
) -> None:
    candidate = whole_candidate(off, store)
    write_parts(off, store)
    cloud.storage.faults(object_write_seconds=3600)
    for _ in range(3):
        note_due(store, candidate)
    cloud.storage.faults()
    assert len(store.names(DUE)) == 3
    assert write_parts(off, store).candidates == 1
    assert store.names(DUE) == []


def test_several_runs_at_once_leave_what_one_would(off: Config, store: RecordStore) -> None:
    for _ in range(3):
        whole_candidate(off, store)
    at_once(*[lambda: write_parts(off, store)] * 4)
    write_parts(off, store)
    assert {name: len(rows) for name, rows in everything(store).items()} == {
        "candidates": 3,
        "evaluations": 9,
        "spend": 6,
        "completions": 9,
    }
    assert write_parts(off, store).candidates == 0


def test_a_damaged_document_keeps_only_its_own_candidate_out(off: Config, store: RecordStore) -> None:
    good, bad = whole_candidate(off, store), whole_candidate(off, store)
    path = verdict_path(bad, Stage.EVALUATION)
    whole = store.bucket.blob(path).download_as_bytes()
    store.bucket.blob(path).upload_from_string("{}")
    store.bucket.blob(ledger_path(month_of(now()))).upload_from_string("[]")
    written = write_parts(off, store)
    assert len(written.problems) == 2
    assert any(bad in one for one in written.problems)
    assert found(store, "SELECT candidate FROM candidates") == [(good,)]
    store.bucket.blob(path).upload_from_string(whole)
    assert write_parts(off, store).candidates == 1
    assert len(found(store, "SELECT candidate FROM candidates")) == 2


SPOILED: dict[str, tuple[str, Callable[[dict[str, Any]], Any]]] = {
    "a size of 30 digits": ("arrival.json", lambda one: one | {"size_bytes": 10**30}),
    "a generation of 30 digits": ("arrival.json", lambda one: one | {"generation": "1" * 30}),
    "a time without a zone": ("tuning.json", lambda one: one | {"ended_at": "2026-11-23T00:00:00"}),
    "an amount of a million digits": ("tuning.json", lambda one: one | {"cost_usd": "1e999999"}),
    "a list": ("evaluation.json", lambda _: [1]),
    "deep nesting": ("evaluation.json", lambda _: None),
}


@pytest.mark.parametrize("case", SPOILED)
def test_one_candidates_bad_value_costs_that_candidates_row_alone(off: Config, store: RecordStore, case: str) -> None:
    good, bad = whole_candidate(off, store), whole_candidate(off, store)
    name, change = SPOILED[case]
    blob = store.bucket.blob(f"genops/candidates/{bad}/{name}")
    changed = change(json.loads(blob.download_as_bytes()))
    blob.upload_from_string("[" * 100_000 if changed is None else json.dumps(changed))
    written = write_parts(off, store)
    assert written.candidates == 1
    (problem,) = written.problems
    assert bad in problem
    assert found(store, "SELECT DISTINCT candidate FROM candidates") == [(good,)]
    assert found(store, "SELECT DISTINCT run FROM evaluations") == [(good,)]


def test_a_row_that_a_table_cannot_hold_is_left_out_and_the_candidates_other_rows_are_written(
    off: Config, store: RecordStore
) -> None:
    candidate = whole_candidate(off, store)
    path = verdict_path(candidate, Stage.TUNING)
    verdict = json.loads(store.bucket.blob(path).download_as_bytes())
    store.bucket.blob(path).upload_from_string(json.dumps(verdict | {"examples": 2**64}))
    written = write_parts(off, store)
    assert (written.left_out, len(written.problems)) == (1, 1)
    assert f"The row {candidate} of the table candidates is left out: `examples`" in written.problems[0]
    assert found(store, "SELECT * FROM candidates") == []
    assert len(found(store, "SELECT * FROM evaluations")) == 3
    store.bucket.blob(path).upload_from_string(json.dumps(verdict))
    assert write_parts(off, store).problems == []
    assert len(found(store, "SELECT * FROM candidates")) == 1


@pytest.mark.parametrize("line", ["[", '{"id": 5}', "5", '{"\\ud800": 1}'])
def test_rows_of_an_evaluation_that_are_none_keep_only_their_candidate_out(
    off: Config, store: RecordStore, line: str
) -> None:
    good, bad = whole_candidate(off, store), whole_candidate(off, store)
    store.bucket.blob(rows_path(bad)).upload_from_string(f"{line}\n")
    written = write_parts(off, store)
    assert len(written.problems) == 1
    assert bad in written.problems[0]
    assert found(store, "SELECT candidate FROM candidates") == [(good,)]


def test_what_is_no_ledger_keeps_only_itself_out(off: Config, store: RecordStore) -> None:
    candidate = whole_candidate(off, store)
    kept = store.bucket.blob(ledger_path(month_of(now()))).download_as_bytes()
    store.bucket.blob("genops/ledger/evil.json").upload_from_string(kept)
    written = write_parts(off, store)
    assert len(written.problems) == 1
    assert "evil" in written.problems[0]
    assert found(store, "SELECT candidate FROM candidates") == [(candidate,)]
    assert len(found(store, "SELECT * FROM spend")) == 2


def test_only_the_files_of_the_tables_that_are_named_are_read_and_kept_for_the_next_query(
    off: Config, cloud: StandIns, store: RecordStore, tmp_path: Any
) -> None:
    whole_candidate(off, store)
    write_parts(off, store)
    answer = query(store, "SELECT count(*) FROM spend", cache=tmp_path / "cache")
    assert (answer.rows, answer.files) == ([(2,)], 1)
    assert [one.name for one in (tmp_path / "cache" / store.bucket.name).iterdir()] == ["spend"]
    cloud.storage.faults(error_share=1, error_code="400", error_methods=["objects.get"])
    assert query(store, "SELECT count(*) FROM spend", cache=tmp_path / "cache").rows == [(2,)]
    cloud.storage.faults()
    whole_candidate(off, store)
    write_parts(off, store)
    assert query(store, "SELECT count(*) FROM spend", cache=tmp_path / "cache").rows == [(4,)]
    assert len(list((tmp_path / "cache" / store.bucket.name / "spend").iterdir())) == 1


@pytest.mark.parametrize(
    "sql", ["SELECT nothing FROM candidates", "SELECT * FROM genops.candidate", "SELEC 1", "SELECT 1 + 'x'"]
)
def test_an_error_names_the_tables_and_columns_that_there_are(off: Config, store: RecordStore, sql: str) -> None:
    with pytest.raises(SqlProblem) as refused:
        query(store, sql, cache=None)
    for name, table in TABLES.items():
        assert f"genops.{name}: {', '.join(table.names)}" in refused.value.hint


def test_a_query_on_an_empty_bucket_finds_the_columns_and_no_rows(off: Config, store: RecordStore) -> None:
    answer = query(store, "SELECT * FROM genops.candidates", cache=None)
    assert (answer.columns, answer.rows, answer.files) == (TABLES["candidates"].names, [], 0)
