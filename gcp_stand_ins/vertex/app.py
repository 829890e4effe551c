"""The API: which call is which, and what answers it."""

from __future__ import annotations

import asyncio
import logging
import re
import time
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable, MutableMapping
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from gcp_stand_ins.faults import AnswerGivenError, FaultSwitch, InjectedError
from gcp_stand_ins.vertex import evaluation, responses, tokens
from gcp_stand_ins.vertex.answering import Answering
from gcp_stand_ins.vertex.base_models import BASE_MODELS, check_publisher_model
from gcp_stand_ins.vertex.batches import Batches
from gcp_stand_ins.vertex.errors import ApiError, injected, not_implemented
from gcp_stand_ins.vertex.faults import VertexFaults
from gcp_stand_ins.vertex.projects import Projects
from gcp_stand_ins.vertex.registry import Registry
from gcp_stand_ins.vertex.sending import (
    Events,
    Receive,
    Send,
    read_body,
    send_document,
    send_error,
    send_events,
    send_given,
)
from gcp_stand_ins.vertex.tuning import Tuning
from gcp_stand_ins.vertex.tuning_requests import check_is_stable, stable
from gcp_stand_ins.vertex.wire import read_json

log = logging.getLogger("gcp_stand_ins.vertex")

_PATH = re.compile(r"/(?P<version>v1|v1beta1|ui)/(?P<name>[^:]+)(?::(?P<verb>\w+))?")
_OPERATION = "operations.get"
"""The one method that Google's clients call below `/ui/`: their REST transport looks at operations there."""
_LOCATION = "projects/*/locations/*"
_PROMPTED = frozenset({"generateContent", "streamGenerateContent", "countTokens", "computeTokens"})


@dataclass(frozen=True, slots=True)
class Call:
    """One call, taken apart.

    Args:
        name: resource name, for instance `projects/P/locations/L/tuningJobs/1`.
        parent: `projects/P/locations/L`; empty for a publisher model asked for without a project.
        id: last segment of the name.
        is_stable: whether it came to v1, rather than v1beta1.
    """

    name: str
    parent: str
    id: str
    query: dict[str, str]
    body: dict[str, Any]
    is_stable: bool = False


Answer = dict[str, Any] | Events


