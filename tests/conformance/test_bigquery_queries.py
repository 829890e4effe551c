"""Query jobs, as google-cloud-bigquery runs them: parameters, DML, MERGE, DDL, results and errors."""

from __future__ import annotations

import uuid
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from bigquery_stand_in import BigQueryProcess, made, rows, told
from google.api_core import exceptions
from google.cloud import bigquery
from google.cloud.bigquery import (
    ArrayQueryParameter,
    QueryJobConfig,
    ScalarQueryParameter,
    StructQueryParameter,
    TimePartitioning,
)
from storage_stand_in import PROJECT
from waiting import HANG_SECONDS

AT = datetime(2026, 11, 23, 12, 30, 0, 123456, tzinfo=UTC)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("STRING", "it's"),
        ("INT64", -5),
        ("FLOAT64", 0.5),
        ("BOOL", True),
        ("NUMERIC", Decimal("1.123456789")),
        ("BYTES", b"\x00\xff"),
        ("TIMESTAMP", AT),
        ("DATETIME", datetime.fromisoformat("2026-01-02T03:04:05")),
        ("DATE", date(2026, 1, 2)),
        ("STRING", None),
        ("INT64", None),
    ],
)
def test_a_parameter_comes_back_with_its_type(bq: bigquery.Client, kind: str, value: Any) -> None:
    named = rows(bq, "SELECT @p AS x, @p IS NULL AS y", query_parameters=[ScalarQueryParameter("p", kind, value)])
    assert named == [(value, value is None)]
    assert rows(bq, "SELECT ?", query_parameters=[ScalarQueryParameter(None, kind, value)]) == [(value,)]


def test_arrays_and_structs_are_parameters_too(bq: bigquery.Client) -> None:
    numbers = ArrayQueryParameter("numbers", "INT64", [3, 1])
    part = StructQueryParameter("part", ScalarQueryParameter("a", "INT64", 1), ScalarQueryParameter("b", "STRING", "x"))
    sql = "SELECT @numbers AS n, 3 IN UNNEST(@numbers), 2 IN UNNEST(@numbers), @part.b"
    assert rows(bq, sql, query_parameters=[numbers, part]) == [([3, 1], True, False, "x")]
    with pytest.raises(exceptions.BadRequest, match="missing"):
        rows(bq, "SELECT @missing", query_parameters=[numbers])


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT 1, 'a' AS b, 2", [(1, "a", 2)]),
        ("SELECT TIMESTAMP_TRUNC(TIMESTAMP '2026-11-23 12:30:00+00', DAY)", [(datetime(2026, 11, 23, tzinfo=UTC),)]),
        ("SELECT DATE(TIMESTAMP '2026-11-23 23:30:00+00')", [(date(2026, 11, 23),)]),
        ("SELECT TIMESTAMP_DIFF(TIMESTAMP '2026-01-02', TIMESTAMP '2026-01-01', SECOND)", [(86400,)]),
        ("SELECT COUNTIF(x > 1), SUM(x), AVG(x) FROM UNNEST([1, 2, 3]) AS x", [(2, 6, 2.0)]),
        ("SELECT JSON_VALUE('{\"a\": \"x\"}', '$.a'), JSON_VALUE('{\"a\": {\"b\": 1}}', '$.a.b')", [("x", "1")]),
        ("SELECT SAFE_CAST('x' AS INT64), CAST('1.5' AS NUMERIC)", [(None, Decimal("1.5"))]),
        ("WITH t AS (SELECT 1 AS n UNION ALL SELECT 2) SELECT n FROM t ORDER BY n DESC", [(2,), (1,)]),
        ("SELECT ARRAY_AGG(x ORDER BY x DESC) FROM UNNEST([1, 3, 2]) AS x", [([3, 2, 1],)]),
        ("SELECT ARRAY_AGG(x ORDER BY x DESC LIMIT 2) FROM UNNEST([1, 3, 2]) AS x", [([3, 2],)]),
        ("SELECT ARRAY_AGG(x IGNORE NULLS ORDER BY x LIMIT 1)[OFFSET(0)] FROM UNNEST([NULL, 3, 2]) AS x", [(2,)]),
        ("SELECT STRING_AGG(x, '-' ORDER BY x LIMIT 2) FROM UNNEST(['c', 'a', 'b']) AS x", [("a-b",)]),
        ("SELECT ARRAY_AGG(DISTINCT x ORDER BY x LIMIT 2) FROM UNNEST([3, 3, 2, 1]) AS x", [([1, 2],)]),
        ("SELECT ARRAY_AGG(x RESPECT NULLS ORDER BY x LIMIT 3)[OFFSET(1)] FROM UNNEST([NULL, 3, 2]) AS x", [(2,)]),
        (
            "SELECT ARRAY_AGG(STRUCT(n AS a, MOD(n, 2) AS odd) ORDER BY MOD(n, 2) DESC, n LIMIT 1)[OFFSET(0)].a FROM UNNEST([4, 5, 3]) AS n",
            [(3,)],
        ),
        (
            "SELECT MOD(n, 2) AS odd, ARRAY_AGG(n ORDER BY n DESC LIMIT 2) FROM UNNEST([1, 2, 3, 5]) AS n GROUP BY odd ORDER BY odd",
            [(0, [2]), (1, [5, 3])],
        ),
        ("SELECT STRUCT(1 AS a, 'b' AS b) AS s", [({"a": 1, "b": "b"},)]),
        ("SELECT IF(TRUE, 'y', 'n'), COALESCE(NULL, 1), CONCAT('a', 'b')", [("y", 1, "ab")]),
        (
            "SELECT n FROM UNNEST([1, 2, 2]) AS n QUALIFY ROW_NUMBER() OVER (PARTITION BY n) = 1 ORDER BY n",
            [(1,), (2,)],
        ),
    ],
)
def test_the_sql_that_people_write_works(bq: bigquery.Client, sql: str, expected: list[tuple[Any, ...]]) -> None:
    assert rows(bq, sql) == expected


