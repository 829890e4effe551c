"""Which model answers for a name, and what it answers."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from genops_events.local.vertex import generation
from genops_events.local.vertex.errors import not_found
from genops_events.local.vertex.learner import LearnedModels, extract
from genops_events.local.vertex.registry import Registry
from genops_events.local.vertex.tuning_requests import PUBLISHER_MODELS


class Answering:
    """Answers for base models, tuned models and endpoints.

    Args:
        registry: models and endpoints.
        learned: what the tuned ones have learned.
        settle: registers the models that are ready by now.
    """

    def __init__(self, *, registry: Registry, learned: LearnedModels, settle: Callable[[], object]) -> None:
        self._registry = registry
        self._learned = learned
        self._settle = settle

    def served(self, name: str) -> tuple[str | None, str]:
        """Return the job that made the model of that name, None for a base model, and the base model's name.

        Args:
            name: of a publisher model, with or without a project, a model or an endpoint.

        Raises:
            ApiError: there is no such model or endpoint.
        """
        if name.startswith("publishers/") or "/publishers/" in name:
            return None, check_publisher_model(name)
        self._settle()
        parent, _, rest = name.rpartition("/")
        place, _, kind = parent.rpartition("/")
        if kind == "endpoints":
            served = self._registry.served(place, rest)
        elif kind == "models":
            served = self._registry.model(place, rest)
        else:
            raise not_found(f"The model {name} is not found: it must be a publisher model, a model or an endpoint.")
        return served.job_id, served.base_model

    async def generate(self, name: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Return the `GenerateContentResponse` to one request.

        Raises:
            ApiError: there is no such model, or the request is not valid.
        """
        job_id, model = self.served(name)
        prompt = generation.read_prompt(body)
        if job_id is None:
            answer = extract(prompt.question)
        else:
            learner = self._learned.ready(job_id) or await self._learned.learner(job_id)
            answer = learner.answer(prompt.question)
        return generation.respond(prompt, answer, model=model, now=time.time())


def check_publisher_model(name: str) -> str:
    """Return the short name of a publisher model that is here.

    Raises:
        ApiError: there is no such model.
    """
    model = name.rpartition("/")[2]
    if "publishers/google/" not in name or model not in PUBLISHER_MODELS:
        raise not_found(f"Publisher Model `{name}` was not found. Known here: {', '.join(PUBLISHER_MODELS)}.")
    return model
