"""The tables in BigQuery: loaded from the bucket, and never doubled, wherever loading is interrupted."""

from __future__ import annotations

import pytest
from cloud import StandIn, StandIns
from google.cloud import bigquery
from made_up import ended
from tables_cloud import contents, pending, whole_candidate, with_dataset

from genops_events.config import Config
from genops_events.errors import GenopsError
from genops_events.gcp.clients import bigquery_client
from genops_events.gcp.errors import CloudUnavailable
from genops_events.gcp.outbox import announce
from genops_events.gcp.record_store import RecordStore
from genops_events.record.stages import Outcome, Stage
from genops_events.tables.bigquery import TablesNotLoaded, load_tables
from genops_events.tables.parts import write_parts
from genops_events.tables.query import query
from genops_events.tables.schema import TABLES


def sizes(config: Config) -> dict[str, int]:
    return {name: len(rows) for name, rows in contents(config).items()}


def tables_of(config: Config) -> set[str]:
    client = bigquery_client(config)
    try:
        return {one.table_id for one in client.list_tables(f"{config.project}.{config.tables.dataset}")}
    finally:
        client.close()


def test_tables_are_made_partitioned_and_clustered_and_hold_what_the_bucket_holds(
    wanted: Config, store: RecordStore
) -> None:
    whole_candidate(wanted, store)
    write_parts(wanted, store)
    loaded = load_tables(wanted, store)
    assert loaded.rows == {"candidates": 1, "evaluations": 3, "spend": 2, "completions": 3}
    client = bigquery_client(wanted)
    for name, table in TABLES.items():
        made = client.get_table(f"{wanted.project}.{wanted.tables.dataset}.{name}")
        assert [(one.name, one.field_type, one.mode) for one in made.schema] == [
            (one.name, one.kind, one.mode) for one in table.columns
        ]
        assert (made.time_partitioning.type_, made.time_partitioning.field) == ("DAY", table.day)
        assert made.clustering_fields == list(table.clusters)
    client.close()
    for name, rows in contents(wanted).items():
        assert rows == sorted(query(store, f"SELECT * FROM {name}", cache=None).rows, key=str)
    assert pending(wanted, store) == []
    assert tables_of(wanted) == set(TABLES)  # nothing staged is left


def test_a_repeated_load_changes_nothing_and_a_change_replaces_its_rows(wanted: Config, store: RecordStore) -> None:
    candidate = whole_candidate(wanted, store)
    write_parts(wanted, store)
    load_tables(wanted, store)
    before = contents(wanted)
    assert load_tables(wanted, store).parts == 0
    assert contents(wanted) == before
    announce(wanted, store, ended(store, Stage.INFERENCE, Outcome.COMPLETED, candidate, prompts=7))
    write_parts(wanted, store)
    load_tables(wanted, store)
    assert sizes(wanted) == {"candidates": 1, "evaluations": 3, "spend": 2, "completions": 4}
    states = {
        dict(zip(TABLES["candidates"].names, row, strict=True))["state"] for row in contents(wanted)["candidates"]
    }
    assert states == {"answered"}


# Most calls are like the one before; both steps meet each kind of call.
@pytest.mark.parametrize(("victim", "step"), [("bigquery", 3), ("storage", 7)])
def test_an_interruption_after_any_call_never_doubles_a_row(
    wanted: Config, cloud: StandIns, warehouse: StandIn, store: RecordStore, victim: str, *, step: int
) -> None:
    whole_candidate(wanted, store)
    write_parts(wanted, store)
    load_tables(wanted, store)
    expected = contents(wanted)
    stand_in = warehouse if victim == "bigquery" else cloud.storage
    for calls in range(0, 200, step):
        fresh = with_dataset(wanted, f"{wanted.tables.dataset}_{calls}")
        stand_in.faults(error_share=1, error_code="400", pass_calls=calls)
        try:
            load_tables(fresh, store)
        except GenopsError:
            died = True
        else:
            died = False
        stand_in.faults()
        load_tables(fresh, store)
        assert contents(fresh) == expected, f"interrupted after {calls} calls"
        assert pending(fresh, store) == []
        assert tables_of(fresh) == set(TABLES)
        if not died:
            break
    assert not died
    assert calls > 20


def test_lost_answers_and_slow_jobs_never_double_a_row(wanted: Config, warehouse: StandIn, store: RecordStore) -> None:
    whole_candidate(wanted, store)
    write_parts(wanted, store)
    warehouse.faults(lose_answers=1, error_methods=["jobs.insert"], job_seconds=0.3)
    load_tables(wanted, store)  # the client's own repetition is told that the job is there
    assert sizes(wanted) == {"candidates": 1, "evaluations": 3, "spend": 2, "completions": 3}
    assert pending(wanted, store) == []


