"""Group commit of the ledger: wishes lie side by side in the bucket, and whoever writes the ledger takes in all of them.

Pure: the bucket is `gcp/ledger_commits.py`. Each writing of the ledger, a commit, has a number. What makes it right:

- **A wish is taken in at most once.** Its id is in the ledger, under `granted` or `refused`, from the commit that takes it in
  until its object is gone, or counts no more.
- **Whoever has changed lately stands in the ledger; whoever has not lies in a folder of its own.** A posting leaves the ledger
  (`folded`) when it has not changed for `KEPT_COMMITS` and its document was written. Totals keep counting it.
- **A wish brings along what is not in the ledger**: the postings of its account as its writer has found them, and the number
  of the commit at which it looked. It counts for `KEPT_COMMITS` from there. What is not in the ledger by then has not changed
  since its writer looked: it would stand there still. An older wish is passed over, and its writer looks again.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from itertools import islice
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator

from genops_events.errors import PermanentError
from genops_events.money.ledger import (
    ZERO,
    Ledger,
    LedgerEntry,
    Posting,
    Purpose,
    Refusal,
    Usd,
    reserve,
    settle,
)

KEPT_COMMITS = 32
"""So many commits a posting stays in the ledger after it has changed, and so many a wish counts: eight seconds under load."""
MOST_BYTES = 62_000
"""The ledger is kept below this: what has no room waits for the next commit, which folds what has changed least lately."""
LEAST_TAKEN = 50
"""So many wishes are taken in even so while an older form, with thousands of postings, is folded bit by bit."""
_ID_BYTES, _ROW_BYTES = 20, 42
"""What an answer takes, and a posting beside its names and amounts."""


class LedgerWish(BaseModel):
    """What somebody wants of the ledger: written once, by the one who waits for the answer."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    schema_name: Annotated[Literal["genops.wish.v1"], Field(alias="schema")] = "genops.wish.v1"
    kind: Literal["reserve", "settle", "look"]
    """A look changes nothing: once it is granted, all that was wished before has been taken in."""
    account: str
    """Whose money it is: mostly a candidate's id."""
    dataset: str
    purpose: Purpose
    amount: Usd = ZERO
    """To hold back, or spent, in USD."""
    at: AwareDatetime
    """Names the month, and tells when it was reserved."""
    limit: Decimal = Decimal(0)
    """Of the dataset and month, in USD, where something is to be held back."""
    candidate_limit: Decimal | None = None
    project_limit: Decimal | None = None
    approved_by: str | None = None
    again: bool = False
    """As in `ledger.reserve` and `ledger.settle`."""
    series: str = ""
    """Of the ledger in which its writer has looked; empty where there was none yet, or one of an older version."""
    seen: Annotated[int, Field(ge=0)] = 0
    """The number of that ledger's commit."""
    known: dict[Purpose, Posting] = {}
    """The account's postings at that commit, whether they stood in the ledger or in its folder."""

    @model_validator(mode="before")
    @classmethod
    def _name_schema(cls, values: Any) -> Any:
        return {"schema": "genops.wish.v1", **values} if isinstance(values, dict) else values

    def to_json(self) -> str:
        """Return the wish as it is stored, in ASCII, without what is as usual."""
        plain = self.model_dump(mode="json", by_alias=True, exclude_defaults=True) | {"schema": self.schema_name}
        return json.dumps(plain, separators=(",", ":"))


@dataclass(frozen=True, slots=True)
class Lying:
    """The object of a wish, as a listing shows it."""

    id: str
    created: datetime
    """By the store's clock."""
    wish: LedgerWish | None
    """None where it cannot be read: it is left to whoever can."""


@dataclass(frozen=True, slots=True)
class Standing:
    """A posting that stands in the ledger."""

    account: str
    dataset: str
    purpose: Purpose
    posting: Posting


def outcome(ledger: Ledger, wish: LedgerWish) -> Ledger | Refusal:
    """Return the ledger once a wish is taken in, or why a limit forbids it; the same ledger where nothing is to be done.

    Raises:
        LedgerError: the wish does not belong to this ledger.
        LedgerDamaged: what the wish brings along cannot be part of this ledger.
    """
    found = ledger.entries.get(wish.account)
    brought = {
        purpose: posting for purpose, posting in wish.known.items() if found is None or purpose not in found.purposes
    }
    whole = ledger
    if brought:
        entry = found or LedgerEntry(dataset=wish.dataset)
        entry = entry.model_copy(update={"purposes": {**brought, **entry.purposes}})
        whole = ledger.model_copy(update={"entries": {**ledger.entries, wish.account: entry}})
    if wish.kind == "look":
        return ledger
    if wish.kind == "settle":
        if wish.account not in whole.entries:
            return ledger
        after = settle(whole, wish.account, wish.purpose, wish.amount, again=wish.again)
    else:
        result = reserve(
            whole,
            wish.account,
            wish.dataset,
            wish.amount,
            wish.limit,
            wish.at,
            purpose=wish.purpose,
            candidate_limit=wish.candidate_limit,
            project_limit=wish.project_limit,
            approved_by=wish.approved_by,
            again=wish.again,
        )
        if isinstance(result, Refusal):
            return result
        after = result
    if after is whole:
        return ledger
    entry = after.entries[wish.account]
    changed = entry.purposes[wish.purpose].model_copy(update={"commit": ledger.commit + 1})
    # What was only brought along goes back to its folder, where it lies unchanged.
    stay = {} if found is None else found.purposes
    entry = entry.model_copy(update={"purposes": {**stay, wish.purpose: changed}})
    return after.model_copy(update={"entries": {**after.entries, wish.account: entry}})


