"""Load the parts that are pending into BigQuery: staged by a load job, merged by key, so that no row is ever doubled.

What a crash leaves behind, step by step:

| died after | what is there | the next run |
|---|---|---|
| the dataset, a table or the staging table was created | it | finds it |
| all older parts were marked as pending | some or all marks | marks them again: `Loading` is written after them |
| the load job was started | the job | finds it by its id, which follows from the marks, and waits for it |
| the merge job was started | the job | the same; a merge that runs twice gives the same table |
| the staging table was removed | the marks | finds both jobs done, and removes the marks |
| some marks were removed | the others | loads those once more, into the same rows |
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from genops_events.errors import GenopsError, PermanentError
from genops_events.gcp.at_once import at_once
from genops_events.gcp.clients import CALL_TIMEOUT_SECONDS, bigquery_client, idempotent_retry
from genops_events.gcp.errors import CloudRefused
from genops_events.gcp.table_marks import Mark, listed, remove
from genops_events.record.tables import (
    LOADING,
    Loading,
    Pending,
    loading_path,
    loading_prefix,
    parts_prefix,
    pending_path,
    pending_prefix,
)
from genops_events.tables.calls import tables_call
from genops_events.tables.jobs import Jobs, job_base
from genops_events.tables.schema import TABLES, Table, differences, merge_sql

if TYPE_CHECKING:
    from google.cloud import bigquery

    from genops_events.config import Config
    from genops_events.gcp.record_store import RecordStore

log = logging.getLogger(__name__)

MOST_PARTS = 1_000
"""Parts of one load job; BigQuery takes 10,000. Source: https://cloud.google.com/bigquery/quotas#load_jobs"""
MOST_LISTED = 10_000
STAGING_LIFE = timedelta(days=1)
LABEL = "genops-table"
"""Tells a table that genops-events made from one that somebody else did."""


class TableDiffers(PermanentError):
    """A table in BigQuery is not what it has to be."""


class TablesNotLoaded(PermanentError):
    """Some tables could not be loaded for causes that do not pass by themselves."""


@dataclass(slots=True)
class Loaded:
    """What one run loaded into BigQuery."""

    parts: int = 0
    rows: dict[str, int] = field(default_factory=dict)
    """Rows that each load job read, by table."""


def load_tables(config: Config, store: RecordStore) -> Loaded:
    """Load all parts that are pending into the dataset that genops.yaml names; nothing where it names none.

    One table that cannot be loaded does not keep the others out. A retry never doubles a row. Where nothing is pending,
    BigQuery is not asked: that a table was removed is found when it is to get rows.

    Raises:
        CloudUnavailable: BigQuery or Cloud Storage does not answer; what is not loaded stays marked.
        CloudRefused: this account may not see the dataset, or not create it; its hint says which roles it lacks.
        TablesNotLoaded: a table has another schema, takes no more rows, or may not be changed by this account. Either way all parts
            stay in the bucket, and marked.
    """
    loaded = Loaded()
    if not _anything_to_do(config, store):
        return loaded
    client = bigquery_client(config)
    failures: list[GenopsError] = []
    try:
        location = _dataset(client, config, store)
        for table in TABLES.values():
            try:
                _TableLoader(client, config, store, table, location).load(loaded)
            except PermanentError as error:
                log.exception("The table %s cannot be loaded", table.name)
                failures.append(error)
    finally:
        client.close()
    if failures:
        raise TablesNotLoaded(" ".join(one.message for one in failures), failures[0].hint)
    return loaded


def _anything_to_do(config: Config, store: RecordStore) -> bool:
    """Return whether a part is pending, or a table was never loaded.

    Forgets how far other datasets are: when genops.yaml names one of them again, all parts are loaded anew.
    """
    dataset = config.tables.dataset
    own = set()
    for mark in listed(store, LOADING, most=MOST_LISTED):
        if dataset is not None and mark.path.startswith(loading_prefix(dataset)):
            own.add(mark.path)
        else:
            remove(store, mark)
    return dataset is not None and own != {loading_path(dataset, name) for name in TABLES}


