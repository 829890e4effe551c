"""What datasets, tables and jobs are called, on the wire and in DuckDB."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from gcp_stand_ins.bigquery.database import quoted
from gcp_stand_ins.bigquery.errors import invalid, not_implemented

RESULTS = "_results"
"""Dataset of what queries leave that name no destination; it is in no listing."""
_ID = re.compile(r"\w{1,1024}")
_TABLE_ID = re.compile(r"[\w\- ]{1,1024}")
_JOB_ID = re.compile(r"[\w\-]{1,1024}")


@dataclass(frozen=True, slots=True)
class DatasetName:
    """A dataset of a project."""

    project: str
    dataset: str

    @classmethod
    def of(cls, reference: Any, project: str) -> Self:
        """Return the dataset that a `DatasetReference` names.

        Raises:
            ApiError: it is none.
        """
        named = reference.get("datasetId") if isinstance(reference, Mapping) else None
        if not isinstance(named, str) or not named:
            raise invalid("Required parameter is missing: datasetId")
        return cls(str(reference.get("projectId") or project), named)

    def __str__(self) -> str:
        return f"{self.project}:{self.dataset}"

    @property
    def schema(self) -> str:
        """Return the schema in DuckDB."""
        return RESULTS if self.dataset == RESULTS else str(self)

    def reference(self) -> dict[str, str]:
        """Return it as a `DatasetReference`."""
        return {"projectId": self.project, "datasetId": self.dataset}

    def checked(self) -> Self:
        """Return it, if it may be created.

        Raises:
            ApiError: it has characters that BigQuery does not take.
        """
        if not _ID.fullmatch(self.dataset) or self.dataset == RESULTS:
            raise invalid(f"Invalid dataset ID {self.dataset!r}: letters, digits and _, at most 1024.")
        return self


@dataclass(frozen=True, slots=True)
class TableName:
    """A table or view of a dataset."""

    project: str
    dataset: str
    table: str

    @classmethod
    def of(cls, reference: Mapping[str, Any], project: str) -> Self:
        """Return the table that a `TableReference` names.

        Raises:
            ApiError: it is incomplete, or names a partition.
        """
        names = (reference.get("projectId") or project, reference.get("datasetId"), reference.get("tableId"))
        if not all(isinstance(one, str) and one for one in names):
            raise invalid("A table is named by projectId, datasetId and tableId; one of them is missing.")
        in_project, dataset, table = map(str, names)
        if "$" in table:
            raise not_implemented(f"partition decorators ({table})")
        return cls(in_project, dataset, table)

    def __str__(self) -> str:
        return f"{self.project}:{self.dataset}.{self.table}"

    @property
    def parent(self) -> DatasetName:
        """Return its dataset."""
        return DatasetName(self.project, self.dataset)

    @property
    def sql(self) -> str:
        """Return what it is called in DuckDB, quoted."""
        return quoted(self.parent.schema, self.table)

    def reference(self) -> dict[str, str]:
        """Return it as a `TableReference`."""
        return {"projectId": self.project, "datasetId": self.dataset, "tableId": self.table}

    def checked(self) -> Self:
        """Return it, if it may be created.

        Raises:
            ApiError: it has characters that BigQuery does not take.
        """
        if not _TABLE_ID.fullmatch(self.table):
            raise invalid(f"Invalid table ID {self.table!r}: letters, digits, _, - and space, at most 1024.")
        return self


def checked_job_id(given: Any) -> str:
    """Return a job id that a client chose.

    Raises:
        ApiError: it has characters that BigQuery does not take.
    """
    if not isinstance(given, str) or not _JOB_ID.fullmatch(given):
        raise invalid(f"Invalid job ID {given!r}: letters, digits, _ and -, at most 1024.")
    return given
