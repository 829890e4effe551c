"""Datasets and tables: the documents that describe them, and their rows in DuckDB."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from typing import Any

from gcp_stand_ins.bigquery.database import Database, Document, quoted
from gcp_stand_ins.bigquery.errors import ApiError, duplicate, invalid, not_found
from gcp_stand_ins.bigquery.names import RESULTS, DatasetName, TableName
from gcp_stand_ins.bigquery.schema import Field, checked_fields, columns_sql, duckdb_type, widened

LOCATION = "US"
_PARTITION_TYPES = {"TIMESTAMP", "DATETIME", "DATE"}
_PARTITIONS = {"DAY", "HOUR", "MONTH", "YEAR"}
_MOST_CLUSTERING = 4
_DATASET_FIELDS = {
    *("friendlyName", "description", "labels", "access", "defaultTableExpirationMs", "defaultPartitionExpirationMs"),
    *("location", "isCaseInsensitive", "maxTimeTravelHours", "storageBillingModel", "defaultCollation"),
}
_TABLE_FIELDS = {
    *("friendlyName", "description", "labels", "schema", "timePartitioning", "clustering", "expirationTime"),
    *("requirePartitionFilter", "view", "defaultCollation"),
}


def now_ms() -> int:
    """Return the time as BigQuery writes it."""
    return time.time_ns() // 1_000_000


class Catalog:
    """All datasets and tables; every method runs inside one step of the database.

    Args:
        database: holds everything.
        base_url: of links.
    """

    def __init__(self, database: Database, base_url: str) -> None:
        self.database = database
        self._base_url = base_url

    # Datasets

    def create_dataset(self, name: DatasetName, given: Mapping[str, Any]) -> Document:
        """Create a dataset and return it."""
        if self.database.get("dataset", str(name.checked())) is not None:
            raise duplicate("Dataset", str(name))
        document = {"location": LOCATION, **_kept(given, _DATASET_FIELDS), "creationTime": str(now_ms())}
        self.database.execute(f"CREATE SCHEMA {quoted(name.schema)}")
        return self._put_dataset(name, document)

    def dataset(self, name: DatasetName) -> Document:
        """Return a dataset.

        Raises:
            ApiError: there is none.
        """
        document = self.database.get("dataset", str(name))
        if document is None:
            raise not_found("Dataset", str(name))
        return self._dataset_on_wire(name, document)

    def datasets(self, project: str) -> list[Document]:
        """Return the datasets of a project, in order of their names."""
        names = sorted(name for name in self.database.all("dataset") if name.startswith(f"{project}:"))
        whole = [self.dataset(DatasetName(project, name.removeprefix(f"{project}:"))) for name in names]
        shown = ("kind", "id", "datasetReference", "labels", "friendlyName", "location")
        return [{key: one[key] for key in shown if key in one} for one in whole]

    def change_dataset(
        self, name: DatasetName, given: Mapping[str, Any], *, replace: bool, etag: str | None
    ) -> Document:
        """Change a dataset: what is given, or all of it."""
        document = self.dataset(name)
        _check_etag(document, etag)
        kept = {} if replace else _kept(document, _DATASET_FIELDS)
        changed = {**kept, **_kept(given, _DATASET_FIELDS)}
        if changed.get("location", document["location"]) != document["location"]:
            raise invalid(f"The location of dataset {name} cannot be changed.")
        own = {"location": document["location"], "creationTime": document["creationTime"]}
        return self._put_dataset(name, {**changed, **own})

    def delete_dataset(self, name: DatasetName, *, contents: bool) -> None:
        """Remove a dataset.

        Raises:
            ApiError: it has tables, and `contents` does not say that they may go.
        """
        self.dataset(name)
        tables = self.tables(name)
        if tables and not contents:
            raise ApiError("resourceInUse", f"Dataset {name} is still in use")
        for one in tables:
            self.database.put("table", str(TableName.of(one["tableReference"], name.project)), None)
        self.database.execute(f"DROP SCHEMA {quoted(name.schema)} CASCADE")
        self.database.put("dataset", str(name), None)

    def _put_dataset(self, name: DatasetName, document: Document) -> Document:
        self.database.put("dataset", str(name), {**document, "lastModifiedTime": str(now_ms())})
        return self.dataset(name)

    def _dataset_on_wire(self, name: DatasetName, document: Document) -> Document:
        return {
            **document,
            "kind": "bigquery#dataset",
            "id": str(name),
            "etag": _etag(document),
            "selfLink": f"{self._base_url}/bigquery/v2/projects/{name.project}/datasets/{name.dataset}",
            "datasetReference": name.reference(),
        }

    # Tables

    def create_table(self, name: TableName, given: Mapping[str, Any]) -> Document:
        """Create a table without rows, or keep the document of a view that is there in DuckDB already."""
        self.dataset(name.parent)
        self.drop_expired()
        if self._known(name.checked()) is not None:
            raise duplicate("Table", str(name))
        document = _kept(given, _TABLE_FIELDS)
        fields = checked_fields((document.get("schema") or {}).get("fields") or [])
        _check_layout(document, fields)
        document |= {"schema": {"fields": fields}, "creationTime": str(now_ms())}
        if "view" not in document:
            # DuckDB has no tables without columns.
            columns = columns_sql(fields) if fields else '"_" BOOLEAN'
            self.database.execute(f"CREATE TABLE {name.sql} ({columns})")
        self.touch(name, document)
        return self.table(name)

    def table(self, name: TableName) -> Document:
        """Return a table or view as it is sent.

        Raises:
            ApiError: there is none.
        """
        document = self._known(name)
        if document is None:
            self.dataset(name.parent)
            raise not_found("Table", str(name))
        is_view = "view" in document
        document = {
            **document,
            "kind": "bigquery#table",
            "id": str(name),
            "etag": _etag(document),
            "selfLink": f"{self._base_url}/bigquery/v2/projects/{name.project}/datasets/{name.dataset}/tables/{name.table}",
            "tableReference": name.reference(),
            "type": "VIEW" if is_view else "TABLE",
            "location": self.dataset(name.parent)["location"],
        }
        if not is_view:
            count = self.database.rows(f"SELECT count(*) FROM {name.sql}")[0][0]  # noqa: S608 - quoted
            document |= {"numRows": str(count), "numBytes": str(count * 8 * len(document["schema"]["fields"]))}
        return document

    def fields(self, name: TableName) -> list[Field]:
        """Return the columns of a table or view.

        Raises:
            ApiError: there is none.
        """
        document = self._known(name)
        if document is None:
            self.dataset(name.parent)
            raise not_found("Table", str(name))
        fields: list[Field] = document["schema"]["fields"]
        return fields

    def exists(self, name: TableName) -> bool:
        """Tell whether there is such a table or view."""
        return self._known(name) is not None

    def is_view(self, name: TableName) -> bool:
        """Tell whether it is a view."""
        return "view" in (self._known(name) or {})

    def tables(self, dataset: DatasetName) -> list[Document]:
        """Return the tables and views of a dataset, in order of their names."""
        self.dataset(dataset)
        prefix = f"{dataset}."
        names = sorted(name.removeprefix(prefix) for name in self.database.all("table") if name.startswith(prefix))
        shown = ("kind", "id", "tableReference", "type", "labels", "timePartitioning", "clustering", "creationTime")
        tables = [TableName(dataset.project, dataset.dataset, name) for name in names]
        whole = [self.table(one) for one in tables if self.exists(one)]
        return [{key: one[key] for key in shown if key in one} for one in whole]

    def change_table(self, name: TableName, given: Mapping[str, Any], *, replace: bool, etag: str | None) -> Document:
        """Change a table's document, and its columns as far as BigQuery allows that."""
        whole = self.table(name)
        _check_etag(whole, etag)
        document = dict(self._known(name) or {})
        changed = _kept(given, _TABLE_FIELDS)
        if "view" in changed and changed["view"] != document.get("view"):
            raise ApiError(
                "notImplemented", "The local BigQuery stand-in changes a view by CREATE OR REPLACE VIEW only."
            )
        old = document["schema"]["fields"]
        fields = checked_fields(changed["schema"]["fields"]) if (changed.get("schema") or {}).get("fields") else old
        for step, field in widened(old, fields, str(name)) if "view" not in document else ():
            if step == "relax":
                self.database.execute(f"ALTER TABLE {name.sql} ALTER {quoted(field['name'])} DROP NOT NULL")
            else:
                self.database.execute(f"ALTER TABLE {name.sql} ADD COLUMN {quoted(field['name'])} {duckdb_type(field)}")
        if old == [] and fields:
            self.database.execute(f'ALTER TABLE {name.sql} DROP COLUMN "_"')
        kept = {"creationTime": document["creationTime"]} if replace else document
        after = {**kept, **changed, "schema": {"fields": fields}}
        if "view" in document:
            after["view"] = document["view"]
        _check_layout(after, fields)
        self.touch(name, {key: value for key, value in after.items() if value is not None})
        return self.table(name)

    def replace_schema(self, name: TableName, fields: Sequence[Field]) -> None:
        """Give a table other columns; its rows are gone."""
        document = dict(self._known(name) or {})
        _check_layout(document, fields)
        self.database.execute(f"CREATE OR REPLACE TABLE {name.sql} ({columns_sql(fields)})")
        self.touch(name, {**document, "schema": {"fields": list(fields)}})

    def touch(self, name: TableName, document: Document | None = None) -> None:
        """Note that a table has changed, and keep its new document, if any."""
        document = dict(self._known(name) or {}) if document is None else document
        self.database.put("table", str(name), {**document, "lastModifiedTime": str(now_ms())})

    def delete_table(self, name: TableName) -> None:
        """Remove a table or view."""
        kind = "VIEW" if "view" in self.table(name) else "TABLE"
        self._drop(name, kind)

    def _known(self, name: TableName) -> Document | None:
        """Return a table's document; one that has expired is gone."""
        if name.dataset == RESULTS:
            return self.database.get("result", name.table)
        document = self.database.get("table", str(name))
        if document is not None and _has_expired(document):
            return None
        return document

    def drop_expired(self) -> None:
        """Remove what has expired; part of the transaction under way."""
        for name, document in self.database.all("table").items():
            if _has_expired(document):
                project, _, rest = name.partition(":")
                dataset, _, table = rest.partition(".")
                self._drop(TableName(project, dataset, table), "VIEW" if "view" in document else "TABLE")

    def _drop(self, name: TableName, kind: str) -> None:
        self.database.execute(f"DROP {kind} {name.sql}")
        self.database.execute('DELETE FROM "_meta".insert_ids WHERE in_table = ?', [str(name)])
        self.database.put("table", str(name), None)


