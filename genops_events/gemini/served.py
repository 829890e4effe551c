"""Requests to the tuned model of a dataset: the same settings for estimates, evaluation and inference."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from genops_events.config.model_settings import wrong_for
from genops_events.gemini.requests import Requests, cache_contents

if TYPE_CHECKING:
    from genops_events.catalogue.facts import Model
    from genops_events.config import Config, Dataset
    from genops_events.config.answers import AnswerSettings
    from genops_events.config.thinking import ThinkingModel


def served_requests(
    config: Config, dataset: Dataset, *, cache: str | None = None, is_cache_refused: bool = False
) -> Requests:
    """Return the maker of inference's requests.

    Args:
        config: has the models' rules about thinking.
        dataset: the dataset of the prompts.
        cache: resource name of the context cache; None for none.
        is_cache_refused: whether the cache's contents are sent before each prompt, since Vertex AI refused the cache.
    """
    return Requests(
        dataset.inference,
        system_instruction=dataset.system_instruction,
        cache=cache,
        thinker=config.thinker(dataset.billed_model, is_tuned=True),
        model=config.catalogue.with_name(dataset.billed_model),
        before=before_each_prompt(dataset) if is_cache_refused else (),
    )


def evaluation_requests(config: Config, dataset: Dataset, model: str) -> Requests:
    """Return the maker of an evaluation's requests: the tuned model is asked with the settings of inference.

    What inference has in a cache is sent with each prompt here: rows are few, and the champion would need its own cache.

    Args:
        config: has the models' rules about thinking.
        dataset: the dataset of the evaluation.
        model: the published model that candidate or champion was tuned from.
    """
    thinker = config.thinker(model, is_tuned=True)
    settings = dataset.evaluated_with
    if model != dataset.billed_model:  # a champion from before the dataset's model was changed
        settings = settings_taken_by(settings, thinker, config.catalogue.find(model))
    return Requests(
        settings,
        system_instruction=dataset.system_instruction,
        thinker=thinker,
        model=config.catalogue.with_name(model),
        before=before_each_prompt(dataset),
    )


def before_each_prompt(dataset: Dataset) -> list[dict[str, Any]]:
    """Return the contents of the dataset's cache, to be sent before every prompt where no cache is made."""
    cache = dataset.inference.cache
    return [] if cache is None else cache_contents(cache.text, cache.files)


def settings_taken_by(settings: AnswerSettings, thinker: ThinkingModel, model: Model | None) -> AnswerSettings:
    """Return a dataset's settings for another model than the dataset's, without those that it would refuse with 400.

    Args:
        settings: checked for the dataset's own model.
        thinker: the other model's rules about thinking.
        model: figures of the other model; None where the catalogue does not have it.
    """
    left_out = set() if model is None else {str(one["loc"][0]) for one in wrong_for(settings, model, "")}
    if settings.thinking is not None and not thinker.takes(settings.thinking):
        left_out.add("thinking")
    return settings.model_copy(update=dict.fromkeys(left_out))
