"""The port that Pub/Sub is called at: gRPC is passed on as it comes, and who speaks HTTP/1, as REST does, is told that there is none.

gRPC's server answers HTTP/1 with bytes that no such client can read, and takes no connection that somebody else has accepted.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections.abc import Callable
from http import HTTPStatus

from gcp_stand_ins.guard import Address, foreign_page, foreign_user
from gcp_stand_ins.pubsub.errors import unimplemented

log = logging.getLogger("gcp_stand_ins")

_HTTP_2 = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
"""What a client of HTTP/2 sends first: https://www.rfc-editor.org/rfc/rfc9113#section-3.4."""
_MOST_HEAD_BYTES = 64 * 1024
_BACKLOG = 1024

Origins = dict[Address, tuple[Address, Address]]
"""By the address that a connection reaches gRPC's server from: who opened it, and where."""


class Front:
    """Listens where clients call.

    Args:
        host: to listen at.
        port: to listen at.
        inner: where gRPC's server listens.
        owner: number of the user that may call; whoever runs this process by default.
    """

    def __init__(self, *, host: str, port: int, inner: Address, owner: int | None = None) -> None:
        self.origins: Origins = {}
        self._host = host
        self._port = port
        self._inner = inner
        self._owner = os.geteuid() if owner is None else owner
        self._server: asyncio.Server | None = None
        self._under_way: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Listen from now on.

        Raises:
            OSError: the port is taken.
        """
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: _Outer(self._pass_on, owner=self._owner), self._host, self._port, backlog=_BACKLOG
        )

    def stop(self) -> None:
        """Take no more connections; those that are open end with the server that they lead to."""
        if self._server is not None:
            self._server.close()

    def _pass_on(self, outer: _Outer) -> None:
        task = asyncio.ensure_future(self._connect(outer))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def _connect(self, outer: _Outer) -> None:
        try:
            _, inner = await asyncio.get_running_loop().create_connection(_End, *self._inner)
        except OSError as error:
            log.warning("gRPC's server takes no connection: %s", error)
            outer.close()
            return
        if outer.is_closed:
            inner.close()
            return
        address = inner.address
        self.origins[address] = outer.ends  # before the first byte: gRPC asks who calls
        inner.on_close = lambda: self.origins.pop(address, None)
        inner.join(outer)


class _End(asyncio.Protocol):
    """One end of a connection that is passed on: what comes in here goes out at the other end, no faster than that takes it."""

    def __init__(self) -> None:
        self.is_closed = False
        self.on_close: Callable[[], object] = lambda: None
        self.transport: asyncio.Transport
        self._other: _End | None = None
        self._come = b""
        """What has come in before there was another end."""

    @property
    def address(self) -> Address:
        """The address of the connection in this process."""
        host, port = self.transport.get_extra_info("sockname")[:2]
        return host, port

    def join(self, other: _End) -> None:
        """Pass on what comes in at either end from now on, and what has come before."""
        self._other, other._other = other, self
        self.transport.write(other._come)
        other.transport.write(self._come)  # gRPC's server may speak first
        other.transport.resume_reading()

    def close(self) -> None:
        self.transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        if self._other is not None:
            self._other.transport.write(data)
        else:
            self._come += data

    def pause_writing(self) -> None:
        if self._other is not None:
            self._other.transport.pause_reading()

    def resume_writing(self) -> None:
        if self._other is not None and not self._other.is_closed:
            self._other.transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's name
        self.is_closed = True
        self.on_close()
        if self._other is not None:
            self._other.close()


class _Outer(_End):
    """A client's end, until it is known what it speaks."""

    def __init__(self, pass_on: Callable[[_Outer], None], *, owner: int) -> None:
        super().__init__()
        self._pass_on = pass_on
        self._owner = owner
        self._is_answered = False

    @property
    def ends(self) -> tuple[Address, Address]:
        """Who opened the connection, and where."""
        host, port = self.transport.get_extra_info("peername")[:2]
        return (host, port), self.address

    def data_received(self, data: bytes) -> None:
        if self._is_answered:
            return  # the rest of what was asked, so that the answer is read before the connection ends
        super().data_received(data)
        if self._other is not None:
            return
        if self._come.startswith(_HTTP_2):
            self.transport.pause_reading()
            self._pass_on(self)
        elif not _HTTP_2.startswith(self._come) and (b"\r\n\r\n" in self._come or len(self._come) > _MOST_HEAD_BYTES):
            self._answer()

    def _answer(self) -> None:
        self._is_answered = True
        lines = self._come.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")
        headers = {name.strip().lower(): value.strip() for name, _, value in (one.partition(":") for one in lines[1:])}
        why = foreign_user(*self.ends, owner=self._owner) or foreign_page(headers)
        if why is not None:
            log.warning("refused: %s", why)
            status, word = HTTPStatus.FORBIDDEN, "PERMISSION_DENIED"
        else:
            called = lines[0].rpartition(" ")[0]
            why = unimplemented(f"REST ({called}): it speaks gRPC at this address").message
            status, word = HTTPStatus.NOT_IMPLEMENTED, "UNIMPLEMENTED"
        body = json.dumps({"error": {"code": status.value, "message": why, "status": word}}).encode()
        head = (
            f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Type: application/json; charset=UTF-8\r\n"
            f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        )
        self.transport.write(head.encode("latin-1") + body)
        self.transport.write_eof()
