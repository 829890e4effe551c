"""What a training file will cost before anything is spent: tuning, evaluation with its judge, inference.

Every figure is an upper estimate: answers at their longest, amounts rounded up. What cannot be told is None, never 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from genops_events.catalogue.prices import Rates


@dataclass(frozen=True, slots=True)
class PaidStep:
    """One paid step."""

    name: str
    usd: Decimal | None
    """None: not known, `why` says why."""
    limit_usd: Decimal | None = None
    """What genops.yaml allows for this step; None where it has no limit of its own."""
    input_tokens: int | None = None
    output_tokens: int | None = None
    why: str = ""

    @property
    def is_over(self) -> bool:
        """Whether the step would be held."""
        return self.usd is not None and self.limit_usd is not None and self.usd > self.limit_usd

    def to_json(self) -> dict[str, Any]:
        """Return the step as `--json` prints it; amounts are texts."""
        return {
            "usd": None if self.usd is None else str(self.usd),
            "limit_usd": None if self.limit_usd is None else str(self.limit_usd),
            "over_limit": self.is_over,
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            "why": self.why,
        }


def tuning_step(rates: Rates, *, tokens: int, epochs: int, limit_usd: Decimal) -> PaidStep:
    """Return what tuning costs: the file's tokens, once for each epoch."""
    passes = f"{epochs} {'epoch' if epochs == 1 else 'epochs'}"
    why = f"{tokens:,} tokens, {passes}"
    return PaidStep("tuning", rates.tuning_cost(tokens, epochs), limit_usd, tokens * epochs, None, why)


@dataclass(frozen=True, slots=True)
class Estimate:
    """What one candidate will cost."""

    dataset: str
    model: str
    as_of: str
    """Day of the price table."""
    steps: tuple[PaidStep, ...]
    candidate_limit_usd: Decimal | None = None
    notes: tuple[str, ...] = ()

    @property
    def total_usd(self) -> Decimal:
        """The sum of what is known."""
        return sum((one.usd for one in self.steps if one.usd is not None), Decimal(0))

    @property
    def is_complete(self) -> bool:
        """Whether every step is known."""
        return all(one.usd is not None for one in self.steps)

    @property
    def is_over(self) -> bool:
        """Whether the candidate would be held by a limit on its own cost."""
        most = self.candidate_limit_usd
        return any(one.is_over for one in self.steps) or (most is not None and self.total_usd > most)

    def to_json(self) -> dict[str, Any]:
        """Return what `--json` prints; amounts are texts, since JSON's numbers are no money."""
        return {
            "dataset": self.dataset,
            "model": self.model,
            "prices_as_of": self.as_of,
            "steps": {one.name: one.to_json() for one in self.steps},
            "total_usd": str(self.total_usd),
            "complete": self.is_complete,
            "candidate_limit_usd": None if self.candidate_limit_usd is None else str(self.candidate_limit_usd),
            "over_limit": self.is_over,
            "notes": list(self.notes),
        }
