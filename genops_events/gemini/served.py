"""How the tuned model of a dataset is asked, the same everywhere: what is scored is what is served, and what is reserved."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genops_events.gemini.requests import Requests

if TYPE_CHECKING:
    from genops_events.config import Config, Dataset


def served_requests(config: Config, dataset: Dataset, *, cache: str | None = None) -> Requests:
    """Return what makes the requests of inference.

    Args:
        config: how models think.
        dataset: whose prompts are answered.
        cache: resource name of what all prompts have in common.
    """
    return Requests(
        dataset.inference,
        system_instruction=dataset.system_instruction,
        cache=cache,
        thinker=config.thinker(dataset.billed_model, is_tuned=True),
        model=config.catalogue.with_name(dataset.billed_model),
    )


def evaluation_requests(config: Config, dataset: Dataset, model: str) -> Requests:
    """Return what makes the requests of an evaluation: the tuned model is asked as its answers are served.

    Args:
        config: how models think.
        dataset: whose evaluation.
        model: the published model that it was tuned from: the candidate's, or the champion's.
    """
    return Requests(
        dataset.evaluated_with,
        system_instruction=dataset.system_instruction,
        thinker=config.thinker(model, is_tuned=True),
        model=config.catalogue.with_name(model),
    )
