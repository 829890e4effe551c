"""The Cloud Storage stand-in as a real process, and a recorder in Pub/Sub's place; imported by the tests that need them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from contracts.noted import note_message
from google.api_core.client_options import ClientOptions
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage
from google.cloud.storage import Bucket, Client
from google.pubsub_v1.types import GetTopicRequest, PublishRequest, PublishResponse, PubsubMessage, Topic
from waiting import HANG_SECONDS, until

from genops_events.stack import ports

PROJECT = "test-project"
TOPIC = f"projects/{PROJECT}/topics/arrivals"


class StorageProcess:
    """One stand-in process; `kill` and `start` again keep ports and state."""

    def __init__(self, state: Path, pubsub: str) -> None:
        self.port, self.admin_port = ports.choose(("api", "admin"), home=state, kept={}).values()
        self.url = f"http://127.0.0.1:{self.port}"
        self.state = state
        self.pubsub = pubsub
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> Path:
        return self.state.parent / "storage.log"

    def start(self) -> None:
        command = [sys.executable, "-m", "gcp_stand_ins.storage", "--port", str(self.port)]
        command += ["--admin-port", str(self.admin_port), "--state", str(self.state), "--pubsub", self.pubsub]
        command += ["--owner", str(os.getpid())]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        until(self._healthy)

    def _healthy(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, f"the stand-in ended: {self.log.read_text()}"
        try:
            return self.admin("GET", "/health") == {"status": "ok"}
        except OSError:
            return False

    def kill(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> int:
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(timeout=HANG_SECONDS)

    def admin(self, method: str, path: str, body: object = None) -> Any:
        """Call the admin route and return its JSON, also of an error."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.admin_port}{path}", method=method)
        request.data = None if body is None else json.dumps(body).encode()
        try:
            with urllib.request.urlopen(request, timeout=HANG_SECONDS) as response:
                return json.load(response)
        except urllib.error.HTTPError as error:
            with error:
                return json.load(error)

    def client(self) -> Client:
        return storage.Client(
            project=PROJECT, credentials=AnonymousCredentials(), client_options=ClientOptions(api_endpoint=self.url)
        )


class TopicRecorder:
    """Pub/Sub's publisher service, reduced to knowing one topic and keeping what is published."""

    def __init__(self) -> None:
        self.messages: list[PubsubMessage] = []
        self.port = ports.choose(("recorder",), home=Path(uuid.uuid4().hex), kept={})["recorder"]
        self.address = f"127.0.0.1:{self.port}"
        self._lock = threading.Lock()
        self._server: grpc.Server | None = None

    def start(self) -> None:
        self._server = grpc.server(ThreadPoolExecutor(4), options=[("grpc.so_reuseport", 0)])
        handlers = {
            "Publish": grpc.unary_unary_rpc_method_handler(
                self._publish, PublishRequest.deserialize, PublishResponse.serialize
            ),
            "GetTopic": grpc.unary_unary_rpc_method_handler(
                self._get_topic, GetTopicRequest.deserialize, Topic.serialize
            ),
        }
        self._server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler("google.pubsub.v1.Publisher", handlers),)
        )
        self._server.add_insecure_port(self.address)
        self._server.start()

    def stop(self) -> None:
        if self._server is not None:
            self._server.stop(grace=None).wait()
            self._server = None

    def of(self, bucket: str, name: str | None = None) -> list[PubsubMessage]:
        """Return the messages about a bucket, or one object of it, in the order they came."""
        with self._lock:
            return [
                one
                for one in self.messages
                if one.attributes["bucketId"] == bucket and name in {None, one.attributes["objectId"]}
            ]

    def _publish(self, request: PublishRequest, _: grpc.ServicerContext) -> PublishResponse:
        note_message("/google.pubsub.v1.Publisher/Publish", PublishRequest.serialize(request))
        with self._lock:
            self.messages.extend(request.messages)
            return PublishResponse(message_ids=[str(number) for number in range(len(request.messages))])

    def _get_topic(self, request: GetTopicRequest, context: grpc.ServicerContext) -> Topic:
        if request.topic != TOPIC:
            context.abort(grpc.StatusCode.NOT_FOUND, "no such topic")
        return Topic(name=request.topic)


@dataclass
class _Shared:
    """One stand-in and one recorder for all test files: a start costs more than most tests."""

    recorder: TopicRecorder
    process: StorageProcess

    def stop(self) -> None:
        ended = self.process.stop()
        self.recorder.stop()
        log = self.process.log.read_text()
        assert ended == 0, log
        assert "bug in it" not in log, log


_shared: list[_Shared] = []


@pytest.fixture(scope="module")
def shared(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> _Shared:
    if not _shared:
        recorder = TopicRecorder()
        recorder.start()
        running = _Shared(recorder, StorageProcess(tmp_path_factory.mktemp("storage") / "state", recorder.address))
        _shared.append(running)
        # Each test file that imports a fixture has its own copy of it, so a scope alone would not share the process.
        request.session.addfinalizer(running.stop)
        running.process.start()
    return _shared[0]


@pytest.fixture(scope="module")
def topic_recorder(shared: _Shared) -> TopicRecorder:
    return shared.recorder


@pytest.fixture(scope="module")
def storage_process(shared: _Shared) -> StorageProcess:
    return shared.process


@pytest.fixture
def no_faults(storage_process: StorageProcess) -> Iterator[StorageProcess]:
    """The stand-in, whose faults end with the test."""
    yield storage_process
    storage_process.admin("DELETE", "/faults")


@pytest.fixture
def own_recorder() -> Iterator[TopicRecorder]:
    """A recorder that the test may stop."""
    recorder = TopicRecorder()
    recorder.start()
    yield recorder
    recorder.stop()


@pytest.fixture
def own_process(tmp_path: Path, own_recorder: TopicRecorder) -> Iterator[StorageProcess]:
    """A stand-in that the test may kill."""
    running = StorageProcess(tmp_path / "state", own_recorder.address)
    try:
        running.start()
        yield running
    finally:
        running.kill()


@pytest.fixture(scope="module")
def client(storage_process: StorageProcess) -> Iterator[Client]:
    with_connections = storage_process.client()
    yield with_connections
    with_connections.close()


@pytest.fixture
def bucket(client: Client) -> Bucket:
    """A bucket of the test's own."""
    return client.create_bucket(f"test-{uuid.uuid4().hex[:12]}")


def rest() -> None:
    """Let the second pass in which a name that was written may not be changed again: for calls that no client repeats."""
    time.sleep(1.05)


def resident_bytes(process: subprocess.Popen[bytes]) -> int:
    """Return what a process holds in memory now."""
    pages = int(Path(f"/proc/{process.pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
