"""Reserve and settle money in the month's ledger, by compare-and-set in the bucket."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING

from genops_events import ledger
from genops_events.ledger import Ledger, Purpose, Refusal
from genops_events.record import ledger_path

if TYPE_CHECKING:
    from genops_events.gcp.record_store import RecordStore


def reserve(
    store: RecordStore,
    *,
    candidate: str,
    dataset: str,
    purpose: Purpose,
    amount: Decimal,
    limit: Decimal,
    at: datetime,
) -> Refusal | None:
    """Hold back `amount` USD for the candidate, once; return why not, where the month's `limit` does not allow it.

    Args:
        store: the record.
        candidate: whose money it is.
        dataset: whose limit it is.
        purpose: the stage that will spend it.
        amount: in USD.
        limit: of the dataset and month, in USD.
        at: names the month: when the candidate's tuning began, so that all its costs lie in one ledger.
    """
    refused: list[Refusal] = []

    def change(found: Ledger | None) -> Ledger | None:
        refused.clear()
        current = found or Ledger(month=ledger.month_of(at))
        result = ledger.reserve(current, candidate, dataset, amount, limit, at, purpose=purpose)
        if isinstance(result, Refusal):
            refused.append(result)
            return None
        return result

    store.update(ledger_path(ledger.month_of(at)), Ledger, change)
    return refused[0] if refused else None


def settle(store: RecordStore, *, candidate: str, purpose: Purpose, spent: Decimal, at: datetime) -> None:
    """Record what was spent and release what was held back for it, once; nothing where nothing was reserved.

    Args:
        store: the record.
        candidate: whose money it is.
        purpose: the stage that spent it.
        spent: in USD; 0 releases the reservation.
        at: names the month, as in `reserve`.
    """

    def change(found: Ledger | None) -> Ledger | None:
        if found is None or candidate not in found.entries:
            return None
        return ledger.settle(found, candidate, purpose, spent)

    store.update(ledger_path(ledger.month_of(at)), Ledger, change)


def committed(store: RecordStore, *, dataset: str, at: datetime) -> Decimal:
    """Return what the dataset has reserved and spent in the month of `at`, in USD."""
    found = store.read(ledger_path(ledger.month_of(at)), Ledger)
    return Decimal(0) if found is None else ledger.committed(found, dataset)
