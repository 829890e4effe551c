"""The BigQuery stand-in as a real process beside a Cloud Storage stand-in; imported by the tests that need it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery
from storage_stand_in import PROJECT, StorageProcess, until
from waiting import HANG_SECONDS

from genops_events.stack import ports

NO_RETRY = None


class BigQueryProcess:
    """One stand-in process; `kill` and `start` again keep ports and state."""

    def __init__(self, state: Path, storage: str) -> None:
        self.port, self.admin_port = ports.choose(("api", "admin"), home=state, kept={}).values()
        self.url = f"http://127.0.0.1:{self.port}"
        self.state = state
        self.storage = storage
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> Path:
        return self.state.parent / "bigquery.log"

    def start(self) -> None:
        command = [sys.executable, "-m", "gcp_stand_ins.bigquery", "--port", str(self.port)]
        command += ["--admin-port", str(self.admin_port), "--state", str(self.state), "--storage", self.storage]
        command += ["--owner", str(os.getpid())]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        until(self._healthy)

    def _healthy(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, f"the stand-in ended: {self.log.read_text()}"
        try:
            return bool(self.admin("GET", "/health") == {"status": "ok"})
        except OSError:
            return False

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
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

    def client(self) -> bigquery.Client:
        return bigquery.Client(
            project=PROJECT, credentials=AnonymousCredentials(), client_options={"api_endpoint": self.url}
        )


_shared: list[tuple[BigQueryProcess, StorageProcess]] = []


@pytest.fixture(scope="module")
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Both stand-ins, shared by all test files."""
    if not _shared:
        folder = tmp_path_factory.mktemp("bigquery")
        storage = StorageProcess(folder / "storage-state", "127.0.0.1:1")
        process = BigQueryProcess(folder / "state", storage.url)

        def stop() -> None:
            ended = process.stop()
            storage.kill()
            log = process.log.read_text()
            assert ended == 0, log
            assert "bug in it" not in log, log

        request.session.addfinalizer(stop)
        storage.start()
        process.start()
        _shared.append((process, storage))
    return _shared[0]


@pytest.fixture(scope="module")
def bigquery_process(running: Any) -> BigQueryProcess:
    process: BigQueryProcess = running[0]
    return process


@pytest.fixture(scope="module")
def beside(running: Any) -> StorageProcess:
    """The Cloud Storage that `gs://` addresses lead to."""
    storage: StorageProcess = running[1]
    return storage


@pytest.fixture
def own_bigquery(tmp_path: Path) -> Iterator[BigQueryProcess]:
    """A stand-in that the test may kill."""
    process = BigQueryProcess(tmp_path / "state", "http://127.0.0.1:1")
    try:
        process.start()
        yield process
    finally:
        process.kill()


@pytest.fixture(scope="module")
def bq(bigquery_process: BigQueryProcess) -> Iterator[bigquery.Client]:
    with_connections = bigquery_process.client()
    yield with_connections
    with_connections.close()


@pytest.fixture
def dataset(bq: bigquery.Client) -> str:
    """The id of a dataset of the test's own."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    bq.create_dataset(name)
    return name


@pytest.fixture
def faulty(bigquery_process: BigQueryProcess) -> Iterator[BigQueryProcess]:
    """The shared stand-in; whatever faults the test sets end with it."""
    yield bigquery_process
    bigquery_process.admin("DELETE", "/faults")


def made(client: bigquery.Client, table: str, columns: Sequence[str], **more: Any) -> bigquery.Table:
    """Create a table of `name:TYPE` or `name:TYPE:MODE` columns."""
    schema = [bigquery.SchemaField(*one.split(":")) for one in columns]
    whole = bigquery.Table(f"{PROJECT}.{table}", schema=schema)
    for name, value in more.items():
        setattr(whole, name, value)
    return client.create_table(whole)


def rows(client: bigquery.Client, sql: str, **config: Any) -> list[tuple[Any, ...]]:
    """Return the rows of a query as tuples."""
    job = client.query(sql, job_config=bigquery.QueryJobConfig(**config), retry=NO_RETRY, job_retry=None)
    return [tuple(one.values()) for one in job.result(retry=NO_RETRY, timeout=HANG_SECONDS)]


def told(error: Any) -> Mapping[str, Any]:
    """Return the first reason of an error of the client."""
    first: Mapping[str, Any] = error.errors[0]
    return first
