"""Datasets, tables, views, streamed rows and pages, as google-cloud-bigquery sees them."""

from __future__ import annotations

import uuid
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal

import pytest
from bigquery_stand_in import BigQueryProcess, made, rows, told
from google.api_core import exceptions
from google.cloud import bigquery
from google.cloud.bigquery import SchemaField, TimePartitioning
from storage_stand_in import PROJECT, until
from waiting import HANG_SECONDS


def test_a_dataset_is_created_once_listed_changed_and_deleted(bq: bigquery.Client) -> None:
    name = f"test_{uuid.uuid4().hex[:12]}"
    wanted = bigquery.Dataset(f"{PROJECT}.{name}")
    wanted.location = "us-central1"
    wanted.labels = {"kept": "yes"}
    bq.create_dataset(wanted)
    with pytest.raises(exceptions.Conflict, match="Already Exists"):
        bq.create_dataset(wanted)
    bq.create_dataset(wanted, exists_ok=True)
    found = bq.get_dataset(name)
    assert (found.location, found.labels) == ("us-central1", {"kept": "yes"})
    assert name in [one.dataset_id for one in bq.list_datasets()]
    found.description = "changed"
    assert bq.update_dataset(found, ["description"]).description == "changed"
    with pytest.raises(exceptions.PreconditionFailed):
        bq.update_dataset(found, ["description"])  # its etag is that of before
    made(bq, f"{name}.t", ["x:INTEGER"])
    with pytest.raises(exceptions.BadRequest, match="still in use"):
        bq.delete_dataset(name)
    bq.delete_dataset(name, delete_contents=True)
    with pytest.raises(exceptions.NotFound):
        bq.get_dataset(name)


def test_a_table_keeps_schema_partitions_clusters_labels_and_description(bq: bigquery.Client, dataset: str) -> None:
    made(
        bq,
        f"{dataset}.t",
        ["at:TIMESTAMP:REQUIRED", "who:STRING", "tags:STRING:REPEATED"],
        time_partitioning=TimePartitioning(type_="DAY", field="at"),
        clustering_fields=["who"],
        labels={"a": "b"},
        description="Kept.",
    )
    found = bq.get_table(f"{dataset}.t")
    assert [(one.name, one.field_type, one.mode) for one in found.schema] == [
        ("at", "TIMESTAMP", "REQUIRED"),
        ("who", "STRING", "NULLABLE"),
        ("tags", "STRING", "REPEATED"),
    ]
    assert (found.time_partitioning.type_, found.time_partitioning.field) == ("DAY", "at")
    assert (found.clustering_fields, found.labels, found.description) == (["who"], {"a": "b"}, "Kept.")
    assert (found.num_rows, found.table_type) == (0, "TABLE")
    assert [one.table_id for one in bq.list_tables(dataset)] == ["t"]
    with pytest.raises(exceptions.Conflict):
        made(bq, f"{dataset}.t", ["x:STRING"])


def test_a_layout_that_bigquery_would_refuse_is_refused(bq: bigquery.Client, dataset: str) -> None:
    with pytest.raises(exceptions.BadRequest, match="partitioning"):
        made(bq, f"{dataset}.a", ["x:STRING"], time_partitioning=TimePartitioning(type_="DAY", field="x"))
    with pytest.raises(exceptions.BadRequest, match="clustering"):
        made(bq, f"{dataset}.b", ["x:STRING"], clustering_fields=["y"])
    with pytest.raises(exceptions.NotFound, match="Dataset"):
        made(bq, "nowhere.c", ["x:STRING"])
    with pytest.raises(exceptions.MethodNotImplemented, match="GEOGRAPHY"):
        made(bq, f"{dataset}.d", ["x:GEOGRAPHY"])


def test_columns_are_added_and_relaxed_and_nothing_else(bq: bigquery.Client, dataset: str) -> None:
    table = made(bq, f"{dataset}.t", ["x:INTEGER:REQUIRED"])
    table.schema = [SchemaField("x", "INTEGER"), SchemaField("y", "STRING")]
    table = bq.update_table(table, ["schema"])
    assert bq.insert_rows_json(table, [{"y": "only"}]) == []
    for schema, why in (
        ([SchemaField("x", "STRING"), SchemaField("y", "STRING")], "changed type"),
        ([SchemaField("x", "INTEGER")], "missing"),
        ([*table.schema, SchemaField("z", "STRING", "REQUIRED")], "required"),
    ):
        table = bq.get_table(table)
        table.schema = schema
        with pytest.raises(exceptions.BadRequest, match=why):
            bq.update_table(table, ["schema"])
    assert rows(bq, f"SELECT x, y FROM {dataset}.t") == [(None, "only")]


