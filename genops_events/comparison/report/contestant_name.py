"""Number and name of a contestant, as all parts of the report show them."""

from __future__ import annotations

from dataclasses import dataclass

from genops_events.reports import short


@dataclass(frozen=True, slots=True)
class ContestantName:
    """Number and name of a contestant."""

    number: int
    """Position among the contestants, from 1 on."""
    name: str


def contestant_name(number: int, name: str) -> ContestantName:
    """Return number and name of a contestant; a long name is shortened."""
    return ContestantName(number, short(name))
