"""Fixtures of the tests of comparison."""

from __future__ import annotations

from comparisons import compared
from evaluations import candidate, endpoint, settings
from tables_cloud import wanted, warehouse

__all__ = ["candidate", "compared", "endpoint", "settings", "wanted", "warehouse"]
