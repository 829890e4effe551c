"""Hold a run to its budget while it asks: no prompt begins that might take it over. No I/O."""

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
    """Return about what a row costs at most: its input tokens are estimated, its answer is as long as it may be."""
    asked = estimated_tokens(row.sent) + estimated_tokens(requests.system_instruction(row)) + common_tokens
    asked += requests.declared_tokens(row)
    return rates.most_for(asked, requests.longest_answer(row))


class TokenBudget:
    """What a run has spent by what the service says, and what the prompts under way may cost yet.

    What all prompts cost at most is within the budget before the first is asked. A service that bills more than that
    (tools bring tokens in that nobody can count before) meets this: the next prompt is not asked.

    Args:
        budget: in USD.
        rates: of the billed model.
        share: what a prompt may cost, as a share of what the tokens were counted for.
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
        """What the rows cost that are kept."""
        return self._totals.cost_usd(self._rates, batch=False)

    @property
    def under_way_usd(self) -> Decimal:
        """What the prompts may cost at most that were asked and are not kept yet."""
        return self._under_way_usd

    def begin(self, row: PromptRow, most: Decimal) -> None:
        """Let a prompt be asked.

        Args:
            row: the prompt.
            most: by `most_for_row`.

        Raises:
            CannotAsk: with it, the run might cost more than its budget.
        """
        mine = most * self._share
        with self._lock:
            committed = self.spent_usd + self._under_way_usd
            # Costs are rounded up to six places: a budget that just covers all prompts must not fail the last one for that.
            if committed + mine > self._budget + CENT_FRACTION:
                raise CannotAsk(
                    f"not asked, since the budget of {usd(self._budget)} is used up: {usd(_cents(committed))} of it is "
                    f"spent or under way, and this prompt may cost {usd(_cents(mine))}"
                )
            self._under_way[row.number] = mine
            self._under_way_usd += mine

    def kept(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Take note of what rows have really cost; failures cost nothing."""
        with self._lock:
            for row in rows:
                self._under_way_usd -= self._under_way.pop(row["number"], ZERO)
                self._totals.add(dict(row))


def _cents(amount: Decimal) -> Decimal:
    return round(amount, 6)
