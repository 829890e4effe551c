"""What MERGE means to BigQuery beyond what DuckDB makes of it."""

from __future__ import annotations

from collections.abc import Sequence

from sqlglot import exp

from gcp_stand_ins.bigquery.database import Database, quoted
from gcp_stand_ins.bigquery.errors import ApiError
from gcp_stand_ins.bigquery.schema import Field
from gcp_stand_ins.bigquery.sql import duckdb_sql

_COUNTS = {"INSERT": "insertedRowCount", "UPDATE": "updatedRowCount", "DELETE": "deletedRowCount"}


def merge(database: Database, tree: exp.Merge, fields: Sequence[Field]) -> dict[str, int]:
    """Run a MERGE; return its `dmlStats`.

    Raises:
        ApiError: a row of the target would be changed by more than one row of the source, of which DuckDB would take any.
    """
    clauses = tree.args["whens"].expressions
    if any(_changes(one) for one in clauses):
        _refuse_ambiguous(database, tree)
    for one in clauses:
        then = one.args["then"]
        if isinstance(then, exp.Insert) and isinstance(then.this, exp.Var) and then.this.name.upper() == "ROW":
            columns = [exp.column(each["name"], quoted=True) for each in fields]
            whole = exp.Insert(
                this=exp.Tuple(expressions=columns), expression=exp.Tuple(expressions=[each.copy() for each in columns])
            )
            one.set("then", whole)
    actions = [action for (action,) in database.rows(f"{duckdb_sql(tree)} RETURNING merge_action")]
    return {count: actions.count(action) for action, count in _COUNTS.items()}


def _changes(clause: exp.When) -> bool:
    then = clause.args["then"]
    changes = isinstance(then, exp.Update) or (isinstance(then, exp.Var) and then.name.upper() == "DELETE")
    return bool(clause.args.get("matched")) and changes


def _refuse_ambiguous(database: Database, tree: exp.Merge) -> None:
    target = tree.this
    alias = quoted(target.alias_or_name)
    found = database.rows(
        f"SELECT 1 FROM {duckdb_sql(target)} JOIN {duckdb_sql(tree.args['using'])} ON {duckdb_sql(tree.args['on'])} "  # noqa: S608
        f"GROUP BY {alias}.rowid HAVING count(*) > 1 LIMIT 1"
    )
    if found:
        raise ApiError(
            "invalidQuery",
            "UPDATE/MERGE must match at most one source row for each target row",
            location="query",
        )
