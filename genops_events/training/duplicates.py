"""Find examples that repeat an earlier one of the same file, with nine bytes of memory per line."""

from __future__ import annotations

from array import array
from dataclasses import dataclass

PAIRS_SHOWN = 5
LINES_COMPARED = 8_000_000
"""Most lines that are compared, which bounds memory at about 100 MB. In a file of 1 GB with more lines, a line has 125 bytes at most."""
_BUCKETS = 255
_NO_EXAMPLE = b"\xff"


@dataclass(frozen=True, slots=True)
class Duplicates:
    """The number of examples that repeat an earlier one, and the lines of the first few."""

    count: int
    pairs: tuple[tuple[int, int], ...]
    """1-based lines: the example, and the earlier one that it repeats; at most 5, in the order of the file."""


class DuplicateSearch:
    """Collects the identity of each example, and finds those that came more than once.

    Identities are 64-bit hashes: in a file of ten million examples, the chance that two different ones are taken for
    the same is three in a million. They are kept in 255 arrays by their remainder, so that one array at a time can be made
    a set; one further byte per line is the number of the array that has the line's identity.
    """

    def __init__(self, *, lines_compared: int = LINES_COMPARED) -> None:
        self._lines_compared = lines_compared
        self._identities = [array("q") for _ in range(_BUCKETS)]
        self._order = bytearray()

    def add(self, line: int, identity: int) -> None:
        """Add the example on this line; lines must come in order."""
        if line > self._lines_compared:
            return
        order = self._order
        if missing := line - 1 - len(order):
            order.extend(_NO_EXAMPLE * missing)
        bucket = identity % _BUCKETS
        self._identities[bucket].append(identity)
        order.append(bucket)

    def result(self) -> Duplicates:
        """Return the duplicates so far."""
        count = 0
        pairs: list[tuple[int, int]] = []
        for bucket, identities in enumerate(self._identities):
            repeated = len(identities) - len(set(identities))
            if repeated:
                count += repeated
                pairs += self._pairs(bucket)
        return Duplicates(count, tuple(sorted(pairs)[:PAIRS_SHOWN]))

    def _pairs(self, bucket: int) -> list[tuple[int, int]]:
        first: dict[int, int] = {}
        found: list[tuple[int, int]] = []
        for index, identity in enumerate(self._identities[bucket]):
            earlier = first.setdefault(identity, index)
            if earlier != index:
                found.append((index, earlier))
                if len(found) == PAIRS_SHOWN:
                    break
        wanted = {index for pair in found for index in pair}
        lines: dict[int, int] = {}
        position = -1
        for index in range(max(wanted) + 1):
            position = self._order.find(bucket, position + 1)
            if index in wanted:
                lines[index] = position + 1
        return [(lines[later], lines[earlier]) for later, earlier in found]