def test_columns_without_a_name_get_bigquerys(bq: bigquery.Client) -> None:
    found = bq.query("SELECT 1, 2 AS two, COUNT(*)").result(timeout=HANG_SECONDS)
    assert [(one.name, one.field_type) for one in found.schema] == [
        ("f0_", "INTEGER"),
        ("two", "INTEGER"),
        ("f1_", "INTEGER"),
    ]


def test_the_default_dataset_is_where_a_bare_name_lies(bq: bigquery.Client, dataset: str) -> None:
    bq.insert_rows_json(made(bq, f"{dataset}.t", ["n:INTEGER"]), [{"n": 1}])
    assert rows(bq, "SELECT n FROM t", default_dataset=f"{PROJECT}.{dataset}") == [(1,)]
    with pytest.raises(exceptions.BadRequest, match="must be qualified"):
        rows(bq, "SELECT n FROM t")


def test_rows_are_inserted_updated_and_deleted_and_counted(bq: bigquery.Client, dataset: str) -> None:
    made(bq, f"{dataset}.t", ["n:INTEGER:REQUIRED", "who:STRING"])
    counts = []
    for sql in (
        "INSERT INTO {t} (n, who) VALUES (1, 'a'), (2, 'b'), (3, 'c')",
        "UPDATE {t} SET who = 'x' WHERE n > 1",
        "DELETE FROM {t} WHERE n = 1",
    ):
        job = bq.query(sql.format(t=f"`{PROJECT}.{dataset}.t`"))
        job.result(timeout=HANG_SECONDS)
        counts.append((job.statement_type, job.num_dml_affected_rows))
    assert counts == [("INSERT", 3), ("UPDATE", 2), ("DELETE", 1)]
    assert rows(bq, f"SELECT * FROM {dataset}.t ORDER BY n") == [(2, "x"), (3, "x")]
    for sql in (f"UPDATE {dataset}.t SET who = 'y'", f"DELETE FROM {dataset}.t"):
        with pytest.raises(exceptions.BadRequest, match="must have a WHERE clause"):
            rows(bq, sql)
    with pytest.raises(exceptions.BadRequest, match="Required field"):
        rows(bq, f"INSERT INTO {dataset}.t (who) VALUES ('nobody')")
    rows(bq, f"TRUNCATE TABLE {dataset}.t")
    assert rows(bq, f"SELECT COUNT(*) FROM {dataset}.t") == [(0,)]


