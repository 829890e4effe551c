"""Arithmetic of a month's ledger: what is reserved and what is spent, so that no limit is passed twice over.

Nothing here reads or writes: the caller loads the ledger, takes the ledger that comes back, and stores it by
compare-and-set. Each step may be repeated after a crash without changing the outcome. The ledger has the totals of all
accounts, and of these only the ones that have changed lately (`group_commit`): that is all that a limit is held against.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import ROUND_UP, Decimal
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator

from genops_events.errors import PermanentError
from genops_events.money.ledger_form import packed, unpacked

ZERO = Decimal(0)
Purpose = Literal["tuning", "evaluation", "inference", "comparison", "asking"]
NO_DATASET = "(no dataset)"
"""Whose money it is where a person asks a model that belongs to no dataset: only the project's limit counts."""
MOST_USD = Decimal(10) ** 12
"""More than anybody spends: with six places, sums of such amounts are still exact."""
MOST_PLACES = 6
_AMOUNTS = ("reserved_usd", "spent_usd", "estimated_usd", "approved_usd")
Usd = Annotated[Decimal, Field(ge=0, le=MOST_USD, decimal_places=MOST_PLACES, allow_inf_nan=False)]


class LedgerError(PermanentError):
    """A step that does not belong to this ledger: a mistake of the caller, never a matter of limits."""


class LedgerDamaged(PermanentError):
    """The stored ledger is none, or contradicts itself: a person has changed it by hand."""


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
    estimated_usd: Usd | None = None
    """What was reserved; it stays beside what was spent in the end. None in postings of older versions."""
    approved_by: str | None = None
    """Who let it go over a limit."""
    commit: Annotated[int, Field(ge=0)] = 0
    """Number of the writing of the ledger that has changed it last; 0 in postings of older versions."""

    @model_validator(mode="after")
    def _check_sense(self) -> Posting:
        if self.settled and self.reserved_usd:
            raise ValueError("settled, and yet something is reserved")
        if not self.settled and self.spent_usd:
            raise ValueError("something is spent, and yet it is not settled")
        if not self.settled and self.reserved_at is None:
            raise ValueError("neither reserved nor settled")
        if self.estimated_usd is not None and not self.settled and self.estimated_usd != self.reserved_usd:
            raise ValueError("what is reserved is not what was estimated")
        return self


class LedgerEntry(_Row):
    """What one account has reserved and spent, purpose by purpose: mostly a candidate's."""

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


class Total(_Row):
    """What all postings of a dataset for one purpose come to."""

    postings: Annotated[int, Field(ge=0)] = 0
    reserved_usd: Usd = ZERO
    spent_usd: Usd = ZERO
    estimated_usd: Usd = ZERO
    """What was estimated for that which has been spent."""
    approved_usd: Usd = ZERO
    """What of it a person let go over a limit."""

    def changed(self, before: Posting | None, after: Posting | None) -> Total:
        """Return the total once one of its postings is another, is new, or is gone.

        Raises:
            LedgerDamaged: that posting cannot have been one of them.
        """
        old, new = _counted(before), _counted(after)
        figures = {name: getattr(self, name) - old[name] + new[name] for name in old}
        if any(figure < 0 for figure in figures.values()):
            raise LedgerDamaged("a posting is more than the total that it is part of")
        return self.model_copy(update=figures)


def _counted(posting: Posting | None) -> dict[str, Any]:
    """Return what a posting counts for in the total of its dataset and purpose."""
    if posting is None:
        return dict.fromkeys(("postings", *_AMOUNTS), ZERO) | {"postings": 0}
    has_cost = posting.settled and posting.spent_usd
    return {
        "postings": 1,
        "reserved_usd": posting.reserved_usd,
        "spent_usd": posting.spent_usd,
        "estimated_usd": (posting.estimated_usd or ZERO) if has_cost else ZERO,
        "approved_usd": ZERO if posting.approved_by is None else posting.reserved_usd + posting.spent_usd,
    }