def test_every_type_comes_back_as_it_was_streamed(bq: bigquery.Client, dataset: str) -> None:
    kinds = [
        "STRING",
        "BYTES",
        "INTEGER",
        "FLOAT",
        "BOOLEAN",
        "NUMERIC",
        "TIMESTAMP",
        "DATETIME",
        "DATE",
        "TIME",
        "JSON",
    ]
    schema = [SchemaField(kind.lower() + "_", kind) for kind in kinds]
    schema.append(
        SchemaField("part", "RECORD", fields=[SchemaField("n", "INTEGER"), SchemaField("l", "STRING", "REPEATED")])
    )
    schema.append(SchemaField("parts", "RECORD", "REPEATED", fields=[SchemaField("at", "TIMESTAMP")]))
    table = bq.create_table(bigquery.Table(f"{PROJECT}.{dataset}.t", schema=schema))
    at = datetime(2026, 11, 23, 12, 30, 0, 123456, tzinfo=UTC)
    row = {
        "string_": "ä\n'\"",
        "bytes_": b"\x00\xff",
        "integer_": 2**63 - 1,
        "float_": 1.5e300,
        "boolean_": False,
        "numeric_": Decimal("12345678901234567890.123456789"),
        "timestamp_": at,
        "datetime_": datetime.fromisoformat("2026-11-23T12:30:00.000005"),
        "date_": date(2026, 11, 23),
        "time_": time(12, 30, 0, 7),
        "json_": {"a": [1, None]},
        "part": {"n": 1, "l": ["x", "y"]},
        "parts": [{"at": at}, {"at": None}],
    }
    assert bq.insert_rows(table, [row, {}]) == []
    whole, empty = [dict(one.items()) for one in bq.list_rows(table)]
    assert whole == row
    assert empty == dict.fromkeys(row, None) | {"parts": []}
    assert rows(bq, f"SELECT * FROM {dataset}.t WHERE integer_ IS NOT NULL") == [tuple(row.values())]


@pytest.mark.parametrize(
    ("bad", "location", "why"),
    [
        ({"n": 1, "unknown": 1}, "unknown", "no such field"),
        ({"who": "x"}, "n", "Missing required field"),
        ({"n": None}, "n", "Missing required field"),
        ({"n": "many"}, "n", "Cannot convert value to integer"),
        ({"n": 1.5}, "n", "Cannot convert value to integer"),
        ({"n": True}, "n", "Cannot convert value to integer"),
        ({"n": 1, "who": {"a": 1}}, "who", "Cannot convert value to string"),
        ({"n": 1, "at": "yesterday"}, "at", "Cannot convert value to timestamp"),
        ({"n": 1, "tags": "x"}, "tags", "Array specified"),
        ({"n": 1, "cost": "1.0000000001"}, "cost", "digits after the point"),
    ],
)
def test_a_bad_row_is_named_and_keeps_the_others_out(
    bq: bigquery.Client, dataset: str, bad: dict[str, object], location: str, why: str
) -> None:
    columns = ["n:INTEGER:REQUIRED", "who:STRING", "at:TIMESTAMP", "tags:STRING:REPEATED", "cost:NUMERIC"]
    table = made(bq, f"{dataset}.t", columns)
    errors = bq.insert_rows_json(table, [{"n": 1}, bad])
    assert [(one["index"], one["errors"][0]["reason"]) for one in errors] == [(0, "stopped"), (1, "invalid")]
    assert errors[1]["errors"][0]["location"] == location
    assert why in errors[1]["errors"][0]["message"]
    assert list(bq.list_rows(table)) == []


def test_valid_rows_get_in_and_unknown_values_are_left_out_if_asked_for(bq: bigquery.Client, dataset: str) -> None:
    table = made(bq, f"{dataset}.t", ["n:INTEGER:REQUIRED"])
    errors = bq.insert_rows_json(table, [{"n": 1}, {"n": "x"}], skip_invalid_rows=True)
    assert [one["index"] for one in errors] == [1]
    assert bq.insert_rows_json(table, [{"n": 2, "more": 1}], ignore_unknown_values=True) == []
    assert [one["n"] for one in bq.list_rows(table)] == [1, 2]


def test_a_repeated_insert_id_adds_no_row(bq: bigquery.Client, dataset: str) -> None:
    table = made(bq, f"{dataset}.t", ["n:INTEGER"])
    for _ in range(3):
        assert bq.insert_rows_json(table, [{"n": 1}, {"n": 2}], row_ids=["a", "b"]) == []
    assert bq.insert_rows_json(table, [{"n": 3}], row_ids=["c"]) == []
    assert bq.insert_rows_json(table, [{"n": 4}, {"n": 4}], row_ids=[None, None]) == []
    assert [one["n"] for one in bq.list_rows(table)] == [1, 2, 3, 4, 4]