def test_a_merge_changes_adds_and_removes_and_says_how_many(bq: bigquery.Client, dataset: str) -> None:
    bq.insert_rows_json(made(bq, f"{dataset}.t", ["k:STRING", "n:INTEGER"]), [{"k": k, "n": 1} for k in "abc"])
    bq.insert_rows_json(made(bq, f"{dataset}.s", ["k:STRING", "n:INTEGER"]), [{"k": k, "n": 2} for k in "bd"])
    merge = f"""
        MERGE `{PROJECT}.{dataset}.t` AS t USING `{PROJECT}.{dataset}.s` AS s ON t.k = s.k
        WHEN MATCHED THEN UPDATE SET n = s.n
        WHEN NOT MATCHED BY TARGET THEN INSERT (k, n) VALUES (s.k, s.n)
        WHEN NOT MATCHED BY SOURCE AND t.k = 'c' THEN DELETE"""
    job = bq.query(merge)
    job.result(timeout=HANG_SECONDS)
    assert (job.statement_type, job.num_dml_affected_rows) == ("MERGE", 3)
    stats = job.dml_stats
    assert (stats.inserted_row_count, stats.updated_row_count, stats.deleted_row_count) == (1, 1, 1)
    expected = [("a", 1), ("b", 2), ("d", 2)]
    assert rows(bq, f"SELECT k, n FROM {dataset}.t ORDER BY k") == expected
    rows(bq, merge)
    assert rows(bq, f"SELECT k, n FROM {dataset}.t ORDER BY k") == expected
    rows(bq, f"MERGE {dataset}.t t USING (SELECT 'e' AS k, 5 AS n) s ON t.k = s.k WHEN NOT MATCHED THEN INSERT ROW")
    assert rows(bq, f"SELECT n FROM {dataset}.t WHERE k = 'e'") == [(5,)]


def test_a_merge_whose_source_has_a_key_twice_changes_nothing(bq: bigquery.Client, dataset: str) -> None:
    bq.insert_rows_json(made(bq, f"{dataset}.t", ["k:STRING", "n:INTEGER"]), [{"k": "a", "n": 1}])
    merge = f"""
        MERGE {dataset}.t t USING (SELECT 'a' AS k, n FROM UNNEST([2, 3]) AS n) s ON t.k = s.k
        WHEN MATCHED THEN UPDATE SET n = s.n"""
    with pytest.raises(exceptions.BadRequest, match="at most one source row"):
        rows(bq, merge)
    assert rows(bq, f"SELECT k, n FROM {dataset}.t") == [("a", 1)]


