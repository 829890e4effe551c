"""The Cloud Storage and Pub/Sub stand-ins together: an upload becomes a message, whichever of them dies."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from google.cloud import pubsub_v1
from storage_stand_in import PROJECT, TOPIC, StorageProcess, free_port, until

SUBSCRIPTION = f"projects/{PROJECT}/subscriptions/reader"


class PubSubProcess:
    """One Pub/Sub stand-in; `kill` and `start` again keep ports and state."""

    def __init__(self, state: Path) -> None:
        self.address = f"127.0.0.1:{free_port()}"
        self._admin_port = free_port()
        self._state = state
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "genops_events.local.pubsub", "--port", self.address.partition(":")[2]]
        command += ["--admin-port", str(self._admin_port), "--state", str(self._state)]
        with (self._state.parent / "pubsub.log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        until(self._healthy, seconds=20)

    def _healthy(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._admin_port}/health", timeout=5) as answer:
                return answer.status == 200
        except OSError:
            return False

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()


@pytest.fixture
def pubsub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PubSubProcess]:
    running = PubSubProcess(tmp_path / "pubsub")
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", running.address)
    try:
        running.start()
        yield running
    finally:
        running.kill()


@pytest.fixture
def storage(tmp_path: Path, pubsub: PubSubProcess) -> Iterator[StorageProcess]:
    running = StorageProcess(tmp_path / "storage", pubsub.address)
    try:
        running.start()
        yield running
    finally:
        running.kill()


def test_every_upload_becomes_a_message_though_both_are_killed(storage: StorageProcess, pubsub: PubSubProcess) -> None:
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
        answer = subscriber.pull(subscription=SUBSCRIPTION, max_messages=100, timeout=5)
        for received in answer.received_messages:
            payload = json.loads(received.message.data)
            assert payload["generation"] == received.message.attributes["objectGeneration"]
            found[received.message.attributes["objectId"]] = int(payload["generation"])
        if answer.received_messages:
            ack_ids = [one.ack_id for one in answer.received_messages]
            subscriber.acknowledge(subscription=SUBSCRIPTION, ack_ids=ack_ids)
        return found == generations

    until(pull, seconds=15)
    client.close()
    subscriber.close()
    publisher.stop()
    assert storage.stop() == 0
