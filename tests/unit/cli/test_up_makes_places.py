"""`genops up` makes the pool for tuning jobs, however slowly Airflow answers."""

from __future__ import annotations

import itertools
import json
import math
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from types import SimpleNamespace
from typing import Any

import pytest
from config_texts import CONFIG

from genops_events.airflow_rest.client import AirflowConflict, AirflowUnavailable
from genops_events.airflow_rest.pool import TUNING_JOBS_POOL
from genops_events.cli import stack_start
from genops_events.config import Config

PROJECT = Config.model_validate(CONFIG)
CONFLICT = (409, {"detail": {"reason": "Unique constraint violation"}})
DONE = (200, {"create": {"success": [TUNING_JOBS_POOL], "errors": []}})


@contextmanager
def api_server(*answers: tuple[int, Any]) -> Iterator[tuple[str, list[Any]]]:
    """Run an API server that gives one answer after the other, and the last for ever; yield its URL and what it was asked."""
    left = list(answers)
    asked: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_PATCH(self) -> None:
            asked.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            status, body = left.pop(0) if len(left) > 1 else left[0]
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

        def log_message(self, format: str, *args: object) -> None: ...  # noqa: A002 - the name it has

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", os.environ.copy())


def test_a_try_whose_answer_never_came_is_no_reason_to_fail() -> None:
    with api_server(CONFLICT, DONE) as (url, asked):
        stack_start._make_places(PROJECT, {"GENOPS_AIRFLOW_URL": url}, until=math.inf)
    assert [one["actions"][0]["entities"][0]["slots"] for one in asked] == [PROJECT.tuning_jobs_at_once] * 2


def test_a_conflict_that_stays_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = itertools.count(1.0, 25.0)  # a look at the clock takes 25 s, a pause none
    clock = SimpleNamespace(monotonic=lambda: next(seconds), sleep=lambda _: None)
    monkeypatch.setattr(stack_start, "time", clock)
    with api_server(CONFLICT) as (url, asked), pytest.raises(AirflowConflict, match="Unique constraint"):
        stack_start._make_places(PROJECT, {"GENOPS_AIRFLOW_URL": url}, until=math.inf)
    assert len(asked) == 3, "within the minute after the first"


def test_an_api_server_that_does_not_answer_is_an_error_when_the_time_is_up() -> None:
    with api_server((503, {"detail": "starting"})) as (url, asked), pytest.raises(AirflowUnavailable):
        stack_start._make_places(PROJECT, {"GENOPS_AIRFLOW_URL": url}, until=-math.inf)
    assert len(asked) >= 1