class Ledger(_Row):
    """What was reserved and spent in one calendar month (UTC). It is never changed: each step returns a new one."""

    schema_name: Annotated[Literal["genops.ledger.v2"], Field(alias="schema")] = "genops.ledger.v2"
    month: Annotated[str, Field(pattern=r"^[0-9]{4}-(0[1-9]|1[0-2])$")]
    """yyyy-mm"""
    series: Annotated[str, Field(pattern=r"^[0-9a-f]*$")] = ""
    """Names the folder of the accounts that belong to this ledger; empty until it is written for the first time."""
    commit: Annotated[int, Field(ge=0)] = 0
    """How often it was written."""
    totals: dict[str, dict[Purpose, Total]] = {}
    """Of all accounts, by dataset."""
    entries: dict[str, LedgerEntry] = {}
    """By account (a candidate's id, for instance): what has changed lately. What has not lies in the account's folder."""
    granted: tuple[str, ...] = ()
    """Wishes that were taken in, and still lie in the bucket."""
    refused: tuple[str, ...] = ()
    """Wishes that a limit was in the way of, and that still lie in the bucket."""

    @model_validator(mode="before")
    @classmethod
    def _read_form(cls, values: Any) -> Any:
        return unpacked(values) if isinstance(values, dict) else values

    @model_validator(mode="after")
    def _add_up(self) -> Ledger:
        standing = _totals(self.entries)
        if "totals" not in self.model_fields_set:
            object.__setattr__(self, "totals", standing)
        for dataset, totals in standing.items():
            for purpose, part in totals.items():
                whole = self.totals.get(dataset, {}).get(purpose, Total())
                if any(getattr(part, name) > getattr(whole, name) for name in ("postings", *_AMOUNTS)):
                    raise ValueError(f"what {dataset} has for {purpose} comes to more than its total")
        return self

    def to_json(self) -> bytes:
        """Return the ledger as it is stored: UTF-8 JSON, a posting in a line of columns."""
        return packed(self.model_dump(mode="json", by_alias=True, exclude_defaults=True) | {"schema": self.schema_name})


