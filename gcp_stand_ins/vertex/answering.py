"""Which model answers for a name, and what it answers."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from gcp_stand_ins.faults import FaultSwitch
from gcp_stand_ins.recording import answer_is_given
from gcp_stand_ins.vertex import generation, responses
from gcp_stand_ins.vertex.base_models import check_publisher_model
from gcp_stand_ins.vertex.caches import Caches
from gcp_stand_ins.vertex.documents import Database
from gcp_stand_ins.vertex.errors import invalid, not_found
from gcp_stand_ins.vertex.faults import VertexFaults
from gcp_stand_ins.vertex.learner import LearnedModels, extract
from gcp_stand_ins.vertex.quota import Quota
from gcp_stand_ins.vertex.registry import Registry


class Answering:
    """Answers for base models, tuned models and endpoints.

    Args:
        registry: models and endpoints.
        learned: what the tuned ones have learned.
        settle: registers the models that are ready by now.
        switch: the fault settings.
        database: where cached content is kept.
    """

    def __init__(
        self,
        *,
        registry: Registry,
        learned: LearnedModels,
        settle: Callable[[], object],
        switch: FaultSwitch[VertexFaults],
        database: Database,
    ) -> None:
        self.caches = Caches(database, self.served)
        self.quota = Quota()
        self._switch = switch
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
        prompt = generation.read_prompt(body, model=model)
        cached = 0
        if prompt.cache is not None:
            cache = self.caches.used(
                prompt.cache, name if job_id is not None else model, most_uses=self._switch.current.cache_uses
            )
            functions, must_call, search = generation.read_tools(cache.request)
            prompt = replace(prompt, functions=functions, must_call=must_call, search=search)
            cached = cache.tokens
        told = self._switch.current
        tokens = prompt.input_tokens + cached
        if tokens > told.context_window_tokens:
            raise invalid(
                f"The input token count ({tokens}) exceeds the maximum number of tokens allowed "
                f"({told.context_window_tokens})."
            )
        self.quota.take(
            tokens,
            requests_per_minute=told.quota_requests_per_minute,
            tokens_per_minute=told.quota_tokens_per_minute,
        )
        if told.blocked_text and told.blocked_text in prompt.question:
            return responses.blocked_prompt(prompt, model=model, now=time.time(), cached=cached)
        if told.harmful_text and told.harmful_text in prompt.question and not prompt.harm_passes:
            return responses.blocked_answer(prompt, model=model, now=time.time(), cached=cached)
        ends = next((one for text, one in told.finish_reasons.items() if text in prompt.question), None)
        if ends is not None:
            answer_is_given()  # it may be a reason that Google's documents do not have yet
        if ends is not None or (told.empty_text and told.empty_text in prompt.question):
            return responses.silent(prompt, ends or "STOP", model=model, now=time.time(), cached=cached)
        if job_id is None:
            answer = generation.without_eyes(prompt, extract(prompt.question))
        else:
            learner = self._learned.ready(job_id) or await self._learned.learner(job_id)
            answer = learner.answer(prompt.question)
        response = responses.respond(prompt, answer, model=model, now=time.time(), cached=cached)
        self.quota.used(response["usageMetadata"]["totalTokenCount"] - tokens)
        return response
