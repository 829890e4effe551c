"""The stand-ins can be made to answer as the real service was seen to, and the product's own clients make the right thing of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import closing

import pytest
from cloud import StandIns
from shapes import Shape, assert_is_as_expected, shapes_of
from waiting import HANG_SECONDS

from genops_events.config import Config
from genops_events.errors import GenopsError
from genops_events.gcp.clients import genai_client, model_client, publisher_client, subscriber_client
from genops_events.gcp.errors import CloudUnavailable, google_call
from genops_events.gcp.record_store import RecordStore
from genops_events.gemini.calls import Connection
from genops_events.gemini.replies import read_reply
from genops_events.gemini.token_counts import count_tokens
from genops_events.intake.notifications import UnreadableNotification, read_notification
from genops_events.waiting.views import JobKind, JobViews

pytestmark = pytest.mark.filterwarnings("ignore:The SDK's tuning implementation is experimental")

MODEL = "gemini-2.5-flash"
JOB = "projects/p/locations/us-central1/tuningJobs/1"


def posted(config: Config, method: str) -> bytes:
    """Return what one call of a method of a model is answered with."""

    async def call() -> bytes:
        async with Connection(config, at_once=1) as connection:
            asked = b'{"contents": [{"role": "user", "parts": [{"text": "Where?"}]}]}'
            return await connection.post(connection.url_of(MODEL, method), asked, what="ask it")

    return asyncio.run(call())


@pytest.mark.parametrize("shape", shapes_of("answers", "usages"), ids=str)
def test_an_answer_comes_as_it_was_given(shape: Shape, config: Config, cloud: StandIns) -> None:
    cloud.vertex.faults(answers=[shape.answer("generateContent")])
    kept = read_reply(posted(config, "generateContent")).to_json()
    assert {name: kept.get(name) for name in shape.expect} == shape.expect, shape.told["otherwise"]


@pytest.mark.parametrize("shape", shapes_of("counts"), ids=str)
def test_a_count_is_taken_for_what_it_says(shape: Shape, config: Config, cloud: StandIns) -> None:
    cloud.vertex.faults(answers=[shape.answer("countTokens")])

    def count() -> dict[str, int]:
        found = count_tokens(config, model=MODEL, prompts=["Where?"], system_instruction=None)
        return {"tokens": found.tokens, "billable_characters": found.billable_characters}

    if "error" in shape.expect:
        with pytest.raises(CloudUnavailable):
            count()
        return
    assert count() == shape.expect, shape.told["otherwise"]


def by_aiohttp(config: Config) -> None:
    posted(config, "generateContent")


def by_session(config: Config) -> None:
    with closing(JobViews(JobKind.TUNING, project=config.project, location=config.location)) as views:
        views.first_page()


def by_genai(config: Config) -> None:
    with google_call("read it"), genai_client(config.project, config.location, attempts=1) as client:
        client.tunings.get(name=JOB)


def by_gapic(config: Config) -> None:
    with google_call("read it"):
        model_client(config).get_model(name="projects/p/locations/us-central1/models/1", retry=None)


def by_storage(config: Config) -> None:
    bucket = RecordStore.open(config).bucket
    with google_call("read it"):
        bucket.blob("ledger.json").reload(retry=None)


def by_grpc(config: Config) -> None:
    with google_call("read it"), subscriber_client() as client:
        name = f"projects/{config.project}/subscriptions/{config.subscription}"
        client.get_subscription(subscription=name, retry=None)


def has_a_status(shape: Shape) -> bool:
    """Tell whether gRPC can say an error: it knows nothing but statuses."""
    error = shape.told.get("document", {})["error"] if isinstance(shape.told.get("document"), dict) else None
    return isinstance(error, dict) and "status" in error


METHODS: dict[Callable[[Config], None], str] = {
    by_aiohttp: "generateContent",
    by_session: "tuningJobs.list",
    by_genai: "tuningJobs.get",
    by_gapic: "models.get",
    by_storage: "objects.get",
    by_grpc: "GetSubscription",
}


RENEWS_TOKENS = (by_session, by_gapic, by_storage)
"""After a 401, google-auth asks for another token; what that is answered with is the error then."""
RECEIVED = [
    pytest.param(shape, call, id=f"{shape}-{call.__name__}")
    for shape in shapes_of("errors")
    for call in METHODS
    if shape.told["status"] != 401 or call not in RENEWS_TOKENS
    if call is not by_grpc or has_a_status(shape)
]


@pytest.mark.parametrize(("shape", "call"), RECEIVED)
def test_an_error_says_the_same_whichever_client_receives_it(
    shape: Shape, call: Callable[[Config], None], config: Config, cloud: StandIns
) -> None:
    at = {by_storage: cloud.storage, by_grpc: cloud.pubsub}.get(call, cloud.vertex)
    at.faults(answers=[shape.answer(METHODS[call])])
    with pytest.raises(GenopsError) as caught:
        call(config)
    assert_is_as_expected(shape, caught.value)


@pytest.mark.parametrize("shape", shapes_of("notifications"), ids=str)
def test_a_notification_comes_as_it_was_published(shape: Shape, config: Config, cloud: StandIns) -> None:
    topic = f"projects/{config.project}/topics/{config.topics.arrivals}"
    publisher_client().publish(topic, shape.content, **shape.told["attributes"]).result(timeout=HANG_SECONDS)
    with subscriber_client() as client:
        name = f"projects/{config.project}/subscriptions/{config.subscription}"
        (pulled,) = client.pull(subscription=name, max_messages=1, timeout=HANG_SECONDS).received_messages
    attributes, data = dict(pulled.message.attributes), pulled.message.data
    if "error" in shape.expect:
        with pytest.raises(UnreadableNotification, match=shape.expect["says"]):
            read_notification(attributes, data)
        return
    notice = read_notification(attributes, data)
    assert (None if notice is None else notice.payload()) == shape.expect["notice"], shape.told["otherwise"]
