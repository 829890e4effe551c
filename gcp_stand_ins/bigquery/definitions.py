"""CREATE and DROP: statements that make and remove tables, views and datasets."""

from __future__ import annotations

from typing import Any

from sqlglot import exp

from gcp_stand_ins.bigquery.catalog import Catalog
from gcp_stand_ins.bigquery.errors import not_implemented
from gcp_stand_ins.bigquery.names import DatasetName, TableName
from gcp_stand_ins.bigquery.results import fields_of_query
from gcp_stand_ins.bigquery.schema import Field, checked_fields
from gcp_stand_ins.bigquery.sql import Statement, duckdb_sql, parse


def define(catalog: Catalog, statement: Statement, view_query: str) -> str:
    """Run a CREATE or DROP; return `ddlOperationPerformed`: CREATE, REPLACE, SKIP or DROP.

    Args:
        catalog: what is there.
        statement: what is to be done.
        view_query: the text of a view, as the client wrote it.
    """
    tree = statement.tree
    if statement.dataset is not None:
        return _dataset(catalog, tree, statement.dataset)
    assert statement.target is not None
    if isinstance(tree, exp.Drop):
        if not catalog.exists(statement.target) and tree.args.get("exists"):
            return "SKIP"
        catalog.delete_table(statement.target)
        return "DROP"
    done = "CREATE"
    if catalog.exists(statement.target):
        if tree.args.get("exists"):
            return "SKIP"
        if tree.args.get("replace"):
            catalog.delete_table(statement.target)
            done = "REPLACE"
    if statement.kind == "CREATE_VIEW":
        create_view(catalog, statement.target, {}, statement, view_query)
    else:
        _table(catalog, statement, statement.target)
    return done


def create_view(
    catalog: Catalog, name: TableName, given: dict[str, Any], statement: Statement, query: str
) -> dict[str, Any]:
    """Create a view and return it.

    Args:
        catalog: what is there.
        name: of the view.
        given: its resource, as far as it has one.
        statement: its query, or the CREATE VIEW that has it.
        query: its text in BigQuery's dialect.
    """
    for one in statement.reads:
        catalog.fields(one)
    tree = statement.tree.args["expression"] if isinstance(statement.tree, exp.Create) else statement.tree
    fields = fields_of_query(catalog.database, duckdb_sql(tree))
    view = {**(given.get("view") or {}), "query": query, "useLegacySql": False}
    created = catalog.create_table(name, {**given, "schema": {"fields": fields}, "view": view})
    catalog.database.execute(f"CREATE VIEW {name.sql} AS {duckdb_sql(tree)}")
    return created


def view_from_resource(catalog: Catalog, name: TableName, given: dict[str, Any]) -> dict[str, Any]:
    """Create the view that a table resource describes, and return it."""
    view = given["view"]
    if view.get("useLegacySql", True):
        raise not_implemented("views in legacy SQL (view.useLegacySql)")
    query = str(view.get("query"))
    return create_view(catalog, name, given, parse(query, project=name.project, default=None), query)


def _dataset(catalog: Catalog, tree: exp.Expr, name: DatasetName) -> str:
    there = catalog.database.get("dataset", str(name)) is not None
    if isinstance(tree, exp.Drop):
        if not there and tree.args.get("exists"):
            return "SKIP"
        catalog.delete_dataset(name, contents=bool(tree.args.get("cascade")))
        return "DROP"
    if there and tree.args.get("exists"):
        return "SKIP"
    catalog.create_dataset(name, {})
    return "CREATE"


def _table(catalog: Catalog, statement: Statement, name: TableName) -> None:
    tree = statement.tree
    query = tree.args.get("expression")
    if query is not None:
        for one in statement.reads:
            catalog.fields(one)
        fields = fields_of_query(catalog.database, duckdb_sql(query))
    elif isinstance(tree.this, exp.Schema):
        fields = checked_fields([_field(one) for one in tree.this.expressions if isinstance(one, exp.ColumnDef)])
    else:
        raise not_implemented("CREATE TABLE without columns (LIKE, COPY, CLONE)")
    catalog.create_table(name, {"schema": {"fields": fields}, **_layout(tree)})
    if query is not None:
        catalog.database.execute(f"INSERT INTO {name.sql} {duckdb_sql(query)}")


def _layout(tree: exp.Expr) -> dict[str, Any]:
    """Return `timePartitioning` and `clustering` as the statement says."""
    found: dict[str, Any] = {}
    properties = tree.args.get("properties")
    for one in properties.expressions if properties is not None else ():
        if isinstance(one, exp.PartitionedByProperty):
            columns = list(one.find_all(exp.Column))
            unit = one.find(exp.Var)
            if len(columns) != 1:
                raise not_implemented(f"PARTITION BY {one.this.sql(dialect='bigquery')}")
            found["timePartitioning"] = {"type": unit.name.upper() if unit else "DAY", "field": columns[0].name}
        elif isinstance(one, exp.ClusterProperty):
            found["clustering"] = {"fields": [column.name for column in one.find_all(exp.Column)]}
    return found


def _field(column: exp.ColumnDef) -> Field:
    constraints = {type(one.kind) for one in column.args.get("constraints") or ()}
    field = _typed(column.name, column.args["kind"])
    return {**field, "mode": "REQUIRED"} if exp.NotNullColumnConstraint in constraints else field


def _typed(name: str, kind: exp.DataType) -> Field:
    if kind.this == exp.DType.ARRAY:
        return {**_typed(name, kind.expressions[0]), "mode": "REPEATED"}
    if kind.this == exp.DType.STRUCT:
        return {"name": name, "type": "RECORD", "fields": [_field(one) for one in kind.expressions]}
    return {"name": name, "type": kind.sql(dialect="bigquery").partition("(")[0]}
