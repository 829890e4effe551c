"""The three stand-ins as processes, Google's clients pointed at them, and a provisioned configuration for each test."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import urllib.request
import uuid
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest
import yaml
from urllib3.connection import HTTPConnection
from usual import usual_settings
from waiting import HANG_SECONDS, until

from genops_events.config import Config, Intake, load_config
from genops_events.gcp import ledger_commits
from genops_events.gcp.clients import subscriber_client
from genops_events.gcp.record_store import RecordStore
from genops_events.provisioning.provision import provision
from genops_events.stack import ports
from genops_events.stack.credentials import write_credentials

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "genops.yaml"
DATASET = "banking77"
PREFIX = "training/banking77/"
T = TypeVar("T")


def at_once(*calls: Callable[[], T]) -> list[T]:
    """Return what `calls` return, each made in a thread of its own, all begun at the same moment."""
    barrier = threading.Barrier(len(calls))

    def run(call: Callable[[], T]) -> T:
        barrier.wait()
        return call()

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(run, calls))


class StandIn:
    """One stand-in process and its admin route."""

    def __init__(self, kind: str, state: Path) -> None:
        self.kind = kind
        self._state = state / kind
        free = ports.choose(("api", "admin"), home=self._state, kept={})
        self.address = f"127.0.0.1:{free['api']}"
        self._admin = f"http://127.0.0.1:{free['admin']}"
        self._log = state / f"{kind}.log"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *more: str) -> None:
        command = [sys.executable, "-m", f"gcp_stand_ins.{self.kind}", "--port", self.address.partition(":")[2]]
        command += [
            "--admin-port",
            self._admin.rpartition(":")[2],
            "--state",
            str(self._state),
            "--owner",
            str(os.getpid()),
            *more,
        ]
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)

    def is_healthy(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self._log.read_text()
        try:
            return bool(self.admin("GET", "/health") == {"status": "ok"})
        except OSError:
            return False

    def stop(self) -> None:
        assert self.process is not None
        self.process.terminate()
        self.process.wait(timeout=HANG_SECONDS)

    def admin(self, method: str, path: str, body: object = None) -> Any:
        """Call the admin route and return its JSON."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self._admin}{path}", data=data, method=method)
        with urllib.request.urlopen(request, timeout=HANG_SECONDS) as answer:
            return json.load(answer)

    def delayed(self) -> dict[str, int]:
        """Return how many calls of each method a fault setting holds back now."""
        held: dict[str, int] = self.admin("GET", "/delayed")
        return held

    def let_go(self) -> None:
        """Let all go that are held back."""
        self.admin("DELETE", "/delayed")

    def faults(self, **settings: object) -> None:
        """Put fault settings in force, in place of what was."""
        self.admin("PUT", "/faults", settings)


class StandIns:
    """Cloud Storage, Pub/Sub and Vertex AI, as separate processes that talk to each other as the services do."""

    def __init__(self, state: Path) -> None:
        self.storage = StandIn("storage", state)
        self.pubsub = StandIn("pubsub", state)
        self.vertex = StandIn("vertex", state)
        self.key = write_credentials(state)

    @property
    def all(self) -> tuple[StandIn, ...]:
        return (self.storage, self.pubsub, self.vertex)

    @property
    def environment(self) -> dict[str, str]:
        """What leads Google's clients here."""
        return {
            "STORAGE_EMULATOR_HOST": f"http://{self.storage.address}",
            "PUBSUB_EMULATOR_HOST": self.pubsub.address,
            "GOOGLE_VERTEX_BASE_URL": f"http://{self.vertex.address}",
            "GOOGLE_APPLICATION_CREDENTIALS": str(self.key),
        }

    def start(self) -> None:
        # Tests change what lies in the bucket as fast as they can; those of the limit put it in force themselves, and a stack has it.
        self.storage.start("--pubsub", self.pubsub.address, "--object-write-seconds", "0")
        self.pubsub.start()
        self.vertex.start("--storage", f"http://{self.storage.address}", "--listed-after-seconds", "0")
        for one in self.all:
            until(one.is_healthy, what=f"health of {one.kind}")

    def stop(self) -> None:
        for one in self.all:
            one.stop()

    def vertex_calls(self, method: str) -> int:
        """Return how often `method` of Vertex AI was called so far, failed calls included."""
        return int(self.vertex.admin("GET", "/calls").get(method, 0))


_running: list[StandIns] = []


@pytest.fixture(scope="module")
def stand_ins(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandIns]:
    if not _running:
        started = StandIns(tmp_path_factory.mktemp("cloud"))
        # Each test file that imports a fixture has its own copy of it, so a scope alone would not share the processes.
        request.session.addfinalizer(started.stop)
        started.start()
        _running.append(started)
    with pytest.MonkeyPatch.context() as environment:
        for name, value in _running[0].environment.items():
            environment.setenv(name, value)
        yield _running[0]


