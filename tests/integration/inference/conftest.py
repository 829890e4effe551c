"""Fixtures of the tests of inference."""

from __future__ import annotations

from answered_online import candidate, settings

__all__ = ["candidate", "settings"]
