"""Pub/Sub's REST API, which the stand-in does not have: each call is told so at once, at the address where gRPC is served."""

from __future__ import annotations

import httpx
import pytest
from google.api_core import exceptions
from google.auth.credentials import AnonymousCredentials
from google.pubsub_v1 import PublisherClient
from pubsub_stand_in import Pair, StandIn, fresh
from waiting import HANG_SECONDS


@pytest.fixture
def url(stand_in: StandIn) -> str:
    return f"http://{stand_in.address}"


def test_googles_own_client_over_rest_is_told_that_there_is_none(stand_in: StandIn, url: str) -> None:
    options = {"api_endpoint": url}
    with PublisherClient(transport="rest", credentials=AnonymousCredentials(), client_options=options) as client:
        for call in (
            lambda: client.create_topic(name=fresh("topics"), retry=None),
            lambda: client.publish(topic=fresh("topics"), messages=[{"data": b"x" * 5_000_000}], retry=None),
            lambda: client.get_topic(topic=fresh("topics"), retry=None),
        ):
            with pytest.raises(exceptions.MethodNotImplemented, match="does not provide REST"):
                call()


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
def test_the_refusal_names_the_call_and_has_the_form_of_googles_errors(url: str, method: str) -> None:
    answer = httpx.request(method, f"{url}/v1/projects/p/topics/t:publish", timeout=HANG_SECONDS)
    assert answer.status_code == 501
    error = answer.json()["error"]
    assert (error["code"], error["status"]) == (501, "UNIMPLEMENTED")
    assert f"REST ({method} /v1/projects/p/topics/t:publish)" in error["message"]


def test_pages_of_strangers_are_refused_before_that(url: str) -> None:
    for headers in ({"Host": "evil.example"}, {"Origin": "https://evil.example"}):
        answer = httpx.get(f"{url}/v1/projects/p/topics", headers=headers, timeout=HANG_SECONDS)
        assert answer.status_code == 403
        assert answer.json()["error"]["status"] == "PERMISSION_DENIED"


def test_grpc_goes_on_beside_it(pair: Pair, url: str) -> None:
    for number in range(20):
        assert httpx.get(f"{url}/v1/projects/p/topics", timeout=HANG_SECONDS).status_code == 501
        pair.publish(f"{number}")
    received = pair.pull_all(20, acknowledge=True)
    assert sorted(int(one.message.data) for one in received) == list(range(20))
