"""Fixtures of the tests of cascade."""

from __future__ import annotations

from held import candidate

__all__ = ["candidate"]
