"""The Cloud Storage and Pub/Sub stand-ins together: an upload becomes a message, whichever of them dies."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from google.cloud import pubsub_v1
from pubsub_stand_in import StandIn
from storage_stand_in import PROJECT, TOPIC, StorageProcess, until
from waiting import HANG_SECONDS

SUBSCRIPTION = f"projects/{PROJECT}/subscriptions/reader"


@pytest.fixture
def pubsub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    running = StandIn(tmp_path / "pubsub")
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", running.address)
    yield running
    running.kill()


@pytest.fixture
def storage(tmp_path: Path, pubsub: StandIn) -> Iterator[StorageProcess]:
    running = StorageProcess(tmp_path / "storage", pubsub.address)
    try:
        running.start()
        yield running
    finally:
        running.kill()


def test_every_upload_becomes_a_message_though_both_are_killed(storage: StorageProcess, pubsub: StandIn) -> None:
    publisher = pubsub_v1.PublisherClient()
    subscriber = pubsub_v1.SubscriberClient()
    publisher.create_topic(name=TOPIC)
    subscriber.create_subscription(name=SUBSCRIPTION, topic=TOPIC)
    client = storage.client()
    bucket = client.create_bucket("together")
    bucket.notification("arrivals", payload_format="JSON_API_V1", event_types=["OBJECT_FINALIZE"]).create()
    generations: dict[str, int] = {}

    def upload(*names: str) -> None:
        for name in names:
            blob = bucket.blob(name)
            blob.upload_from_string(name)
            generations[name] = blob.generation

    upload("a", "b", "c")
    pubsub.kill()
    upload("d", "e")
    storage.kill()
    storage.start()
    upload("f")
    pubsub.start()
    upload("g")
    found: dict[str, int] = {}

    def pull() -> bool:
        answer = subscriber.pull(subscription=SUBSCRIPTION, max_messages=100, timeout=HANG_SECONDS)
        for received in answer.received_messages:
            payload = json.loads(received.message.data)
            assert payload["generation"] == received.message.attributes["objectGeneration"]
            found[received.message.attributes["objectId"]] = int(payload["generation"])
        if answer.received_messages:
            ack_ids = [one.ack_id for one in answer.received_messages]
            subscriber.acknowledge(subscription=SUBSCRIPTION, ack_ids=ack_ids)
        return found == generations

    until(pull)
    client.close()
    subscriber.close()
    publisher.stop()
    assert storage.stop() == 0
