"""Put the parameters of a query into its syntax tree, as typed literals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlglot import exp

from gcp_stand_ins.bigquery.errors import invalid, not_implemented
from gcp_stand_ins.bigquery.schema import DUCKDB

_OLDER_NAMES = {"INT64": "INTEGER", "FLOAT64": "FLOAT", "BOOL": "BOOLEAN", "DECIMAL": "NUMERIC"}


def with_parameters(tree: exp.Expr, given: Sequence[Mapping[str, Any]]) -> exp.Expr:
    """Return the tree with every `@name` and `?` replaced by its value.

    Raises:
        ApiError: a parameter is used and not given, or has no usable value.
    """
    named = {str(one["name"]).lower(): one for one in given if one.get("name")}
    positional = iter([one for one in given if not one.get("name")])

    def replaced(node: exp.Expr) -> exp.Expr:
        if isinstance(node, exp.Parameter):
            found = named.get(node.name.lower())
            if found is None:
                raise invalid(f"Query parameter '{node.name}' not found", location="query")
            return _value(found)
        if isinstance(node, exp.Placeholder):
            found = next(positional, None)
            if found is None:
                raise invalid("Query parameter not found: more ? than positional parameters", location="query")
            return _value(found)
        return node

    return tree.transform(replaced, copy=False)


def as_answered(configuration: Mapping[str, Any]) -> dict[str, Any]:
    """Return a job's configuration as answers have it: values of parameters are text, null is left out, counts are numbers."""
    told = dict(configuration)
    if (load := told.get("load")) is not None:
        counts = {name: int(load[name]) for name in ("skipLeadingRows", "maxBadRecords") if load.get(name) is not None}
        told["load"] = {**load, **counts}
    if (query := told.get("query")) is not None and query.get("queryParameters"):
        told["query"] = {**query, "queryParameters": [_told(one) for one in query["queryParameters"]]}
    return told


def _told(value: Any) -> Any:
    if isinstance(value, list):
        return [_told(one) for one in value]
    if not isinstance(value, Mapping):
        return value
    return {name: _text(one) if name == "value" else _told(one) for name, one in value.items() if one is not None}


def _text(value: Any) -> Any:
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int | float) else _told(value)


def _value(parameter: Mapping[str, Any]) -> exp.Expr:
    return _typed(parameter.get("parameterType") or {}, parameter.get("parameterValue") or {})


def _typed(kind: Mapping[str, Any], value: Mapping[str, Any]) -> exp.Expr:
    name = str(kind.get("type")).upper()
    if name == "ARRAY":
        inner = kind.get("arrayType") or {}
        items = [_typed(inner, one) for one in value.get("arrayValues") or []]
        return exp.cast(exp.Array(expressions=items), _data_type(kind))
    if name in {"STRUCT", "RECORD"}:
        values = value.get("structValues") or {}
        parts = [
            exp.PropertyEQ(
                this=exp.to_identifier(one["name"]), expression=_typed(one["type"], values.get(one["name"]) or {})
            )
            for one in kind.get("structTypes") or []
        ]
        return exp.Struct(expressions=parts)
    literal = value.get("value")
    if literal is None:
        return exp.cast(exp.null(), _data_type(kind))
    if name == "BYTES":
        return exp.Anonymous(this="from_base64", expressions=[exp.Literal.string(str(literal))])
    return exp.cast(exp.Literal.string(str(literal)), _data_type(kind))


def _data_type(kind: Mapping[str, Any]) -> exp.DataType:
    return exp.DataType.build(_duckdb(kind), dialect="duckdb")


def _duckdb(kind: Mapping[str, Any]) -> str:
    name = str(kind.get("type")).upper()
    if name == "ARRAY":
        return f"{_duckdb(kind.get('arrayType') or {})}[]"
    found = DUCKDB.get(_OLDER_NAMES.get(name, name))
    if found is None:
        raise not_implemented(f"parameters of type {name} there")
    return found