def still_counts(ledger: Ledger, wish: LedgerWish) -> bool:
    """Return whether the next commit may take a wish in: see the module."""
    same = wish.series == ledger.series or (not wish.series and not wish.seen)
    return same and 1 <= ledger.commit + 1 - wish.seen <= KEPT_COMMITS


def committed_group(
    ledger: Ledger, lying: Sequence[Lying], *, series: str, written: Collection[tuple[str, Purpose]] = ()
) -> Ledger | None:
    """Return the next ledger: wishes taken in, in the order of their times, and folded what can be; None where nothing is to do.

    Args:
        ledger: as it is.
        lying: all wishes that lie there at a moment after which nobody else has written the ledger.
        series: for a ledger that has none yet.
        written: accounts and purposes that an older version has left in it, and whose documents were just written.
    """
    # What counts no more is never taken in again, and its writer looks again.
    there = {one.id for one in lying if one.wish is None or still_counts(ledger, one.wish)}
    answered = {*ledger.granted, *ledger.refused}
    ledger = ledger.model_copy(
        update={
            "series": ledger.series or series,
            "granted": tuple(one for one in ledger.granted if one in there),
            "refused": tuple(one for one in ledger.refused if one in there),
        }
    )
    before = ledger
    ledger = _folded(ledger, lying, written)
    waiting = [
        one
        for one in sorted(lying, key=lambda one: (one.created, one.id))
        if one.id not in answered and one.wish is not None and still_counts(ledger, one.wish)
    ]
    if not waiting and ledger is before:
        return None
    # Totals grow with the number of datasets alone: they must not shut anybody out.
    room, taken = MOST_BYTES - len(ledger.model_copy(update={"totals": {}}).to_json()), 0
    least = LEAST_TAKEN if _is_older(ledger) else 1
    granted, refused = [*ledger.granted], [*ledger.refused]
    for one in waiting:
        assert one.wish is not None
        room -= _bytes(ledger, one.wish)
        if room < 0 and taken >= least:
            break
        taken += 1
        try:
            after = outcome(ledger, one.wish)
        except (PermanentError, ValueError):
            continue  # its own writer is told, when it looks again
        if isinstance(after, Refusal):
            refused.append(one.id)
        else:
            granted.append(one.id)
            ledger = after
    return ledger.model_copy(update={"commit": ledger.commit + 1, "granted": tuple(granted), "refused": tuple(refused)})


def _bytes(ledger: Ledger, wish: LedgerWish) -> int:
    """Return how much larger the ledger becomes by a wish, rather too much."""
    entry = ledger.entries.get(wish.account)
    if entry is not None and wish.purpose in entry.purposes:
        return _ID_BYTES + len(str(wish.amount))
    names = len(wish.account) + len(wish.purpose) + len(wish.approved_by or "")
    return _ID_BYTES + _ROW_BYTES + names + 2 * len(str(wish.amount))


def _folded(ledger: Ledger, lying: Sequence[Lying], written: Collection[tuple[str, Purpose]]) -> Ledger:
    """Return the ledger without the postings that have not changed lately, and whose documents are there."""
    if any(one.wish is None and one.id in ledger.granted for one in lying):
        return ledger  # nobody here knows whose document is not written yet
    wished = {(one.wish.account, one.wish.purpose) for one in lying if one.wish is not None}
    next_ = ledger.commit + 1
    entries: dict[str, LedgerEntry] = {}
    for account, entry in ledger.entries.items():
        stay = {
            purpose: posting
            for purpose, posting in entry.purposes.items()
            if not (
                next_ > KEPT_COMMITS and (account, purpose) in written
                if posting.commit == 0
                else next_ - posting.commit >= KEPT_COMMITS and (account, purpose) not in wished
            )
        }
        if len(stay) == len(entry.purposes):
            entries[account] = entry
        elif stay:
            entries[account] = entry.model_copy(update={"purposes": stay})
    same = all(entries.get(account) is entry for account, entry in ledger.entries.items())
    return ledger if same else ledger.model_copy(update={"entries": entries})


def unwritten(ledger: Ledger, most: int) -> list[Standing]:
    """Return up to so many postings that an older version has left in the ledger, and that the next commit may fold.

    Their documents are to be written before. For the first commits there are none: a wish whose writer has looked before the
    first of them may not know what an older version has written since.
    """
    if ledger.commit < KEPT_COMMITS:
        return []
    found = (
        Standing(account, entry.dataset, purpose, posting)
        for account, entry in ledger.entries.items()
        for purpose, posting in entry.purposes.items()
        if posting.commit == 0
    )
    return list(islice(found, most))


def _is_older(ledger: Ledger) -> bool:
    return any(posting.commit == 0 for entry in ledger.entries.values() for posting in entry.purposes.values())
