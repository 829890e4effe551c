"""Turn a statement of BigQuery's SQL into DuckDB's: its tables, its parameters, and what the two do differently."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlglot
from sqlglot import exp
from sqlglot.errors import ErrorLevel, SqlglotError, UnsupportedError

from gcp_stand_ins.bigquery.errors import ApiError, invalid, not_implemented
from gcp_stand_ins.bigquery.names import DatasetName, TableName
from gcp_stand_ins.bigquery.parameters import with_parameters

_TYPES: dict[type[exp.Expr], str] = {
    exp.Insert: "INSERT",
    exp.Update: "UPDATE",
    exp.Delete: "DELETE",
    exp.Merge: "MERGE",
    exp.TruncateTable: "TRUNCATE_TABLE",
}


@dataclass(slots=True)
class Statement:
    """One statement whose tables carry their names in DuckDB."""

    kind: str
    """BigQuery's `statementType`."""
    tree: exp.Expr
    target: TableName | None = None
    """What it writes to, creates or drops."""
    reads: list[TableName] = field(default_factory=list)
    """Every table that it names, the target too, unless it creates or drops that."""
    dataset: DatasetName | None = None
    """The dataset that it creates or drops."""

    @property
    def sql(self) -> str:
        """Return it as DuckDB's SQL."""
        return duckdb_sql(self.tree)


def duckdb_sql(tree: exp.Expr) -> str:
    """Return a tree as DuckDB's SQL.

    Raises:
        ApiError: DuckDB has no words for some of it.
    """
    try:
        return tree.sql(dialect="duckdb", unsupported_level=ErrorLevel.RAISE)
    except UnsupportedError as error:
        raise not_implemented(f"a part of this SQL: {error}") from None


def parse(
    sql: str, *, project: str, default: DatasetName | None, parameters: Sequence[Mapping[str, Any]] = ()
) -> Statement:
    """Return the one statement in `sql`.

    Args:
        sql: in BigQuery's dialect.
        project: of tables that name none.
        default: dataset of tables that name none.
        parameters: `queryParameters`.

    Raises:
        ApiError: a syntax error, several statements, something that is not implemented.
    """
    try:
        found = [one for one in sqlglot.parse(sql, read="bigquery") if one is not None]
    except SqlglotError as error:
        first = (getattr(error, "errors", None) or [{}])[0]
        where = f" at [{first.get('line')}:{first.get('col')}]" if first else ""
        said = first.get("description") or str(error)
        raise ApiError("invalidQuery", f"Syntax error: {said}{where}", location="query") from None
    if len(found) != 1:
        raise not_implemented(f"a query of {len(found)} statements: it takes one at a time")
    tree = with_parameters(found[0], parameters)
    _adapt(tree)
    return _Resolver(project, default).statement(tree)


def _adapt(tree: exp.Expr) -> None:
    """Write what sqlglot would not translate by itself."""
    for kind in list(tree.find_all(exp.DataType)):
        if kind.this == exp.DType.DECIMAL and not kind.expressions:
            kind.set("expressions", [exp.DataTypeParam(this=exp.Literal.number(n)) for n in (38, 9)])
        elif kind.this in {exp.DType.BIGDECIMAL, exp.DType.GEOGRAPHY, exp.DType.INTERVAL}:
            raise not_implemented(f"the type {kind.this.value}")
    for one in list(tree.find_all(exp.JSONExtractScalar)):
        path = one.expression.sql(dialect="duckdb")
        given = exp.Anonymous(this="json_extract_string", expressions=[one.this.copy(), exp.Var(this=path)])
        one.replace(given)
    _adapt_aggregates(tree)


def _adapt_aggregates(tree: exp.Expr) -> None:
    for nulls in list(tree.find_all(exp.RespectNulls)):
        if isinstance(nulls.this, exp.ArrayAgg):
            nulls.replace(nulls.this)  # as both do by themselves
    for having in tree.find_all(exp.HavingMax):
        if not isinstance(having.parent, exp.AnyValue):
            raise not_implemented("HAVING MAX and HAVING MIN in aggregates other than ANY_VALUE")
    for aggregate in list(tree.find_all(exp.ArrayAgg, exp.GroupConcat)):
        if isinstance(aggregate.this, exp.Limit):
            _cut(aggregate)


def _cut(aggregate: exp.Expr) -> None:
    """Write `ARRAY_AGG(… LIMIT n)` or `STRING_AGG(… LIMIT n)` as the first n items of the whole list: DuckDB has no LIMIT there."""
    limit = aggregate.this
    ordered = limit.this
    value = ordered.this if isinstance(ordered, exp.Order) else ordered
    value = value.expressions[0] if isinstance(value, exp.Distinct) else value
    whole: exp.Expr = exp.ArrayAgg(this=ordered.copy())
    place = aggregate.parent if isinstance(aggregate.parent, exp.IgnoreNulls) else aggregate
    if isinstance(place.parent, exp.Window):
        # https://cloud.google.com/bigquery/docs/reference/standard-sql/aggregate_functions#array_agg (read 2026-12-01)
        raise ApiError("invalidQuery", "LIMIT in an aggregate cannot be together with OVER", location="query")
    if isinstance(aggregate, exp.GroupConcat) or place is not aggregate:
        there = exp.Not(this=exp.Is(this=value.copy(), expression=exp.null()))
        whole = exp.Filter(this=whole, expression=exp.Where(this=there))
    first = exp.Anonymous(this="list_slice", expressions=[whole, exp.Literal.number(1), limit.expression.copy()])
    if isinstance(aggregate, exp.GroupConcat):
        separator = aggregate.args.get("separator") or exp.Literal.string(",")
        first = exp.Anonymous(this="array_to_string", expressions=[first, separator.copy()])
    place.replace(first)


