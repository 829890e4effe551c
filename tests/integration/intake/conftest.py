"""Fixtures of the tests of intake."""

from __future__ import annotations

from triggerer import arrivals, settled

__all__ = ["arrivals", "settled"]
