"""Statistics of scores with confidence intervals. The same scores always give the same figures."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist, fmean, stdev

CONFIDENCE = 0.95
RESAMPLES = 1000
"""Enough for two digits of a 95 % interval (Efron and Tibshirani, An Introduction to the Bootstrap, section 13.3)."""
_MOST_DRAWS = 4_000_000
"""Most draws for one interval, about a second. Beyond 4,000 rows there are fewer resamples; the interval is narrow then."""
_FEWEST_RESAMPLES = 200
_SEED = 20_240_613
"""Fixed, so that a repeated run writes the same interval; its value is arbitrary."""
_Z = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
"""Number of standard deviations on either side of the mean that cover 95 % of a normal distribution."""


@dataclass(frozen=True, slots=True)
class Statistics:
    """Mean, spread and 95 % confidence interval of the mean of some scores."""

    count: int
    mean: float
    standard_deviation: float
    """Of the sample (n - 1); 0 for a single score."""
    low: float
    high: float


def describe(scores: Sequence[float]) -> Statistics | None:
    """Return the statistics of `scores`, with a percentile bootstrap interval of the mean; None where there are none.

    Raises:
        ValueError: a score is not a finite number: rows without a score must be counted apart, not averaged.
    """
    if not scores:
        return None
    if any(not math.isfinite(score) for score in scores):
        raise ValueError("a score is not a finite number")
    mean = fmean(scores)
    low, high = _bootstrap(scores)
    # With few rows, the interval of the resamples can miss the mean itself: it is widened to include it.
    return Statistics(len(scores), mean, _deviation(scores, mean), min(low, mean), max(high, mean))


def win_rate(scores: Sequence[float]) -> Statistics | None:
    """Return the share of rows won, with Wilson's score interval; each score is 1, 0, or 0.5 for a tie.

    Wilson's interval and not the bootstrap: all resamples of ten won rows are won, too, and would claim certainty.

    Raises:
        ValueError: a score is not from 0 to 1.
    """
    if not scores:
        return None
    if any(not 0 <= score <= 1 for score in scores):
        raise ValueError("a row is won, lost or tied: 1, 0 or 0.5")
    count = len(scores)
    mean = fmean(scores)
    centre = (mean + _Z**2 / (2 * count)) / (1 + _Z**2 / count)
    half = _Z / (1 + _Z**2 / count) * math.sqrt(mean * (1 - mean) / count + _Z**2 / (4 * count**2))
    low, high = max(0.0, min(centre - half, mean)), min(1.0, max(centre + half, mean))
    return Statistics(count, mean, _deviation(scores, mean), low, high)


def histogram(scores: Sequence[float], *, low: float, high: float, bins: int) -> list[int]:
    """Return the number of scores in each of `bins` equal parts from `low` to `high`; the last part includes `high`."""
    counts = [0] * bins
    width = (high - low) / bins
    for score in scores:
        # Rounded, or 0.3 would be counted with 0.2: 0.3 / 0.1 is 2.9999999999999996.
        place = int(round((score - low) / width, 9)) if width > 0 else 0
        counts[min(max(place, 0), bins - 1)] += 1
    return counts


def _deviation(scores: Sequence[float], mean: float) -> float:
    return stdev(scores, mean) if len(scores) > 1 else 0.0


def _bootstrap(scores: Sequence[float]) -> tuple[float, float]:
    count = len(scores)
    if count == 1 or min(scores) == max(scores):
        return min(scores), max(scores)
    chance = random.Random(_SEED)  # noqa: S311 - not a secret
    resamples = max(_FEWEST_RESAMPLES, min(RESAMPLES, _MOST_DRAWS // count))
    # Sorted, so that the interval does not depend on the order of the scores.
    ordered = sorted(scores)
    means = sorted(sum(chance.choices(ordered, k=count)) / count for _ in range(resamples))
    tail = (1 - CONFIDENCE) / 2
    return means[int(tail * resamples)], means[min(math.ceil((1 - tail) * resamples), resamples) - 1]
