"""The stand-in as an ASGI application: routes on the raw path, because object names hold slashes."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from typing import Any
from urllib.parse import unquote

import msgspec

from gcp_stand_ins.faults import AnswerGivenError, FaultSwitch, InjectedError
from gcp_stand_ins.storage.batch import answer_batch
from gcp_stand_ins.storage.calls import Calls
from gcp_stand_ins.storage.faults import StorageFaults
from gcp_stand_ins.storage.fields import apply_mask, parse_fields
from gcp_stand_ins.storage.wire import (
    Answer,
    ApiError,
    Call,
    ClientGoneError,
    error_answer,
    parse_query,
)

log = logging.getLogger("gcp_stand_ins.storage")

Handler = Callable[..., Awaitable[Answer]]
Receive = Callable[[], Awaitable[Mapping[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

_TEXT_TYPES = ("application/json",)


class Routes:
    """Which call a method and path stand for."""

    def __init__(self) -> None:
        self._by_shape: dict[tuple[str, int], list[tuple[list[str | None], str, Handler]]] = {}

    def add(self, verb: str, pattern: str, name: str, handler: Handler) -> None:
        """Route `verb` on `pattern`, whose `*` segments become arguments.

        Args:
            verb: the HTTP method.
            pattern: a path without its leading slash.
            name: the call's name in the JSON API, which faults go by.
            handler: answers it.
        """
        segments = [None if one == "*" else one for one in pattern.split("/")]
        self._by_shape.setdefault((verb, len(segments)), []).append((segments, name, handler))

    def find(self, call: Call) -> tuple[str, Handler, list[str]]:
        """Return the name, handler and arguments of a call.

        Raises:
            ApiError: 501, there is no such route; 400, the path is not UTF-8.
        """
        given = call.path.strip("/").split("/")
        for segments, name, handler in self._by_shape.get((call.method, len(given)), []):
            if all(want is None or want == have for want, have in zip(segments, given, strict=True)):
                try:
                    values = [
                        unquote(have, errors="strict")
                        for want, have in zip(segments, given, strict=True)
                        if want is None
                    ]
                except UnicodeDecodeError:
                    raise ApiError(400, f"The path {call.path} is not UTF-8 once decoded.") from None
                return name, handler, values
        raise ApiError(
            501,
            f"The local Cloud Storage has no {call.method} {call.path}; the JSON API's own path, or not built here.",
        )


class StorageApplication:
    """Answers HTTP as Cloud Storage's JSON API does.

    Args:
        calls: what answers each call.
        faults: may delay or fail any of them.
        base_url: used in links when a request names no host.
    """

    def __init__(self, calls: Calls, faults: FaultSwitch[StorageFaults], base_url: str) -> None:
        self._faults = faults
        self._base_url = base_url
        self._routes = Routes()
        for verb, pattern, name, handler in calls.routes():
            self._routes.add(verb, pattern, name, handler)
        self._routes.add("POST", "batch/storage/v1", "batch", self._batch)

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            raise RuntimeError(f"this application serves HTTP, not {scope['type']}")
        call = self._call(scope, receive)
        try:
            answer = await self._answer_any(call)
        except ClientGoneError:
            return
        await _send(answer, send)

    async def _answer_any(self, call: Call) -> Answer:
        try:
            return await self._answer(call)
        except ApiError as error:
            return error_answer(error)
        except ClientGoneError:
            raise
        except Exception:
            log.exception("%s %s failed inside the stand-in; this is a bug in it", call.method, call.path)
            return error_answer(ApiError(500, "The local Cloud Storage has a bug; its log says where."))

    async def _answer(self, call: Call) -> Answer:
        name, handler, values = self._routes.find(call)
        try:
            await self._faults.before(name)
        except AnswerGivenError as given:
            return Answer(given.answer.status, given.answer.body, given.answer.all_headers)
        except InjectedError as error:
            status = 503 if error.code == "unavailable" else int(error.code)
            raise ApiError(status, f"{name}: {error}; see the fault settings of the local Cloud Storage.") from None
        answer = await handler(call, *values)
        if call.method != "GET" and name != "batch" and self._faults.current.loses_answer(name):
            raise ApiError(503, f"{name}: applied, but its answer is lost; see the fault settings.")
        wanted = call.query.get("fields")
        if wanted and isinstance(answer.body, bytes) and answer.headers.get("content-type", "").startswith(_TEXT_TYPES):
            document = apply_mask(msgspec.json.decode(answer.body), parse_fields(wanted))
            answer.body = msgspec.json.encode(document)
        return answer

    async def _batch(self, call: Call) -> Answer:
        return await answer_batch(call, self._answer_any)

    def _call(self, scope: Mapping[str, Any], receive: Receive) -> Call:
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        host = headers.get("host")
        return Call(
            method=scope["method"],
            path=scope["raw_path"].decode("latin-1"),
            query=parse_query(scope["query_string"].decode("latin-1")),
            headers=headers,
            body=_body(receive),
            base_url=f"{scope['scheme']}://{host}" if host else self._base_url,
            raw_query=scope["query_string"].decode("latin-1"),
        )


async def _body(receive: Receive) -> AsyncGenerator[bytes, None]:
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGoneError
        if message.get("body"):
            yield message["body"]
        if not message.get("more_body", False):
            return


async def _send(answer: Answer, send: Send) -> None:
    headers = dict(answer.headers)
    if isinstance(answer.body, bytes) and answer.status not in {204, 304}:
        headers["content-length"] = str(len(answer.body))
    pairs = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": answer.status, "headers": pairs})
    if isinstance(answer.body, bytes):
        await send({"type": "http.response.body", "body": answer.body})
        return
    async with aclosing(answer.body) as blocks:
        async for block in blocks:
            await send({"type": "http.response.body", "body": block, "more_body": True})
    await send({"type": "http.response.body"})