def test_tables_and_views_are_made_and_dropped_by_sql(bq: bigquery.Client, dataset: str) -> None:
    rows(
        bq,
        f"CREATE TABLE {dataset}.t (made_at TIMESTAMP NOT NULL, k STRING, l ARRAY<STRUCT<a INT64>>) "
        "PARTITION BY DATE(made_at) CLUSTER BY k",
    )
    table = bq.get_table(f"{dataset}.t")
    assert [(one.name, one.field_type, one.mode) for one in table.schema] == [
        ("made_at", "TIMESTAMP", "REQUIRED"),
        ("k", "STRING", "NULLABLE"),
        ("l", "RECORD", "REPEATED"),
    ]
    assert (table.time_partitioning.field, table.clustering_fields) == ("made_at", ["k"])
    rows(bq, f"CREATE TABLE {dataset}.u AS SELECT 1 AS n")
    rows(bq, f"CREATE OR REPLACE TABLE {dataset}.u AS SELECT 2 AS n")
    rows(bq, f"CREATE TABLE IF NOT EXISTS {dataset}.u AS SELECT 3 AS n")
    with pytest.raises(exceptions.Conflict):
        rows(bq, f"CREATE TABLE {dataset}.u AS SELECT 4 AS n")
    rows(bq, f"CREATE VIEW {dataset}.v AS SELECT n + 1 AS m FROM {dataset}.u")
    assert rows(bq, f"SELECT m FROM {dataset}.v") == [(3,)]
    assert bq.get_table(f"{dataset}.v").view_query == f"SELECT n + 1 AS m FROM {dataset}.u"
    rows(bq, f"DROP VIEW {dataset}.v")
    rows(bq, f"DROP TABLE {dataset}.u")
    rows(bq, f"DROP TABLE IF EXISTS {dataset}.u")
    assert [one.table_id for one in bq.list_tables(dataset)] == ["t"]


def test_a_result_is_written_where_the_job_says(bq: bigquery.Client, dataset: str) -> None:
    target = f"{PROJECT}.{dataset}.out"
    sql = "SELECT n, TIMESTAMP '2026-11-23' AS made_at FROM UNNEST([1, 2]) AS n"
    layout = TimePartitioning(type_="DAY", field="made_at")
    config = {"destination": target, "time_partitioning": layout, "clustering_fields": ["n"]}
    assert len(rows(bq, sql, **config)) == 2
    with pytest.raises(exceptions.Conflict):
        rows(bq, sql, destination=target, write_disposition="WRITE_EMPTY")
    rows(bq, f"SELECT * FROM {dataset}.out", destination=target, write_disposition="WRITE_APPEND")
    assert bq.get_table(target).num_rows == 4
    rows(bq, f"SELECT * FROM {dataset}.out LIMIT 1", destination=target, write_disposition="WRITE_TRUNCATE")
    table = bq.get_table(target)
    assert (table.num_rows, table.time_partitioning.field, table.clustering_fields) == (1, "made_at", ["n"])


def test_the_same_job_id_is_taken_once(bq: bigquery.Client, dataset: str) -> None:
    made(bq, f"{dataset}.t", ["n:INTEGER"])
    job_id = f"once-{uuid.uuid4().hex}"
    sql = f"INSERT INTO {dataset}.t (n) VALUES (1)"
    bq.query(sql, job_id=job_id, job_retry=None).result(timeout=HANG_SECONDS)
    with pytest.raises(exceptions.Conflict, match="Already Exists: Job"):
        bq.query(sql, job_id=job_id, job_retry=None)
    body = {"jobReference": {"jobId": job_id}, "configuration": {"query": {"query": sql, "useLegacySql": False}}}
    with pytest.raises(exceptions.Conflict) as taken:
        bq._connection.api_request(method="POST", path=f"/projects/{PROJECT}/jobs", data=body)
    assert told(taken.value)["reason"] == "duplicate"
    assert rows(bq, f"SELECT n FROM {dataset}.t") == [(1,)]
    assert bq.get_job(job_id).state == "DONE"
    assert job_id in [one.job_id for one in bq.list_jobs(max_results=20)]


