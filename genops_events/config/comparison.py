"""The part `comparison` of a dataset in `genops.yaml`: who is compared whenever a model becomes champion."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_core import InitErrorDetails

from genops_events.catalogue.metrics import PAIRWISE
from genops_events.catalogue.models import Catalogue
from genops_events.config.contestants import Contestants, wrong_models
from genops_events.config.values import ConfigPart, ObjectName, refuse_bool, unique_items
from genops_events.errors import PermanentError
from genops_events.reading.problems import below, close_match, wrong

if TYPE_CHECKING:
    from genops_events.config.evaluation import Evaluation

Amount = Annotated[Decimal, BeforeValidator(refuse_bool), Field(ge=0, allow_inf_nan=False)]


class Comparison(ConfigPart):
    """Who is held against the others after each promotion, and by what."""

    contestants: Contestants = ()
    """Who takes part: `champion`, published models, candidates, `NAME: {model: …, generation_config: {…}}`; none for no comparison."""
    prompts: ObjectName | None = None
    """Prompts as JSONL with `prompt` and `reference`, as the evaluation file has them; the evaluation file if not given."""
    metrics: Annotated[tuple[str, ...], AfterValidator(unique_items)] | None = None
    """What is measured: any metric that the evaluation could have, but `pairwise`; those of the evaluation if not given."""
    budget_usd: Amount | None = None
    """Most that one comparison may cost, all contestants together; only the monthly limits count if not given."""

    def measured_with(self, evaluation: Evaluation) -> tuple[str, ...]:
        """Return the names of the metrics that are measured."""
        return self.metrics if self.metrics is not None else usual_metrics(evaluation)

    def wrong_with(self, evaluation: Evaluation, catalogue: Catalogue, model: str) -> Iterator[InitErrorDetails]:
        """Yield what does not go together with the rest of the dataset.

        Args:
            evaluation: of the same dataset.
            catalogue: published models that are known.
            model: the one that the dataset tunes.
        """
        if self.metrics is not None:
            yield from wrong_metrics(self.metrics, evaluation)
        yield from (below(("contestants",), one) for one in wrong_models(self.contestants, catalogue, model))


class BadMetrics(PermanentError):
    """A metric that a form or a command names cannot be measured."""


def refuse_metrics(metrics: tuple[str, ...], evaluation: Evaluation) -> None:
    """Raise BadMetrics unless all of these metrics, of a form or a command, can be measured."""
    if first := next(wrong_metrics(metrics, evaluation), None):
        found, known = str(first["input"]), [name for name in evaluation.known_metrics if name != PAIRWISE]
        near = close_match(found, known)
        raise BadMetrics(
            f"The metric {found!r} cannot be measured here: it {str(first['type']).removeprefix('Input ')}.",
            f"Did you mean `{near}`?" if near else "",
        )


def usual_metrics(evaluation: Evaluation) -> tuple[str, ...]:
    """Return the metrics of the evaluation that score one answer without another one; there is one, its decisive metric."""
    return tuple(name for name in evaluation.metrics if name != PAIRWISE)


def wrong_metrics(metrics: tuple[str, ...], evaluation: Evaluation) -> Iterator[InitErrorDetails]:
    """Yield which of these metrics cannot be measured."""
    known = tuple(name for name in evaluation.known_metrics if name != PAIRWISE)
    for number, name in enumerate(metrics):
        if name == PAIRWISE:
            text = "Input should be another metric: pairwise holds one answer against another, and here each has a score of its own"
            yield wrong(("metrics", number), name, text)
        elif name not in known:
            yield wrong(("metrics", number), name, f"Input should be one of {', '.join(known)}", known)