def test_a_job_that_failed_is_made_anew_under_another_id(
    wanted: Config, warehouse: StandIn, store: RecordStore
) -> None:
    whole_candidate(wanted, store)
    write_parts(wanted, store)
    warehouse.faults(job_error_reason="backendError")
    for _ in range(2):
        with pytest.raises(CloudUnavailable, match="backendError"):
            load_tables(wanted, store)
    warehouse.faults()
    load_tables(wanted, store)
    assert sizes(wanted) == {"candidates": 1, "evaluations": 3, "spend": 2, "completions": 3}


def test_a_full_dataset_says_so_and_is_filled_once_it_takes_rows_again(
    wanted: Config, warehouse: StandIn, store: RecordStore
) -> None:
    whole_candidate(wanted, store)
    write_parts(wanted, store)
    warehouse.faults(full=True)
    with pytest.raises(TablesNotLoaded, match="BigQuery takes no more rows") as refused:
        load_tables(wanted, store)
    assert "Nothing is lost" in refused.value.hint
    assert "Raise the quota" in refused.value.hint
    assert sizes(wanted) == dict.fromkeys(TABLES, 0)
    assert len(query(store, "SELECT * FROM completions", cache=None).rows) == 3
    warehouse.faults()
    load_tables(wanted, store)
    assert sizes(wanted) == {"candidates": 1, "evaluations": 3, "spend": 2, "completions": 3}


def test_a_table_of_another_schema_is_left_alone_and_the_others_are_loaded(wanted: Config, store: RecordStore) -> None:
    whole_candidate(wanted, store)
    write_parts(wanted, store)
    client = bigquery_client(wanted)
    name = f"{wanted.project}.{wanted.tables.dataset}.spend"
    client.create_dataset(f"{wanted.project}.{wanted.tables.dataset}")
    schema = [bigquery.SchemaField("month", "INTEGER"), bigquery.SchemaField("theirs", "STRING", "REQUIRED")]
    client.create_table(bigquery.Table(name, schema=schema))
    client.insert_rows_json(name, [{"month": 1, "theirs": "kept"}])
    with pytest.raises(TablesNotLoaded) as refused:
        load_tables(wanted, store)
    for told in (
        name,
        "column month is INTEGER, not STRING",
        "column theirs is REQUIRED",
        "column candidate is missing",
    ):
        assert told in refused.value.message
    assert "Rename the table" in refused.value.hint
    assert sizes(wanted) == {"candidates": 1, "evaluations": 3, "spend": 1, "completions": 3}
    client.delete_table(name)
    load_tables(wanted, store)
    assert sizes(wanted)["spend"] == 2
    client.close()


def test_a_table_of_ours_gets_the_columns_that_it_lacks(wanted: Config, store: RecordStore) -> None:
    whole_candidate(wanted, store)
    write_parts(wanted, store)
    client = bigquery_client(wanted)
    client.create_dataset(f"{wanted.project}.{wanted.tables.dataset}")
    older = bigquery.Table(
        f"{wanted.project}.{wanted.tables.dataset}.spend",
        schema=[bigquery.SchemaField(one.name, one.kind, one.mode) for one in TABLES["spend"].columns[:-1]],
    )
    older.labels = {"genops-table": "spend"}
    client.create_table(older)
    load_tables(wanted, store)
    assert [one.name for one in client.get_table(older).schema] == list(TABLES["spend"].names)
    assert sizes(wanted)["spend"] == 2
    client.close()


def test_a_removed_table_and_bigquery_switched_on_later_get_all_that_there_is(
    wanted: Config, store: RecordStore
) -> None:
    off = with_dataset(wanted, "off")
    whole_candidate(off, store)
    write_parts(off, store)
    assert load_tables(off, store).parts == 0
    load_tables(wanted, store)
    assert sizes(wanted)["candidates"] == 1
    client = bigquery_client(wanted)
    client.delete_table(f"{wanted.project}.{wanted.tables.dataset}.candidates")
    client.close()
    whole_candidate(wanted, store)
    write_parts(wanted, store)
    load_tables(wanted, store)
    assert sizes(wanted)["candidates"] == 2
    load_tables(off, store)
    whole_candidate(off, store)
    write_parts(off, store)
    load_tables(wanted, store)
    assert sizes(wanted) == {"candidates": 3, "evaluations": 9, "spend": 6, "completions": 9}


def test_bigquery_is_not_asked_where_nothing_is_pending(wanted: Config, warehouse: StandIn, store: RecordStore) -> None:
    whole_candidate(wanted, store)
    write_parts(wanted, store)
    load_tables(wanted, store)
    warehouse.faults(error_share=1, error_code="400")
    write_parts(wanted, store)
    assert load_tables(wanted, store).parts == 0


def test_parts_that_somebody_removed_do_not_keep_the_others_out(wanted: Config, store: RecordStore) -> None:
    whole_candidate(wanted, store)
    gone = whole_candidate(wanted, store)
    write_parts(wanted, store)
    for name in store.names("genops/tables/parts/candidates/"):
        if gone in name:
            store.bucket.blob(name).delete()
    load_tables(wanted, store)
    load_tables(wanted, store)
    assert sizes(wanted)["candidates"] == 1
    assert pending(wanted, store) == []
