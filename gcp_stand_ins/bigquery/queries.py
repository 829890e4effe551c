"""Query jobs: run one statement, and keep what it leaves."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gcp_stand_ins.bigquery.catalog import Catalog
from gcp_stand_ins.bigquery.definitions import define
from gcp_stand_ins.bigquery.errors import ApiError, duplicate, not_found, not_implemented
from gcp_stand_ins.bigquery.merging import merge
from gcp_stand_ins.bigquery.names import DatasetName, TableName
from gcp_stand_ins.bigquery.results import fields_of_query, keep_result, refuse_null_elements
from gcp_stand_ins.bigquery.rights import Rights
from gcp_stand_ins.bigquery.schema import Field, checked_fields, columns_sql, same_type
from gcp_stand_ins.bigquery.sql import Statement, parse

_TAKEN = {
    *("query", "destinationTable", "createDisposition", "writeDisposition", "defaultDataset", "useLegacySql"),
    *("parameterMode", "queryParameters", "timePartitioning", "clustering", "priority", "useQueryCache"),
    *("allowLargeResults", "flattenResults", "maximumBytesBilled", "maximumBillingTier", "preserveNulls"),
}
_ADDS_ROWS = {"INSERT", "MERGE", "CREATE_TABLE_AS_SELECT"}
_COUNTS = {"INSERT": "insertedRowCount", "UPDATE": "updatedRowCount", "DELETE": "deletedRowCount"}


@dataclass(frozen=True, slots=True)
class Queries:
    """Runs statements against the catalog; every method runs inside a transaction."""

    catalog: Catalog

    def checked(self, config: Mapping[str, Any], project: str) -> Statement:
        """Return the statement of a query job.

        Raises:
            ApiError: it cannot be read, or something in the configuration is not implemented.
        """
        if config.get("useLegacySql", True):
            raise not_implemented("legacy SQL (useLegacySql)")
        if unknown := sorted(name for name in set(config) - _TAKEN if config[name]):
            raise not_implemented(f"configuration.query.{unknown[0]}")
        given = config.get("defaultDataset")
        default = DatasetName.of(given, project) if given else None
        return parse(
            str(config.get("query") or ""),
            project=project,
            default=default,
            parameters=config.get("queryParameters") or (),
        )

    def plan(self, config: Mapping[str, Any], project: str, rights: Rights) -> dict[str, Any]:
        """Return the statistics of a dry run: nothing is changed."""
        statement = self.checked(config, project)
        _check_rights(rights, statement, config, project)
        for one in statement.reads:
            self.catalog.fields(one)
        figures: dict[str, Any] = {"statementType": statement.kind, "totalBytesProcessed": "0", "cacheHit": False}
        if statement.kind == "SELECT":
            figures["schema"] = {"fields": fields_of_query(self.catalog.database, statement.sql)}
        elif statement.kind != "MERGE" and not statement.kind.startswith(("CREATE", "DROP")):
            self.catalog.database.execute(f"EXPLAIN {statement.sql}")
        return figures

    def run(
        self, config: Mapping[str, Any], project: str, job: str, *, rights: Rights, full: bool
    ) -> tuple[dict[str, Any], TableName | None]:
        """Run a query job; return its statistics, and the table that its rows are in, if it has any.

        Args:
            config: `configuration.query`.
            project: of tables that name none.
            job: its id.
            rights: of the caller.
            full: no table takes a row more.
        """
        statement = self.checked(config, project)
        _check_rights(rights, statement, config, project)
        adds = statement.kind in _ADDS_ROWS or (statement.kind == "SELECT" and config.get("destinationTable"))
        if full and adds:
            raise ApiError("quotaExceeded", "Quota exceeded: no table takes a row more (injected fault).")
        for one in statement.reads:
            self.catalog.fields(one)
        figures: dict[str, Any] = {"statementType": statement.kind, "totalBytesProcessed": "0", "cacheHit": False}
        if statement.kind == "SELECT":
            destination = self._select(config, project, job, statement)
            figures["schema"] = {"fields": self.catalog.fields(destination)}
            return figures, destination
        if statement.kind.startswith(("CREATE", "DROP")):
            query = statement.tree.args.get("expression")
            text = "" if query is None else _after_as(str(config["query"]))
            figures["ddlOperationPerformed"] = define(self.catalog, statement, text)
            if statement.target is not None:
                figures["ddlTargetTable"] = statement.target.reference()
            return figures, None
        return figures | self._change(statement), None

    def _change(self, statement: Statement) -> dict[str, Any]:
        assert statement.target is not None
        if self.catalog.is_view(statement.target):
            raise ApiError("invalidQuery", f"{statement.kind} of a view is not possible: {statement.target}")
        database = self.catalog.database
        if statement.kind == "MERGE":
            counts = merge(database, statement.tree, self.catalog.fields(statement.target))  # type: ignore[arg-type]
        elif statement.kind == "TRUNCATE_TABLE":
            counts = {"deletedRowCount": database.rows(statement.sql)[0][0]}
        else:
            counts = {_COUNTS[statement.kind]: database.rows(statement.sql)[0][0]}
        self.catalog.touch(statement.target)
        return {
            "numDmlAffectedRows": str(sum(counts.values())),
            "dmlStats": {name: str(number) for name, number in counts.items()},
        }

    def _select(self, config: Mapping[str, Any], project: str, job: str, statement: Statement) -> TableName:
        database = self.catalog.database
        name = _destination(config, project)
        if name is None:
            return keep_result(database, project, job, statement.sql)[0]
        fields = fields_of_query(database, statement.sql)
        layout = {key: config[key] for key in ("timePartitioning", "clustering") if config.get(key)}
        # What is replaced may be read by the query itself.
        database.execute(f'CREATE OR REPLACE TEMP TABLE "_selected" AS {statement.sql}')
        refuse_null_elements(database, '"_selected"', fields)
        prepare(
            self.catalog, name, config, {**layout, "schema": {"fields": checked_fields(fields)}}, default="WRITE_EMPTY"
        )
        columns = ", ".join('"' + one["name"].replace('"', '""') + '"' for one in fields)
        database.execute(f'INSERT INTO {name.sql} ({columns}) SELECT * FROM "_selected"')  # noqa: S608
        database.execute('DROP TABLE "_selected"')
        self.catalog.touch(name)
        return name


def _destination(config: Mapping[str, Any], project: str) -> TableName | None:
    """Return the table that the job names for its rows; those of others are in a hidden dataset."""
    given = config.get("destinationTable")
    if not given or str(given.get("datasetId", "")).startswith("_"):
        return None
    return TableName.of(given, project)


def _check_rights(rights: Rights, statement: Statement, config: Mapping[str, Any], project: str) -> None:
    """Refuse a statement that the caller may not run.

    Raises:
        ApiError: 403, with the reason `accessDenied`.
    """
    for one in statement.reads:
        rights.check_query(one)
    destination = _destination(config, project)
    target = destination or statement.target
    match statement.kind.partition("_")[0], statement.dataset:
        case "CREATE", None:
            assert target is not None
            rights.check("bigquery.tables.create", target.parent)
        case "DROP", None:
            assert target is not None
            rights.check("bigquery.tables.delete", target)
        case "CREATE", DatasetName(project=of):
            rights.check("bigquery.datasets.create", of)
        case "DROP", DatasetName() as dataset:
            rights.check("bigquery.datasets.delete", dataset)
        case _ if target is not None:
            if destination is not None:
                # https://github.com/hashicorp/terraform-provider-google/issues/9577, read 2026-12-01: also where the table is there
                rights.check("bigquery.tables.create", target.parent)
            rights.check("bigquery.tables.updateData", target)


def prepare(
    catalog: Catalog, name: TableName, config: Mapping[str, Any], given: Mapping[str, Any], *, default: str
) -> None:
    """Make a job's destination ready for its rows, as its dispositions say.

    Args:
        catalog: what is there.
        name: the destination.
        config: has `createDisposition` and `writeDisposition`.
        given: schema and layout of the table, for where it is created or replaced; without a schema, it has to be there.
        default: the `writeDisposition` of such jobs.

    Raises:
        ApiError: the dispositions do not allow it, or the table has another schema.
    """
    disposition = config.get("writeDisposition") or default
    fields = (given.get("schema") or {}).get("fields")
    if not catalog.exists(name):
        if config.get("createDisposition") == "CREATE_NEVER":
            raise not_found("Table", str(name))
        if not fields:
            raise ApiError("invalid", "No schema specified on job or table.", location=name.table)
        catalog.create_table(name, given)
        return
    if catalog.is_view(name):
        raise ApiError("invalid", f"{name} is a view, and takes no rows.")
    if disposition == "WRITE_EMPTY" and catalog.database.rows(f"SELECT 1 FROM {name.sql} LIMIT 1"):  # noqa: S608
        raise duplicate("Table", str(name))
    if disposition in {"WRITE_TRUNCATE", "WRITE_TRUNCATE_DATA"}:
        catalog.database.execute(f"DELETE FROM {name.sql}")  # noqa: S608
        if fields and columns_sql(fields) != columns_sql(catalog.fields(name)):
            catalog.replace_schema(name, checked_fields(fields))
        return
    _check_fits(catalog, name, fields or ())


def _check_fits(catalog: Catalog, name: TableName, fields: Sequence[Field]) -> None:
    """Refuse a schema that names other columns than the table has."""
    known = {one["name"].lower(): one for one in catalog.fields(name)}
    for one in fields:
        there = known.get(one["name"].lower())
        refusal = f"Provided Schema does not match Table {name}."
        if there is None:
            raise ApiError("invalid", f"{refusal} Cannot add fields (field: {one['name']})", location=one["name"])
        if not same_type(there, one):
            text = f"{refusal} Field {one['name']} has changed type from {there['type']} to {one['type']}"
            raise ApiError("invalid", text, location=one["name"])


def _after_as(query: str) -> str:
    """Return the query of a CREATE VIEW … AS, as it was written."""
    found = re.search(r"\bAS\b\s*(?=\(|SELECT\b|WITH\b|FROM\b)", query, re.IGNORECASE)
    return query[found.end() :].strip().rstrip(";") if found else query
