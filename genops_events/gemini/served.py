"""How the tuned model of a dataset is asked, the same everywhere: what is scored is what is served, and what is reserved."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from genops_events.config.model_settings import wrong_for
from genops_events.gemini.requests import Requests, cache_contents

if TYPE_CHECKING:
    from genops_events.catalogue.facts import Model
    from genops_events.config import Config, Dataset
    from genops_events.config.answers import AnswerSettings
    from genops_events.config.thinking import ThinkingModel


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

    What inference keeps in a cache is sent with each prompt here: rows are few, and the champion would need a cache of its own.

    Args:
        config: how models think.
        dataset: whose evaluation.
        model: the published model that it was tuned from: the candidate's, or the champion's.
    """
    thinker = config.thinker(model, is_tuned=True)
    settings = dataset.evaluated_with
    if model != dataset.billed_model:  # a champion from before the dataset's model was changed
        settings = taken_by(settings, thinker, config.catalogue.find(model))
    return Requests(
        settings,
        system_instruction=dataset.system_instruction,
        thinker=thinker,
        model=config.catalogue.with_name(model),
        before=before_each_prompt(dataset),
    )


def before_each_prompt(dataset: Dataset) -> list[dict[str, Any]]:
    """Return the contents that come before every prompt that is served: those of its cache, for whoever makes none."""
    cache = dataset.inference.cache
    return [] if cache is None else cache_contents(cache.text, cache.files)


def taken_by(settings: AnswerSettings, thinker: ThinkingModel, model: Model | None) -> AnswerSettings:
    """Return a dataset's settings for another model than the dataset's: without those that it would answer with 400.

    Args:
        settings: checked for the dataset's own model.
        thinker: how the other model thinks.
        model: the other one; None where nobody knows it.
    """
    left_out = set() if model is None else {str(one["loc"][0]) for one in wrong_for(settings, model, "")}
    if settings.thinking is not None and not thinker.takes(settings.thinking):
        left_out.add("thinking")
    return settings.model_copy(update=dict.fromkeys(left_out))
