"""What the Pub/Sub tests share: the services they run against, and clients as a user would make them.

`service` runs each test against the stand-in and, where the machine has it, against Google's own emulator (`google`
in the test's id): from `PUBSUB_EMULATOR_JAR`, `cloud-pubsub-emulator` on the PATH, or the one inside a Cloud SDK.
"""

from __future__ import annotations

import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import threading
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import google.pubsub_v1
import grpc
import pytest
from google.api_core import exceptions
from google.cloud.pubsub_v1 import PublisherClient, SubscriberClient
from waiting import HANG_SECONDS, until

from genops_events.stack import ports

PROJECT = "conformance"


def google_emulator() -> list[str] | None:
    """Return the command that starts Google's emulator, or None where there is none."""
    java = shutil.which("java")
    if java and (jar := os.environ.get("PUBSUB_EMULATOR_JAR")):
        return [java, "-jar", jar]
    if launcher := shutil.which("cloud-pubsub-emulator"):
        return [launcher]
    if java and (gcloud := shutil.which("gcloud")):
        # The jar itself: `gcloud beta emulators pubsub start` leaves a Java process behind when it is ended.
        folder = Path(gcloud).resolve().parents[1] / "platform" / "pubsub-emulator" / "lib"
        for jar_path in sorted(folder.glob("cloud-pubsub-emulator-*.jar")):
            return [java, "-jar", str(jar_path)]
    return None


IMPLEMENTATIONS = ["stand-in", "google"] if google_emulator() else ["stand-in"]


def stand_in_only(reason: str) -> Any:
    """Run a test against the stand-in only, because Google's emulator differs from the service there."""
    assert reason
    return pytest.mark.parametrize("service", ["stand-in"], indirect=True)


class StandIn:
    """The stand-in as a process that a test may kill and start again on the same state."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self.port, admin_port = ports.choose(("api", "admin"), home=state, kept={}).values()
        self.admin_url = f"http://127.0.0.1:{admin_port}"
        self.address = f"127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        arguments = ["--port", str(self.port), "--admin-port", self.admin_url.rpartition(":")[2]]
        arguments += ["--owner", str(os.getpid())]
        with (self.state.parent / f"{self.state.name}.log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "gcp_stand_ins.pubsub", *arguments, "--state", str(self.state)],
                stdout=log,
                stderr=log,
            )
        until(self._is_healthy, what=f"health of the stand-in (log: {log.name})")

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def stop(self) -> int:
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(timeout=HANG_SECONDS)

    def admin(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.admin_url}{path}", data=data, method=method)
        try:
            with urllib.request.urlopen(request, timeout=HANG_SECONDS) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)

    def set_faults(self, **faults: object) -> None:
        assert self.admin("PUT", "/faults", faults)[0] == 200

    def _is_healthy(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, "the stand-in ended while starting"
        try:
            return self.admin("GET", "/health") == (200, {"status": "ok"})
        except OSError:
            return False


@dataclass(frozen=True, slots=True)
class Service:
    """A Pub/Sub that tests talk to."""

    name: str
    address: str


@pytest.fixture(scope="module")
def stand_in(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandIn]:
    running = StandIn(tmp_path_factory.mktemp("pubsub") / "state")
    yield running
    assert running.stop() == 0


@pytest.fixture(scope="module", params=IMPLEMENTATIONS)
def service(request: pytest.FixtureRequest) -> Iterator[Service]:
    with pytest.MonkeyPatch.context() as environment:
        if request.param == "stand-in":
            address = request.getfixturevalue("stand_in").address
            environment.setenv("PUBSUB_EMULATOR_HOST", address)
            yield Service("stand-in", address)
            return
        command = google_emulator()
        assert command is not None
        (port,) = ports.choose(("google",), home=Path(command[0]), kept={}).values()
        with subprocess.Popen(
            [*command, "--host=127.0.0.1", f"--port={port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as process:
            address = f"127.0.0.1:{port}"
            with grpc.insecure_channel(address) as channel:
                grpc.channel_ready_future(channel).result(timeout=HANG_SECONDS)
            environment.setenv("PUBSUB_EMULATOR_HOST", address)
            yield Service("google", address)
            process.terminate()


@pytest.fixture(scope="module", name="service")
def stand_in_service(stand_in: StandIn) -> Iterator[Service]:
    """For modules about the stand-in alone."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("PUBSUB_EMULATOR_HOST", stand_in.address)
        yield Service("stand-in", stand_in.address)


@pytest.fixture(scope="module")
def publisher(service: Service) -> Iterator[PublisherClient]:
    client = PublisherClient()
    yield client
    client.stop()
    client.transport.close()


