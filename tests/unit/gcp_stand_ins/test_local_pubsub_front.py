"""The port in front of gRPC's server: bytes pass in both directions, whole and in order, whoever speaks first."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from waiting import HANG_SECONDS

from gcp_stand_ins.pubsub.front import Front, _End
from genops_events.stack import ports

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
GREETING = b"settings"


@asynccontextmanager
async def front(folder: Path) -> AsyncIterator[tuple[Front, int]]:
    """Yield what listens in front of a server that greets at once, and then sends back what it gets."""

    echoes = set()

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        echoes.add(asyncio.current_task())
        writer.write(GREETING)
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
        await ended(writer)

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    (port,) = ports.choose(("api",), home=folder, kept={}).values()
    made = Front(host="127.0.0.1", port=port, inner=server.sockets[0].getsockname()[:2])
    await made.start()
    try:
        yield made, port
    finally:
        made.stop()
        server.close()
        await asyncio.gather(*echoes)  # each ends with the other end


async def ended(writer: asyncio.StreamWriter) -> None:
    writer.close()
    await writer.wait_closed()


async def answered(port: int, *sent: bytes, count: int) -> bytes:
    """Return the first `count` bytes that come back, of what is sent piece by piece."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        async with asyncio.timeout(HANG_SECONDS):
            reading = asyncio.ensure_future(reader.readexactly(count))
            for piece in sent:
                writer.write(piece)
                await writer.drain()
            return await reading
    finally:
        await ended(writer)


async def test_nothing_is_lost_where_the_server_speaks_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loop = asyncio.get_running_loop()
    connect = loop.create_connection

    async def greeted(protocol: Any, *address: Any, **more: Any) -> Any:
        """Connect, and come back once the server has spoken, as a busy machine may."""
        heard = asyncio.Event()

        def made() -> asyncio.Protocol:
            end: asyncio.Protocol = protocol()
            hear = end.data_received
            monkeypatch.setattr(end, "data_received", lambda data: (hear(data), heard.set()))
            return end

        connection = await connect(made, *address, **more)
        await heard.wait()
        return connection

    async with front(tmp_path) as (_, port):
        with monkeypatch.context() as slow:
            slow.setattr(
                loop,
                "create_connection",
                lambda protocol, *more, **words: (greeted if protocol is _End else connect)(protocol, *more, **words),
            )
            found = await answered(port, PREFACE + b"more", count=len(GREETING + PREFACE) + 4)
    assert found == GREETING + PREFACE + b"more"


async def test_a_preface_in_pieces_is_passed_on_as_one(tmp_path: Path) -> None:
    async with front(tmp_path) as (_, port):
        pieces = [PREFACE[place : place + 1] for place in range(len(PREFACE))]
        assert await answered(port, *pieces, b"x", count=len(GREETING) + 25) == GREETING + PREFACE + b"x"


async def test_more_than_any_buffer_holds_passes_whole_and_in_order(tmp_path: Path) -> None:
    content = b"".join(b"%08d" % number for number in range(3_000_000))
    async with front(tmp_path) as (_, port):
        found = await answered(port, PREFACE, content, count=len(GREETING) + len(PREFACE) + len(content))
    assert found == GREETING + PREFACE + content


async def test_a_connection_that_has_ended_is_forgotten_and_ends_at_the_other_end(tmp_path: Path) -> None:
    async with front(tmp_path) as (made, port):
        await answered(port, PREFACE, count=len(GREETING))
        async with asyncio.timeout(HANG_SECONDS):
            while made.origins:  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.01)


async def test_where_grpcs_server_is_gone_the_connection_ends(tmp_path: Path) -> None:
    async with front(tmp_path) as (_, port):
        (nobody,) = ports.choose(("nobody",), home=tmp_path / "other", kept={}).values()
        (free,) = ports.choose(("free",), home=tmp_path / "third", kept={}).values()
        made = Front(host="127.0.0.1", port=free, inner=("127.0.0.1", nobody))
        await made.start()
        with pytest.raises(asyncio.IncompleteReadError):
            await answered(free, PREFACE, count=1)
        made.stop()
        assert await answered(port, PREFACE, count=len(GREETING)) == GREETING
