"""From gRPC to the methods of the stand-in: names, faults, statuses, and what is not there."""

from __future__ import annotations

import base64
import logging
import os
from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import partial
from typing import Any, NamedTuple

import grpc

from gcp_stand_ins import recording
from gcp_stand_ins.faults import AnswerGivenError, InjectedError
from gcp_stand_ins.guard import Address, foreign_user, peer_address
from gcp_stand_ins.pubsub.errors import ApiError, unimplemented
from gcp_stand_ins.pubsub.faults import PubSubFaultSwitch, error_given, status_of

log = logging.getLogger("gcp_stand_ins")

Call = Callable[[Any, Any], Awaitable[Any]]


class Unary(NamedTuple):
    """One request, one response."""

    name: str
    call: Call
    request_class: Any


class Streaming(NamedTuple):
    """A stream of requests, a stream of responses; the call is given the context only, and reads and writes it."""

    name: str
    call: Callable[[Any], Awaitable[None]]
    request_class: Any


def unary(call: Call, request_class: Any) -> Unary:
    """Return the RPC that `call` answers: `create_topic` answers `CreateTopic`."""
    name = getattr(call, "__name__", "").title().replace("_", "")
    return Unary(name, call, request_class)


class Service(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpc ships no types
    """Answers the RPCs of the given services, and every other one with UNIMPLEMENTED and its name.

    Args:
        services: RPCs by full service name.
        faults: asked before each call.
        address: where this is served.
        origins: who calls and where, of connections that somebody passes on; by the address that those come from.
        owner: number of the user that may call; whoever runs this process by default.
        record: keeps each message; None where nobody wants them.
    """

    def __init__(
        self,
        services: Mapping[str, Iterable[Unary | Streaming]],
        faults: PubSubFaultSwitch,
        *,
        address: Address,
        origins: Mapping[Address, tuple[Address, Address]] | None = None,
        owner: int | None = None,
        record: recording.Record | None = None,
    ) -> None:
        self._faults = faults
        self._address = address
        self._origins = {} if origins is None else origins
        self._owner = os.geteuid() if owner is None else owner
        self._record = record
        self._handlers = {
            f"/{service}/{rpc.name}": self._handler(f"/{service}/{rpc.name}", rpc)
            for service, rpcs in services.items()
            for rpc in rpcs
        }

    def service(self, handler_call_details: Any) -> Any:
        """Return the handler of the method that is called."""
        method = handler_call_details.method
        return self._handlers.get(method) or _unknown(method)

    def _handler(self, path: str, rpc: Unary | Streaming) -> Any:
        if isinstance(rpc, Streaming):

            async def stream(_: Any, context: Any) -> None:
                told = context if self._record is None else _Recorded(context, path, self._record, {})
                await self._guarded(rpc.name, told, partial(rpc.call, told))

            return grpc.stream_stream_rpc_method_handler(
                stream, request_deserializer=rpc.request_class.FromString, response_serializer=_serialized
            )

        async def answer(request: Any, context: Any) -> Any:
            if self._record is None:
                return await self._guarded(rpc.name, context, partial(rpc.call, request, context))
            # Before the call, which may keep the request and go on writing in it.
            told = _Recorded(context, path, self._record, _message("request", request))
            try:
                response = await self._guarded(rpc.name, told, partial(rpc.call, request, context))
                told.keep(status="OK", **_message("answer", response))
                return response
            finally:
                told.keep(status=None)  # of a caller who has gone

        return grpc.unary_unary_rpc_method_handler(
            answer, request_deserializer=rpc.request_class.FromString, response_serializer=_serialized
        )

    async def _guarded(self, name: str, context: Any, call: Callable[[], Awaitable[Any]]) -> Any:
        """Answer with what `call` returns; turn what it raises, and injected faults, into a gRPC status."""
        peer = peer_address(context.peer())
        client, server = (peer, self._address) if peer is None else self._origins.get(peer, (peer, self._address))
        why = foreign_user(client, server, owner=self._owner)
        if why is not None:
            log.warning("refused: %s", why)
            await context.abort(grpc.StatusCode.PERMISSION_DENIED, why)
        try:
            await self._faults.before(name)
            return await call()
        except InjectedError as error:
            await context.abort(status_of(error.code), str(error))
        except AnswerGivenError as given:
            refusal = error_given(given.answer)
            await context.abort(refusal.status, refusal.message, refusal.trailing)
        except ApiError as error:
            await context.abort(error.status, error.message, error.trailing)
        except Exception as error:
            log.exception("%s failed", name)
            await context.abort(grpc.StatusCode.INTERNAL, f"{name} failed in the local Pub/Sub stand-in: {error}")


class _Recorded:
    """The context of a call that keeps what is read, written and refused, each before the other end has it.

    Args:
        context: the call's own.
        path: the method.
        record: takes the lines.
        asked: the request, of a call that has only one.
    """

    def __init__(self, context: Any, path: str, record: recording.Record, asked: Mapping[str, str]) -> None:
        self._context = context
        self._path = path
        self._record = record
        self._asked = asked
        self._is_kept = False

    def keep(self, **answered: Any) -> None:
        """Add the line of a call that is over, once."""
        if not self._is_kept:
            self._is_kept = True
            self._record.write(rpc=self._path, **self._asked, **answered)

    async def abort(self, code: Any, *more: Any) -> None:
        self.keep(status=code.name)
        await self._context.abort(code, *more)

    async def read(self) -> Any:
        message = await self._context.read()
        if message is not grpc.aio.EOF:
            self._record.write(rpc=self._path, **_message("request", message))
        return message

    async def write(self, message: Any) -> None:
        self._record.write(rpc=self._path, **_message("answer", message))
        await self._context.write(message)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)


def _message(name: str, message: Any) -> dict[str, str]:
    return {} if message is None else {f"{name}_base64": base64.b64encode(message.SerializeToString()).decode()}


def _serialized(message: Any) -> bytes:
    return bytes(message.SerializeToString())


def _unknown(method: str) -> Any:
    async def refuse(_: Any, context: Any) -> None:
        error = unimplemented(f"the method {method}")
        await context.abort(error.status, error.message)

    # Raw bytes, and the most general kind: it answers unary callers as well.
    return grpc.stream_stream_rpc_method_handler(refuse)
