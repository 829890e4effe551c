"""The request for a comparison, by a form, an asset event or the command."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from genops_events.config.values import ConfigPart, refuse_bool


def _without_blanks(value: Any) -> Any:
    return [one for one in value if not isinstance(one, str) or one.strip()] if isinstance(value, list) else value


class ComparisonRequest(ConfigPart):
    """The fields of a form or a command; genops.yaml gives the values of those that are left out."""

    dataset: str = ""
    """An entry of genops.yaml."""
    contestants: Annotated[tuple[Any, ...], BeforeValidator(_without_blanks)] = ()
    """Texts, one for each contestant; blank lines of a form are ignored."""
    prompts: str = ""
    """An object in the bucket, or its gs:// address."""
    metrics: Annotated[tuple[str, ...], BeforeValidator(_without_blanks)] = ()
    budget_usd: Annotated[Decimal, BeforeValidator(refuse_bool), Field(ge=0, allow_inf_nan=False)] | None = None
    """Most that the comparison may cost, in USD: lower than `comparison.budget_usd` of the dataset, where it has one."""