def _totals(entries: dict[str, LedgerEntry]) -> dict[str, dict[Purpose, Total]]:
    totals: dict[str, dict[Purpose, Total]] = {}
    for entry in entries.values():
        for purpose, posting in entry.purposes.items():
            of_dataset = totals.setdefault(entry.dataset, {})
            of_dataset[purpose] = of_dataset.get(purpose, Total()).changed(None, posting)
    return totals


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why an amount was not reserved: a normal outcome with its figures."""

    reason: str
    dataset: str
    month: str
    asked_usd: Decimal
    committed_usd: Decimal
    limit_usd: Decimal
    missing_usd: Decimal
    """How much all limits that are in the way would have to be higher."""
    limits: tuple[str, ...]
    """Keys of genops.yaml that are in the way."""

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
    candidate_limit: Decimal | None = None,
    project_limit: Decimal | None = None,
    approved_by: str | None = None,
    again: bool = False,
) -> Ledger | Refusal:
    """Hold back an amount for a candidate, once, if candidate, dataset and project stay within their limits.

    What this candidate has already settled for this purpose, or reserved to at least this amount, stays as it is: the same
    ledger comes back, also where the limit has been reached since. A reservation of less is raised to the amount, and
    what is added must be within the limits: a later try may find more work than an earlier one reserved for. An amount
    that just reaches a limit passes.

    Args:
        ledger: of the month of `now`.
        candidate: whose money it is.
        dataset: of the candidate.
        amount: in USD, rounded up to six places.
        limit: of the dataset and month, in USD.
        now: aware.
        purpose: the stage that will spend it.
        candidate_limit: of all that this candidate costs, in USD; None for none.
        project_limit: of all datasets and the month, in USD; None for none.
        approved_by: who lets this amount pass, whatever the limits are.
        again: reserve once more what was settled, for a stage that goes on after its failure. What it has spent is part of
            the amount, and never less is reserved: its next settlement counts all of it.

    Raises LedgerError when the ledger is of another month than `now`, or knows the candidate under another dataset.
    """
    amount = exact(amount)
    entry = ledger.entries.get(candidate)
    if entry is not None and entry.dataset != dataset:
        raise LedgerError(f"The ledger knows {candidate} under the dataset {entry.dataset!r}, not {dataset!r}.")
    before = None if entry is None else entry.purposes.get(purpose)
    if before is not None and before.settled and again:
        amount = max(amount, before.spent_usd)
    elif before is not None and (before.settled or amount <= before.reserved_usd):
        return ledger
    if ledger.month != month_of(now):
        raise LedgerError(
            f"The ledger of {ledger.month} takes no new reservations: it is {month_of(now)}.",
            "Load the ledger of the current month (UTC).",
        )
    if approved_by is None:
        held = ZERO if before is None else before.reserved_usd + before.spent_usd
        refusal = _refusal(
            ledger, candidate, dataset, amount, purpose, limits=(limit, candidate_limit, project_limit), held=held
        )
        if refusal is not None:
            return refusal
    if before is None:
        # Whole seconds, as they are stored.
        begun = now.replace(microsecond=0)
        posting = Posting(reserved_usd=amount, estimated_usd=amount, reserved_at=begun, approved_by=approved_by)
    else:
        raised = {
            "reserved_usd": amount,
            "estimated_usd": amount,
            "approved_by": approved_by or before.approved_by,
            "spent_usd": ZERO,
            "settled": False,
            "reserved_at": before.reserved_at or now,
        }
        posting = before.model_copy(update=raised)
    return _with(ledger, candidate, entry or LedgerEntry(dataset=dataset), purpose, posting)


def _refusal(
    ledger: Ledger,
    candidate: str,
    dataset: str,
    amount: Decimal,
    purpose: Purpose,
    *,
    limits: tuple[Decimal, Decimal | None, Decimal | None],
    held: Decimal,
) -> Refusal | None:
    """Return which limits `amount` is over; `held` of it is reserved already, and counts once."""
    month, entry = ledger.month, ledger.entries.get(candidate)
    own = ZERO if entry is None else entry.reserved_usd + entry.spent_usd
    already, everybody = committed(ledger, dataset), committed(ledger)
    every = (
        ("budget.monthly_usd of the dataset", f"{dataset} has", f" for {month}", already - held, limits[0]),
        ("budget.candidate_usd", "it has", "", own - held, limits[1]),
        ("budget.monthly_usd of the project", "the project has", f" for {month}", everybody - held, limits[2]),
    )
    over = [
        (key, who, when, before, most)
        for key, who, when, before, most in every
        if most is not None and before + amount > most
    ]
    if not over:
        return None
    told = " and ".join(
        f"{who} {usd(before)} of its {usd(most)}{when} reserved or spent: {usd(before + amount - most)} too much"
        for _, who, when, before, most in over
    )
    _, _, _, before, most = max(over, key=lambda one: one[3] - one[4])
    return Refusal(
        reason=f"{purpose.capitalize()} of {candidate} would cost {usd(amount)}, but {told}.",
        dataset=dataset,
        month=month,
        asked_usd=amount,
        committed_usd=before,
        limit_usd=most,
        missing_usd=before + amount - most,
        limits=tuple(key for key, *_ in over),
    )


def settle(ledger: Ledger, candidate: str, purpose: Purpose, spent: Decimal, *, again: bool = False) -> Ledger:
    """Record what was spent, once, and release what was reserved for it.

    The ledger is the one of the month in which it was reserved. What was really spent is recorded even where it is
    more than was reserved, or where this purpose was not reserved; a second settlement changes nothing. With `again`, that of
    a stage that went on after its failure, it raises what was spent.

    Raises LedgerError when the ledger does not know the candidate.
    """
    spent = exact(spent)
    entry = ledger.entries.get(candidate)
    if entry is None:
        raise LedgerError(
            f"The ledger of {ledger.month} does not know {candidate}.",
            "Settle in the ledger of the month in which it was reserved.",
        )
    posting = entry.purposes.get(purpose)
    if posting is not None and posting.settled and not (again and spent > posting.spent_usd):
        return ledger
    settled = (posting or Posting(settled=True)).model_copy(
        update={"reserved_usd": ZERO, "spent_usd": spent, "settled": True}
    )
    return _with(ledger, candidate, entry, purpose, settled)


def committed(ledger: Ledger, dataset: str | None = None) -> Decimal:
    """Return what a dataset has reserved and spent this month, together; None for all datasets."""
    of_datasets = ledger.totals.values() if dataset is None else [ledger.totals.get(dataset, {})]
    return sum((one.reserved_usd + one.spent_usd for totals in of_datasets for one in totals.values()), ZERO)


def _with(ledger: Ledger, candidate: str, entry: LedgerEntry, purpose: Purpose, posting: Posting) -> Ledger:
    changed = entry.model_copy(update={"purposes": {**entry.purposes, purpose: posting}})
    of_dataset = ledger.totals.get(entry.dataset, {})
    total = of_dataset.get(purpose, Total()).changed(entry.purposes.get(purpose), posting)
    return ledger.model_copy(
        update={
            "entries": {**ledger.entries, candidate: changed},
            "totals": {**ledger.totals, entry.dataset: {**of_dataset, purpose: total}},
        }
    )


def usd(amount: Decimal) -> str:
    """Write dollars with two places, or with as many as a small amount needs, never rounding it away."""
    places = max(2, -int(amount.normalize().as_tuple().exponent)) if amount else 2
    return f"{'-' if amount < 0 else ''}${abs(amount):,.{places}f}"


def exact(amount: Decimal) -> Decimal:
    """Return an amount with at most six places, rounded up: what is stored must be readable again, and add up."""
    if not amount.is_finite() or not 0 <= amount <= MOST_USD:
        raise ValueError(f"an amount must be a number from 0 to {MOST_USD:,}, got {amount}")
    places = -int(amount.as_tuple().exponent)
    return amount.quantize(Decimal(1).scaleb(-MOST_PLACES), rounding=ROUND_UP) if places > MOST_PLACES else amount
