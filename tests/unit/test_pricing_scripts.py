"""An estimate must not be too low: not where a token holds one character, nor where thinking costs more than answers."""

from __future__ import annotations

from decimal import Decimal

import pytest

from genops_events.money.pricing import Rates, estimated_tokens


@pytest.mark.parametrize(
    ("text", "tokens"),
    [("", 0), ("a", 1), ("four", 1), ("five5", 2), ("你好世界", 4), ("ab你", 2), ("naïve", 2), ("😀", 1)],
)
def test_a_token_holds_four_ascii_characters_or_one_other(text: str, tokens: int) -> None:
    assert estimated_tokens(text) == tokens


@pytest.mark.parametrize(("thinking", "most"), [(None, 12), (1, 12), (2, 12), (5, 15)])
def test_the_most_that_answers_cost_is_priced_as_the_dearer_of_answers_and_thinking(
    thinking: int | None, most: int
) -> None:
    prices = {"input": Decimal(10), "output": Decimal(2)}
    prices |= {} if thinking is None else {"thinking": Decimal(thinking)}
    rates = Rates("a", "b", prices, Decimal(0), "2026-11-01")  # type: ignore[arg-type]
    assert rates.most_for(1_000_000, 1_000_000) == most
    assert all(rates.generation_cost(1_000_000, 1_000_000 - n, thinking_tokens=n) <= most for n in (0, 1, 10**6))


def test_the_most_that_answers_cost_of_a_batch_job_or_with_a_cache_is_that_much_less() -> None:
    prices = {"input": Decimal(10), "output": Decimal(2), "thinking": Decimal(4), "cached": Decimal(1)}
    rates = Rates("a", "b", prices, Decimal("0.5"), "2026-11-01")  # type: ignore[arg-type]
    assert rates.most_for(1_000_000, 1_000_000) == 14
    assert rates.most_for(1_000_000, 1_000_000, batch=True) == 7
    assert rates.most_for(1_000_000, 1_000_000, cached_tokens=500_000) == Decimal("9.5")
