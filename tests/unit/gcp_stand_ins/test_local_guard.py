"""Who may talk to a stand-in: real connections over HTTP and gRPC; that somebody else owns the stack stands in for another user."""

from __future__ import annotations

import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import httpx
import pytest
import uvicorn
from google.pubsub_v1.types import ListTopicsRequest, ListTopicsResponse
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from waiting import HANG_SECONDS

from gcp_stand_ins import guard
from gcp_stand_ins.guard import Guard, peer_address, uid_of
from gcp_stand_ins.pubsub.faults import PubSubFaultSwitch
from gcp_stand_ins.pubsub.front import Front
from gcp_stand_ins.pubsub.rpc import Service, unary
from gcp_stand_ins.serving import server
from genops_events.stack import ports

ME = os.geteuid()
SOMEBODY_ELSE = ME + 1


def application() -> Starlette:
    async def secret(_: Any) -> PlainTextResponse:
        return PlainTextResponse("secret")

    return Starlette(routes=[Route("/", secret, methods=["GET", "POST"])])


@asynccontextmanager
async def served(made: uvicorn.Server) -> AsyncIterator[httpx.AsyncClient]:
    listener = socket.create_server(("127.0.0.1", 0))
    made.config.load()
    made.lifespan = made.config.lifespan_class(made.config)
    await made.startup(sockets=[listener])
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    try:
        async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=HANG_SECONDS) as client:
            yield client
    finally:
        await made.shutdown(sockets=[listener])


def test_the_kernel_tells_who_has_opened_a_connection_and_that_one_is_gone() -> None:
    for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        with socket.create_server((host, 0), family=family) as listener:
            here = listener.getsockname()[:2]
            with socket.create_connection(here) as client:
                assert uid_of(client.getsockname()[:2], here) == ME
                gone = client.getsockname()[:2]
        assert uid_of((gone[0], 1), here) is None


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Host": "localhost:8080"}, 200),
        ({"Host": "[::1]:8080"}, 200),
        ({"Origin": "http://localhost:3000"}, 200),
        ({"Sec-Fetch-Site": "same-origin"}, 200),
        ({"Host": "rebound.example"}, 403),
        ({"Host": "127.0.0.1.example:80"}, 403),
        ({"Host": "user@127.0.0.1@evil.example"}, 403),
        ({"Host": "[bad"}, 403),
        ({"Host": ""}, 403),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://localhost.evil.example"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
    ],
)
async def test_every_http_server_of_the_stack_keeps_foreign_pages_out(headers: dict[str, str], status: int) -> None:
    async with served(server(application(), host="127.0.0.1", port=0)) as client:
        for method in ("GET", "POST"):
            answer = await client.request(method, "/", headers=headers)
            assert answer.status_code == status
            assert ("secret" in answer.text) == (status == 200)


async def test_another_user_is_told_whose_stack_it_is_and_gets_nothing() -> None:
    config = uvicorn.Config(Guard(application(), owner=SOMEBODY_ELSE), log_config=None, lifespan="off")
    async with served(uvicorn.Server(config)) as client:
        answer = await client.get("/")
    assert answer.status_code == 403
    assert answer.json()["error"]["status"] == "PERMISSION_DENIED"
    assert f"belongs to the user {SOMEBODY_ELSE}, and the user {ME} called it" in answer.json()["error"]["message"]


async def test_where_the_kernel_does_not_tell_the_owner_still_gets_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "_NETLINK_SOCK_DIAG", 31)  # no such family
    async with served(server(application(), host="127.0.0.1", port=0)) as client:
        assert (await client.get("/")).text == "secret"
        assert (await client.get("/", headers={"Origin": "https://evil.example"})).status_code == 403


@pytest.mark.parametrize("owner", [ME, SOMEBODY_ELSE])
@pytest.mark.parametrize("passed_on", [True, False])
async def test_pubsub_answers_its_own_user_alone(tmp_path: Any, owner: int, *, passed_on: bool) -> None:
    called = []

    async def list_topics(request: Any, context: Any) -> Any:
        called.append(request)
        return ListTopicsResponse.pb(ListTopicsResponse())

    api = grpc.aio.server()
    port = api.add_insecure_port("127.0.0.1:0")
    services = {"google.pubsub.v1.Publisher": [unary(list_topics, ListTopicsRequest.pb())]}
    faults = PubSubFaultSwitch(tmp_path / "faults.json")
    inner = "127.0.0.1", port
    if passed_on:
        (port,) = ports.choose(("api",), home=tmp_path, kept={}).values()
    front = Front(host="127.0.0.1", port=port, inner=inner, owner=owner)
    service = Service(services, faults, address=inner, origins=front.origins, owner=owner)
    api.add_generic_rpc_handlers((service,))
    await api.start()
    if passed_on:
        await front.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            call = channel.unary_unary("/google.pubsub.v1.Publisher/ListTopics")
            if owner == ME:
                await call(b"")
            else:
                with pytest.raises(grpc.aio.AioRpcError) as refused:
                    await call(b"")
                assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED
                assert "belongs to the user" in (refused.value.details() or "")
            if passed_on:
                (origin,) = front.origins.values()
                assert origin[1] == ("127.0.0.1", port)
                async with httpx.AsyncClient(timeout=HANG_SECONDS) as client:
                    answer = await client.get(f"http://127.0.0.1:{port}/v1/projects/p/topics")
                assert answer.status_code == (501 if owner == ME else 403)
    finally:
        front.stop()
        await api.stop(None)
    assert len(called) == (owner == ME)


def test_a_peer_is_read_as_grpc_writes_it() -> None:
    assert peer_address("ipv4:127.0.0.1:5000") == ("127.0.0.1", 5000)
    assert peer_address("ipv6:%5B::1%5D:5000") == ("::1", 5000)
    assert peer_address("unix:/tmp/socket") is None
