"""A failed task's log, through a server that answers as Airflow's REST does; the real one is in tests/e2e/test_samples.py."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from genops_events.airflow.failed_tasks import FailedTask, NoFailure, last_failure, log_of, own_airflow
from genops_events.airflow_rest.client import AirflowNotConfigured, AirflowRefused, AirflowRest, AirflowUnavailable

RUN = "manual__2026-11-23T12:00:00+00:00"


def failed(dag: str, task: str, *, run: str = RUN, map_index: int = -1, try_number: int = 2) -> dict[str, Any]:
    return {
        "dag_id": dag,
        "dag_run_id": run,
        "task_id": task,
        "map_index": map_index,
        "try_number": try_number,
        "end_date": "2026-11-23T12:00:07Z",
        "operator_name": "@task",
    }


class FakeAirflow:
    """Failed tasks, the last one first, and their logs."""

    def __init__(self) -> None:
        self.url = ""
        self.failed: list[dict[str, Any]] = []
        self.log: list[bytes] = []
        self.asked: list[str] = []
        self.breaks_off = False
        self.refuses = False

    def tasks(self, dag: str, query: dict[str, list[str]]) -> tuple[int, Any]:
        assert query["state"] == ["failed"]
        assert query["order_by"] == ["-end_date"]
        found = [one for one in self.failed if dag in ("~", one["dag_id"])]
        if dag != "~" and not found:
            return 404, {"detail": f"The Dag with ID: `{dag}` was not found"}
        return 200, {"task_instances": found}


@pytest.fixture
def airflow() -> Iterator[FakeAirflow]:
    fake = FakeAirflow()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            fake.asked.append(self.path)
            place = urlsplit(self.path)
            parts = place.path.removeprefix("/api/v2/dags/").split("/")
            if fake.refuses or self.headers.get("Authorization") != "Bearer mine":
                self._head(403, b"no")
            elif "/logs/" in place.path:
                assert self.headers["Accept"] == "application/x-ndjson"
                self._head(200, b"\n".join(fake.log), short=not fake.breaks_off)
            else:
                status, document = fake.tasks(parts[0], parse_qs(place.query))
                self._head(status, json.dumps(document).encode())

        def _head(self, status: int, body: bytes, *, short: bool = True) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body) + (0 if short else 10)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        fake.url = f"http://127.0.0.1:{server.server_port}"
        yield fake
        server.shutdown()


def rest(airflow: FakeAirflow) -> AirflowRest:
    return AirflowRest(airflow.url, token="mine")


def message(event: str, **more: Any) -> bytes:
    return json.dumps({"timestamp": "2026-11-23T12:00:01Z", "event": event, "level": "error", **more}).encode()


def test_the_last_failure_of_any_dag_but_ones_own_or_of_one_dag(airflow: FakeAirflow) -> None:
    airflow.failed = [failed("explain", "explain"), failed("nightly", "load", map_index=3), failed("hourly", "pull")]
    found = last_failure(rest(airflow), but="explain")
    assert str(found) == f"nightly.load[3], try 2 in {RUN}"
    assert last_failure(rest(airflow), dag_id="hourly").task_id == "pull"
    assert "/api/v2/dags/hourly/dagRuns/~/taskInstances?" in airflow.asked[-1]
    # A run's id has signs that mean something else in an address.
    last_failure(rest(airflow), dag_id="hourly", run_id=RUN)
    assert "/dagRuns/manual__2026-11-23T12%3A00%3A00%2B00%3A00/taskInstances?" in airflow.asked[-1]


def test_where_nothing_failed_it_says_where_it_looked(airflow: FakeAirflow) -> None:
    with pytest.raises(NoFailure, match="No task has failed in any Dag"):
        last_failure(rest(airflow))
    with pytest.raises(NoFailure, match="Airflow does not know typo"):
        last_failure(rest(airflow), dag_id="typo")
    with pytest.raises(NoFailure, match="of which Dag"):
        last_failure(rest(airflow), run_id=RUN)


TASK = FailedTask("nightly", RUN, "load", 3, 2, None, "@task")


def test_a_log_is_lines_with_the_exception_and_without_secrets(
    airflow: FakeAirflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WAREHOUSE_PASSWORD", "plain-as-day")
    frames = [{"filename": "/dags/nightly.py", "lineno": 12, "name": "load"}]
    error = {"exc_type": "OperationalError", "exc_value": "login with plain-as-day failed", "frames": frames}
    airflow.log = [
        message("connecting to postgresql://ada:pw@db/x", level="info", extra={"other": "is left out"}),
        b"",
        message("::group::Post Execute"),
        message("Task failed with exception", error_detail=[error]),
    ]
    found = log_of(rest(airflow), TASK, most_characters=10_000)
    assert found.text.splitlines() == [
        "2026-11-23T12:00:01Z info connecting to postgresql://***@db/x",
        "2026-11-23T12:00:01Z error Task failed with exception",
        '  File "/dags/nightly.py", line 12, in load',
        "OperationalError: login with *** failed",
    ]
    assert airflow.asked[-1].endswith("/taskInstances/load/logs/2?map_index=3&full_content=true")


def test_of_a_very_long_log_the_end_is_read(airflow: FakeAirflow) -> None:
    airflow.log = [message(f"line {number}") for number in range(20_000)]
    found = log_of(rest(airflow), TASK, most_characters=100)
    assert found.text.splitlines()[-1].endswith("line 19999")
    assert len(found.text) <= 100
    assert found.left_out > 0


def test_an_airflow_that_breaks_off_is_tried_again_and_one_that_refuses_is_not(airflow: FakeAirflow) -> None:
    airflow.log, airflow.breaks_off = [message("half")], True
    with pytest.raises(AirflowUnavailable, match="breaks off"):
        log_of(rest(airflow), TASK, most_characters=100)
    airflow.refuses = True
    with pytest.raises(AirflowRefused, match="403"):
        log_of(rest(airflow), TASK, most_characters=100)
    with pytest.raises(AirflowRefused):
        last_failure(rest(airflow))


def test_without_an_address_it_says_which_variables_to_set(
    airflow: FakeAirflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GENOPS_AIRFLOW_URL", raising=False)
    with pytest.raises(AirflowNotConfigured, match="GENOPS_AIRFLOW_TOKEN"):
        own_airflow()
    monkeypatch.setenv("GENOPS_AIRFLOW_URL", airflow.url)
    monkeypatch.setenv("GENOPS_AIRFLOW_TOKEN", "mine")
    airflow.failed = [failed("nightly", "load")]
    assert last_failure(own_airflow()).task_id == "load"
