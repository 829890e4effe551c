"""Keep a run within its budget: a prompt is not asked if the run might cost more with it. No I/O."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from genops_events.catalogue.prices import CENT_FRACTION, Rates
from genops_events.catalogue.tokens import estimated_tokens
from genops_events.gemini.prompts import PromptRow
from genops_events.gemini.replies import Totals
from genops_events.gemini.requests import CannotAsk, Requests
from genops_events.money.ledger import usd

ZERO = Decimal(0)


def most_for_row(requests: Requests, row: PromptRow, rates: Rates, *, common_tokens: int = 0) -> Decimal:
    """Return the most that a row can cost, by estimated input tokens and the longest answer that it may have."""
    asked = estimated_tokens(row.sent) + estimated_tokens(requests.system_instruction(row)) + common_tokens
    asked += requests.declared_tokens(row)
    return rates.most_for(asked, requests.longest_answer(row))


class TokenBudget:
    """What a run has spent by the service's own counts, and the most that the prompts under way may cost.

    The most that all prompts can cost is within the budget before the first is asked. A service may bill more than that
    (tools add tokens that cannot be counted before): then the next prompt is not asked.

    Args:
        budget: in USD.
        rates: of the billed model.
        share: factor on the cost of each prompt, for where the estimate is too high.
    """

    def __init__(self, budget: Decimal, rates: Rates, *, share: Decimal = Decimal(1)) -> None:
        self._budget = budget
        self._rates = rates
        self._share = share
        self._totals = Totals()
        self._under_way: dict[int, Decimal] = {}
        self._under_way_usd = ZERO
        self._lock = threading.Lock()  # rows are asked in the event loop and kept in a thread

    @property
    def spent_usd(self) -> Decimal:
        """Cost of the kept rows in USD."""
        return self._totals.cost_usd(self._rates, batch=False)

    @property
    def under_way_usd(self) -> Decimal:
        """The most in USD that the prompts can cost that were asked and are not kept yet."""
        return self._under_way_usd

    def begin(self, row: PromptRow, most: Decimal) -> None:
        """Count a prompt as under way, before it is asked.

        Args:
            row: the prompt.
            most: in USD, by `most_for_row`.

        Raises:
            CannotAsk: with this prompt, the run might cost more than its budget.
        """
        own = most * self._share
        with self._lock:
            committed = self.spent_usd + self._under_way_usd
            # Costs are rounded up to six places: that must not fail the last prompt of a budget that just covers all.
            if committed + own > self._budget + CENT_FRACTION:
                raise CannotAsk(
                    f"not asked, since the budget of {usd(self._budget)} is used up: {usd(_cents(committed))} of it is "
                    f"spent or under way, and this prompt may cost {usd(_cents(own))}"
                )
            self._under_way[row.number] = own
            self._under_way_usd += own

    def kept(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Replace the estimates of kept rows by their real cost; failed rows cost nothing."""
        with self._lock:
            for row in rows:
                self._under_way_usd -= self._under_way.pop(row["number"], ZERO)
                self._totals.add(dict(row))


def _cents(amount: Decimal) -> Decimal:
    return round(amount, 6)
