"""A dataset that asks a person, and what Airflow would say and be told of it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any
from uuid import UUID

import pytest
import yaml
from airflow.sdk.exceptions import TaskAwaitingInput
from airflow.sdk.execution_time import task_runner
from airflow.sdk.execution_time.comms import CreateHITLDetailPayload
from cloud import DATASET
from made_up import context, now

from genops_events.airflow.promotion import PromoteModel
from genops_events.config import Config
from genops_events.gcp.record_store import RecordStore
from genops_events.record.stages import Stage
from genops_events.record.verdicts import PromotionVerdict

TASK = UUID("0198c0de-0000-7000-8000-000000000001")


class TaskInstance:
    id = TASK


class Supervisor:
    """What a task says to Airflow, message by message."""

    def __init__(self) -> None:
        self.sent: list[CreateHITLDetailPayload] = []

    def send(self, msg: CreateHITLDetailPayload) -> None:
        self.sent.append(msg)


@pytest.fixture
def supervisor(monkeypatch: pytest.MonkeyPatch) -> Supervisor:
    made = Supervisor()
    monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", made, raising=False)
    return made


class AirflowServer:
    """Airflow's REST, as far as an answer goes."""

    def __init__(self) -> None:
        self.patched: list[tuple[str, Any]] = []
        self.status = 200
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_PATCH(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                server.patched.append((self.path, json.loads(body)))
                self.send_response(server.status)
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, *_: Any) -> None:
                pass

        self.http = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[AirflowServer]:
    made = AirflowServer()
    thread = threading.Thread(target=made.http.serve_forever, args=(0.02,))
    thread.start()
    monkeypatch.setenv("GENOPS_AIRFLOW_URL", made.url)
    yield made
    made.http.shutdown()
    thread.join()
    made.http.server_close()


def asks(config: Config, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: Any, **promotion: Any) -> None:
    """Let the dataset ask a person."""
    document = config.model_dump(mode="json", exclude_none=True)
    document["datasets"][DATASET]["promotion"] = {"approval": "person", **promotion}
    file = tmp_path_factory.mktemp("asks") / "genops.yaml"
    file.write_text(yaml.safe_dump(document))
    monkeypatch.setenv("GENOPS_CONFIG", str(file))


@pytest.fixture
def asking(
    config: Config, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory, supervisor: Supervisor
) -> Supervisor:
    asks(config, monkeypatch, tmp_path_factory)
    return supervisor


def ask(candidate: str, *, run_id: str = "run-1") -> TaskAwaitingInput:
    """Run the task until it waits, and return how Airflow is told to wait."""
    with pytest.raises(TaskAwaitingInput) as parked:
        PromoteModel(task_id="promote").execute(context(candidate, run_id=run_id, task_instance=TaskInstance()))
    return parked.value


def go_on(candidate: str, option: str, *, user: str | None = "grace", reason: str = "", run_id: str = "run-1") -> Any:
    """Let Airflow resume the task with an answer, as `HITLDetail.as_resume_event_payload` gives it."""
    event = {
        "chosen_options": [option],
        "params_input": {"reason": reason},
        "responded_at": now(),
        "responded_by_user": None if user is None else {"id": "1", "name": user},
        "timedout": user is None,
    }
    made = PromoteModel(task_id="promote")
    return made.execute_complete(context(candidate, run_id=run_id, task_instance=TaskInstance()), event)


def verdict(store: RecordStore, candidate: str) -> PromotionVerdict:
    found = store.verdict(candidate, Stage.PROMOTION)
    assert isinstance(found, PromotionVerdict)
    return found
