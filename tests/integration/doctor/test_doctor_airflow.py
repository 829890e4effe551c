"""The doctor's look at Airflow, through a server that answers as Airflow's REST does; the real one is in tests/e2e."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from waiting import HANG_SECONDS

from genops_events.airflow_rest.client import AirflowRest
from genops_events.cli.diagnosis import run
from genops_events.config import load_config
from genops_events.doctor import airflow_checks as checks
from genops_events.doctor.airflow_checks import DAGS, TRIGGERS, AirflowChecks
from genops_events.doctor.findings import Finding, Status
from genops_events.doctor.remedies import Remedies

ROOT = Path(__file__).parents[3]
CONFIG = load_config(ROOT / "examples" / "genops.yaml")
WATCHERS = [{"name": "gcs_arrivals", "trigger_id": 7}]


def pool(name: str, *, slots: int = CONFIG.tuning_jobs_at_once, include_deferred: bool = True) -> dict[str, Any]:
    tasks = {"occupied_slots": 5, "scheduled_slots": 2}
    return {"name": name, "slots": slots, "include_deferred": include_deferred, **tasks}


class FakeAirflow:
    """Pages of an Airflow, to be changed by a test; `token` makes it want one."""

    def __init__(self) -> None:
        beat = "2026-01-01T00:00:00+00:00"
        self.health: dict[str, Any] = {
            name: {"status": "healthy", f"latest_{name}_heartbeat": beat}
            for name in ("scheduler", "triggerer", "dag_processor")
        }
        self.health["metadatabase"] = {"status": "healthy"}
        self.dags = {name: {"dag_id": name, "is_paused": False, "has_import_errors": False} for name in DAGS}
        self.import_errors: list[dict[str, str]] = []
        self.watchers = list(WATCHERS)
        self.pools = [pool("genops_tuning_jobs"), pool("genops_tuning_jobs_of_others", slots=3, include_deferred=False)]
        self.token: str | None = None
        self.broken: int | None = None
        self.logins: list[dict[str, str]] = []

    def answer(self, path: str, authorization: str | None) -> tuple[int, Any]:
        if self.broken is not None:
            return self.broken, {"detail": "broken"}
        page = path.partition("?")[0].removeprefix("/deployment/api/v2/")
        if page == "monitor/health":
            return 200, self.health
        if self.token is not None and authorization != f"Bearer {self.token}":
            return 401, {"detail": "Not authenticated"}
        return 200, {
            "dags": {"dags": list(self.dags.values())},
            "importErrors": {"import_errors": self.import_errors},
            "pools": {"pools": self.pools},
            "assets": {
                "assets": [
                    {"name": "training_arrivals", "watchers": self.watchers},
                    {"name": "training_arrivals_of_others", "watchers": WATCHERS},
                ]
            },
        }[page]


@pytest.fixture
def airflow() -> Iterator[FakeAirflow]:
    fake = FakeAirflow()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._send(*fake.answer(self.path, self.headers.get("Authorization")))

        def do_POST(self) -> None:
            assert self.path == "/deployment/auth/token"
            fake.logins.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            good = fake.logins[-1] == {"username": "ann", "password": "secret"}
            self._send(
                201 if good else 401, {"access_token": fake.token} if good else {"detail": "Invalid credentials"}
            )

        def _send(self, status: int, document: Any) -> None:
            body = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        # A path before the API, as behind a proxy.
        fake.url = f"http://127.0.0.1:{server.server_port}/deployment"  # type: ignore[attr-defined]
        yield fake
        server.shutdown()


def look(airflow: Any, **user: Any) -> dict[str, Finding]:
    """Return what each check but the import finds."""
    rest = None if airflow is None else AirflowRest(airflow.url, **user)
    checks = AirflowChecks(rest, Remedies(CONFIG, is_local=False, airflow="https://airflow.example")).all()
    found = run([one for one in checks if one.name != "triggers importable"], timeout_seconds=HANG_SECONDS)
    return {one.name: one.finding for one in found}


def not_ok(found: dict[str, Finding]) -> dict[str, str]:
    return {name: str(one.status) for name, one in found.items() if one.status is not Status.OK}


ALL_SKIPPED = dict.fromkeys(
    [
        *("scheduler", "Dag processor", "triggerer", "Dags parsed", "Dags not paused", "arrival watcher"),
        "places for tuning jobs",
    ],
    "skipped",
)


def test_the_dags_that_are_looked_for_are_those_of_the_dags_folder() -> None:
    assert set(DAGS) == {file.stem for file in (ROOT / "dags").glob("genops_*.py")}


def test_a_healthy_airflow_is_healthy(airflow: FakeAirflow) -> None:
    assert not_ok(look(airflow)) == {}


@pytest.mark.parametrize(
    ("key", "name", "skipped"),
    [
        ("scheduler", "scheduler", set()),
        ("dag_processor", "Dag processor", set()),
        ("triggerer", "triggerer", {"arrival watcher"}),
    ],
)
@pytest.mark.parametrize("status", ["unhealthy", None])
def test_a_component_without_a_fresh_heartbeat_has_failed(
    airflow: FakeAirflow, key: str, name: str, skipped: set[str], status: str | None
) -> None:
    airflow.health[key] = {"status": status, f"latest_{key}_heartbeat": "2026-01-01T00:00:00+00:00" if status else None}
    found = look(airflow)
    assert not_ok(found) == {name: "failed", **dict.fromkeys(skipped, "skipped")}
    assert ("2026-01-01" in found[name].found) is (status is not None)
    assert found[name].remedy == (f"airflow {key.replace('_', '-')}",)


def test_a_database_that_is_down_is_airflows_failure(airflow: FakeAirflow) -> None:
    airflow.health["metadatabase"]["status"] = "unhealthy"
    found = look(airflow)
    assert not_ok(found) == {"Airflow": "failed", **ALL_SKIPPED}
    assert found["Airflow"].remedy == ("airflow db check",)


def test_a_paused_dag_is_named_with_the_command_that_unpauses_it(airflow: FakeAirflow) -> None:
    airflow.dags["genops_budget"]["is_paused"] = True
    airflow.dags["genops_intake"]["is_paused"] = True
    found = look(airflow)
    assert not_ok(found) == {"Dags not paused": "failed", "arrival watcher": "skipped"}
    assert set(found["Dags not paused"].remedy) == {
        "airflow dags unpause genops_budget",
        "airflow dags unpause genops_intake",
    }


def test_a_dag_that_is_not_there_and_one_that_broke_are_named_with_the_reason(airflow: FakeAirflow) -> None:
    del airflow.dags["genops_tuning"]
    airflow.dags["genops_budget"]["has_import_errors"] = True
    trace = "Traceback\n  File x\nModuleNotFoundError: No module named 'triggers'\n"
    airflow.import_errors = [{"filename": "dags/genops_tuning.py", "stack_trace": trace}]
    found = look(airflow)
    assert not_ok(found) == {"Dags parsed": "failed", "Dags not paused": "skipped", "arrival watcher": "skipped"}
    finding = found["Dags parsed"]
    assert "no Dag genops_tuning." in finding.found
    assert "genops_budget cannot be imported any more" in finding.found
    assert finding.cause == "dags/genops_tuning.py: ModuleNotFoundError: No module named 'triggers'"


def test_the_broken_dag_of_another_team_is_not_our_failure(airflow: FakeAirflow) -> None:
    airflow.import_errors = [{"filename": "sales.py", "stack_trace": "ZeroDivisionError: division by zero"}]
    assert not_ok(look(airflow)) == {}


def test_an_asset_without_its_watcher_has_failed(airflow: FakeAirflow) -> None:
    airflow.watchers = []
    assert not_ok(look(airflow)) == {"arrival watcher": "failed"}


def test_places_for_tuning_jobs_are_shown_with_who_has_and_who_waits_for_one(airflow: FakeAirflow) -> None:
    assert look(airflow)["places for tuning jobs"].found == "100 at a time: 5 taken, 2 waited for"


@pytest.mark.parametrize(
    ("pools", "said"),
    [
        ([pool("genops_tuning_jobs_of_others")], "Airflow has no pool genops_tuning_jobs."),
        ([pool("genops_tuning_jobs", slots=8)], "has 8 slots, and `tuning_jobs_at_once` is 100."),
        ([pool("genops_tuning_jobs", slots=-1)], "has any number of slots, and `tuning_jobs_at_once` is 100."),
        ([pool("genops_tuning_jobs", include_deferred=False)], "does not count deferred tasks"),
    ],
)
def test_a_pool_that_is_not_as_it_should_be_is_told_with_the_command_that_makes_it_so(
    airflow: FakeAirflow, pools: list[dict[str, Any]], said: str
) -> None:
    airflow.pools = pools
    found = look(airflow)
    assert not_ok(found) == {"places for tuning jobs": "failed"}
    assert said in found["places for tuning jobs"].found
    command = 'airflow pools set genops_tuning_jobs 100 "Tuning jobs at a time" --include-deferred'
    assert found["places for tuning jobs"].remedy == (command,)


def test_an_airflow_that_asks_who_we_are_gets_a_token_or_says_what_to_set(airflow: FakeAirflow) -> None:
    airflow.token = "good"
    refused = look(airflow)
    assert not_ok(refused) == {
        "Dags parsed": "failed",
        "places for tuning jobs": "failed",
        "Dags not paused": "skipped",
        "arrival watcher": "skipped",
    }
    assert "GENOPS_AIRFLOW_TOKEN" in refused["Dags parsed"].cause
    assert "https://airflow.example/auth/token" in refused["Dags parsed"].remedy[0]
    assert not_ok(look(airflow, token="good")) == {}
    assert airflow.logins == []
    assert not_ok(look(airflow, username="ann", password="secret")) == {}
    assert "Dags parsed" in not_ok(look(airflow, username="ann", password="wrong"))


def test_a_secret_is_never_shown(airflow: FakeAirflow) -> None:
    airflow.token = "good"
    rest = AirflowRest(airflow.url, token="s3cret-token", password="s3cret-word")  # type: ignore[attr-defined]
    assert "s3cret" not in repr(rest)
    found = look(airflow, token="s3cret-token")
    assert "s3cret" not in repr(found)


@pytest.mark.parametrize(("status", "text"), [(500, "500"), (404, "which no Airflow 3 does")])
def test_an_answer_of_no_airflow_is_a_failure_with_its_status(airflow: FakeAirflow, status: int, text: str) -> None:
    airflow.broken = status
    found = look(airflow)
    assert not_ok(found) == {"Airflow": "failed", **ALL_SKIPPED}
    assert text in found["Airflow"].found
    assert found["Airflow"].remedy


def test_nobody_at_the_address_is_a_failure_and_no_address_as_well(airflow: FakeAirflow) -> None:
    airflow.url = "http://127.0.0.1:1"  # type: ignore[attr-defined]
    nobody = look(airflow)
    assert not_ok(nobody) == {"Airflow": "failed", **ALL_SKIPPED}
    assert "does not answer: ConnectionError" in nobody["Airflow"].found
    unknown = look(None)
    assert not_ok(unknown) == {"Airflow": "failed", **ALL_SKIPPED}
    assert "GENOPS_AIRFLOW_URL is not set" in unknown["Airflow"].found


def importable() -> Finding:
    return AirflowChecks(None, Remedies(CONFIG, is_local=False, airflow="")).importable()


@pytest.fixture
def _however_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "IMPORT_SECONDS", HANG_SECONDS)


@pytest.mark.usefixtures("_however_busy")
def test_the_triggers_of_this_installation_can_be_imported() -> None:
    assert importable().status is Status.OK


@pytest.mark.usefixtures("_however_busy")
def test_triggers_that_cannot_be_imported_are_seen_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What an older package of this name would do: it comes first, and has not what is wanted.
    (tmp_path / "triggers").mkdir()
    (tmp_path / "triggers" / "__init__.py").write_text("")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    finding = importable()
    assert finding.status is Status.FAILED
    assert f"No module named '{TRIGGERS[0]}'" in finding.found
    assert finding.remedy


def doctor(tmp_path: Path, text: str, *words: str) -> subprocess.CompletedProcess[str]:
    file = tmp_path / "genops.yaml"
    file.write_text(text)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GENOPS_")}
    environment |= {"GENOPS_CONFIG": str(file), "GENOPS_HOME": str(tmp_path / "home")}
    command = [sys.executable, "-m", "genops_events.cli", "doctor", *words]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=HANG_SECONDS, check=False)


def test_a_wrong_configuration_is_the_finding_and_all_else_waits_for_it(tmp_path: Path) -> None:
    done = doctor(tmp_path, "project: x\n", "--json")
    assert done.returncode == 1
    document = json.loads(done.stdout)
    assert document["healthy"] is False
    assert [(one["name"], one["status"]) for one in document["checks"]] == [
        ("configuration", "failed"),
        ("all else", "skipped"),
    ]
    assert "bucket" in document["checks"][0]["found"]
    said = doctor(tmp_path, "project: x\n")
    assert said.returncode == 1
    assert said.stdout.startswith("✗ configuration  ")
    assert "fix   genops config check" in said.stdout
    assert said.stderr == ""
