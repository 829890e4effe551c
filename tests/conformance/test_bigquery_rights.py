"""What a caller may not do, BigQuery refuses in its own words: by method, or by the roles that the caller has."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from bigquery_stand_in import BigQueryProcess, made, rows, told
from google.api_core import exceptions
from google.cloud import bigquery
from google.cloud.bigquery import LoadJobConfig
from storage_stand_in import PROJECT, StorageProcess
from waiting import HANG_SECONDS

EDITOR, JOB_USER = "roles/bigquery.dataEditor", "roles/bigquery.jobUser"
Act = Callable[[bigquery.Client, str], object]


def of_project(permission: str) -> str:
    return f"Access Denied: Project {PROJECT}: User does not have {permission} permission in project {PROJECT}."


def of(kind: str, name: str, permission: str) -> str:
    return (
        f"Access Denied: {kind} {name}: Permission {permission} denied on {kind.lower()} {name} (or it may not exist)."
    )


def load(client: bigquery.Client, source: str, table: str) -> None:
    config = LoadJobConfig(source_format="PARQUET")
    client.load_table_from_uri(source, f"{PROJECT}.{table}", job_config=config).result(timeout=HANG_SECONDS, retry=None)


@pytest.mark.parametrize(
    ("method", "act", "message"),
    [
        ("datasets.get", lambda bq, d: bq.get_dataset(d), lambda d: of("Dataset", d, "bigquery.datasets.get")),
        ("datasets.insert", lambda bq, _: bq.create_dataset("new"), lambda _: of_project("bigquery.datasets.create")),
        ("tables.get", lambda bq, d: bq.get_table(f"{d}.t"), lambda d: of("Table", f"{d}.t", "bigquery.tables.get")),
        (
            "tables.insert",
            lambda bq, d: bq.create_table(f"{PROJECT}.{d}.t"),
            lambda d: of("Dataset", d, "bigquery.tables.create"),
        ),
        ("jobs.insert", lambda bq, _: rows(bq, "SELECT 1"), lambda _: of_project("bigquery.jobs.create")),
        ("jobs.get", lambda bq, _: bq.get_job("any"), lambda _: of_project("bigquery.jobs.get")),
    ],
)
def test_a_method_is_refused_as_to_one_without_its_permission(
    bq: bigquery.Client, dataset: str, faulty: BigQueryProcess, method: str, *, act: Act, message: Callable[[str], str]
) -> None:
    faulty.admin("PUT", "/faults", {"error_share": 1, "error_code": "403", "error_methods": [method]})
    with pytest.raises(exceptions.Forbidden) as refused:
        act(bq, dataset)
    error = told(refused.value)
    assert (error["reason"], error["domain"]) == ("accessDenied", "global")
    assert error["message"] == message(dataset).replace(dataset, f"{PROJECT}:{dataset}")


def test_who_may_edit_and_run_jobs_may_do_both_and_no_more(
    bq: bigquery.Client, dataset: str, faulty: BigQueryProcess
) -> None:
    faulty.admin("PUT", "/faults", {"permissions": [EDITOR, JOB_USER]})
    created = bq.create_dataset(f"{dataset}_b")
    table = made(bq, f"{dataset}_b.t", ["n:INTEGER"])
    rows(bq, f"INSERT {dataset}_b.t (n) VALUES (1)")
    rows(bq, f"MERGE {dataset}_b.t AS t USING (SELECT 1 AS n) AS s ON t.n = s.n WHEN MATCHED THEN UPDATE SET n = 2")
    assert rows(bq, f"SELECT n FROM {dataset}_b.t") == [(2,)]
    bq.delete_table(table)
    created.description = "theirs"
    for act in (lambda: bq.delete_dataset(created), lambda: bq.update_dataset(created, ["description"])):
        with pytest.raises(
            exceptions.Forbidden, match=r"Permission bigquery\.datasets\.(delete|update) denied on dataset"
        ):
            act()
    with pytest.raises(exceptions.NotFound):  # who has the right on the project is told what is not there
        bq.get_dataset("never_made")
    assert bq.list_jobs(max_results=1)  # one's own


@pytest.mark.parametrize(
    ("missing", "act"),
    [
        ("bigquery.jobs.create", lambda bq, _: rows(bq, "SELECT 1")),
        ("bigquery.jobs.create", lambda bq, _: rows(bq, "SELECT 1", dry_run=True)),
        ("bigquery.datasets.create", lambda bq, d: rows(bq, f"CREATE SCHEMA {d}_c")),
        ("bigquery.tables.create", lambda bq, d: rows(bq, f"CREATE TABLE {d}.u (n INT64)")),
        ("bigquery.tables.create", lambda bq, d: rows(bq, "SELECT 1 AS n", destination=f"{PROJECT}.{d}.t")),
        ("bigquery.tables.delete", lambda bq, d: rows(bq, f"DROP TABLE {d}.t")),
        ("bigquery.tables.updateData", lambda bq, d: rows(bq, f"DELETE FROM {d}.t WHERE FALSE")),
        ("bigquery.tables.updateData", lambda bq, d: rows(bq, f"DELETE FROM {d}.t WHERE FALSE", dry_run=True)),
        ("bigquery.tables.updateData", lambda bq, d: bq.insert_rows_json(f"{PROJECT}.{d}.t", [{"n": 1}])),
    ],
)
def test_one_permission_less_refuses_what_needs_it_also_inside_a_job(
    bq: bigquery.Client, dataset: str, faulty: BigQueryProcess, missing: str, act: Act
) -> None:
    made(bq, f"{dataset}.t", ["n:INTEGER"])
    every = {
        *("bigquery.jobs.create", "bigquery.datasets.create", "bigquery.tables.get", "bigquery.tables.getData"),
        *("bigquery.tables.create", "bigquery.tables.delete", "bigquery.tables.updateData"),
    }
    faulty.admin("PUT", "/faults", {"permissions": sorted(every - {missing})})
    with pytest.raises(exceptions.Forbidden, match=missing):
        act(bq, dataset)
    faulty.admin("PUT", "/faults", {"permissions": sorted(every)})
    act(bq, dataset)


def test_a_table_that_may_not_be_read_is_not_told_from_one_that_is_not_there(
    bq: bigquery.Client, dataset: str, faulty: BigQueryProcess
) -> None:
    faulty.admin("PUT", "/faults", {"permissions": [JOB_USER]})
    name = f"{PROJECT}:{dataset}.never_made"
    text = f"Access Denied: Table {name}: User does not have permission to query table {name}, or perhaps it does not exist."
    with pytest.raises(exceptions.Forbidden) as refused:
        rows(bq, f"SELECT * FROM {dataset}.never_made")
    assert told(refused.value)["message"] == text


def test_a_load_needs_the_table_and_the_object(
    bq: bigquery.Client, dataset: str, faulty: BigQueryProcess, beside: StorageProcess
) -> None:
    client = beside.client()
    bucket = client.create_bucket(f"test-{dataset.replace('_', '-')}")
    bucket.blob("x.parquet").upload_from_string(b"none")
    faulty.admin("PUT", "/faults", {"permissions": [JOB_USER]})
    with pytest.raises(exceptions.Forbidden, match=r"bigquery\.tables\.create denied on dataset"):
        load(bq, f"gs://{bucket.name}/x.parquet", f"{dataset}.t")
    faulty.admin("DELETE", "/faults")
    beside.admin("PUT", "/faults", {"error_share": 1, "error_code": "403", "error_methods": ["objects.get"]})
    with pytest.raises(exceptions.Forbidden, match=f"Access Denied: File gs://{bucket.name}/x.parquet: Access Denied"):
        load(bq, f"gs://{bucket.name}/x.parquet", f"{dataset}.t")
    beside.admin("DELETE", "/faults")
    client.close()


def test_a_permission_or_role_that_nobody_knows_is_refused(faulty: BigQueryProcess) -> None:
    for wrong in ("roles/bigquery.jobuser", "bigquery.tables.dance"):
        said = faulty.admin("PUT", "/faults", {"permissions": [wrong]})
        assert f"'{wrong}' is none of roles/bigquery.dataEditor" in str(said["error"])
    assert faulty.admin("GET", "/faults") == {}
