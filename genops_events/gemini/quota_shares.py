"""Who may make how many calls in a block of seconds, where many processes share one quota. No I/O, no clock of its own.

Time is cut into blocks of `BLOCK_SECONDS` by the store's clock. Whoever wants a share of a block says so before the block
closes, by an entry in the store. From when it has settled, all see the same entries, so that each computes all shares by
itself, and all come to the same: there is nobody to ask, and nothing that two of them write (docs/adr/0025).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction

QUOTA_PERMILLE = 985
"""So much of a quota is used: calls that are made evenly arrive unevenly, and one that is refused is made twice."""
QUOTA_SHARE = QUOTA_PERMILLE / 1000

BLOCK_SECONDS = 5
"""Longer than the second that Cloud Storage wants between two writes to one object, and short: who comes waits for one or two."""
CLOSED_SECONDS = 1.0
"""A block takes no more entries from so long before it begins."""
SETTLED_SECONDS = 0.4
"""After it has closed; entries that were made in time can be seen by all from then on."""
MOST_SLOTS = 2000
"""Moments of a block at which calls may begin; where there are more permits than that, each moment has several."""


@dataclass(frozen=True, slots=True)
class Wish:
    """How many permits of a quota somebody could use in one block."""

    per_minute: int
    """The quota, as far as the one who wishes knows."""
    most: int | None = None
    """Permits; None for as many as can be had."""


@dataclass(frozen=True, slots=True)
class Slot:
    """A moment of a block from which some more calls may begin."""

    seconds: float
    """From the block's beginning."""
    permits: int


def block_at(seconds: float) -> int:
    """Return the block that a moment of the store's clock lies in, in seconds since 1970."""
    return math.floor(seconds / BLOCK_SECONDS)


def begins_at(block: int) -> float:
    """Return when a block begins, by the store's clock."""
    return float(block * BLOCK_SECONDS)


def closes_at(block: int) -> float:
    """Return when a block takes no more entries, by the store's clock."""
    return begins_at(block) - CLOSED_SECONDS


def settles_at(block: int) -> float:
    """Return from when on all see the same entries of a block, by the store's clock."""
    return closes_at(block) + SETTLED_SECONDS


def permits_of(per_minute: int, block: int) -> int:
    """Return how many calls may begin in one block: whole ones, whose fractions are carried from block to block."""

    def until(end: int) -> int:
        return per_minute * QUOTA_PERMILLE * BLOCK_SECONDS * end // (60 * 1000)

    return until(block + 1) - until(block)


def shares(wishes: Mapping[str, Wish], block: int) -> dict[str, int]:
    """Return the permits that each holder has in a block: as much to each as it wants, or as the others have.

    Args:
        wishes: by holder. Where they disagree about the quota, the lowest holds: configurations change while processes run.
        block: its number, which decides who has a permit more than others, by another order each time.
    """
    if not wishes:
        return {}
    left = permits_of(min(wish.per_minute for wish in wishes.values()), block)
    fair: dict[str, Fraction] = {}
    ranked = sorted(wishes, key=lambda holder: math.inf if (most := wishes[holder].most) is None else most)
    rest = Fraction(left)
    for number, holder in enumerate(ranked):
        most = wishes[holder].most
        each = rest / (len(ranked) - number)
        fair[holder] = each if most is None else min(Fraction(max(0, most)), each)
        rest -= fair[holder]
    # Whole permits: the sum of the first so many, rounded, less the sum of those before. No sum is ever above its fraction.
    found, total = {}, Fraction(0)
    for holder in _drawn(fair, block):
        before, total = total, total + fair[holder]
        found[holder] = math.floor(total) - math.floor(before)
    return found


def slots(given: Mapping[str, int], holder: str) -> list[Slot]:
    """Return the moments of a block at which one holder may begin its calls.

    The calls of all holders together are spaced evenly: sixty seconds from any moment on hold a minute's permits, and one
    moment's more at most. Bursts of each, however small, would add up at the beginning of each block.

    Args:
        given: permits by holder, from `shares`.
        holder: one of them.
    """
    total = sum(given.values())
    if not given.get(holder):
        return []
    bundle = math.ceil(total / MOST_SLOTS)
    counts = {name: math.ceil(permits / bundle) for name, permits in given.items() if permits}
    order = sorted(((number + 0.5) / count, name) for name, count in counts.items() for number in range(count))
    spacing = BLOCK_SECONDS / len(order)
    mine = [(number + 0.5) * spacing for number, (_, name) in enumerate(order) if name == holder]
    whole, more = divmod(given[holder], len(mine))
    return [Slot(seconds, whole + (number < more)) for number, seconds in enumerate(mine)]


def next_wish(*, used: int, waiting: bool) -> int | None:
    """Return how many permits somebody asks for in the next block: all it can get where it waits for one, or a few more than it used.

    Args:
        used: permits in the time of a block.
        waiting: whether a call waits for a permit now.
    """
    return None if waiting else used + used // 4 + 1


def _drawn(holders: Iterable[str], block: int) -> list[str]:
    """Return the holders in an order that is another in each block, and the same wherever it is computed."""
    return sorted(holders, key=lambda holder: hashlib.sha256(f"{block}/{holder}".encode()).digest())
