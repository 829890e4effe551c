"""The tables in BigQuery with exactly the roles that the documentation names: enough to make them, and each missing right is told."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cloud import StandIn, StandIns
from tables_cloud import contents, pending, whole_candidate, with_dataset

from genops_events.airflow.tables import ExportTables
from genops_events.config import Config
from genops_events.errors import GenopsError, PermanentError
from genops_events.gcp import requirements
from genops_events.gcp.clients import bigquery_client
from genops_events.gcp.record_store import RecordStore
from genops_events.provisioning.provision import provision
from genops_events.tables.bigquery import load_tables
from genops_events.tables.parts import write_parts
from genops_events.tables.query import query

DOCS = Path(__file__).parents[3] / "docs" / "how-to"
TITLES = {
    "BigQuery Data Editor": "roles/bigquery.dataEditor",
    "BigQuery Job User": "roles/bigquery.jobUser",
    "Storage Legacy Bucket Reader": "roles/storage.legacyBucketReader",
}
"""Titles of roles as Google's console and documentation show them. https://cloud.google.com/iam/docs/roles-permissions (read 2026-12-01)"""
NOT_OBJECT_USERS = [
    "buckets.get",
    "buckets.insert",
    "buckets.patch",
    "buckets.update",
    "buckets.delete",
    "buckets.list",
]
"""Methods of Cloud Storage that Storage Object User does not allow. https://cloud.google.com/storage/docs/access-control/iam-roles (read 2026-12-01)"""


@pytest.fixture
def roles(cloud: StandIns, warehouse: StandIn, wanted: Config) -> Iterator[Config]:
    """The configuration of an account that has the roles of the documentation, and no more."""
    only(cloud, warehouse)
    yield wanted
    warehouse.faults()


def only(cloud: StandIns, warehouse: StandIn, *, without: str = "") -> None:
    """Leave the account the documented roles, without one of their permissions."""
    refused = [one for one in NOT_OBJECT_USERS if one != "buckets.get" or without == requirements.BUCKET_LOOK]
    cloud.storage.faults(error_share=1, error_code="403", error_methods=refused)
    granted = [one for one in PERMISSIONS if one != without] if without else [*requirements.TABLES_PROJECT_ROLES]
    warehouse.faults(permissions=granted)


PERMISSIONS = (
    *("bigquery.datasets.get", "bigquery.datasets.create", "bigquery.tables.get", "bigquery.tables.create"),
    *("bigquery.tables.update", "bigquery.tables.updateData", "bigquery.tables.getData", "bigquery.tables.delete"),
    *("bigquery.tables.list", "bigquery.jobs.create"),
)
"""What the two roles of BigQuery grant, as far as the stand-in has a use for it."""


@pytest.mark.parametrize("page", ["run-on-google-cloud.md", "query-the-tables.md"])
def test_the_documentation_names_the_roles_that_the_errors_name(page: str) -> None:
    text = " ".join((DOCS / page).read_text(encoding="utf-8").split())
    named = {role for title, role in TITLES.items() if title in text}
    assert named == {*requirements.TABLES_PROJECT_ROLES, requirements.TABLES_BUCKET_ROLE}


def test_the_documented_roles_make_the_dataset_and_load_all(roles: Config, cloud: StandIns, store: RecordStore) -> None:
    whole_candidate(roles, store)
    task: Any = ExportTables(task_id="export")
    assert task.execute({})["loaded_rows"] == {"candidates": 1, "evaluations": 3, "spend": 2, "completions": 3}
    client = bigquery_client(roles)
    cloud.storage.faults()
    store.bucket.reload()
    assert client.get_dataset(f"{roles.project}.{roles.tables.dataset}").location == store.bucket.location
    client.close()


# All but the listing of tables, of which the product has no need.
@pytest.mark.parametrize("missing", [one for one in PERMISSIONS if one != "bigquery.tables.list"])
def test_a_missing_right_is_told_with_its_remedy_and_nothing_is_lost(
    cloud: StandIns, warehouse: StandIn, wanted: Config, store: RecordStore, missing: str
) -> None:
    whole_candidate(wanted, store)
    only(cloud, warehouse, without=missing)
    task: Any = ExportTables(task_id="export")
    for _ in range(2):  # a second run meets what the first has left
        with pytest.raises(PermanentError) as refused:
            task.execute({})
        if missing == "bigquery.tables.getData":
            assert "User does not have permission to query table" in refused.value.message
        else:
            assert missing in refused.value.message
        for role in (*requirements.TABLES_PROJECT_ROLES, requirements.TABLES_BUCKET_ROLE):
            assert f"--member=MEMBER --role={role}" in refused.value.hint
        assert "Nothing is lost" in refused.value.hint
    assert len(query(store, "SELECT * FROM completions", cache=None).rows) == 3
    only(cloud, warehouse)
    task.execute({})
    assert pending(wanted, store) == []
    warehouse.faults()
    for name, rows in contents(wanted).items():
        assert rows == sorted(query(store, f"SELECT * FROM {name}", cache=None).rows, key=str)


def test_a_right_that_was_taken_away_later_costs_no_row(
    roles: Config, cloud: StandIns, warehouse: StandIn, store: RecordStore
) -> None:
    whole_candidate(roles, store)
    write_parts(roles, store)
    load_tables(roles, store)
    warehouse.faults(permissions=[])
    whole_candidate(roles, store)
    write_parts(roles, store)
    for _ in range(2):
        with pytest.raises(GenopsError, match=r"bigquery\.datasets\.get denied"):
            load_tables(roles, store)
    only(cloud, warehouse)
    load_tables(roles, store)
    assert {name: len(rows) for name, rows in contents(roles).items()} == {
        "candidates": 2, "completions": 6, "evaluations": 6, "spend": 4,
    }  # fmt: skip


def test_who_does_not_see_where_the_bucket_is_is_told_how_and_is_not_asked_once_the_dataset_is_there(
    cloud: StandIns, warehouse: StandIn, wanted: Config, store: RecordStore
) -> None:
    whole_candidate(wanted, store)
    write_parts(wanted, store)
    only(cloud, warehouse, without=requirements.BUCKET_LOOK)
    with pytest.raises(PermanentError, match=f"look at gs://{wanted.bucket}") as refused:
        load_tables(wanted, store)
    assert requirements.bucket_grant(wanted, requirements.TABLES_BUCKET_ROLE) in refused.value.hint
    client = bigquery_client(wanted)
    client.create_dataset(f"{wanted.project}.{wanted.tables.dataset}")
    client.close()
    assert load_tables(wanted, store).rows["completions"] == 3


def test_provisioning_takes_no_right_of_bigquery(wanted: Config, warehouse: StandIn) -> None:
    warehouse.faults(permissions=[])
    assert provision(wanted) == []
    assert provision(with_dataset(wanted, "another")) == []
