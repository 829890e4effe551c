"""Fixtures of the tests of promotion."""

from __future__ import annotations

from person_asked import asking, server, supervisor

__all__ = ["asking", "server", "supervisor"]