@pytest.fixture(scope="module")
def subscriber(service: Service) -> Iterator[SubscriberClient]:
    with SubscriberClient() as client:
        yield client


def fresh(collection: str) -> str:
    """Return a name that no other test uses."""
    return f"projects/{PROJECT}/{collection}/t-{uuid.uuid4().hex}"


@dataclass(frozen=True, slots=True)
class Pair:
    """A topic and a subscription to it, with the usual calls."""

    publisher: PublisherClient
    subscriber: SubscriberClient
    topic: str
    subscription: str

    def publish(self, *data: str, **attributes: str) -> list[str]:
        return [
            self.publisher.publish(self.topic, one.encode(), **attributes).result(timeout=HANG_SECONDS) for one in data
        ]

    def publish_batch(self, messages: list[dict[str, Any]]) -> list[str]:
        """Publish in one request, past the batching of the client."""
        response = google.pubsub_v1.PublisherClient.publish(self.publisher, topic=self.topic, messages=messages)
        return list(response.message_ids)

    def publish_in_order(self, key: str, *data: str) -> list[str]:
        """Publish one batch under an ordering key."""
        return self.publish_batch([{"data": one.encode(), "ordering_key": key} for one in data])

    def pull(self, *, max_messages: int = 100) -> list[Any]:
        """Return what the first Pull gives that gives anything."""
        return until(lambda: self.pull_for(30.0, max_messages=max_messages), what=f"a message of {self.subscription}")

    def pull_for(self, seconds: float, *, max_messages: int = 100) -> list[Any]:
        """Return what one Pull gives; an empty list when it gives nothing in `seconds`."""
        try:
            response = self.subscriber.pull(
                subscription=self.subscription, max_messages=max_messages, timeout=seconds, retry=None
            )
        except exceptions.DeadlineExceeded:  # what the service may answer in place of an empty response
            return []
        return list(response.received_messages)

    def pull_all(self, count: int, *, acknowledge: bool = False) -> list[Any]:
        """Return `count` messages from as many pulls as it takes."""
        received: list[Any] = []

        def pulled() -> bool:
            some = self.pull_for(2.0)
            if acknowledge and some:
                self.acknowledge(some)
            received.extend(some)
            return len(received) >= count

        until(pulled, what=f"{count} messages of {self.subscription}, of {received}")
        return received

    def acknowledge(self, received: list[Any]) -> None:
        self.subscriber.acknowledge(subscription=self.subscription, ack_ids=[one.ack_id for one in received])

    def set_deadline(self, received: list[Any], seconds: int) -> None:
        self.subscriber.modify_ack_deadline(
            subscription=self.subscription, ack_ids=[one.ack_id for one in received], ack_deadline_seconds=seconds
        )

    def nack(self, received: list[Any]) -> None:
        self.set_deadline(received, 0)


MakePair = Callable[..., Pair]


@pytest.fixture
def make_pair(publisher: PublisherClient, subscriber: SubscriberClient) -> MakePair:
    """Return a function that makes a fresh topic and a subscription with the given settings."""

    def make(**settings: Any) -> Pair:
        topic = settings.pop("topic", None)
        if topic is None:
            topic = fresh("topics")
            publisher.create_topic(name=topic)
        subscription = fresh("subscriptions")
        subscriber.create_subscription(request={"name": subscription, "topic": topic, **settings})
        return Pair(publisher, subscriber, topic, subscription)

    return make


@pytest.fixture
def pair(make_pair: MakePair) -> Pair:
    return make_pair()


def data_of(received: list[Any]) -> list[str]:
    return [one.message.data.decode() for one in received]


class Stream:
    """A streaming pull as the generated client opens it, with the flow control of the server alone."""

    def __init__(self, pair: Pair, **first: Any) -> None:
        self._requests: queue.Queue[Any] = queue.Queue()
        self.received: list[Any] = []
        self.ended_with: exceptions.GoogleAPICallError | None = None
        self.send(subscription=pair.subscription, stream_ack_deadline_seconds=60, **first)
        self._responses = google.pubsub_v1.SubscriberClient.streaming_pull(
            pair.subscriber, requests=iter(self._requests.get, None)
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def send(self, **request: Any) -> None:
        self._requests.put(google.pubsub_v1.StreamingPullRequest(**request))

    def close(self) -> None:
        self._responses.cancel()
        self._requests.put(None)
        self._reader.join(timeout=HANG_SECONDS)

    def _read(self) -> None:
        try:
            for response in self._responses:
                self.received.extend(response.received_messages)
        except exceptions.GoogleAPICallError as error:
            self.ended_with = error