@pytest.mark.parametrize("page_size", [None, 7])
def test_rows_come_in_pages_and_in_order(bq: bigquery.Client, dataset: str, page_size: int | None) -> None:
    table = made(bq, f"{dataset}.t", ["n:INTEGER", "who:STRING"])
    assert bq.insert_rows_json(table, [{"n": n, "who": "x"} for n in range(50)]) == []
    listed = bq.list_rows(table, page_size=page_size)
    pages = [[one["n"] for one in page] for page in listed.pages]
    assert [n for page in pages for n in page] == list(range(50))
    assert len(pages) == (1 if page_size is None else 8)
    found = bq.query(f"SELECT n FROM {dataset}.t ORDER BY n DESC").result(page_size=page_size, timeout=HANG_SECONDS)
    assert [one["n"] for one in found] == list(range(49, -1, -1))
    assert found.total_rows == 50
    assert [one["n"] for one in bq.list_rows(table, start_index=48, max_results=1)] == [48]
    only = bq.list_rows(table, selected_fields=[SchemaField("who", "STRING")], max_results=1)
    assert [tuple(one.items()) for one in only] == [(("who", "x"),)]


def test_a_view_shows_its_tables_and_takes_no_rows(bq: bigquery.Client, dataset: str) -> None:
    table = made(bq, f"{dataset}.t", ["n:INTEGER"])
    view = bigquery.Table(f"{PROJECT}.{dataset}.v")
    view.view_query = f"SELECT n, n * 2 AS twice FROM `{PROJECT}.{dataset}.t`"
    created = bq.create_table(view)
    assert [(one.name, one.field_type) for one in created.schema] == [("n", "INTEGER"), ("twice", "INTEGER")]
    assert bq.insert_rows_json(table, [{"n": 4}]) == []
    assert rows(bq, f"SELECT twice FROM {dataset}.v") == [(8,)]
    assert bq.get_table(f"{dataset}.v").table_type == "VIEW"
    assert bq.get_table(f"{dataset}.v").view_query == view.view_query
    with pytest.raises(exceptions.BadRequest, match="view"):
        bq.insert_rows_json(bq.get_table(f"{dataset}.v"), [{"n": 1, "twice": 2}])
    broken = bigquery.Table(f"{PROJECT}.{dataset}.w")
    broken.view_query = f"SELECT missing FROM {dataset}.t"
    with pytest.raises(exceptions.BadRequest, match="missing"):
        bq.create_table(broken)
    bq.delete_table(f"{dataset}.v")
    assert [one.table_id for one in bq.list_tables(dataset)] == ["t"]


def test_an_expired_table_is_gone(bq: bigquery.Client, dataset: str) -> None:
    made(bq, f"{dataset}.t", ["n:INTEGER"], expires=datetime.now(UTC) + timedelta(seconds=0.5))
    assert [one.table_id for one in bq.list_tables(dataset)] == ["t"]
    until(lambda: not list(bq.list_tables(dataset)))
    with pytest.raises(exceptions.NotFound):
        bq.get_table(f"{dataset}.t")
    made(bq, f"{dataset}.t", ["m:STRING"])
    assert [one.name for one in bq.get_table(f"{dataset}.t").schema] == ["m"]


def test_what_is_not_there_is_said_by_name_and_never_as_an_internal_error(
    bq: bigquery.Client, bigquery_process: BigQueryProcess
) -> None:
    for path in ("/projects/p/models", "/projects/p/datasets/d/routines"):
        answer = bq._http.get(f"{bigquery_process.url}/bigquery/v2{path}")
        assert answer.status_code == 501
        assert path in answer.json()["error"]["message"]
    for body in (b"nonsense", b"[]", b'{"datasetReference": 7}', b'{"configuration": {"query": 5}}'):
        for path in ("datasets", "jobs", "queries", "datasets/d/tables"):
            answer = bq._http.post(f"{bigquery_process.url}/bigquery/v2/projects/p/{path}", data=body)
            assert 400 <= answer.status_code < 500 or answer.status_code == 501, (path, body, answer.text)


def test_a_full_stand_in_takes_no_row_and_an_injected_error_hits_its_method(
    bq: bigquery.Client, dataset: str, faulty: BigQueryProcess
) -> None:
    table = made(bq, f"{dataset}.t", ["n:INTEGER"])
    assert faulty.admin("PUT", "/faults", {"full": True}) == {"full": True}
    with pytest.raises(exceptions.Forbidden) as refused:
        bq.insert_rows_json(table, [{"n": 1}])
    assert told(refused.value)["reason"] == "quotaExceeded"
    faulty.admin("PUT", "/faults", {"error_share": 1, "error_code": "403", "error_methods": ["tables.get"]})
    with pytest.raises(exceptions.Forbidden, match=r"tables\.get"):
        bq.get_table(table)
    assert list(bq.list_rows(table)) == []
    assert "job_seconds" in faulty.admin("PUT", "/faults", {"nonsense": 1})["allowed"]
