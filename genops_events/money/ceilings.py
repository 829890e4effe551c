"""What a person may let a run cost: what genops.yaml allows, or less.

A form, a command, a call and a Dag run's conf can each name a budget. It counts where it is lower than what genops.yaml
says, and is refused where it is higher: who may start a run need not be who decides what may be spent.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from genops_events.errors import PermanentError
from genops_events.money.ledger import usd

if TYPE_CHECKING:
    from genops_events.config import Config, Dataset

USUAL_ASK_USD = Decimal(1)
"""What one asking may cost where neither genops.yaml nor whoever asks says, and a month's limit applies."""


class OverCeiling(PermanentError):
    """A person has named a budget above what genops.yaml allows."""


class NoLimit(PermanentError):
    """No limit of genops.yaml applies to what a person wants to spend."""


def lowered(asked: Decimal | None, allowed: Decimal | None, *, name: str, key: str) -> Decimal | None:
    """Return the budget that counts: what is asked for, or what is allowed where nobody asks; None for none.

    Args:
        asked: in USD; None where nobody says.
        allowed: by genops.yaml; None where it says nothing, and nothing is too high.
        name: of the field or option in which it is asked for.
        key: of genops.yaml that allows it.

    Raises:
        OverCeiling: more is asked for than is allowed.
    """
    if asked is None or allowed is None or asked <= allowed:
        return allowed if asked is None else asked
    raise OverCeiling(
        f"{name} is {usd(asked)}, and genops.yaml allows {usd(allowed)} (`{key}`): it can be lowered here, never raised.",
        f"Name at most {usd(allowed)}, or have `{key}` raised in genops.yaml.",
    )


def ask_budget(config: Config, asked: Decimal | None, *, dataset: str | None, name: str = "The budget") -> Decimal:
    """Return what one asking may cost in USD: lower than or equal to `ask.budget_usd`, where genops.yaml has it.

    Three keys are limits on asking. `ask.budget_usd` is one on each asking. `budget.monthly_usd` of all datasets, and
    where a dataset's champion is asked that of the dataset, are limits on the month, which the ledger keeps: one of them
    is enough, and a higher budget than USUAL_ASK_USD may then be asked for.

    Args:
        config: says what is allowed.
        asked: in USD; None where nobody says.
        dataset: whose champion is asked; None for a model that belongs to none.
        name: of the field or option in which it is asked for.

    Raises:
        OverCeiling: more is asked for than is allowed.
        NoLimit: none of the three keys is there.
    """
    allowed = config.ask.budget_usd
    if allowed is None and dataset is None and config.budget.monthly_usd is None:
        raise NoLimit(
            "Nothing in genops.yaml limits what asking a model costs.",
            "Set `ask: {budget_usd: 1}` (most that one asking may cost) or `budget: {monthly_usd: 50}` (most that all "
            "datasets and all asking may cost in a month) in genops.yaml, in US dollars; "
            "or ask the champion of a dataset, whose `budget.monthly_usd` counts.",
        )
    budget = lowered(asked, allowed, name=name, key="ask.budget_usd")
    return USUAL_ASK_USD if budget is None else budget


def comparison_budget(dataset: Dataset, asked: Decimal | None, *, name: str = "`budget_usd`") -> Decimal | None:
    """Return what one comparison of a dataset may cost in USD; None where only the months' limits count.

    Args:
        dataset: its `comparison.budget_usd` is the most that may be asked for.
        asked: in USD; None where nobody says.
        name: of the field or option in which it is asked for.

    Raises:
        OverCeiling: more is asked for than is allowed.
    """
    return lowered(asked, dataset.comparison.budget_usd, name=name, key="comparison.budget_usd")
