"""The money of a run that asks: reserved before the first call, settled by the used tokens, released when the run is given up.

After a crash, the reservation is kept until the run is tried again: the next try continues with the same reservation, and
does not reserve twice.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from genops_events.asking.planning import OverBudget
from genops_events.gcp import ledger_store
from genops_events.money.ceilings import OverCeiling, ask_budget
from genops_events.money.ledger import MOST_USD, NO_DATASET, month_of
from genops_events.record.asks import AskPlan

if TYPE_CHECKING:
    from genops_events.config import Config
    from genops_events.gcp.record_store import RecordStore
    from genops_events.money.ledger import Refusal

_ZERO = Decimal(0)


class Reservation:
    """The ledger's entry of one try of a run.

    If a try was settled before the run had ended, its entry is not changed any more: the next try gets an entry of its own,
    with a number.

    Args:
        config: has the limits.
        store: the record.
        plan: has the most that the run can cost, and the month in which it began.
    """

    def __init__(self, config: Config, store: RecordStore, plan: AskPlan) -> None:
        self._config = config
        self._store = store
        self._plan = plan
        month = month_of(plan.written_at)
        self._settled_before, number = _ZERO, 1
        while True:
            self._entry = plan.candidate if number == 1 else f"{plan.candidate}-{number}"
            entry = ledger_store.account(store, month, self._entry)
            posting = None if entry is None else entry.purposes.get("asking")
            if posting is None or not posting.settled:
                self._has_reserved = posting is not None
                return
            self._settled_before += posting.spent_usd
            number += 1

    def reserve(self) -> None:
        """Reserve the rest of what the run can cost, once.

        Raises:
            OverBudget: that is more than is left of the month's limits, or than the present genops.yaml allows one run.
            NoLimit: genops.yaml has no limit any more that applies.
        """
        self._refuse_over_ceiling()
        refusal = self._reserve(dry_run=False)
        if refusal is not None:
            raise OverBudget(refusal.reason, "Nothing was asked. `genops spend` shows what the month has cost.")

    def _refuse_over_ceiling(self) -> None:
        """Check a plan, which may be old, against the present genops.yaml; an existing reservation may be used up."""
        if self._has_reserved:
            return
        plan = self._plan
        try:
            ask_budget(self._config, plan.most_usd, dataset=plan.dataset, name=f"What {plan.candidate} costs at most")
        except OverCeiling as error:
            raise OverBudget(
                error.message, "Nothing was asked. Raise it in genops.yaml, or ask for less anew."
            ) from error

    def refusal(self) -> str | None:
        """Return why the money could not be reserved; None where it could."""
        refusal = self._reserve(dry_run=True)
        return None if refusal is None else refusal.reason

    def settle(self, spent_usd: Decimal) -> None:
        """Record the cost of the run in all its tries, and release the rest."""
        ledger_store.settle(
            self._store,
            candidate=self._entry,
            purpose="asking",
            spent=max(spent_usd - self._settled_before, _ZERO),
            at=self._plan.written_at,
        )

    def _reserve(self, *, dry_run: bool) -> Refusal | None:
        plan, config = self._plan, self._config
        return ledger_store.reserve(
            self._store,
            candidate=self._entry,
            dataset=plan.dataset or NO_DATASET,
            purpose="asking",
            amount=max(plan.most_usd - self._settled_before, _ZERO),
            limit=MOST_USD if plan.dataset is None else config.dataset(plan.dataset).budget.monthly_usd,
            at=plan.written_at,
            project_limit=config.budget.monthly_usd,
            dry_run=dry_run,
        )