def _has_expired(document: Document) -> bool:
    expires = document.get("expirationTime")
    return expires is not None and int(expires) <= now_ms()


def _kept(given: Mapping[str, Any], names: set[str]) -> Document:
    return {name: value for name, value in given.items() if name in names}


def _etag(document: Document) -> str:
    return hashlib.md5(json.dumps(document, sort_keys=True).encode(), usedforsecurity=False).hexdigest()


def _check_etag(document: Document, etag: str | None) -> None:
    if etag not in {None, document["etag"]}:
        raise ApiError("conditionNotMet", f"Precondition check failed: {document['id']} has changed.")


def _check_layout(document: Mapping[str, Any], fields: Sequence[Field]) -> None:
    """Refuse partitions and clusters by columns that are not there or have the wrong type."""
    kinds = {one["name"].lower(): one for one in fields}
    partitioning = document.get("timePartitioning") or {}
    if partitioning and partitioning.get("type") not in _PARTITIONS:
        raise invalid(
            f"Invalid partitioning type {partitioning.get('type')!r}: one of {', '.join(sorted(_PARTITIONS))}."
        )
    column = partitioning.get("field")
    if column is not None and kinds.get(column.lower(), {}).get("type") not in _PARTITION_TYPES:
        raise invalid(
            f"The field specified for partitioning, {column}, must be a TIMESTAMP, DATETIME or DATE of the schema."
        )
    clustering = (document.get("clustering") or {}).get("fields") or []
    if len(clustering) > _MOST_CLUSTERING:
        raise invalid(f"Too many clustering columns: {len(clustering)}, at most {_MOST_CLUSTERING}.")
    for name in clustering:
        if name.lower() not in kinds or kinds[name.lower()]["mode"] == "REPEATED":
            raise invalid(f"The field specified for clustering, {name}, must be a single column of the schema.")
