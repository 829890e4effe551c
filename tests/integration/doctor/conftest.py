"""Fixtures of the tests of doctor."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from cloud import StandIn
from held import candidate
from tables_cloud import warehouse

__all__ = ["candidate", "warehouse"]


@pytest.fixture(autouse=True)
def bigquery(warehouse: StandIn) -> Iterator[StandIn]:
    """BigQuery, which the doctor looks at, too; faults that a test sets end with it."""
    yield warehouse
    warehouse.faults()
