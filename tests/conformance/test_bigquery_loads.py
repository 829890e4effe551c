"""Load jobs from uploads and from Cloud Storage: NDJSON, CSV and Parquet, and everything that is wrong with a file."""

from __future__ import annotations

import io
import json
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest
from bigquery_stand_in import BigQueryProcess, made, rows
from google.api_core import exceptions
from google.cloud import bigquery
from google.cloud.bigquery import LoadJobConfig, SchemaField, TimePartitioning
from google.cloud.bigquery.format_options import ParquetOptions
from google.cloud.storage import Bucket
from storage_stand_in import PROJECT, StorageProcess
from waiting import HANG_SECONDS

NDJSON = bigquery.SourceFormat.NEWLINE_DELIMITED_JSON
COLUMNS = ["k:STRING:REQUIRED", "n:INTEGER", "cost:NUMERIC", "made_at:TIMESTAMP"]
SCHEMA = [SchemaField(*one.split(":")) for one in COLUMNS]
AT = datetime(2026, 11, 23, 12, 30, 0, 123456, tzinfo=UTC)


@pytest.fixture
def bucket(beside: StorageProcess) -> Iterator[Bucket]:
    client = beside.client()
    yield client.create_bucket(f"test-{uuid.uuid4().hex[:12]}")
    client.close()


def lines(*given: dict[str, Any]) -> bytes:
    return "".join(json.dumps(one) + "\n" for one in given).encode()


def parquet(folder: Path, select: str) -> bytes:
    file = folder / f"{uuid.uuid4().hex}.parquet"
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute(f"COPY ({select}) TO '{file}' (FORMAT parquet)")
    return file.read_bytes()


def load(client: bigquery.Client, source: Any, table: str, **config: Any) -> bigquery.LoadJob:
    """Load bytes, or what `gs://` addresses name, and wait for the end."""
    given = LoadJobConfig(**config)
    if isinstance(source, bytes):
        job = client.load_table_from_file(io.BytesIO(source), f"{PROJECT}.{table}", job_config=given)
    else:
        job = client.load_table_from_uri(source, f"{PROJECT}.{table}", job_config=given)
    return job.result(timeout=HANG_SECONDS, retry=None)


def test_an_upload_of_json_lines_creates_the_table_as_the_job_says(bq: bigquery.Client, dataset: str) -> None:
    layout = TimePartitioning(type_="DAY", field="made_at")
    row = {"k": "a", "n": "5", "cost": "1.25", "made_at": AT.isoformat()}
    job = load(
        bq,
        lines(row, {"k": "b"}),
        f"{dataset}.t",
        source_format=NDJSON,
        schema=SCHEMA,
        time_partitioning=layout,
        clustering_fields=["k"],
    )
    assert (job.output_rows, job.input_files) == (2, 1)
    table = bq.get_table(f"{dataset}.t")
    assert (table.time_partitioning.field, table.clustering_fields, table.schema) == ("made_at", ["k"], SCHEMA)
    expected = [("a", 5, Decimal("1.25"), AT), ("b", None, None, None)]
    assert rows(bq, f"SELECT * FROM {dataset}.t ORDER BY k") == expected


def test_a_large_upload_comes_in_chunks(bq: bigquery.Client, dataset: str) -> None:
    content = lines(*({"k": f"{number:07}" + "x" * 300} for number in range(4000)))
    whole = io.BytesIO(content)
    job = bq.load_table_from_file(
        whole, f"{PROJECT}.{dataset}.t", job_config=LoadJobConfig(source_format=NDJSON, schema=SCHEMA), size=None
    )
    assert job.result(timeout=HANG_SECONDS).output_rows == 4000
    assert rows(bq, f"SELECT COUNT(DISTINCT k) FROM {dataset}.t") == [(4000,)]


def test_json_from_memory_finds_its_schema(bq: bigquery.Client, dataset: str) -> None:
    job = bq.load_table_from_json([{"k": "a", "n": 1}, {"k": "b", "n": 2}], f"{PROJECT}.{dataset}.t")
    assert job.result(timeout=HANG_SECONDS).output_rows == 2
    assert rows(bq, f"SELECT k, n FROM {dataset}.t ORDER BY n") == [("a", 1), ("b", 2)]


def test_csv_is_read_as_the_job_says(bq: bigquery.Client, dataset: str) -> None:
    content = b'k;n;cost;made_at\n"a;b";1;2.5;2026-11-23 12:30:00.123456 UTC\nc;;;\n'
    load(bq, content, f"{dataset}.t", source_format="CSV", schema=SCHEMA, skip_leading_rows=1, field_delimiter=";")
    expected = [("a;b", 1, Decimal("2.5"), AT), ("c", None, None, None)]
    assert rows(bq, f"SELECT * FROM {dataset}.t ORDER BY k") == expected
    with pytest.raises(exceptions.BadRequest, match="Too many values"):
        load(bq, b"a,1,1,2026-01-01,more\n", f"{dataset}.t", source_format="CSV")


