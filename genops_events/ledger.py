"""Arithmetic of a month's ledger: what is reserved and what is spent, so that no limit is passed twice over.

Nothing here reads or writes: the caller loads the ledger, takes the ledger that comes back, and stores it by
compare-and-set. Each step may be repeated after a crash without changing the outcome.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from genops_events.errors import PermanentError

ZERO = Decimal(0)
Purpose = Literal["tuning", "evaluation", "inference"]
Usd = Annotated[Decimal, Field(ge=0, allow_inf_nan=False)]


class LedgerError(PermanentError):
    """A step that does not belong to this ledger: a mistake of the caller, never a matter of limits."""


class _Row(BaseModel):
    # What a newer version wrote beside is kept, not lost, when this version changes the shared document.
    model_config = ConfigDict(frozen=True, extra="allow", validate_by_name=True, validate_by_alias=True)


class Posting(_Row):
    """What one candidate costs for one purpose."""

    reserved_usd: Usd = ZERO
    """Held back for it; 0 once it is settled."""
    spent_usd: Usd = ZERO
    settled: bool = False
    reserved_at: AwareDatetime | None = None


class LedgerEntry(_Row):
    """What one candidate costs, purpose by purpose."""

    dataset: str
    purposes: dict[Purpose, Posting] = {}

    @property
    def reserved_usd(self) -> Decimal:
        """All that is held back for this candidate."""
        return sum((posting.reserved_usd for posting in self.purposes.values()), ZERO)

    @property
    def spent_usd(self) -> Decimal:
        """All that this candidate has cost."""
        return sum((posting.spent_usd for posting in self.purposes.values()), ZERO)


class Ledger(_Row):
    """What was reserved and spent in one calendar month (UTC). It is never changed: each step returns a new one."""

    schema_name: Annotated[Literal["genops.ledger.v1"], Field(alias="schema")] = "genops.ledger.v1"
    month: Annotated[str, Field(pattern=r"^[0-9]{4}-(0[1-9]|1[0-2])$")]
    """yyyy-mm"""
    entries: dict[str, LedgerEntry] = {}
    """By candidate id."""

    def to_json(self) -> bytes:
        """Return the ledger as it is stored: UTF-8 JSON, indented for people."""
        return self.model_dump_json(by_alias=True, indent=2).encode()


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why an amount was not reserved: a normal outcome with its figures."""

    reason: str
    dataset: str
    month: str
    asked_usd: Decimal
    committed_usd: Decimal
    limit_usd: Decimal

    def __str__(self) -> str:
        return self.reason


def month_of(now: datetime) -> str:
    """Return the ledger month (UTC) of this instant, as yyyy-mm; `now` must carry a time zone."""
    if now.tzinfo is None:
        raise ValueError("now must carry a time zone")
    return f"{now.astimezone(UTC):%Y-%m}"


def reserve(  # noqa: PLR0917  # whose, for what, how much of how much: the order of the sentence
    ledger: Ledger,
    candidate: str,
    dataset: str,
    amount: Decimal,
    limit: Decimal,
    now: datetime,
    *,
    purpose: Purpose,
) -> Ledger | Refusal:
    """Hold back an amount for a candidate, once, if the dataset's month stays within its limit.

    What this candidate has already reserved or settled for this purpose stays as it is: the same ledger comes back,
    also where the limit has been reached since. An amount that just reaches the limit passes.

    Raises LedgerError when the ledger is of another month than `now`, or knows the candidate under another dataset.
    """
    _refuse_negative(amount)
    entry = ledger.entries.get(candidate)
    if entry is not None and entry.dataset != dataset:
        raise LedgerError(f"The ledger knows {candidate} under the dataset {entry.dataset!r}, not {dataset!r}.")
    if entry is not None and purpose in entry.purposes:
        return ledger
    if ledger.month != month_of(now):
        raise LedgerError(
            f"The ledger of {ledger.month} takes no new reservations: it is {month_of(now)}.",
            "Load the ledger of the current month (UTC).",
        )
    already = committed(ledger, dataset)
    if already + amount > limit:
        return Refusal(
            reason=(
                f"{purpose.capitalize()} of {candidate} would cost {_usd(amount)}, but {dataset} has {_usd(already)} "
                f"of its {_usd(limit)} for {ledger.month} reserved or spent: {_usd(already + amount - limit)} too much."
            ),
            dataset=dataset,
            month=ledger.month,
            asked_usd=amount,
            committed_usd=already,
            limit_usd=limit,
        )
    posting = Posting(reserved_usd=amount, reserved_at=now)
    return _with(ledger, candidate, entry or LedgerEntry(dataset=dataset), purpose, posting)


def settle(ledger: Ledger, candidate: str, purpose: Purpose, spent: Decimal) -> Ledger:
    """Record what was spent, once, and release what was reserved for it.

    The ledger is the one of the month in which it was reserved. What was really spent is recorded even where it is
    more than was reserved, or where this purpose was not reserved; a second settlement changes nothing.

    Raises LedgerError when the ledger does not know the candidate.
    """
    _refuse_negative(spent)
    entry = ledger.entries.get(candidate)
    if entry is None:
        raise LedgerError(
            f"The ledger of {ledger.month} does not know {candidate}.",
            "Settle in the ledger of the month in which it was reserved.",
        )
    posting = entry.purposes.get(purpose, Posting())
    if posting.settled:
        return ledger
    settled = posting.model_copy(update={"reserved_usd": ZERO, "spent_usd": spent, "settled": True})
    return _with(ledger, candidate, entry, purpose, settled)


def committed(ledger: Ledger, dataset: str) -> Decimal:
    """Return what a dataset has reserved and spent this month, together."""
    entries = (entry for entry in ledger.entries.values() if entry.dataset == dataset)
    return sum((entry.reserved_usd + entry.spent_usd for entry in entries), ZERO)


def _with(ledger: Ledger, candidate: str, entry: LedgerEntry, purpose: Purpose, posting: Posting) -> Ledger:
    changed = entry.model_copy(update={"purposes": {**entry.purposes, purpose: posting}})
    return ledger.model_copy(update={"entries": {**ledger.entries, candidate: changed}})


def _usd(amount: Decimal) -> str:
    """Write dollars with two places, or with as many as a small amount needs, never rounding it away."""
    places = max(2, -int(amount.normalize().as_tuple().exponent)) if amount else 2
    return f"${amount:,.{places}f}"


def _refuse_negative(amount: Decimal) -> None:
    if not amount.is_finite() or amount < 0:
        raise ValueError(f"an amount must be a number from 0 up, got {amount}")
