"""The most that answers can cost must not be too low: not where thinking costs more, nor where two discounts meet."""

from __future__ import annotations

from decimal import Decimal

import pytest

from genops_events.catalogue.prices import Rates


@pytest.mark.parametrize(("thinking", "most"), [(None, 12), (1, 12), (2, 12), (5, 15)])
def test_the_most_that_answers_cost_is_priced_as_the_dearer_of_answers_and_thinking(
    thinking: int | None, most: int
) -> None:
    prices = {"input": Decimal(10), "output": Decimal(2)}
    prices |= {} if thinking is None else {"thinking": Decimal(thinking)}
    rates = Rates("a", "b", prices, Decimal(0), "2026-11-01", "b")  # type: ignore[arg-type]
    assert rates.most_for(1_000_000, 1_000_000) == most
    assert all(rates.generation_cost(1_000_000, 1_000_000 - n, thinking_tokens=n) <= most for n in (0, 1, 10**6))


def test_the_most_that_answers_cost_of_a_batch_job_or_with_a_cache_is_that_much_less() -> None:
    prices = {"input": Decimal(10), "output": Decimal(2), "thinking": Decimal(4), "cached": Decimal(1)}
    rates = Rates("a", "b", prices, Decimal("0.5"), "2026-11-01", "b")  # type: ignore[arg-type]
    assert rates.most_for(1_000_000, 1_000_000) == 14
    assert rates.most_for(1_000_000, 1_000_000, batch=True) == 7
    assert rates.most_for(1_000_000, 1_000_000, cached_tokens=500_000) == Decimal("9.5")


@pytest.mark.parametrize(
    ("cached", "spent", "most"),
    [
        # Half of the input from a cache: that half at the cache's price, whole; the rest, and the answers, at half price.
        ("1", "4.0", "6"),  # 0.5 x 10 x 0.5 + 0.5 x 1 + 1 x 2 x 0.5 = 2.5 + 0.5 + 1
        # A cache that saves less than a batch job does: the token from the cache is the dearer one.
        ("8", "7.5", "9"),
        (None, "8.5", "11"),  # no price: that of input, and no discount of the batch job on it
    ],
)
def test_the_discounts_of_a_cache_and_of_a_batch_job_do_not_add_up(cached: str | None, spent: str, most: str) -> None:
    prices = {"input": Decimal(10), "output": Decimal(2)} | ({} if cached is None else {"cached": Decimal(cached)})
    rates = Rates("a", "b", prices, Decimal("0.5"), "2026-11-01", "b")  # type: ignore[arg-type]
    million = 1_000_000
    assert rates.generation_cost(million, million, cached_tokens=million // 2, batch=True) == Decimal(spent)
    assert rates.most_for(million, million, batch=True) == Decimal(most)
    for hits in (0, 1, million // 2, million):
        assert rates.generation_cost(million, million, cached_tokens=hits, batch=True) <= Decimal(most)
    online = rates.generation_cost(million, million, cached_tokens=million // 2)
    assert online == 5 + (5 if cached is None else Decimal(cached) / 2) + 2
