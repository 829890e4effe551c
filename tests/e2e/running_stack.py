"""A whole local stack for a test session, used from the outside: the command, Google's clients, Airflow's REST API."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import yaml
from google.api_core.exceptions import NotFound
from google.auth.credentials import AnonymousCredentials
from google.cloud import pubsub_v1, storage
from waiting import HANG_SECONDS

from genops_events.airflow_rest.client import AirflowRest
from genops_events.config.identity import candidate_id

ROOT = Path(__file__).resolve().parents[2]
TRAIN = ROOT / "examples" / "banking77" / "train.jsonl"
EVALUATION = ROOT / "examples" / "bucket" / "evaluation" / "banking77.jsonl"
PROMPTS = ROOT / "examples" / "bucket" / "prompts" / "banking77.jsonl"
DATASET = "banking77"
UP_SECONDS = 1900
"""Longer than `genops up` itself waits: on a busy machine it says best what was not ready."""

failed: list[str] = []
"""The tests of this process that failed, as conftest.py sees them."""
left: list[str] = []
"""What stacks left behind that tests failed in, in words."""


@dataclass
class Stack:
    """A running stack, and how a user talks to it."""

    home: Path
    config: Path
    variables: dict[str, str] = field(default_factory=dict)
    keep: bool = False
    """Leave what it wrote in its folder when it is stopped."""

    def genops(self, *arguments: str, timeout: float = HANG_SECONDS) -> subprocess.CompletedProcess[str]:
        """Run the command as a user would, against this stack."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("GENOPS_")}
        environment = {**inherited, "GENOPS_HOME": str(self.home), "GENOPS_CONFIG": str(self.config)}
        return subprocess.run(
            [sys.executable, "-m", "genops_events.cli", *arguments],
            env=environment,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def json(self, *arguments: str) -> Any:
        """Return what a command prints with --json; its exit code does not matter."""
        done = self.genops(*arguments, "--json")
        assert done.stdout, done.stderr
        return json.loads(done.stdout)

    def status(self) -> dict[str, dict[str, Any]]:
        """Return the components by name."""
        return {one["name"]: one for one in self.json("status")["components"]}

    def bucket(self) -> storage.Bucket:
        """Return the data bucket, through google-cloud-storage alone."""
        client = storage.Client(
            project=self.variables["GOOGLE_CLOUD_PROJECT"],
            credentials=AnonymousCredentials(),
            client_options={"api_endpoint": self.variables["STORAGE_EMULATOR_HOST"]},
        )
        return client.bucket(self.variables["GENOPS_BUCKET"])

    def airflow_login(self) -> dict[str, str]:
        """Return the headers that Airflow lets in, as the user that `genops env` tells."""
        user = {name: self.variables[f"GENOPS_AIRFLOW_{name.upper()}"] for name in ("username", "password")}
        answer = httpx.post(f"{self.variables['GENOPS_AIRFLOW_URL']}/auth/token", json=user, timeout=HANG_SECONDS)
        return {"Authorization": f"Bearer {answer.raise_for_status().json()['access_token']}"}

    def airflow_rest(self) -> AirflowRest:
        """Return Airflow's REST as the product asks it."""
        names = ("url", "username", "password")
        return AirflowRest(**{name: self.variables[f"GENOPS_AIRFLOW_{name.upper()}"] for name in names})

    def airflow(self, method: str, path: str, **more: Any) -> Any:
        """Return the JSON of a call to Airflow's REST API, as its pages make it; it must succeed.

        Args:
            method: of HTTP.
            path: below `/api/v2`.
            more: for httpx.
        """
        base = self.variables["GENOPS_AIRFLOW_URL"].rstrip("/")
        answer = httpx.request(
            method, f"{base}/api/v2{path}", headers=self.airflow_login(), timeout=HANG_SECONDS, **more
        )
        assert answer.is_success, answer.text
        return answer.json()

    def put(self, file: Path, *, dataset: str) -> str:
        """Upload a training file with google-cloud-storage alone; return its candidate."""
        blob = self.bucket().blob(f"training/{dataset}/{file.name}")
        blob.upload_from_filename(os.fspath(file))
        return candidate_id(dataset, blob.bucket.name, blob.name, int(blob.generation))

    def document(self, name: str) -> Any:
        """Return a JSON document of the bucket, None where there is none."""
        try:  # one call: a generation that was looked up first may be overwritten before it is read
            return json.loads(self.bucket().blob(name).download_as_bytes())
        except NotFound:
            return None

    def upload(self, file: Path) -> str:
        """Upload a training file with the command; return its candidate."""
        done = self.genops("upload", str(file), "--dataset", DATASET, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)["candidate"]

    def watch(self, candidate: str, *, timeout: float = HANG_SECONDS) -> tuple[int, dict[str, Any]]:
        """Return exit code and document of `genops watch`."""
        done = self.genops("watch", candidate, "--timeout", str(timeout), "--json", timeout=timeout + 60)
        assert done.stdout, done.stderr
        return done.returncode, json.loads(done.stdout)

    def tuning_jobs(self) -> dict[str, list[dict[str, Any]]]:
        """Return the tuning jobs that the Vertex AI stand-in has, by candidate."""
        jobs = httpx.get(f"{self.status()['vertex']['admin_url']}/jobs", timeout=HANG_SECONDS).json()
        found = defaultdict(list)
        for job in jobs["jobs"] if isinstance(jobs, dict) else jobs:
            found[job["labels"]["genops-candidate"]].append(job)
        return dict(found)

    def set_vertex(self, **faults: Any) -> None:
        """Set job duration and faults of the Vertex AI stand-in."""
        self.set_faults("vertex", **faults)

    def set_faults(self, name: str, **faults: Any) -> None:
        """Set the faults of a stand-in, in place of those that were."""
        admin = self.status()[name]["admin_url"]
        httpx.put(f"{admin}/faults", json=faults, timeout=HANG_SECONDS).raise_for_status()

    def dag_runs(self, dag: str) -> list[dict[str, Any]]:
        """Return all runs of a Dag, from Airflow's REST API."""
        base = self.variables["GENOPS_AIRFLOW_URL"].rstrip("/")
        headers = self.airflow_login()
        runs: list[dict[str, Any]] = []
        while True:
            page = httpx.get(
                f"{base}/api/v2/dags/{dag}/dagRuns",
                params={"limit": 100, "offset": len(runs), "order_by": "id"},
                headers=headers,
                timeout=HANG_SECONDS,
            )
            page.raise_for_status()
            runs += page.json()["dag_runs"]
            if len(runs) >= page.json()["total_entries"]:
                return runs


@contextmanager
def running_stack(
    folder: Path, *options: str, change: Callable[[dict[str, Any]], None] = lambda _: None
) -> Iterator[Stack]:
    """Start a stack under `folder`, with its own configuration and inputs; stop it in the end.

    Args:
        folder: of its own.
        options: further words for `genops up`, such as `--schedulers 2`.
        change: gets the content of genops.yaml before it is written, to change it.
    """
    config = yaml.safe_load((ROOT / "examples" / "genops.yaml").read_text())
    config["models"] = str(ROOT / "examples" / "models.toml")
    config["datasets"][DATASET]["tuning"]["poll_seconds"] = 1
    change(config)
    stack = Stack(home=folder / "home", config=folder / "genops.yaml")
    stack.config.write_text(yaml.safe_dump(config))
    inputs = folder / "bucket"
    (inputs / "evaluation").mkdir(parents=True)
    (inputs / "prompts").mkdir()
    # 40 of the 154 rows: the tests are about the cascade, not about the score's third digit.
    rows = EVALUATION.read_text().splitlines(keepends=True)
    (inputs / "evaluation" / "banking77.jsonl").write_text("".join(rows[::4]))
    (inputs / "prompts" / "banking77.jsonl").write_text(PROMPTS.read_text())
    before, is_whole = len(failed), False
    try:
        # With this process it ends, too, if that is killed and nobody comes to stop it.
        owner = str(os.getpid())
        done = stack.genops("up", "--detach", "--owner", owner, *options, timeout=UP_SECONDS)
        assert done.returncode == 0, done.stderr
        stack.variables = json.loads(stack.genops("env", "--json").stdout)
        yield stack
        is_whole = len(failed) == before
    finally:
        stopped = stack.genops("down", *(("--purge",) if is_whole and not stack.keep else ()))
        if not is_whole:
            now = "nothing of it runs any more" if stopped.returncode == 0 else f"it may still run: {stopped.stderr}"
            left.append(f"{stack.home / 'logs'}: the logs of a stack; what it kept lies in {stack.home}; {now}")


class Subscriber:
    """A plain streaming subscriber on the completions topic, as a user of the events would write it."""

    def __init__(self, stack: Stack, name: str) -> None:
        os.environ["PUBSUB_EMULATOR_HOST"] = stack.variables["PUBSUB_EMULATOR_HOST"]
        project = stack.variables["GOOGLE_CLOUD_PROJECT"]
        self.messages: list[Any] = []
        self._lock = threading.Lock()
        self._client = pubsub_v1.SubscriberClient()
        path = self._client.subscription_path(project, name)
        topic = f"projects/{project}/topics/{stack.variables['GENOPS_COMPLETIONS_TOPIC']}"
        self._client.create_subscription(request={"name": path, "topic": topic, "enable_message_ordering": True})
        self._pull = self._client.subscribe(path, callback=self._received)

    def _received(self, message: Any) -> None:
        with self._lock:
            self.messages.append(message)
        message.ack()

    def types(self, candidate: str) -> list[str]:
        """Return the types of a candidate's events as they came, a repeated one once."""
        with self._lock:
            events = [one for one in self.messages if one.attributes["ce-subject"] == candidate]
        assert all(one.ordering_key == candidate for one in events)
        return list(dict.fromkeys(one.attributes["ce-type"] for one in events))

    def data(self, candidate: str) -> list[dict[str, Any]]:
        """Return the data of a candidate's events as they came, repeated ones included."""
        with self._lock:
            return [json.loads(one.data) for one in self.messages if one.attributes["ce-subject"] == candidate]

    def ids(self) -> list[str]:
        """Return the ids of all events that came, repeated ones included."""
        with self._lock:
            return [one.attributes["ce-id"] for one in self.messages]

    def close(self) -> None:
        """Stop pulling."""
        self._pull.cancel()
        self._pull.result(timeout=HANG_SECONDS)
        self._client.close()


def training_subset(folder: Path, name: str, *, seed: int, examples: int, shuffled: bool = False) -> Path:
    """Write `examples` of the example training file, drawn by `seed`; with their labels dealt out if `shuffled`."""
    lines = [json.loads(line) for line in TRAIN.read_text().splitlines()]
    generator = random.Random(seed)
    chosen = generator.sample(lines, examples)
    if shuffled:
        answers = [one["contents"][-1] for one in chosen]
        generator.shuffle(answers)
        for one, answer in zip(chosen, answers, strict=True):
            one["contents"][-1] = answer
    file = folder / name
    file.write_text("".join(json.dumps(one) + "\n" for one in chosen))
    return file
