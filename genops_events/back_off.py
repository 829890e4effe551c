"""How long to wait before what has failed is tried again: one formula for all, and to each its range."""

from __future__ import annotations

import random

_MOST_DOUBLINGS = 60
"""Beyond every bound, and a float still holds it."""


def back_off_seconds(
    failures: int, *, first: float, longest: float, least_share: float = 0.5, drawn: float | None = None
) -> float:
    """Return the pause after so many failures in a row: doubling up to a bound, and drawn, so that many do not come back at once.

    Args:
        failures: 1 after the first.
        first: most seconds after the first failure; twice that after the second.
        longest: most seconds after any.
        least_share: what part of its bound a pause has at least. 0: anything up to it; 1: always all of it, nothing is drawn.
        drawn: 0 to 1; at random where None.
    """
    bound = min(first * 2.0 ** min(max(failures - 1, 0), _MOST_DOUBLINGS), longest)
    share = random.random() if drawn is None else drawn  # noqa: S311 - not a secret
    return bound * (least_share + (1.0 - least_share) * share)
