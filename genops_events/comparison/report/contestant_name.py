"""A contestant as all parts of the report call it: by number and name."""

from __future__ import annotations

from dataclasses import dataclass

from genops_events.reports import short


@dataclass(frozen=True, slots=True)
class ContestantName:
    """A contestant."""

    number: int
    """Its place among the contestants, from 1 on."""
    name: str


def contestant_name(number: int, name: str) -> ContestantName:
    """Return the contestant, with the beginning of its name where that is long."""
    return ContestantName(number, short(name))
