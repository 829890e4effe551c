"""Fixtures of the tests of tables."""

from __future__ import annotations

from tables_cloud import wanted, warehouse

__all__ = ["wanted", "warehouse"]
