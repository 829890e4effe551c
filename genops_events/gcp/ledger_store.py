"""Reserve and settle money in the month's ledger, and read what is there.

A decision that changes nothing (reserved already, settled already, refused) is made without writing, once no wish of the same
account waits to be taken in: what a process has wished that died since counts as well.
"""

from __future__ import annotations

import time
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from genops_events.gcp.ledger_commits import PATIENCE_SECONDS, Answer, Petition
from genops_events.gcp.ledger_reads import Look, accounts, damaged, load, look, parsed, pending
from genops_events.gcp.record_store import Contended, RecordStore
from genops_events.money import ledger
from genops_events.money.group_commit import LedgerWish, outcome
from genops_events.money.ledger import Ledger, LedgerDamaged, LedgerEntry, Purpose, Refusal, exact
from genops_events.record.paths import ledger_accounts_prefix

if TYPE_CHECKING:
    from collections.abc import Callable


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

    def wish(found: Look) -> LedgerWish:
        return LedgerWish(
            kind="reserve",
            account=candidate,
            dataset=dataset,
            purpose=purpose,
            amount=exact(amount),
            at=at,
            limit=limit,
            candidate_limit=candidate_limit,
            project_limit=project_limit,
            approved_by=approved_by,
            again=again,
            **_seen(found),
        )

    return _fulfilled(store, month, candidate, wish, dry_run=dry_run)


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

    def wish(found: Look) -> LedgerWish | None:
        if found.entry is None:
            return None
        return LedgerWish(
            kind="settle",
            account=candidate,
            dataset=found.entry.dataset,
            purpose=purpose,
            amount=exact(spent),
            at=at,
            again=again,
            **_seen(found),
        )

    _fulfilled(store, ledger.month_of(at), candidate, wish)


def read(store: RecordStore, month: str) -> Ledger | None:
    """Return the ledger of `month` (yyyy-mm), or None where nothing was reserved in it.

    Its totals are of all accounts; of these themselves it has what has changed lately (`account`, `all_accounts`).

    Raises:
        LedgerDamaged: it makes no sense.
    """
    loaded = load(store, month)
    return parsed(store, month, loaded) if loaded.version.path else None


def account(store: RecordStore, month: str, name: str) -> LedgerEntry | None:
    """Return what one account has reserved and spent in `month`, or None where that is nothing.

    Raises:
        LedgerDamaged: the ledger makes no sense.
    """
    found = _settled_look(store, month, name)
    _SEEN[store] = month, name, found
    return found.entry


def all_accounts(store: RecordStore, month: str, *, prefix: str = "") -> dict[str, LedgerEntry]:
    """Return all accounts of `month` whose names begin so, by name: one listing for a thousand postings.

    Raises:
        LedgerDamaged: the ledger makes no sense.
    """
    found = parsed(store, month, load(store, month))
    every: dict[str, LedgerEntry] = {}
    if found.series:
        root = ledger_accounts_prefix(month, found.series)
        listed = accounts(store, month, found, prefix=f"{root}{prefix}")
        # An account's own documents lie beside the folders of those whose names go on from its own.
        every = {name: entry for name, entry in listed.items() if name.startswith(prefix)}
    for name, standing in found.entries.items():
        if name.startswith(prefix):
            folder = every.get(name)
            kept = {} if folder is None else folder.purposes
            every[name] = standing.model_copy(update={"purposes": {**kept, **standing.purposes}})
    return every


def committed(store: RecordStore, *, dataset: str, at: datetime) -> Decimal:
    """Return what the dataset has reserved and spent in the month of `at`, in USD."""
    found = read(store, ledger.month_of(at))
    return Decimal(0) if found is None else ledger.committed(found, dataset)


_SEEN: WeakKeyDictionary[RecordStore, tuple[str, str, Look]] = WeakKeyDictionary()
"""The last look of this process at an account: mostly something is wished for that account right afterwards."""


def _seen_lately(store: RecordStore, month: str, name: str) -> Look | None:
    last = _SEEN.pop(store, None)
    return last[2] if last is not None and last[:2] == (month, name) else None


def _seen(found: Look) -> dict[str, Any]:
    known = {} if found.entry is None else found.entry.purposes
    return {"series": found.ledger.series, "seen": found.ledger.commit, "known": known}


def _fulfilled(
    store: RecordStore, month: str, name: str, wish_of: Callable[[Look], LedgerWish | None], *, dry_run: bool = False
) -> Refusal | None:
    """Have a wish taken in, unless there is nothing to do; return why a limit forbids it."""
    until = time.monotonic() + PATIENCE_SECONDS
    seen = _seen_lately(store, month, name)
    while time.monotonic() < until:
        found, is_new = seen or look(store, month, name), seen is None
        seen = None
        wish = wish_of(found)
        result = found.ledger if wish is None else _outcome(store, month, found.ledger, wish)
        if not is_new and (dry_run or wish is None or result is found.ledger or isinstance(result, Refusal)):
            continue  # only what is wished of the ledger may be wished by an older look: it says how old that is
        if dry_run:
            return result if isinstance(result, Refusal) else None
        if wish is None or result is found.ledger:
            if _is_quiet(store, month, name, found):
                return None
            continue
        if isinstance(result, Refusal) and not pending(store, month, found.ledger):
            return result
        answer, after = Petition(store, month, wish, found.loaded).answer()
        if answer is Answer.GRANTED:
            return None
        if answer is Answer.REFUSED and isinstance(refusal := _outcome(store, month, after, wish), Refusal):
            return refusal
    raise _hurried(month, name)


def _outcome(store: RecordStore, month: str, found: Ledger, wish: LedgerWish) -> Ledger | Refusal:
    try:
        return outcome(found, wish)
    except LedgerDamaged as error:
        raise damaged(store, month, error.message) from error


def _settled_look(store: RecordStore, month: str, name: str) -> Look:
    """Return an account once no wish of its own waits to be taken in."""
    until = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < until:
        found = look(store, month, name)
        if _is_quiet(store, month, name, found):
            return found
    raise _hurried(month, name)


def _is_quiet(store: RecordStore, month: str, name: str, found: Look) -> bool:
    """Return whether nothing was wished for an account that is not taken in yet; else return once it is."""
    waiting = pending(store, month, found.ledger, name)
    if not waiting:
        return True
    wish = LedgerWish(kind="look", account=name, dataset="", purpose="asking", at=waiting[0].created, **_seen(found))
    Petition(store, month, wish, found.loaded).answer()
    return False


def _hurried(month: str, name: str) -> Contended:
    return Contended(f"The ledger of {month} changes faster than {name} is looked up in it.", "The task is retried.")