class _Resolver:
    """Finds out what each name of a table stands for."""

    def __init__(self, project: str, default: DatasetName | None) -> None:
        self._project = project
        self._default = default

    def statement(self, tree: exp.Expr) -> Statement:
        """Return the statement with every table renamed."""
        if isinstance(tree, (exp.Create, exp.Drop)):
            return self._definition(tree)
        kind = "SELECT" if isinstance(tree, exp.Query) else _TYPES.get(type(tree))
        if kind is None:
            raise not_implemented(f"{tree.key.upper()} statements")
        target = None
        if not isinstance(tree, exp.Query):
            target = self.name_of(_target_table(tree))
            if isinstance(tree, (exp.Update, exp.Delete)) and tree.args.get("where") is None:
                raise ApiError("invalidQuery", f"{kind} must have a WHERE clause", location="query")
        reads = self._rename(tree)
        if isinstance(tree, exp.Query):
            _name_columns(tree)
        return Statement(kind, tree, target, reads)

    def _definition(self, tree: exp.Create | exp.Drop) -> Statement:
        verb, what = tree.key.upper(), str(tree.args.get("kind")).upper()
        named = tree.args["tables"][0] if isinstance(tree, exp.Drop) else tree.this
        named = named.this if isinstance(named, exp.Schema) else named
        if what == "SCHEMA":
            dataset = DatasetName(named.catalog or self._project, named.db)
            return Statement(f"{verb}_SCHEMA", tree, dataset=dataset)
        if what not in {"TABLE", "VIEW"}:
            raise not_implemented(f"{verb} {what}")
        target = self.name_of(named)
        query = tree.args.get("expression")
        reads: list[TableName] = []
        if isinstance(query, exp.Query):
            reads = self._rename(query)
            _name_columns(query)
        kind = f"{verb}_{what}" + ("_AS_SELECT" if what == "TABLE" and query is not None else "")
        return Statement(kind, tree, target, reads)

    def _rename(self, tree: exp.Expr) -> list[TableName]:
        """Give every table its name in DuckDB; return what they were."""
        if next(tree.find_all(exp.Lateral), None) is not None:
            # BigQuery has no LATERAL; DuckDB would call a function of its own by it.
            raise not_implemented("LATERAL")
        local = {one.alias.lower() for one in tree.find_all(exp.CTE)}
        found = []
        for table in list(tree.find_all(exp.Table)):
            if not isinstance(table.this, exp.Identifier):
                # DuckDB has some that read files of this machine, and BigQuery none of those.
                raise not_implemented(f"the table function {table.this.sql(dialect='bigquery').partition('(')[0]}")
            if not table.db and table.name.lower() in local:
                continue
            if table.args.get("version") is not None or table.args.get("when") is not None:
                raise not_implemented("FOR SYSTEM_TIME AS OF")
            name = self.name_of(table)
            found.append(name)
            table.set("catalog", None)
            table.set("db", exp.to_identifier(name.parent.schema, quoted=True))
            table.set("this", exp.to_identifier(name.table, quoted=True))
        return found

    def name_of(self, table: exp.Table) -> TableName:
        """Return the table that `project.dataset.table` or less of it names."""
        if "information_schema" in f"{table.db}.{table.name}".lower():
            raise not_implemented("INFORMATION_SCHEMA")
        if "*" in table.name:
            raise not_implemented("wildcard tables")
        if table.db:
            return TableName(table.catalog or self._project, table.db, table.name)
        if self._default is None:
            name = table.name
            raise ApiError(
                "invalid", f'Table "{name}" must be qualified with a dataset (e.g. dataset.table).', location=name
            )
        return TableName(self._default.project, self._default.dataset, table.name)


def _target_table(tree: exp.Expr) -> exp.Table:
    found = tree.expressions[0] if isinstance(tree, exp.TruncateTable) else tree.this
    found = found.this if isinstance(found, exp.Schema) else found
    if not isinstance(found, exp.Table):
        raise invalid(f"This {tree.key.upper()} names no table.", location="query")
    return found


def _name_columns(tree: exp.Query) -> None:
    """Call columns without a name f0_, f1_ … as BigQuery does, and refuse names that are there twice."""
    if not isinstance(tree, exp.Select):
        return
    number = 0
    for one in list(tree.expressions):
        if not isinstance(one, (exp.Alias, exp.Column, exp.Dot)) and not one.is_star:
            one.replace(exp.alias_(one.copy(), f"f{number}_"))
            number += 1
    names = [one.alias_or_name.lower() for one in tree.expressions if not one.is_star]
    if twice := sorted({one for one in names if names.count(one) > 1}):
        text = f"Duplicate column names in the result are not supported. Found duplicate(s): {', '.join(twice)}"
        raise ApiError("invalidQuery", text, location="query")