def test_parquet_from_cloud_storage_keeps_its_types(
    bq: bigquery.Client, dataset: str, bucket: Bucket, tmp_path: Path
) -> None:
    select = "SELECT 'a{n}' AS k, {n}::BIGINT AS n, 1.5::DECIMAL(38,9) AS cost, TIMESTAMPTZ '2026-11-23 12:30:00.123456+00' AS made_at"
    for number in range(3):
        blob = bucket.blob(f"parts/x [1]/{number}.parquet")
        blob.upload_from_string(parquet(tmp_path, select.replace("{n}", str(number))))
    made(bq, f"{dataset}.t", [one.removesuffix(":REQUIRED") for one in COLUMNS])
    uri = f"gs://{bucket.name}/parts/x [1]/"
    assert load(bq, f"{uri}*.parquet", f"{dataset}.t", source_format="PARQUET").output_rows == 3
    assert load(bq, [f"{uri}0.parquet", f"{uri}1.parquet"], f"{dataset}.t", source_format="PARQUET").input_files == 2
    counted = rows(bq, f"SELECT k, COUNT(*), SUM(cost), MIN(made_at) FROM {dataset}.t GROUP BY k ORDER BY k")
    assert counted == [("a0", 2, Decimal(3), AT), ("a1", 2, Decimal(3), AT), ("a2", 1, Decimal("1.5"), AT)]
    load(bq, f"{uri}0.parquet", f"{dataset}.new", source_format="PARQUET")
    assert [(one.name, one.field_type) for one in bq.get_table(f"{dataset}.new").schema] == [
        ("k", "STRING"),
        ("n", "INTEGER"),
        ("cost", "NUMERIC"),
        ("made_at", "TIMESTAMP"),
    ]


def test_lists_in_parquet_are_arrays_where_the_job_says_so_and_refused_otherwise(
    bq: bigquery.Client, dataset: str, tmp_path: Path
) -> None:
    content = parquet(tmp_path, "SELECT [1, 2] AS numbers, 'a' AS k")
    with pytest.raises(exceptions.MethodNotImplemented, match=r"numbers\) without parquetOptions\.enableListInference"):
        load(bq, content, f"{dataset}.t", source_format="PARQUET")
    options = ParquetOptions()
    options.enable_list_inference = True
    assert load(bq, content, f"{dataset}.t", source_format="PARQUET", parquet_options=options).output_rows == 1
    assert rows(bq, f"SELECT numbers, k FROM {dataset}.t") == [([1, 2], "a")]
    options.enum_as_string = True
    with pytest.raises(exceptions.MethodNotImplemented, match=r"parquetOptions\.enumAsString"):
        load(bq, content, f"{dataset}.t", source_format="PARQUET", parquet_options=options)
    options = ParquetOptions()
    options.map_target_type = "ARRAY_OF_STRUCT"
    with pytest.raises(exceptions.MethodNotImplemented, match=r"parquetOptions\.mapTargetType"):
        load(bq, content, f"{dataset}.t", source_format="PARQUET", parquet_options=options)


@pytest.mark.parametrize(
    ("select", "why"),
    [
        ("SELECT 'many' AS n", "'n' has type STRING"),
        ("SELECT 1 AS unknown", "no such field: unknown"),
        ("SELECT 1::BIGINT AS n", "Required field k"),
        ("SELECT 'never NULL' AS k", "'k' is specified as REQUIRED .* does not match NULLABLE"),
    ],
)
def test_parquet_of_another_schema_is_refused(
    bq: bigquery.Client, dataset: str, tmp_path: Path, select: str, why: str
) -> None:
    made(bq, f"{dataset}.t", COLUMNS)
    with pytest.raises(exceptions.BadRequest, match=why):
        load(bq, parquet(tmp_path, select), f"{dataset}.t", source_format="PARQUET")
    assert bq.get_table(f"{dataset}.t").num_rows == 0