@pytest.mark.parametrize(
    ("sql", "error", "why"),
    [
        ("SELEC 1", exceptions.BadRequest, "Syntax error|Invalid expression"),
        ("SELECT nothing", exceptions.BadRequest, "nothing"),
        ("SELECT * FROM nowhere.t", exceptions.NotFound, "Not found: Dataset"),
        ("SELECT 1 AS a, 2 AS a", exceptions.BadRequest, "Duplicate column names"),
        ("SELECT 1; SELECT 2", exceptions.MethodNotImplemented, "2 statements"),
        ("SELECT * FROM d.INFORMATION_SCHEMA.TABLES", exceptions.MethodNotImplemented, "INFORMATION_SCHEMA"),
        ("SELECT CAST('x' AS INT64)", exceptions.BadRequest, "x"),
        ("GRANT SELECT ON TABLE d.t TO 'x'", exceptions.MethodNotImplemented, "GRANT"),
        ("SELECT * FROM read_text('/etc/hostname')", exceptions.MethodNotImplemented, "table function read_text"),
        (
            "SELECT * FROM UNNEST([1]) AS a, LATERAL read_text('/etc/shadow')",
            exceptions.MethodNotImplemented,
            "LATERAL",
        ),
        ("SELECT * FROM EXTERNAL_QUERY('c', 'SELECT 1')", exceptions.MethodNotImplemented, "table function"),
        ("CREATE VIEW d.v AS SELECT * FROM read_csv('/etc/hostname')", exceptions.MethodNotImplemented, "read_csv"),
        ("", exceptions.MethodNotImplemented, "0 statements"),
        ("SELECT ARRAY_AGG(x LIMIT 1) OVER () FROM UNNEST([1]) AS x", exceptions.BadRequest, "together with OVER"),
        (
            "SELECT ARRAY_AGG(x HAVING MAX x) FROM UNNEST([1]) AS x",
            exceptions.MethodNotImplemented,
            "HAVING MAX and HAVING MIN",
        ),
        (
            "SELECT ARRAY_CONCAT_AGG(x LIMIT 1) FROM (SELECT [1] AS x UNION ALL SELECT [2])",
            exceptions.MethodNotImplemented,
            "LIMIT in ARRAY_CONCAT_AGG",
        ),
        ("SELECT ARRAY_AGG(x) AS a FROM UNNEST([1, NULL]) AS x", exceptions.BadRequest, "null element.* field a"),
    ],
)
def test_a_query_that_cannot_be_says_why_at_once(
    bq: bigquery.Client, sql: str, error: type[Exception], why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    request = bq._http.request
    monkeypatch.setattr(
        bq._http, "request", lambda method, *more, **words: (asked.append(method), request(method, *more, **words))[1]
    )
    with pytest.raises(error, match=why):
        bq.query(sql).result(timeout=HANG_SECONDS)
    assert asked.count("POST") == 1, "the client repeats nothing"


def test_query_and_wait_and_a_dry_run_work(bq: bigquery.Client, dataset: str) -> None:
    bq.insert_rows_json(made(bq, f"{dataset}.t", ["n:INTEGER"]), [{"n": n} for n in range(20)])
    found = bq.query_and_wait(f"SELECT n FROM {dataset}.t ORDER BY n", page_size=6)
    assert [one["n"] for one in found] == list(range(20))
    dry = bq.query(f"SELECT n, 'x' AS x FROM {dataset}.t", job_config=QueryJobConfig(dry_run=True))
    assert [one.name for one in dry.schema] == ["n", "x"]
    with pytest.raises(exceptions.BadRequest, match="missing"):
        bq.query(f"SELECT missing FROM {dataset}.t", job_config=QueryJobConfig(dry_run=True))


def test_a_job_that_takes_time_is_waited_for_and_can_be_cancelled(bq: bigquery.Client, faulty: BigQueryProcess) -> None:
    faulty.admin("PUT", "/faults", {"job_seconds": 0.5})
    job = bq.query("SELECT 1 AS n")
    assert job.state == "RUNNING"
    assert [one["n"] for one in job.result(timeout=HANG_SECONDS)] == [1]
    faulty.admin("PUT", "/faults", {"job_seconds": 60})
    job = bq.query("SELECT 1 AS n", job_retry=None)
    assert job.cancel()
    with pytest.raises(exceptions.GoogleAPICallError, match="cancelled"):
        job.result(timeout=HANG_SECONDS)
    faulty.admin("PUT", "/faults", {"job_error_reason": "quotaExceeded"})
    with pytest.raises(exceptions.Forbidden, match="Injected"):
        bq.query("SELECT 1", job_retry=None).result(timeout=HANG_SECONDS)
