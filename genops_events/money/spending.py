"""What a month has cost and what is still reserved, dataset by dataset and stage by stage, beside the limits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from genops_events.money.ledger import ZERO, Ledger, Purpose, Total

PURPOSES: tuple[Purpose, ...] = ("tuning", "evaluation", "inference", "comparison", "asking")


@dataclass(frozen=True, slots=True)
class Spent:
    """What one stage of a dataset's candidates costs."""

    candidates: int
    reserved_usd: Decimal
    spent_usd: Decimal
    estimated_usd: Decimal
    """What was estimated for that which has been spent: how good the estimates are."""
    approved_usd: Decimal
    """What of it a person let go over a limit."""

    @property
    def committed_usd(self) -> Decimal:
        """Reserved and spent, together."""
        return self.reserved_usd + self.spent_usd


@dataclass(frozen=True, slots=True)
class DatasetSpending:
    """What one dataset costs in a month."""

    dataset: str
    stages: Mapping[Purpose, Spent]
    limit_usd: Decimal | None
    """None where the dataset is no longer in genops.yaml, or is none."""

    @property
    def committed_usd(self) -> Decimal:
        """Reserved and spent, together."""
        return sum((one.committed_usd for one in self.stages.values()), ZERO)

    @property
    def left_usd(self) -> Decimal | None:
        """What may still be reserved; below 0 where a person approved more, None where there is no limit."""
        return None if self.limit_usd is None else self.limit_usd - self.committed_usd


@dataclass(frozen=True, slots=True)
class Spending:
    """What all datasets cost in a month."""

    month: str
    datasets: tuple[DatasetSpending, ...]
    limit_usd: Decimal | None = field(default=None)

    @property
    def committed_usd(self) -> Decimal:
        """Reserved and spent, together."""
        return sum((one.committed_usd for one in self.datasets), ZERO)

    @property
    def spent_usd(self) -> Decimal:
        """All that was spent."""
        return sum((one.spent_usd for row in self.datasets for one in row.stages.values()), ZERO)

    def to_json(self) -> dict[str, Any]:
        """Return what `--json` prints; amounts are texts, since JSON's numbers are no money."""
        return {
            "month": self.month,
            "reserved_usd": str(self.committed_usd - self.spent_usd),
            "spent_usd": str(self.spent_usd),
            "limit_usd": _text(self.limit_usd),
            "left_usd": None if self.limit_usd is None else str(self.limit_usd - self.committed_usd),
            "datasets": {row.dataset: _dataset_json(row) for row in self.datasets},
        }


def spending(ledger: Ledger, limits: Mapping[str, Decimal], project_limit: Decimal | None) -> Spending:
    """Add up a month.

    Args:
        ledger: of the month.
        limits: `budget.monthly_usd` of each dataset in genops.yaml; these are listed also where nothing was spent.
        project_limit: of all datasets together; None for none.
    """
    totals = {name: ledger.totals.get(name, {}) for name in {*limits, *ledger.totals}}
    rows = [
        DatasetSpending(
            dataset=name,
            stages={purpose: _spent(stages[purpose]) for purpose in PURPOSES if purpose in stages},
            limit_usd=limits.get(name),
        )
        for name, stages in sorted(totals.items())
    ]
    return Spending(month=ledger.month, datasets=tuple(rows), limit_usd=project_limit)


def _spent(total: Total) -> Spent:
    return Spent(
        candidates=total.postings,
        reserved_usd=total.reserved_usd,
        spent_usd=total.spent_usd,
        estimated_usd=total.estimated_usd,
        approved_usd=total.approved_usd,
    )


def _dataset_json(row: DatasetSpending) -> dict[str, Any]:
    stages = {
        purpose: {
            "candidates": one.candidates,
            "reserved_usd": str(one.reserved_usd),
            "spent_usd": str(one.spent_usd),
            "estimated_usd": str(one.estimated_usd),
            "approved_usd": str(one.approved_usd),
        }
        for purpose, one in row.stages.items()
    }
    return {"limit_usd": _text(row.limit_usd), "left_usd": _text(row.left_usd), "stages": stages}


def _text(amount: Decimal | None) -> str | None:
    return None if amount is None else str(amount)
