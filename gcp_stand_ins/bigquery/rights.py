"""What the caller may do where the fault settings say that it may not do everything, and refusals as BigQuery words them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from gcp_stand_ins.bigquery.errors import ApiError
from gcp_stand_ins.bigquery.names import DatasetName, TableName

On = str | DatasetName | TableName
"""What a permission is needed on; a text is a project's id."""

_NEEDED: dict[str, tuple[str, Literal["project", "dataset", "table"]]] = {
    "datasets.insert": ("bigquery.datasets.create", "project"),
    "datasets.get": ("bigquery.datasets.get", "dataset"),
    "datasets.patch": ("bigquery.datasets.update", "dataset"),
    "datasets.update": ("bigquery.datasets.update", "dataset"),
    "datasets.delete": ("bigquery.datasets.delete", "dataset"),
    "tables.list": ("bigquery.tables.list", "dataset"),
    "tables.insert": ("bigquery.tables.create", "dataset"),
    "tables.get": ("bigquery.tables.get", "table"),
    "tables.patch": ("bigquery.tables.update", "table"),
    "tables.update": ("bigquery.tables.update", "table"),
    "tables.delete": ("bigquery.tables.delete", "table"),
    "tabledata.insertAll": ("bigquery.tables.updateData", "table"),
    "tabledata.list": ("bigquery.tables.getData", "table"),
    "jobs.insert": ("bigquery.jobs.create", "project"),
    "jobs.query": ("bigquery.jobs.create", "project"),
    "jobs.delete": ("bigquery.jobs.delete", "project"),
}
"""What each method needs, and on what. https://cloud.google.com/bigquery/docs/access-control (read 2026-12-01)"""
_OWN = {
    "datasets.list": "bigquery.datasets.get",
    "jobs.list": "bigquery.jobs.list",
    "jobs.get": "bigquery.jobs.get",
    "jobs.cancel": "bigquery.jobs.update",
    "jobs.getQueryResults": "bigquery.jobs.get",
}
"""Methods that need no permission for what is the caller's own: only a fault of this very method refuses them."""
ROLES: dict[str, frozenset[str]] = {
    "roles/bigquery.dataEditor": frozenset(
        {"bigquery.datasets.create", "bigquery.datasets.get"}
        | {f"bigquery.tables.{one}" for one in ("create", "delete", "get", "getData", "list", "update", "updateData")}
    ),
    "roles/bigquery.jobUser": frozenset({"bigquery.jobs.create"}),
}
"""Roles, granted on the project, with those of their permissions that something here needs.

https://github.com/iann0036/iam-dataset, gcp/roles at 078b24f (dataEditor) and 1818bc7 (jobUser), read 2026-12-01.
"""
PERMISSIONS = frozenset({*(one for one, _ in _NEEDED.values()), *_OWN.values()})


@dataclass(frozen=True, slots=True)
class Rights:
    """What the caller may do.

    Args:
        granted: permissions; None for all.
    """

    granted: frozenset[str] | None = None

    @classmethod
    def of(cls, named: Iterable[str] | None) -> Rights:
        """Return the rights that permissions and roles give; None gives all.

        Raises:
            ValueError: nobody knows one of them.
        """
        if named is None:
            return cls()
        granted: set[str] = set()
        for one in named:
            if one not in ROLES and one not in PERMISSIONS:
                raise ValueError(f"{one!r} is none of {', '.join([*ROLES, *sorted(PERMISSIONS)])}")
            granted |= ROLES.get(one, {one})
        return cls(frozenset(granted))

    def check(self, permission: str, on: On) -> None:
        """Refuse what needs `permission` on something.

        Raises:
            ApiError: 403, with the reason `accessDenied`.
        """
        if self.granted is not None and permission not in self.granted:
            raise _denied(permission, on)

    def check_call(self, method: str, place: Mapping[str, str]) -> None:
        """Refuse a call of `method` whose permission is not granted.

        Args:
            method: such as `tables.get`.
            place: `project`, and `dataset` and `table` where the path has them.

        Raises:
            ApiError: 403, with the reason `accessDenied`.
        """
        if method not in _OWN:
            self.check(*_needed(method, place))

    def check_query(self, table: TableName) -> None:
        """Refuse a query that reads a table.

        Raises:
            ApiError: 403, with the reason `accessDenied`.
        """
        if self.granted is not None and "bigquery.tables.getData" not in self.granted:
            # https://github.com/mozilla/bigquery-etl/issues/3193, read 2026-12-01
            text = f"User does not have permission to query table {table}, or perhaps it does not exist."
            raise ApiError("accessDenied", f"Access Denied: Table {table}: {text}")


def refusal(method: str, place: Mapping[str, str]) -> ApiError:
    """Return what a call of `method` is answered by one that may not make it; `place` as in `check_call`."""
    return _denied(*_needed(method, place))


def _needed(method: str, place: Mapping[str, str]) -> tuple[str, On]:
    permission, what = _NEEDED.get(method) or (_OWN[method], "project")
    match what:
        case "table":
            return permission, TableName(place["project"], place["dataset"], place["table"])
        case "dataset":
            return permission, DatasetName(place["project"], place["dataset"])
        case _:
            return permission, place["project"]


def _denied(permission: str, on: On) -> ApiError:
    """Return the refusal in BigQuery's words.

    Sources, read 2026-12-01: https://github.com/mozilla/bigquery-etl/issues/7581 (project),
    https://github.com/googleapis/repo-automation-bots/issues/5084 (dataset),
    https://github.com/GoogleCloudDataproc/spark-bigquery-connector/issues/478 (table).
    """
    match on:
        case TableName():
            text = f"Table {on}: Permission {permission} denied on table {on} (or it may not exist)."
        case DatasetName():
            text = f"Dataset {on}: Permission {permission} denied on dataset {on} (or it may not exist)."
        case _:
            text = f"Project {on}: User does not have {permission} permission in project {on}."
    return ApiError("accessDenied", f"Access Denied: {text}")
