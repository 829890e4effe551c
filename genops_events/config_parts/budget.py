"""The parts of `genops.yaml` about money: a dataset's limits, the project's, and the file of the user's own models."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator, BeforeValidator, Field

from genops_events.config_parts.problems import wrong_value
from genops_events.config_parts.values import Part, PositiveInt, refuse_bool
from genops_events.config_parts.yaml_lines import read_settings
from genops_events.errors import ConfigError, ConfigProblem, PermanentError
from genops_events.evaluation.judge_usage import priced_as
from genops_events.inference.prompt_limits import call_limits_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from genops_events.config import Config
    from genops_events.config_parts.evaluation import Evaluation

Amount = Annotated[Decimal, BeforeValidator(refuse_bool), Field(ge=0, allow_inf_nan=False)]


def _toml_file(value: str) -> str:
    if not value.endswith(".toml") or value.startswith("gs://"):
        raise wrong_value("Input should be the path of a TOML file, from the folder of genops.yaml on")
    return value


TomlFile = Annotated[str, AfterValidator(_toml_file)]


class Budget(Part):
    """Limits in US dollars. What would exceed one is held before anything is spent, until somebody approves it."""

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


class ProjectBudget(Part):
    """Limits in US dollars for all datasets of this configuration together."""

    monthly_usd: Amount | None = None
    """Most that all datasets together may cost in a calendar month (UTC); no limit if not given."""


class Ask(Part):
    """What one asking of a model may cost: `genops ask`, the form `genops_generate_content`, `generate`."""

    budget_usd: Amount | None = None
    """Most that one of them may cost, in US dollars: whoever asks can name less, never more. The months' limits count, too.
    If not given: 1 where nobody says, and only the months' limits bound what is asked for; without one, nothing is asked."""


def models_text(path: Path) -> str:
    """Return the text of the file that `models` in genops.yaml names; raise ConfigError where it cannot be read."""
    try:
        return read_settings(path)
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        problem = ConfigProblem(
            "models", None, f"cannot be read: {why}", repr(path.name), "a TOML file, from the folder of genops.yaml on"
        )
        raise ConfigError(
            f"{path}, which `models` in genops.yaml names, cannot be read: {why}.",
            "Mend the path, or leave the key out: the figures that ship with genops are used then.",
            (problem,),
        ) from error


def refuse_unpriced(config: Config) -> None:
    """Raise ConfigError where a model of `config` has no price, or nobody knows how much a call of it takes."""
    problems = []
    for name, dataset in config.datasets.items():
        try:
            rates = config.rates_for(dataset)
            for kind in ("training", "input", "output"):
                rates.price(kind)
            call_limits_of(config.catalogue, dataset.billed_model)
        except PermanentError as error:
            key = f"datasets.{name}.source_model"
            problems.append(ConfigProblem(key, None, error.message, repr(dataset.billed_model), error.hint))
        problems += _unpriced_judge(config, name, dataset.evaluation)
    if problems:
        raise ConfigError(
            "A model of genops.yaml has no price:\n" + "\n".join(map(str, problems)),
            "Without a price, nothing can be estimated or reserved, so nothing is spent.",
            tuple(problems),
        )


def _unpriced_judge(config: Config, name: str, evaluation: Evaluation) -> Iterator[ConfigProblem]:
    if not any(metric.judged for metric in evaluation.measured()):
        return
    judge = priced_as(evaluation)
    try:
        rates = config.rates(judge)
        for kind in ("input", "output"):
            rates.price(kind)
    except PermanentError as error:
        key = f"datasets.{name}.evaluation.judge.model"
        yield ConfigProblem(key, None, error.message, repr(judge), error.hint)