def test_one_bad_line_keeps_all_out_unless_some_may_be_bad(bq: bigquery.Client, dataset: str) -> None:
    made(bq, f"{dataset}.t", COLUMNS)
    content = lines({"k": "a"}, {"n": 1}, {"k": "b", "unknown": 1}) + b"{nonsense\n"
    config = LoadJobConfig(source_format=NDJSON)
    failed = bq.load_table_from_file(io.BytesIO(content), f"{PROJECT}.{dataset}.t", job_config=config)
    with pytest.raises(exceptions.BadRequest, match="errors: 3"):
        failed.result(timeout=HANG_SECONDS)
    assert [one["message"].rpartition("Line: ")[2] for one in failed.errors] == ["2", "3", "4"]
    assert bq.get_table(f"{dataset}.t").num_rows == 0
    job = load(bq, content, f"{dataset}.t", source_format=NDJSON, max_bad_records=3)
    assert job.output_rows == 1
    load(bq, lines({"k": "b", "unknown": 1}), f"{dataset}.t", source_format=NDJSON, ignore_unknown_values=True)
    assert rows(bq, f"SELECT k FROM {dataset}.t ORDER BY k") == [("a",), ("b",)]


def test_dispositions_are_obeyed(bq: bigquery.Client, dataset: str) -> None:
    table = f"{dataset}.t"
    with pytest.raises(exceptions.NotFound):
        load(bq, lines({"k": "a"}), table, source_format=NDJSON, create_disposition="CREATE_NEVER")
    with pytest.raises(exceptions.BadRequest, match="No schema specified"):
        load(bq, lines({"k": "a"}), table, source_format=NDJSON)
    for disposition, expected in (("WRITE_EMPTY", 1), ("WRITE_APPEND", 2), ("WRITE_TRUNCATE", 1)):
        load(bq, lines({"k": "a"}), table, source_format=NDJSON, schema=SCHEMA, write_disposition=disposition)
        assert bq.get_table(table).num_rows == expected
    with pytest.raises(exceptions.Conflict):
        load(bq, lines({"k": "a"}), table, source_format=NDJSON, write_disposition="WRITE_EMPTY")
    other = [SchemaField("k", "INTEGER")]
    with pytest.raises(exceptions.BadRequest, match="has changed type"):
        load(bq, lines({"k": 1}), table, source_format=NDJSON, schema=other)
    load(bq, lines({"k": 1}), table, source_format=NDJSON, schema=other, write_disposition="WRITE_TRUNCATE")
    assert rows(bq, f"SELECT k FROM {table}") == [(1,)]


def test_a_source_that_is_not_there_or_not_implemented_is_named(
    bq: bigquery.Client, dataset: str, bucket: Bucket
) -> None:
    for uri in (f"gs://{bucket.name}/nothing.parquet", f"gs://{bucket.name}/no*.parquet"):
        with pytest.raises(exceptions.NotFound, match="Not found: URI"):
            load(bq, uri, f"{dataset}.t", source_format="PARQUET")
    with pytest.raises(exceptions.BadRequest, match="Cloud Storage location"):
        load(bq, "s3://x/y", f"{dataset}.t", source_format="PARQUET")
    with pytest.raises(exceptions.MethodNotImplemented, match="AVRO"):
        load(bq, f"gs://{bucket.name}/x", f"{dataset}.t", source_format="AVRO")
    with pytest.raises(exceptions.MethodNotImplemented, match="schemaUpdateOptions"):
        load(bq, f"gs://{bucket.name}/x", f"{dataset}.t", schema_update_options=["ALLOW_FIELD_ADDITION"])


def test_a_lost_answer_is_met_again_by_the_same_job_id(
    bq: bigquery.Client, dataset: str, faulty: BigQueryProcess
) -> None:
    made(bq, f"{dataset}.t", COLUMNS)
    job_id = f"load-{uuid.uuid4().hex}"
    config = LoadJobConfig(source_format=NDJSON, write_disposition="WRITE_APPEND")
    faulty.admin("PUT", "/faults", {"lose_answers": 1, "error_methods": ["jobs.insert"]})

    def again() -> bigquery.LoadJob:
        content = io.BytesIO(lines({"k": "a"}))
        return bq.load_table_from_file(
            content, f"{PROJECT}.{dataset}.t", job_id=job_id, job_config=config, num_retries=0
        )

    with pytest.raises((exceptions.ServiceUnavailable, exceptions.Conflict)):
        again()
    faulty.admin("DELETE", "/faults")
    with pytest.raises(exceptions.Conflict):
        again()
    assert bq.get_job(job_id).result(timeout=HANG_SECONDS).output_rows == 1
    assert rows(bq, f"SELECT k FROM {dataset}.t") == [("a",)]


def test_a_full_dataset_fails_the_job_and_keeps_the_table(
    bq: bigquery.Client, dataset: str, faulty: BigQueryProcess
) -> None:
    made(bq, f"{dataset}.t", COLUMNS)
    faulty.admin("PUT", "/faults", {"full": True})
    with pytest.raises(exceptions.Forbidden, match="Quota exceeded"):
        load(bq, lines({"k": "a"}), f"{dataset}.t", source_format=NDJSON)
    assert bq.get_table(f"{dataset}.t").num_rows == 0