def _dataset(client: bigquery.Client, config: Config, store: RecordStore) -> str:
    """Return where the dataset is; create it where the bucket is, as load jobs demand, if it is missing."""
    from google.api_core.exceptions import NotFound
    from google.cloud import bigquery

    name = f"{config.project}.{config.tables.dataset}"
    with tables_call(config, f"look at the dataset {name}"):
        try:
            return str(client.get_dataset(name, **_patient()).location)
        except NotFound:
            pass
    with tables_call(config, f"look at gs://{config.bucket}"):
        store.bucket.reload(timeout=CALL_TIMEOUT_SECONDS)
    wanted = bigquery.Dataset(name)
    wanted.location = store.bucket.location
    wanted.description = "Written by genops-events: candidates, evaluations, spend and completion events."
    with tables_call(config, f"create the dataset {name}"):
        return str(client.create_dataset(wanted, exists_ok=True, **_patient()).location)


class _TableLoader:
    """Loads one table."""

    def __init__(
        self, client: bigquery.Client, config: Config, store: RecordStore, table: Table, location: str
    ) -> None:
        assert config.tables.dataset is not None
        self._client = client
        self._config = config
        self._store = store
        self._table = table
        self._dataset = config.tables.dataset
        self._name = f"{config.project}.{self._dataset}.{table.name}"
        self._location = location
        self._loading = loading_path(self._dataset, table.name)
        self._jobs = Jobs(client, config, store, self._loading, location)

    def load(self, loaded: Loaded) -> None:
        """Load all that is pending."""
        self._mark_older(self._ready())
        while marks := listed(self._store, pending_prefix(self._dataset, self._table.name), most=MOST_PARTS):
            count = self._load_parts(marks)
            loaded.parts += len(marks)
            loaded.rows[self._table.name] = loaded.rows.get(self._table.name, 0) + count
            if len(marks) < MOST_PARTS:
                return

    def _ready(self) -> int:
        """Return when the table was created, in milliseconds; create it, or add columns that it lacks.

        Raises:
            TableDiffers: it cannot be used as it is.
        """
        from google.api_core.exceptions import NotFound
        from google.cloud import bigquery

        with tables_call(self._config, f"look at the table {self._name}"):
            try:
                found = self._client.get_table(self._name, **_patient())
            except NotFound:
                found = None
        if found is None:
            wanted = bigquery.Table(self._name, schema=self._schema())
            wanted.time_partitioning = bigquery.TimePartitioning(type_="DAY", field=self._table.day)
            wanted.clustering_fields = list(self._table.clusters)
            wanted.description = self._table.description
            wanted.labels = {LABEL: self._table.name}
            with tables_call(self._config, f"create the table {self._name}"):
                found = self._client.create_table(wanted, exists_ok=True, **_patient())
        return self._fitting(found)

    def _fitting(self, found: bigquery.Table) -> int:
        columns = {one.name: (_older_name(one.field_type), one.mode) for one in found.schema}
        missing, wrong = differences(self._table, columns)
        if missing and found.labels.get(LABEL) != self._table.name:
            wrong += [f"column {one.name} is missing" for one in missing]
        if found.table_type != "TABLE":
            wrong = [f"it is a {found.table_type}"]
        if wrong:
            raise TableDiffers(
                f"The table {self._name} is not what genops writes: {'; '.join(wrong)}. Nothing was loaded into it, and it "
                "stays as it is.",
                "Nothing is lost: all rows are in the bucket. Rename the table, or name another dataset under "
                "`tables: {bigquery: …}` in genops.yaml; the next run of genops_tables makes the table anew and loads everything.",
            )
        if missing:
            found.schema = [
                *found.schema,
                *(one for one in self._schema() if one.name in {each.name for each in missing}),
            ]
            with tables_call(self._config, f"add columns to the table {self._name}"):
                found = self._client.update_table(found, ["schema"], **_patient())
        return int(found.created.timestamp() * 1000)

    def _schema(self) -> list[bigquery.SchemaField]:
        from google.cloud import bigquery

        return [
            bigquery.SchemaField(one.name, one.kind, mode=one.mode, description=one.description)
            for one in self._table.columns
        ]

    def _mark_older(self, created_ms: int) -> None:
        """Mark all parts for a table that is new: BigQuery was switched on, or somebody has removed the table."""
        known = self._store.read(self._loading, Loading)
        if known is not None and known.table_created_ms == created_ms:
            return
        names = [name for name in self._store.names(parts_prefix(self._table.name)) if name.endswith(".parquet")]

        def mark(name: str) -> None:
            part = name.removesuffix(".parquet")
            self._store.put(pending_path(self._dataset, self._table.name, part), Pending(part=name))

        at_once(mark, names)

        def change(found: Loading | None) -> Loading:
            return Loading(table_created_ms=created_ms, failed_jobs=0 if found is None else found.failed_jobs)

        self._store.update(self._loading, Loading, change)

    def _load_parts(self, marks: Sequence[Mark]) -> int:
        """Load what `marks` name; return how many rows that is."""
        pending = at_once(lambda mark: self._store.read(mark.path, Pending), marks)
        parts = sorted({one.part for one in pending if one is not None})
        work = [self._name, *([mark.path, mark.generation] for mark in marks)]
        count = 0
        if parts:
            try:
                count = self._stage_and_merge(parts, work)
            except CloudRefused:
                gone = self._gone(parts)
                if not gone:
                    raise
                log.warning("%d parts of %s were removed from the bucket: %s", len(gone), self._name, gone[:10])
                marks = [mark for mark, one in zip(marks, pending, strict=True) if one is None or one.part in gone]
        at_once(self._done, marks)
        return count

    def _done(self, mark: Mark) -> None:
        if remove(self._store, mark):
            return
        # Another run loaded the same part: whose rows came last is not known.
        name = next(
            (one for one in self._store.names(parts_prefix(self._table.name)) if one.endswith(f"/{mark.name}.parquet")),
            None,
        )
        if name is not None:
            self._store.put(mark.path, Pending(part=name))

    def _gone(self, parts: Sequence[str]) -> list[str]:
        there = set(self._store.names(parts_prefix(self._table.name)))
        return [one for one in parts if one not in there]

    def _stage_and_merge(self, parts: Sequence[str], work: Sequence[Any]) -> int:
        from google.cloud import bigquery

        client, table = self._client, self._table
        load_id, merge_id = job_base(table.name, "load", work), job_base(table.name, "merge", work)
        staging = f"{self._config.project}.{self._dataset}.genops_staging_{table.name}_{load_id[-16:]}"
        uris = [self._config.uri(name) for name in parts]
        # A column of Parquet may be NULL, and BigQuery loads none such into a REQUIRED one; MERGE checks the values.
        staged = [bigquery.SchemaField(one.name, one.kind) for one in table.columns]

        def load(job_id: str) -> Any:
            wanted = bigquery.Table(staging, schema=staged)
            wanted.expires = datetime.now(UTC) + STAGING_LIFE
            client.create_table(wanted, exists_ok=True, **_patient())
            settings = bigquery.LoadJobConfig(
                source_format=bigquery.SourceFormat.PARQUET,
                schema=staged,
                write_disposition=bigquery.WriteDisposition.WRITE_TRUNCATE,
                labels={LABEL: table.name},
            )
            return client.load_table_from_uri(
                uris, staging, job_id=job_id, location=self._location, job_config=settings, **_patient()
            )

        def merge(job_id: str) -> Any:
            sql = merge_sql(table, target=self._name, staging=staging)
            settings = bigquery.QueryJobConfig(labels={LABEL: table.name})
            return client.query(
                sql, job_id=job_id, location=self._location, job_config=settings, job_retry=None, **_patient()
            )

        loaded = self._jobs.once(f"load {len(parts)} parts into {staging}", load_id, load)
        self._jobs.once(f"merge {staging} into {self._name}", merge_id, merge)
        with tables_call(self._config, f"remove {staging}"):
            client.delete_table(staging, not_found_ok=True, **_patient())
        return int(loaded.output_rows or 0)


def _patient() -> dict[str, Any]:
    return {"retry": idempotent_retry(), "timeout": CALL_TIMEOUT_SECONDS}


def _older_name(kind: str) -> str:
    return {"INT64": "INTEGER", "FLOAT64": "FLOAT", "BOOL": "BOOLEAN", "DECIMAL": "NUMERIC"}.get(kind, kind)
