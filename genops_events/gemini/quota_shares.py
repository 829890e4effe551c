"""Divide a quota among the processes that share it, for one block of seconds. No I/O, no clock of its own.

Time is cut into blocks of `BLOCK_SECONDS` by the store's clock. A process that wants a share of a block writes an entry into
the store before the block closes. Once the block has settled, all processes see the same entries, and each computes the
same shares by itself: there is no coordinator, and no object that is written twice (docs/adr/0025).

What nobody has asked for in time is the rest of the block. It is cut into pieces of a quarter of a second, and a piece belongs
to the first process that claims it: so a process that begins within a block, or needs more than it had expected, does not wait
for the next block.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction

QUOTA_PERMILLE = 985
"""Share of a quota that is used, in thousandths: evenly made calls arrive unevenly, and a refused call is made twice."""
QUOTA_SHARE = QUOTA_PERMILLE / 1000

BLOCK_SECONDS = 5
"""Longer than the second that Cloud Storage asks for between two writes to one object, and short: where a quota is used up, a new process waits for one or two blocks."""
CLOSED_SECONDS = 1.0
"""A block closes, and takes no more entries, so many seconds before it begins."""
SETTLED_SECONDS = 0.4
"""A block settles so many seconds after it has closed: from then on, all processes see the entries that were made in time."""
PIECES = 20
"""Pieces of a block's rest."""
PIECE_SECONDS = BLOCK_SECONDS / PIECES
"""The permits of a piece may be used at any moment of it."""
FIRST_PARTS = 8
"""A process with a call that waits asks for a block divided by this at least."""
REST = "rest"
"""In the place of a holder: what is left when each has what it asked for."""
MOST_SLOTS = 2000
"""Most moments of a block at which calls may begin; where there are more permits than that, each moment has several."""


@dataclass(frozen=True, slots=True)
class Demand:
    """Permits of a quota that one process can use in one block."""

    per_minute: int
    """The quota, by this process's configuration."""
    most: int | None = None
    """Number of permits; None for as many as possible."""


@dataclass(frozen=True, slots=True)
class Slot:
    """A moment of a block from which some more calls may begin."""

    seconds: float
    """After the block's beginning."""
    permits: int


def block_at(seconds: float) -> int:
    """Return the block that a moment of the store's clock lies in, in seconds since 1970."""
    return math.floor(seconds / BLOCK_SECONDS)


def begins_at(block: int) -> float:
    """Return when a block begins, by the store's clock."""
    return float(block * BLOCK_SECONDS)


def closes_at(block: int) -> float:
    """Return when a block closes, by the store's clock."""
    return begins_at(block) - CLOSED_SECONDS


def settles_at(block: int) -> float:
    """Return when a block settles, by the store's clock: all processes see the same entries from then on."""
    return closes_at(block) + SETTLED_SECONDS


def permits_of(per_minute: int, block: int) -> int:
    """Return how many calls may begin in one block: a whole number; fractions are carried from block to block."""

    def until(end: int) -> int:
        return per_minute * QUOTA_PERMILLE * BLOCK_SECONDS * end // (60 * 1000)

    return until(block + 1) - until(block)


def shares(demands: Mapping[str, Demand], block: int) -> dict[str, int]:
    """Return the permits of each holder in a block by max-min fairness: its demand, or an equal share of what is left.

    Args:
        demands: by holder. Where they disagree about the quota, the lowest counts: configurations change while processes run.
        block: its number; it decides the order in which holders get the odd permits, another one for each block.
    """
    if not demands:
        return {}
    left = permits_of(min(demand.per_minute for demand in demands.values()), block)
    fair: dict[str, Fraction] = {}
    ranked = sorted(demands, key=lambda holder: math.inf if (most := demands[holder].most) is None else most)
    rest = Fraction(left)
    for number, holder in enumerate(ranked):
        most = demands[holder].most
        each = rest / (len(ranked) - number)
        fair[holder] = each if most is None else min(Fraction(max(0, most)), each)
        rest -= fair[holder]
    # Whole permits: each holder gets the rounded-down sum up to itself, less that before it. So no sum exceeds its fraction.
    found, total = {}, Fraction(0)
    for holder in _drawn(fair, block):
        before, total = total, total + fair[holder]
        found[holder] = math.floor(total) - math.floor(before)
    return found


def divided(demands: Mapping[str, Demand], block: int, *, per_minute: int) -> dict[str, int]:
    """Return the permits of each holder in a block, and those of `REST`.

    Args:
        demands: by holder.
        block: its number.
        per_minute: the quota by the configuration of the process that asks; the lowest number of all counts.
    """
    given = shares(demands, block)
    least = min([per_minute, *(demand.per_minute for demand in demands.values())])
    return {**given, REST: max(0, permits_of(least, block) - sum(given.values()))}


def pieces(given: Mapping[str, int]) -> list[int]:
    """Return the permits of each piece of a block's rest, by when they would fall due among those of the holders.

    Args:
        given: permits by holder, and of `REST`, from `divided`.
    """
    found = [0] * PIECES
    for slot in slots(given, REST):
        found[int(slot.seconds / PIECE_SECONDS)] += slot.permits
    return found


def slots(given: Mapping[str, int], holder: str) -> list[Slot]:
    """Return the moments of a block at which one holder may begin its calls.

    The calls of all holders together are spaced evenly: any sixty seconds have a minute's permits, and those of one moment
    more at most. Bursts of single holders, however small, would add up at the beginning of each block.

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
    moments = [(number + 0.5) * spacing for number, (_, name) in enumerate(order) if name == holder]
    whole, more = divmod(given[holder], len(moments))
    return [Slot(seconds, whole + (number < more)) for number, seconds in enumerate(moments)]


def next_demand(*, had: int, waiting: bool, per_minute: int) -> int:
    """Return the permits that a process asks for in the next block: a quarter more than it had, and 1; twice as many while a call waits.

    While a call waits, it asks for an eighth of the block at least. Not for all: that would leave nothing to those who begin
    later, and they would ask for all, too. What it needs beyond that, it claims in pieces, or asks for in the next block.

    Args:
        had: permits used since the demand before; where a call waits, those that are still to fall due, too.
        waiting: whether a call waits for a permit now.
        per_minute: the quota.
    """
    if not waiting:
        return had + had // 4 + 1
    return max(2 * had, math.ceil(per_minute * BLOCK_SECONDS / 60 / FIRST_PARTS))


def _drawn(holders: Iterable[str], block: int) -> list[str]:
    """Return the holders in an order that differs from block to block, and that every process computes alike."""
    return sorted(holders, key=lambda holder: hashlib.sha256(f"{block}/{holder}".encode()).digest())
