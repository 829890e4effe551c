"""What the stand-ins record, when they are told to: each call with its answer, so that what is broken in either is found."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from contracts import held
from google.api_core.client_options import ClientOptions
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage
from google.cloud.pubsub_v1 import PublisherClient
from waiting import HANG_SECONDS, until

from gcp_stand_ins.recording import Record, recorded
from genops_events.stack import ports

BROKEN = """
from gcp_stand_ins.storage import content, objects
whole = objects.StoredObject.on_wire
objects.StoredObject.on_wire = lambda self, base: whole(self, base) | {"size": int(whole(self, base)["size"])}
from gcp_stand_ins.storage.__main__ import main
main()
"""
"""A stand-in that answers a size as a number."""
WHOLE = "from gcp_stand_ins.storage.__main__ import main; main()"


class Recording:
    """A stand-in for Cloud Storage or Pub/Sub that records into a folder of the test's own."""

    def __init__(self, program: str, folder: Path, *more: str) -> None:
        self.folder = folder / "calls"
        port, admin = ports.choose(("api", "admin"), home=folder, kept={}).values()
        self.host, self.port = "127.0.0.1", port
        self.address = f"{self.host}:{port}"
        words = ["--port", str(port), "--admin-port", str(admin), "--state", str(folder / "state")]
        words += ["--owner", str(os.getpid()), "--record", str(self.folder), *more]
        self.process = subprocess.Popen([sys.executable, "-c", program, *words])
        until(lambda: self._answers(admin), what="health of the stand-in")

    def _answers(self, admin: int) -> bool:
        import urllib.request

        assert self.process.poll() is None
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{admin}/health", timeout=HANG_SECONDS):
                return True
        except OSError:
            return False

    @property
    def lines(self) -> list[Any]:
        return list(held.Recordings(self.folder).new())

    @property
    def problems(self) -> list[str]:
        return [one for line in self.lines for found in held.look_at(line) for one in found.problems]


@pytest.fixture
def recording(tmp_path: Path) -> Iterator[Callable[..., Recording]]:
    started: list[Recording] = []

    def start(program: str, *more: str) -> Recording:
        started.append(Recording(program, tmp_path, *more))
        return started[-1]

    yield start
    for one in started:
        one.process.kill()
        one.process.wait()


def used(stand_in: Recording) -> storage.Client:
    """Return a client that has made a bucket and an object, and read that."""
    client = storage.Client(
        project="p",
        credentials=AnonymousCredentials(),
        client_options=ClientOptions(api_endpoint=f"http://{stand_in.address}"),
    )
    blob = client.create_bucket("some-bucket").blob("a/b.txt")
    blob.upload_from_string("hello")
    assert blob.download_as_bytes() == b"hello"
    return client


def test_each_call_is_a_line_with_its_answer_even_of_a_stand_in_that_is_killed(
    recording: Callable[..., Recording],
) -> None:
    stand_in = recording(WHOLE, "--pubsub", "127.0.0.1:1")
    client = used(stand_in)
    client.close()
    stand_in.process.kill()
    stand_in.process.wait()
    calls = [(line["method"], line["path"], line["status"]) for line in stand_in.lines]
    assert calls == [
        ("POST", "/storage/v1/b", 200),
        ("POST", "/upload/storage/v1/b/some-bucket/o", 200),
        ("GET", "/download/storage/v1/b/some-bucket/o/a%2Fb.txt", 200),
    ]
    assert "hello" in stand_in.lines[1]["request"]
    assert stand_in.lines[2]["answer"] == "hello"
    assert stand_in.problems == []


def test_a_broken_stand_in_is_caught_though_googles_client_does_not_mind(recording: Callable[..., Recording]) -> None:
    stand_in = recording(BROKEN, "--pubsub", "127.0.0.1:1")
    used(stand_in).close()
    assert stand_in.problems == ["answer: body.size is 5: not text, as uint64 is in JSON"]


def test_a_broken_request_is_caught_though_the_stand_in_does_not_mind(recording: Callable[..., Recording]) -> None:
    stand_in = recording(WHOLE, "--pubsub", "127.0.0.1:1")
    client = used(stand_in)
    address = f"http://{stand_in.address}/storage/v1/b/some-bucket/o?maxResult=1"
    assert client._http.request("GET", address).status_code == 200
    client.close()
    assert stand_in.problems == ["request: ?maxResult=1 is unknown to storage.objects.list"]


@pytest.mark.parametrize(
    ("path", "content_type"),
    [
        ("/batch/storage/v1", "multipart/mixed; boundary=x"),
        ("/upload/storage/v1/b/some-bucket/o?uploadType=media&name=a", "text/plain"),
    ],
)
def test_a_caller_who_is_gone_before_the_answer_breaks_nothing(
    recording: Callable[..., Recording], path: str, content_type: str
) -> None:
    stand_in = recording(WHOLE, "--pubsub", "127.0.0.1:1")
    used(stand_in).close()
    before = len(stand_in.lines)
    head = f"POST {path} HTTP/1.1\r\nHost: {stand_in.address}\r\nContent-Type: {content_type}\r\nContent-Length: 100\r\n\r\n"
    with socket.create_connection((stand_in.host, stand_in.port), timeout=HANG_SECONDS) as caller:
        caller.sendall(head.encode() + b"half of it")
    until(lambda: len(stand_in.lines) > before, what="the call in the record")
    line = stand_in.lines[-1]
    assert (line["path"], line["request_read"], line["answered"]) == (path.partition("?")[0], False, False)
    assert stand_in.problems == []


@pytest.mark.parametrize("is_gone", [False, True])
async def test_an_answer_to_a_caller_who_is_known_to_be_gone_is_not_held_to_be_given(
    tmp_path: Path, *, is_gone: bool
) -> None:
    async def app(_scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "http.response.start", "status": 400, "headers": []})
        await send({"type": "http.response.body", "body": b"cut off"})

    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"} if is_gone else {"type": "http.request", "body": b""}

    async def send(_message: Any) -> None: ...

    scope = {"type": "http", "method": "POST", "path": "/", "query_string": b"", "headers": []}
    await recorded(app, Record(tmp_path, "storage"))(scope, receive, send)
    (line,) = held.Recordings(tmp_path).new()
    assert (line["status"], line["request_read"], line["answered"]) == (400, not is_gone, not is_gone)


def test_messages_of_pubsub_are_recorded_as_they_were_sent(
    recording: Callable[..., Recording], monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in = recording("from gcp_stand_ins.pubsub.__main__ import main; main()")
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", stand_in.address)
    client = PublisherClient()
    client.create_topic(name="projects/p/topics/some-topic")
    with pytest.raises(Exception, match="some-topic"):
        client.create_topic(name="projects/p/topics/some-topic")
    client.stop()
    client.transport.close()
    rpc = "/google.pubsub.v1.Publisher/CreateTopic"
    assert [(line["rpc"], line["status"], "answer_base64" in line) for line in stand_in.lines] == [
        (rpc, "OK", True),
        (rpc, "ALREADY_EXISTS", False),
    ]
    assert stand_in.problems == []
