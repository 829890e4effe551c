"""Fixtures: a real Vertex AI stand-in in a process of its own, and the official clients that call it."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import cached_property
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import httpx
import pytest
from contracts.noted import note
from google import genai
from google.auth.credentials import AnonymousCredentials
from google.cloud import aiplatform_v1
from google.genai import types
from google.oauth2.credentials import Credentials
from waiting import HANG_SECONDS, until

from genops_events.stack import ports

PROJECT, LOCATION = "local-project", "us-central1"
PARENT = f"projects/{PROJECT}/locations/{LOCATION}"
BASE_MODEL = "gemini-2.5-flash"
TERMINAL = {
    "JOB_STATE_SUCCEEDED",
    "JOB_STATE_PARTIALLY_SUCCEEDED",
    "JOB_STATE_FAILED",
    "JOB_STATE_CANCELLED",
    "JOB_STATE_EXPIRED",
}

_SUBJECTS = {
    "card_arrival": ["new card", "card in the mail", "card delivery"],
    "lost_phone": ["phone stolen", "mobile missing", "handset gone"],
    "exchange_rate": ["currency rate", "foreign exchange", "conversion price"],
    "top_up_failed": ["top up rejected", "adding money declined", "deposit refused"],
}
_FRAMES = ["please help with {}", "a question about {}", "what now: {}", "{} since yesterday", "still {} today", "{}?"]


def examples(*, shuffled: bool = False) -> list[tuple[str, str]]:
    """Return question and answer of a small training set; shuffled, every answer is as wrong as chance has it."""
    pairs = [(frame.format(what), label) for label, whats in _SUBJECTS.items() for what in whats for frame in _FRAMES]
    if shuffled:
        answers = [answer for _, answer in pairs]
        random.Random(7).shuffle(answers)
        pairs = [(question, answer) for (question, _), answer in zip(pairs, answers, strict=True)]
    return pairs


def fresh_questions() -> list[tuple[str, str]]:
    """Return questions that are not in the training set, with their right answers."""
    return [(f"hello, I write because of {what}", label) for label, whats in _SUBJECTS.items() for what in whats]


def jsonl(pairs: Sequence[tuple[str, str]]) -> bytes:
    """Return pairs as a supervised tuning file."""
    turns = (
        [{"role": "user", "parts": [{"text": question}]}, {"role": "model", "parts": [{"text": answer}]}]
        for question, answer in pairs
    )
    return b"".join(json.dumps({"contents": both}).encode() + b"\n" for both in turns)


class Bucket:
    """A folder served as Cloud Storage's JSON API serves objects: just enough to read and write them."""

    def __init__(self) -> None:
        objects: dict[str, bytes] = {}
        self.objects = objects
        self.generations: dict[str, int] = {}
        self.downloads = 0
        self.status = 200
        bucket = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                note("storage", "GET", self.path)
                _, _, name = urlsplit(self.path).path.partition("/storage/v1/b/bucket/o/")
                content = objects.get(unquote(name))
                status = bucket.status if content is not None else 404
                generation = str(bucket.generations.get(unquote(name), 0))
                if status != 200:
                    body = b"{}"
                elif "alt=media" in urlsplit(self.path).query:
                    body = content or b""
                    bucket.downloads += 1
                else:
                    body = json.dumps({"name": unquote(name), "generation": generation}).encode()
                self.send_response(status)
                self.send_header("X-Goog-Generation", generation)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)
                self.wfile.flush()

            def do_POST(self) -> None:
                content = self.rfile.read(int(self.headers["Content-Length"]))
                note("storage", "POST", self.path, content, content_type=self.headers["Content-Type"])
                parts = urlsplit(self.path)
                known = bucket.status == 200 and parts.path == "/upload/storage/v1/b/bucket/o"
                if known:
                    bucket.put(dict(parse_qsl(parts.query))["name"], content)
                self.send_response(200 if known else max(bucket.status, 404))
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name in the base class
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def put(self, name: str, content: bytes) -> str:
        """Keep an object and return its URI."""
        if self.objects.get(name) != content:
            self.generations[name] = self.generations.get(name, 0) + 1
        self.objects[name] = content
        return f"gs://bucket/{name}"

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class VertexStandIn:
    """One stand-in: its process, its admin route and clients for it."""

    parent = PARENT
    base_model = BASE_MODEL

    def __init__(self, state: Path) -> None:
        self.bucket = Bucket()
        self._state = state
        self._port, self._admin_port = ports.choose(("api", "admin"), home=state, kept={}).values()
        self.url = f"http://127.0.0.1:{self._port}"
        self.admin = httpx.Client(
            base_url=f"http://127.0.0.1:{self._admin_port}", trust_env=False, timeout=HANG_SECONDS
        )
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the process and return when it is healthy."""
        command = [sys.executable, "-m", "gcp_stand_ins.vertex", "--port", str(self._port)]
        command += ["--admin-port", str(self._admin_port), "--state", str(self._state), "--storage", self.bucket.url]
        command += ["--owner", str(os.getpid()), "--listed-after-seconds", "0"]
        self._state.mkdir(parents=True, exist_ok=True)
        with (self._state / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        until(self._healthy, bool, what="the stand-in's health")

    def _healthy(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self._state / "log").read_text()
        with suppress(httpx.TransportError):
            return bool(self.admin.get("/health").json() == {"status": "ok"})
        return False

    def end(self, number: signal.Signals) -> None:
        """Send the signal and return when the process has ended."""
        assert self._process is not None
        os.kill(self._process.pid, number)
        self._process.wait(timeout=HANG_SECONDS)

    def close(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self.end(signal.SIGTERM)
        for name in ("client", "worldwide"):
            if name in self.__dict__:
                self.__dict__[name].close()
        for name in ("evaluation", "judge", "tokens", "tuning", "models", "endpoints"):
            if name in self.__dict__:
                self.__dict__[name].transport.close()
        self.admin.close()
        self.bucket.close()

    def log_text(self) -> str:
        return (self._state / "log").read_text()

    def delayed(self) -> dict[str, int]:
        """Return how many calls of each method a fault setting holds back now."""
        held: dict[str, int] = self.admin.get("/delayed").raise_for_status().json()
        return held

    def let_go(self) -> None:
        """Let all go that are held back."""
        self.admin.delete("/delayed").raise_for_status()

    def faults(self, **settings: object) -> None:
        """Put fault settings in force."""
        self.admin.put("/faults", json=settings).raise_for_status()

    # The official clients, unmodified.

    def new_genai(self, location: str = LOCATION) -> genai.Client:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("GOOGLE_VERTEX_BASE_URL", self.url)
            return genai.Client(
                vertexai=True, project=PROJECT, location=location, credentials=Credentials(token="local")
            )

    @cached_property
    def client(self) -> genai.Client:
        return self.new_genai()

    @cached_property
    def worldwide(self) -> genai.Client:
        return self.new_genai("global")

    def client_for(self, model: str) -> genai.Client:
        """Return a client where a model is asked: those of 3.x are in no single region."""
        return self.worldwide if model.startswith("gemini-3") else self.client

    @cached_property
    def evaluation(self) -> Any:
        return aiplatform_v1.EvaluationServiceClient(**self._options())

    @cached_property
    def judge(self) -> Any:
        from google.cloud import aiplatform_v1beta1  # a second to import

        return aiplatform_v1beta1.EvaluationServiceClient(**self._options())

    @cached_property
    def tokens(self) -> Any:
        return aiplatform_v1.LlmUtilityServiceClient(**self._options())

    @cached_property
    def tuning(self) -> Any:
        return aiplatform_v1.GenAiTuningServiceClient(**self._options())

    @cached_property
    def models(self) -> Any:
        return aiplatform_v1.ModelServiceClient(**self._options())

    @cached_property
    def endpoints(self) -> Any:
        return aiplatform_v1.EndpointServiceClient(**self._options())

    def _options(self) -> dict[str, Any]:
        return {
            "transport": "rest",
            "credentials": AnonymousCredentials(),
            "client_options": {"api_endpoint": self.url},
        }

    # What most tests do with them.

    def tune(self, uri: str | None = None, *, base_model: str = BASE_MODEL, **config: Any) -> types.TuningJob:
        """Submit a tuning job, on a good training file unless told otherwise."""
        return self.client.tunings.tune(
            base_model=base_model,
            training_dataset=types.TuningDataset(gcs_uri=uri or self.bucket.put("good data.jsonl", jsonl(examples()))),
            config=types.CreateTuningJobConfig(**config),
        )

    def job(self, name: str | None) -> types.TuningJob:
        assert name
        return self.client.tunings.get(name=name)

    def ended(self, job: types.TuningJob) -> types.TuningJob:
        """Return the job as it is when it has ended."""
        return until(lambda: self.job(job.name), lambda one: one.state in TERMINAL, what=f"{job.name}")

    def reached(self, job: types.TuningJob, state: types.JobState) -> types.TuningJob:
        """Return the job as it is when it is first seen in `state`."""
        return until(lambda: self.job(job.name), lambda one: one.state == state, what=f"{job.name} to be {state}")

    def found(self, text: str) -> list[str | None]:
        """Return the names of the tuning jobs that a filter finds, newest first."""
        return [one.name for one in self.client.tunings.list(config={"filter": text})]

    def answers(self, model: str, questions: Sequence[tuple[str, str]]) -> list[str | None]:
        return [self.client.models.generate_content(model=model, contents=question).text for question, _ in questions]


@pytest.fixture(scope="session")
def shared_vertex(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VertexStandIn]:
    """Share one stand-in among all tests that leave it alive."""
    stand_in = VertexStandIn(tmp_path_factory.mktemp("vertex"))
    try:
        stand_in.start()
        yield stand_in
    finally:
        stand_in.close()


@pytest.fixture
def vertex(shared_vertex: VertexStandIn) -> Iterator[VertexStandIn]:
    """The shared stand-in, with quick jobs and no faults."""
    shared_vertex.faults(job_seconds=0.2)
    shared_vertex.bucket.status = 200
    yield shared_vertex
    shared_vertex.admin.delete("/faults").raise_for_status()


@pytest.fixture(scope="session")
def tuned(shared_vertex: VertexStandIn) -> types.TunedModel:
    """A model tuned on the good data."""
    shared_vertex.faults(job_seconds=0.2)
    job = shared_vertex.ended(shared_vertex.tune(tuned_model_display_name="intents", labels={"team": "bank"}))
    assert job.tuned_model is not None, job
    return job.tuned_model


@pytest.fixture
def own_vertex(tmp_path: Path) -> Iterator[VertexStandIn]:
    """A stand-in of the test's own, to be killed."""
    stand_in = VertexStandIn(tmp_path / "vertex")
    try:
        stand_in.start()
        yield stand_in
    finally:
        stand_in.close()
