"""Fixtures of the tests of airflow."""

from __future__ import annotations

from evaluations import candidate, endpoint, settings

__all__ = ["candidate", "endpoint", "settings"]
