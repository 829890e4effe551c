"""The parts of `genops.yaml` about money: a dataset's limits, the project's, and the file of the user's own models."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field

from genops_events.config.values import ConfigPart, PositiveInt, refuse_bool
from genops_events.reading.problems import wrong_value

Amount = Annotated[Decimal, BeforeValidator(refuse_bool), Field(ge=0, allow_inf_nan=False)]


def _toml_file(value: str) -> str:
    if not value.endswith(".toml") or value.startswith("gs://"):
        raise wrong_value("Input should be the path of a TOML file, from the folder of genops.yaml on")
    return value


TomlFile = Annotated[str, AfterValidator(_toml_file)]


class Budget(ConfigPart):
    """Limits in US dollars. What would exceed one is held before anything is spent, until a person approves it."""

    tuning_usd: Amount
    """Most that one tuning job may cost."""
    inference_usd: Amount
    """Most that one run over the dataset's prompts may cost."""
    monthly_usd: Amount
    """Most that this dataset may cost in a calendar month (UTC), all together."""
    candidate_usd: Amount | None = None
    """Most that one candidate may cost, tuning, evaluation and inference together; no limit if not given."""
    prompt_tokens: PositiveInt | None = None
    """Most tokens of one prompt, system instruction included; only the model's context window counts if not given."""
    prompt_characters: PositiveInt | None = None
    """Most billable characters (all but white space) of one prompt, system instruction included; no limit if not given."""


class ProjectBudget(ConfigPart):
    """Limits in US dollars for all datasets of this configuration together."""

    monthly_usd: Amount | None = None
    """Most that all datasets together may cost in a calendar month (UTC); no limit if not given."""


class Ask(ConfigPart):
    """What one asking of a model may cost: `genops ask`, the form `genops_generate_content`, `generate`."""

    budget_usd: Amount | None = None
    """Most that one of them may cost, in US dollars: a form, an option or an argument can name less, never more. The
    months' limits count, too. If not given, an asking without a budget of its own may cost 1, and the months' limits alone bound
    one that names more; without any of these limits, no model is asked."""
