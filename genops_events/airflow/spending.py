"""Reserve a stage's money, or hold the candidate: what every stage does before it pays."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from genops_events.gcp import ledger_store
from genops_events.ledger import Purpose, month_of

if TYPE_CHECKING:
    from genops_events.airflow.stage import StageRun


def estimated(run: StageRun, purpose: Purpose) -> Decimal | None:
    """Return what was reserved for the candidate in the beginning; None where nothing was, or by an older version.

    Raises:
        LedgerDamaged: the ledger makes no sense.
    """
    ledger = ledger_store.read(run.store, month_of(run.month))
    entry = None if ledger is None else ledger.entries.get(run.candidate)
    posting = None if entry is None else entry.purposes.get(purpose)
    return None if posting is None else posting.estimated_usd