class VertexApi:
    """The ASGI application.

    Args:
        tuning: the tuning jobs.
        registry: models and endpoints.
        batches: the batch prediction jobs.
        answering: what answers for models and endpoints.
        switch: the fault settings.
        executor: threads for the evaluation metrics.
        projects: whose numbers names may have.
    """

    def __init__(
        self,
        *,
        tuning: Tuning,
        registry: Registry,
        batches: Batches,
        answering: Answering,
        switch: FaultSwitch[VertexFaults],
        executor: Executor,
        projects: Projects,
    ) -> None:
        self._tuning = tuning
        self._registry = registry
        self._batches = batches
        self._answering = answering
        self._switch = switch
        self._executor = executor
        self._projects = projects
        self.calls: Counter[str] = Counter()
        """How often each method was called since the start."""
        jobs, models, endpoints = (f"{_LOCATION}/{kind}" for kind in ("tuningJobs", "models", "endpoints"))
        predictions, caches = f"{_LOCATION}/batchPredictionJobs", f"{_LOCATION}/cachedContents"
        publisher = f"{_LOCATION}/publishers/*/models/*"
        self._routes: dict[str, tuple[str, Callable[[Call], Awaitable[Answer]]]] = {
            f"POST {jobs}": ("tuningJobs.create", self._create_job),
            f"GET {jobs}": ("tuningJobs.list", self._list_jobs),
            f"GET {jobs}/*": ("tuningJobs.get", self._get_job),
            f"POST {jobs}/*:cancel": ("tuningJobs.cancel", self._cancel_job),
            f"POST {predictions}": ("batchPredictionJobs.create", self._create_batch),
            f"GET {predictions}": ("batchPredictionJobs.list", self._list_batches),
            f"GET {predictions}/*": ("batchPredictionJobs.get", self._get_batch),
            f"POST {predictions}/*:cancel": ("batchPredictionJobs.cancel", self._cancel_batch),
            f"DELETE {predictions}/*": ("batchPredictionJobs.delete", self._delete_batch),
            f"POST {caches}": ("cachedContents.create", self._create_cache),
            f"GET {caches}": ("cachedContents.list", self._list_caches),
            f"GET {caches}/*": ("cachedContents.get", self._get_cache),
            f"PATCH {caches}/*": ("cachedContents.patch", self._patch_cache),
            f"DELETE {caches}/*": ("cachedContents.delete", self._delete_cache),
            f"GET {models}": ("models.list", self._list_models),
            f"GET {models}/*": ("models.get", self._get_model),
            f"PATCH {models}/*": ("models.patch", self._patch_model),
            f"DELETE {models}/*": ("models.delete", self._delete_model),
            f"DELETE {models}/*:deleteVersion": ("models.deleteVersion", self._delete_version),
            f"GET {models}/*:listVersions": ("models.listVersions", self._list_versions),
            f"POST {models}/*:mergeVersionAliases": ("models.mergeVersionAliases", self._merge_aliases),
            f"GET {endpoints}": ("endpoints.list", self._list_endpoints),
            f"GET {endpoints}/*": ("endpoints.get", self._get_endpoint),
            f"POST {endpoints}/*:undeployModel": ("endpoints.undeployModel", self._undeploy),
            f"DELETE {endpoints}/*": ("endpoints.delete", self._delete_endpoint),
            f"POST {_LOCATION}:evaluateInstances": ("evaluateInstances", self._evaluate),
            "GET publishers/*/models": ("publishers.models.list", self._list_publisher_models),
            "GET publishers/*/models/*": ("publishers.models.get", self._get_publisher_model),
        }
        for whose in (_LOCATION, f"{models}/*", f"{endpoints}/*"):
            self._routes[f"GET {whose}/operations/*"] = (_OPERATION, self._get_operation)
        for shape in (publisher, f"{endpoints}/*"):
            self._routes |= {
                f"POST {shape}:generateContent": ("generateContent", self._generate),
                f"POST {shape}:streamGenerateContent": ("streamGenerateContent", self._stream),
                f"POST {shape}:countTokens": ("countTokens", self._count_tokens),
                f"POST {shape}:computeTokens": ("computeTokens", self._compute_tokens),
            }

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Answer one HTTP request."""
        if scope["type"] != "http":
            raise RuntimeError(f"the Vertex AI stand-in speaks HTTP only, not {scope['type']}")
        try:
            answer = await self._answer(scope, await read_body(receive))
        except InjectedError as error:
            await send_error(send, injected(error.code, self._switch.current.retry_after_seconds))
        except AnswerGivenError as given:
            await send_given(send, given.answer)
        except ApiError as error:
            await send_error(send, error)
        except Exception:
            log.exception("%s %s failed", scope["method"], scope["path"])
            await send_error(send, ApiError("INTERNAL", "The Vertex AI stand-in failed; its log says where."))
        else:
            if isinstance(answer, Events):
                await send_events(send, answer)
            else:
                await send_document(send, answer)

    async def _answer(self, scope: MutableMapping[str, Any], body: bytes) -> Answer:
        """Find the method that a request calls, apply the faults, and return what it answers."""
        method, path = scope["method"], scope["path"]
        if method == "POST" and path == "/token":
            # Google's token service, not Vertex AI: no fault reaches it.
            self.calls["token"] += 1
            return {"access_token": "local", "expires_in": 3600, "token_type": "Bearer"}
        match = _PATH.fullmatch(path)
        segments = match["name"].split("/") if match else []
        shape = "/".join(segment if at % 2 == 0 else "*" for at, segment in enumerate(segments))
        verb = f":{match['verb']}" if match and match["verb"] else ""
        route = self._routes.get(f"{method} {shape}{verb}")
        if route is None or (match and match["version"] == "ui" and route[0] != _OPERATION):
            self.calls["unknown"] += 1
            raise not_implemented(f"{method} {path}")
        name, handler = route
        self.calls[name] += 1
        await self._switch.before(name)
        faults = self._switch.current
        await faults.before_method(name, self._switch.delays)
        resource = self._projects.with_id("/".join(segments))
        call = Call(
            name=resource,
            parent="/".join(resource.split("/")[:4]) if segments[0] == "projects" else "",
            id=segments[-1],
            query=dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)),
            body=self._projects.in_request(read_json(body)) if body and method in ("POST", "PATCH") else {},
            is_stable=match is not None and match["version"] == "v1",
        )
        if name in _PROMPTED:
            tokens.refuse_wrong_types(call.body)  # before anything else, as what cannot be read at all
        faults.check_text(name, call.body)
        # From here to the answer nothing depends on the client: a call whose client has gone away is still applied.
        answer = await handler(call)
        await faults.before_answer(name, self._switch.delays)
        if method != "GET" and faults.loses_answer(name):
            raise ApiError("UNAVAILABLE", f"{name}: applied, but its answer is lost; see the fault settings.")
        return answer

    async def _create_batch(self, call: Call) -> Answer:
        return await self._batches.create(call.parent, call.body)

    async def _list_batches(self, call: Call) -> Answer:
        return self._batches.list_jobs(call.parent, call.query)

    async def _get_batch(self, call: Call) -> Answer:
        return self._batches.get(call.name)

    async def _cancel_batch(self, call: Call) -> Answer:
        self._batches.cancel(call.name)
        return {}

    async def _delete_batch(self, call: Call) -> Answer:
        self._batches.delete(call.name)
        return _finished_operation(call.parent)

    async def _create_cache(self, call: Call) -> Answer:
        return self._answering.caches.create(call.parent, call.body)

    async def _list_caches(self, call: Call) -> Answer:
        return self._answering.caches.list_caches(call.parent, call.query)

    async def _get_cache(self, call: Call) -> Answer:
        return self._answering.caches.get(call.name)

    async def _patch_cache(self, call: Call) -> Answer:
        return self._answering.caches.patch(call.name, call.body)

    async def _delete_cache(self, call: Call) -> Answer:
        self._answering.caches.delete(call.name)
        return {}

    async def _create_job(self, call: Call) -> Answer:
        if call.is_stable:
            check_is_stable(call.body)
        return _of_version(call, await self._tuning.create(call.parent, call.body))

    async def _list_jobs(self, call: Call) -> Answer:
        return _of_version(call, self._tuning.list_jobs(call.parent, call.query))

    async def _get_job(self, call: Call) -> Answer:
        return _of_version(call, self._tuning.get(call.name))

    async def _cancel_job(self, call: Call) -> Answer:
        self._tuning.cancel(call.name)
        return {}

    async def _list_models(self, call: Call) -> Answer:
        self._tuning.settle()
        return self._registry.list_models(call.parent, call.query)

    async def _get_model(self, call: Call) -> Answer:
        self._tuning.settle()
        return self._registry.model_view(self._registry.model(call.parent, call.id))

    async def _patch_model(self, call: Call) -> Answer:
        self._tuning.settle()
        return self._registry.patch(call.parent, call.id, call.body, call.query.get("updateMask", ""), time.time())

    async def _delete_model(self, call: Call) -> Answer:
        self._tuning.settle()
        self._registry.delete_model(call.parent, call.id)
        return _finished_operation(call.parent)

    async def _delete_version(self, call: Call) -> Answer:
        self._tuning.settle()
        self._registry.delete_version(call.parent, call.id)
        return _finished_operation(call.parent)

    async def _list_versions(self, call: Call) -> Answer:
        self._tuning.settle()
        return self._registry.list_versions(call.parent, call.id, call.query)

    async def _merge_aliases(self, call: Call) -> Answer:
        self._tuning.settle()
        return self._registry.merge_aliases(call.parent, call.id, call.body.get("versionAliases"), time.time())

    async def _list_endpoints(self, call: Call) -> Answer:
        self._tuning.settle()
        return self._registry.list_endpoints(call.parent, call.query)

    async def _get_endpoint(self, call: Call) -> Answer:
        self._tuning.settle()
        return self._registry.endpoint_view(self._registry.endpoint(call.parent, call.id))

    async def _undeploy(self, call: Call) -> Answer:
        self._tuning.settle()
        self._registry.undeploy(call.parent, call.id, call.body.get("deployedModelId"))
        done = _finished_operation(call.parent)
        done["response"] = {"@type": "type.googleapis.com/google.cloud.aiplatform.v1.UndeployModelResponse"}
        return done

    async def _delete_endpoint(self, call: Call) -> Answer:
        self._tuning.settle()
        self._registry.delete_endpoint(call.parent, call.id)
        return _finished_operation(call.parent)

    async def _get_operation(self, call: Call) -> Answer:
        # Every operation has run when it is named.
        return {**_finished_operation(call.parent), "name": call.name}

    async def _list_publisher_models(self, _: Call) -> Answer:
        return {"publisherModels": [_publisher_view(model) for model in BASE_MODELS]}

    async def _get_publisher_model(self, call: Call) -> Answer:
        return _publisher_view(check_publisher_model(call.name))

    async def _evaluate(self, call: Call) -> Answer:
        # In a thread: the first call of a metric imports its library, which takes seconds.
        answer = await asyncio.get_running_loop().run_in_executor(self._executor, evaluation.evaluate, call.body)
        return self._switch.current.unrated(answer, call.body)

    async def _count_tokens(self, call: Call) -> Answer:
        self._answering.served(call.name)
        return tokens.count_request(call.body)

    async def _compute_tokens(self, call: Call) -> Answer:
        self._answering.served(call.name)
        return tokens.compute_request(call.body)

    async def _stream(self, call: Call) -> Answer:
        response = await self._generate(call)
        return Events(responses.stream(response), sse=call.query.get("alt") == "sse")

    async def _generate(self, call: Call) -> dict[str, Any]:
        return await self._answering.generate(call.name, call.body)


def _of_version(call: Call, answer: dict[str, Any]) -> dict[str, Any]:
    """Return a tuning job, or a page of them, as the version of the API shows it that was called."""
    return dict(stable(answer)) if call.is_stable else answer


def _publisher_view(model: str) -> dict[str, Any]:
    return {"name": f"publishers/google/models/{model}", "versionId": "default", "launchStage": "GA"}


def _finished_operation(parent: str) -> dict[str, Any]:
    """Return a long-running operation that has run already."""
    return {
        "name": f"{parent}/operations/{uuid.uuid4().int % 10**18}",
        "done": True,
        "response": {"@type": "type.googleapis.com/google.protobuf.Empty"},
    }