@pytest.fixture
def connections_closed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Close with the test what the product leaves to the end of a task's process: its clients' HTTP connections.

    A pool cannot close them all: google-cloud-storage never gives back the connection of a download that found nothing.
    """
    opened: list[HTTPConnection] = []
    connect = HTTPConnection.connect

    def remembered(connection: HTTPConnection) -> None:
        connect(connection)
        opened.append(connection)

    monkeypatch.setattr(HTTPConnection, "connect", remembered)
    yield
    for one in opened:
        one.close()


@pytest.fixture
def cloud(stand_ins: StandIns, connections_closed: None) -> Iterator[StandIns]:
    """The stand-ins, with quick tuning jobs, and writes of the ledger as fast as they come; faults that a test sets end with it."""
    stand_ins.vertex.faults(job_seconds=0.2)
    with pytest.MonkeyPatch.context() as quick:
        quick.setattr(ledger_commits, "APART_SECONDS", 0.0)
        quick.setattr(ledger_commits, "SAME_APART_SECONDS", 0.0)
        yield stand_ins
    for one in stand_ins.all:
        one.faults()
        one.let_go()


@pytest.fixture
def strict_cloud(cloud: StandIns) -> StandIns:
    """The stand-ins of `cloud` with Cloud Storage's limit of one write a second to an object in force; writes are counted anew."""
    cloud.storage.faults(object_write_seconds=1)
    cloud.storage.admin("DELETE", "/writes")
    return cloud


@pytest.fixture
def whole_config(cloud: StandIns, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    """The example configuration with a bucket, topics and a subscription of the test's own, all there already."""
    settings = usual_settings()
    own = uuid.uuid4().hex[:12]
    settings["bucket"] = f"bucket-{own}"
    settings["topics"] = {"arrivals": f"arrivals-{own}", "completions": f"completions-{own}"}
    settings["subscription"] = f"intake-{own}"
    settings["readable"] = ["gs://bucket/"]  # the stand-in for Vertex AI looks into no file
    file = tmp_path / "genops.yaml"
    file.write_text(yaml.safe_dump(settings), encoding="utf-8")
    monkeypatch.setenv("GENOPS_CONFIG", str(file))
    made = load_config()
    provision(made)
    bucket = RecordStore.open(made).bucket
    for part in ("evaluation", "prompts"):  # without them, no file is tuned on
        bucket.blob(f"{part}/{DATASET}.jsonl").upload_from_filename(
            EXAMPLE.parent / "bucket" / part / f"{DATASET}.jsonl"
        )
    return made


PATIENCE_SECONDS = 0.3


@pytest.fixture
def config(whole_config: Config, request: pytest.FixtureRequest) -> Config:
    """The configuration; of tests that are marked so, with little patience: what they leave alone for a moment is lost."""
    if request.node.get_closest_marker("little_patience") is None:
        return whole_config
    return whole_config.model_copy(update={"intake": Intake(patience_minutes=PATIENCE_SECONDS / 60)})


@pytest.fixture
def store(config: Config) -> RecordStore:
    """The record in the test's bucket."""
    return RecordStore.open(config)


@pytest.fixture
def training_uri(store: RecordStore) -> str:
    """A training file of 40 examples, as it lies after validation."""
    turns = [{"role": "user", "parts": [{"text": "where"}]}, {"role": "model", "parts": [{"text": "here"}]}]
    store.bucket.blob("copy.jsonl").upload_from_string("\n".join([json.dumps({"contents": turns})] * 40))
    return f"gs://{store.bucket.name}/copy.jsonl"


@dataclass(frozen=True, slots=True)
class Received:
    """A message, as a subscriber that knows nothing of this project gets it."""

    attributes: Mapping[str, str]
    data: Any
    ordering_key: str
    message_id: str


class Reader:
    """A plain subscription, emptied call by call."""

    def __init__(self, client: Any, name: str) -> None:
        self._client = client
        self.name = name

    def read(self) -> list[Received]:
        """Return and acknowledge what comes; nothing if nothing comes for a moment."""
        return self._pulled(seconds=0.3)

    def read_some(self, count: int = 1) -> list[Received]:
        """Return what comes first; at least `count` messages."""
        received: list[Received] = []
        until(lambda: self._add(received) >= count, what=f"{count} messages on {self.name}, of {received}")
        return received

    def read_until(self, kind: str, *, of: str | None = None) -> list[Received]:
        """Return what comes, the first event of this type and, if given, of this candidate included."""
        received: list[Received] = []

        def is_there() -> bool:
            self._add(received)
            found = [one.attributes["ce-subject"] for one in received if one.attributes["ce-type"] == kind]
            return bool(found) and of in (None, *found)

        until(is_there, what=f"{kind} on {self.name}, of {received}")
        return received

    def _add(self, received: list[Received]) -> int:
        received += self._pulled(seconds=30.0)
        return len(received)

    def _pulled(self, *, seconds: float) -> list[Received]:
        from google.api_core.exceptions import DeadlineExceeded

        try:
            pulled = self._client.pull(subscription=self.name, max_messages=100, timeout=seconds, retry=None)
        except DeadlineExceeded:
            return []
        if pulled.received_messages:
            self._client.acknowledge(subscription=self.name, ack_ids=[one.ack_id for one in pulled.received_messages])
        return [
            Received(
                attributes=dict(one.message.attributes),
                data=json.loads(one.message.data or b"null"),
                ordering_key=one.message.ordering_key,
                message_id=one.message.message_id,
            )
            for one in pulled.received_messages
        ]


@pytest.fixture
def completions(config: Config) -> Iterator[Reader]:
    """What is announced from now on."""
    with subscriber_client() as client:
        name = client.subscription_path(config.project, f"{config.topics.completions}-reader")
        topic = f"projects/{config.project}/topics/{config.topics.completions}"
        client.create_subscription(request={"name": name, "topic": topic, "enable_message_ordering": True})
        yield Reader(client, name)
