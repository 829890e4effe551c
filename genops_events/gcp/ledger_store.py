"""Reserve and settle money in the month's ledger, by compare-and-set in the bucket."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING

from pydantic import ValidationError

from genops_events.gcp.record_store import Unreadable
from genops_events.money import ledger
from genops_events.money.ledger import Ledger, LedgerDamaged, Purpose, Refusal
from genops_events.record.paths import ledger_path

if TYPE_CHECKING:
    from genops_events.gcp.record_store import RecordStore


_PROBLEMS_TOLD = 3


def reserve(
    store: RecordStore,
    *,
    candidate: str,
    dataset: str,
    purpose: Purpose,
    amount: Decimal,
    limit: Decimal,
    at: datetime,
    candidate_limit: Decimal | None = None,
    project_limit: Decimal | None = None,
    approved_by: str | None = None,
    dry_run: bool = False,
    again: bool = False,
) -> Refusal | None:
    """Hold back `amount` USD for the candidate, once; return why not, where a limit does not allow it.

    Args:
        store: the record.
        candidate: whose money it is.
        dataset: whose limit it is.
        purpose: the stage that will spend it.
        amount: in USD.
        limit: of the dataset and month, in USD.
        at: names the month: when the candidate's tuning began, so that all its costs lie in one ledger.
        candidate_limit: of all that the candidate costs, in USD; None for none.
        project_limit: of all datasets and the month, in USD; None for none.
        approved_by: who lets this amount pass, whatever the limits are.
        dry_run: only say why not.
        again: reserve once more what was settled, for a stage that goes on after its failure.

    Raises:
        LedgerDamaged: the ledger makes no sense; nothing is reserved, and it stays as it is.
    """
    month = ledger.month_of(at)
    refused: list[Refusal] = []

    def change(found: Ledger | None) -> Ledger | None:
        refused.clear()
        result = ledger.reserve(
            _of(store, found, month) or Ledger(month=month),
            candidate,
            dataset,
            amount,
            limit,
            at,
            purpose=purpose,
            candidate_limit=candidate_limit,
            project_limit=project_limit,
            approved_by=approved_by,
            again=again,
        )
        if isinstance(result, Refusal):
            refused.append(result)
            return None
        return None if dry_run else result

    with _damage_told(store, month):
        store.update(ledger_path(month), Ledger, change)
    return refused[0] if refused else None


def settle(
    store: RecordStore, *, candidate: str, purpose: Purpose, spent: Decimal, at: datetime, again: bool = False
) -> None:
    """Record what was spent and release what was held back for it, once; nothing where nothing was reserved.

    Args:
        store: the record.
        candidate: whose money it is.
        purpose: the stage that spent it.
        spent: in USD; 0 releases the reservation.
        at: names the month, as in `reserve`.
        again: a second settlement, of a stage that went on after its failure, raises what was spent.

    Raises:
        LedgerDamaged: the ledger makes no sense, and stays as it is; once it is mended, a retry or the sweep settles.
    """
    month = ledger.month_of(at)

    def change(found: Ledger | None) -> Ledger | None:
        found = _of(store, found, month)
        if found is None or candidate not in found.entries:
            return None
        return ledger.settle(found, candidate, purpose, spent, again=again)

    with _damage_told(store, month):
        store.update(ledger_path(month), Ledger, change)


def read(store: RecordStore, month: str) -> Ledger | None:
    """Return the ledger of `month` (yyyy-mm), or None where nothing was reserved in it.

    Raises:
        LedgerDamaged: it makes no sense.
    """
    with _damage_told(store, month):
        return _of(store, store.read(ledger_path(month), Ledger), month)


def committed(store: RecordStore, *, dataset: str, at: datetime) -> Decimal:
    """Return what the dataset has reserved and spent in the month of `at`, in USD."""
    found = read(store, ledger.month_of(at))
    return Decimal(0) if found is None else ledger.committed(found, dataset)


def _of(store: RecordStore, found: Ledger | None, month: str) -> Ledger | None:
    if found is not None and found.month != month:
        raise _damaged(store, month, f"it says that it is the ledger of {found.month}")
    return found


@contextmanager
def _damage_told(store: RecordStore, month: str) -> Iterator[None]:
    try:
        yield
    except Unreadable as error:
        cause = error.__cause__
        assert isinstance(cause, ValidationError)
        found = [f"{'.'.join(map(str, one['loc']))}: {one['msg']}".lstrip(": ") for one in cause.errors()]
        raise _damaged(store, month, "; ".join(found[:_PROBLEMS_TOLD])) from error


def _damaged(store: RecordStore, month: str, why: str) -> LedgerDamaged:
    return LedgerDamaged(
        f"The ledger gs://{store.bucket.name}/{ledger_path(month)} makes no sense: {why}. Nothing was spent, and the ledger "
        "stays as it is.",
        f"Mend it by hand, or restore an earlier version of the object; `genops spend --month {month}` says when it can be "
        "read. What waits for it is tried again for an hour.",
    )
