"""The stack as its user has it: up, killed piece by piece, down, up again, and nothing left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from running_stack import UP_SECONDS
from waiting import HANG_SECONDS, until

from gcp_stand_ins.owner import birth
from genops_events.stack.processes import session_members

pytestmark = pytest.mark.e2e

REPOSITORY = Path(__file__).parents[2]
GENOPS = Path(sys.executable).with_name("genops")
NAMES = ["postgres", "storage", "pubsub", "vertex", "bigquery", "api-server", "scheduler", "dag-processor", "triggerer"]
DAG = """
from airflow.sdk import DAG, task

with DAG("hello", schedule=None):

    @task
    def greet():
        return "hello"

    greet()
"""


class Stack:
    """A stack in a folder of its own, worked by the command alone."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "home"
        self.dags = folder / "dags"
        self.dags.mkdir()
        (self.dags / "hello.py").write_text(DAG)

    def genops(self, *words: str, expect: int = 0, timeout: float = HANG_SECONDS) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "GENOPS_HOME": str(self.home), "AIRFLOW__CORE__EXECUTOR": "nonsense"}
        environment["GENOPS_CONFIG"] = str(REPOSITORY / "examples" / "genops.yaml")
        command = [GENOPS, *words]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=timeout, check=False)
        assert done.returncode == expect, f"genops {' '.join(words)}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def up(self, *words: str, expect: int = 0) -> subprocess.CompletedProcess[str]:
        owner = () if "--owner" in words else ("--owner", str(os.getpid()))
        return self.genops(
            "up", "--detach", "--dags", str(self.dags), *owner, *words, expect=expect, timeout=UP_SECONDS
        )

    def status(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.genops("status", "--json").stdout)
        return document

    def pids(self) -> dict[str, int]:
        return {one["name"]: one["pid"] for one in self.status()["components"]}

    def until(self, condition: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        return until(self.status, condition)

    def rest(self, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        told = json.loads(self.genops("env", "--json").stdout)
        user = {name: told[f"GENOPS_AIRFLOW_{name.upper()}"] for name in ("username", "password")}
        token = self._call(f"{told['GENOPS_AIRFLOW_URL']}/auth/token", user)["access_token"]
        return self._call(f"{told['GENOPS_AIRFLOW_URL']}/api/v2{path}", body, Authorization=f"Bearer {token}")

    def _call(self, url: str, body: dict[str, Any] | None, **headers: str) -> dict[str, Any]:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(url, data=data, headers={"Content-Type": "application/json", **headers})
        with urllib.request.urlopen(request, timeout=HANG_SECONDS) as answer:
            document: dict[str, Any] = json.load(answer)
            return document


def running(status: dict[str, Any]) -> bool:
    return bool(status["state"] == "running")


def nothing_left(pids: dict[str, int]) -> None:
    for name, pid in pids.items():
        assert birth(pid) is None, name
        assert session_members(pid) == [], name


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    stack = Stack(tmp_path_factory.mktemp("stack"))
    try:
        stack.up()
        yield stack
    finally:
        stack.genops("down", "--purge")
        assert not stack.home.exists()


def test_what_the_stack_keeps_is_its_users_alone_and_airflow_lets_in_nobody_without_its_password(stack: Stack) -> None:
    open_to_others = [path for path in (stack.home, *stack.home.iterdir()) if path.stat().st_mode & 0o077]
    assert not [path for path in open_to_others if path.is_dir()]
    url = stack.status()["airflow_url"]
    for path, body in (
        ("/auth/token", None),
        ("/auth/token", b'{"username": "admin", "password": "admin"}'),
        ("/api/v2/dags", None),
    ):
        request = urllib.request.Request(f"{url}{path}", data=body, headers={"Content-Type": "application/json"})
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(request, timeout=HANG_SECONDS)
        with refused.value as answer:
            assert answer.code in {401, 403}
    assert stack.rest("/dags")["total_entries"] > 0


def test_status_names_every_component_with_pid_url_and_log(stack: Stack) -> None:
    status = stack.status()
    assert status["state"] == "running"
    assert status["airflow_url"].startswith("http://127.0.0.1:")
    assert [one["name"] for one in status["components"]] == NAMES
    for one in status["components"]:
        assert one["state"] == "running"
        assert birth(one["pid"]) is not None
        assert Path(one["log"]).is_file()
        assert "url" in one
    assert {one["name"]: one["faults"] for one in status["components"] if "admin_url" in one} == {
        "storage": {},
        "pubsub": {},
        "vertex": {},
        "bigquery": {},
    }


def test_a_fault_that_is_switched_on_shows_in_the_status(stack: Stack) -> None:
    admin = next(one["admin_url"] for one in stack.status()["components"] if one["name"] == "vertex")
    for method, body, shown in (("PUT", b'{"delay_seconds": 0.01}', {"delay_seconds": 0.01}), ("DELETE", None, {})):
        request = urllib.request.Request(f"{admin}/faults", data=body, method=method)
        with urllib.request.urlopen(request, timeout=HANG_SECONDS) as answer:
            assert answer.status == 200
        assert next(one["faults"] for one in stack.status()["components"] if one["name"] == "vertex") == shown


def test_env_lines_can_be_evaluated_by_a_shell(stack: Stack) -> None:
    script = stack.genops("env").stdout + 'echo "$GENOPS_BUCKET $STORAGE_EMULATOR_HOST $GENOPS_HOME"'
    said = subprocess.run(["/bin/sh", "-c", script], capture_output=True, text=True, check=True).stdout.split()
    variables = json.loads(stack.genops("env", "--json").stdout)
    assert said == [variables["GENOPS_BUCKET"], variables["STORAGE_EMULATOR_HOST"], str(stack.home)]
    with urllib.request.urlopen(
        f"{said[1]}/storage/v1/b/{said[0]}", timeout=HANG_SECONDS
    ) as answer:  # up has provisioned it
        assert json.load(answer)["name"] == said[0]


def test_up_again_leaves_a_running_stack_alone(stack: Stack) -> None:
    before = stack.pids()
    assert "runs already" in stack.up().stderr
    assert stack.pids() == before


def test_up_makes_the_places_for_tuning_jobs_and_up_again_changes_their_number(stack: Stack, tmp_path: Path) -> None:
    pool = stack.rest("/pools/genops_tuning_jobs")
    assert (pool["slots"], pool["include_deferred"]) == (100, True)  # as examples/genops.yaml says
    config = tmp_path / "genops.yaml"
    example = (REPOSITORY / "examples" / "genops.yaml").read_text()
    models = str(REPOSITORY / "examples" / "models.toml")
    example = example.replace("models: models.toml", f"models: {models}")
    config.write_text(example.replace("tuning_jobs_at_once: 100", "tuning_jobs_at_once: 7"))
    stack.up("--config", str(config))
    assert stack.rest("/pools/genops_tuning_jobs")["slots"] == 7
    stack.up()
    assert stack.rest("/pools/genops_tuning_jobs")["slots"] == 100


@pytest.mark.parametrize("name", ["triggerer", "storage", "pubsub", "vertex", "bigquery", "scheduler", "postgres"])
def test_a_killed_component_is_back_and_all_is_well_again(stack: Stack, name: str) -> None:
    before = stack.until(running)
    killed = next(one["pid"] for one in before["components"] if one["name"] == name)
    os.kill(killed, signal.SIGKILL)
    stack.until(lambda now: any(one["name"] == name and one["pid"] not in (killed, None) for one in now["components"]))
    after = stack.until(running)
    assert next(one["restarts"] for one in after["components"] if one["name"] == name) >= 1
    assert session_members(killed) == []
    assert [one["url"] for one in after["components"]] == [one["url"] for one in before["components"]]


def test_a_dag_that_cannot_be_imported_is_named_with_its_reason(stack: Stack) -> None:
    stack.until(running)
    broken = stack.dags / "broken.py"
    broken.write_text("from airflow.sdk import DAG\nraise RuntimeError('no such luck')\n")

    def why(now: dict[str, Any]) -> str:
        return next(one["reason"] for one in now["components"] if one["name"] == "dag-processor") or ""

    try:
        # The state alone does not tell: the kill before this test may still be echoing as a late heartbeat.
        status = stack.until(lambda now: str(broken) in why(now))
        assert "no such luck" in why(status)
        assert status["state"] == "degraded"
    finally:
        broken.unlink()
    stack.until(running)


def test_down_and_up_keep_what_airflow_and_the_stand_ins_hold(stack: Stack) -> None:
    stack.until(running)
    stack.rest("/variables", {"key": "kept", "value": "yes"})
    storage = json.loads(stack.genops("env", "--json").stdout)
    upload = f"{storage['STORAGE_EMULATOR_HOST']}/upload/storage/v1/b/{storage['GENOPS_BUCKET']}/o"
    request = urllib.request.Request(f"{upload}?uploadType=media&name=kept.txt", data=b"kept", method="POST")
    with urllib.request.urlopen(request, timeout=HANG_SECONDS) as answer:
        generation = json.load(answer)["generation"]
    urls = [one["url"] for one in stack.status()["components"]]
    pids = stack.pids()
    stack.genops("down")
    nothing_left(pids)
    stopped = stack.status()
    assert (stopped["state"], stopped["airflow_url"]) == ("stopped", None)
    assert "genops up" in stack.genops("env", expect=1).stderr
    stack.up()
    assert [one["url"] for one in stack.status()["components"]] == urls
    assert stack.rest("/variables/kept")["value"] == "yes"
    kept = f"{storage['STORAGE_EMULATOR_HOST']}/storage/v1/b/{storage['GENOPS_BUCKET']}/o/kept.txt"
    with urllib.request.urlopen(kept, timeout=HANG_SECONDS) as answer:
        assert json.load(answer)["generation"] == generation


def test_down_stops_what_a_killed_supervisor_left(stack: Stack) -> None:
    stack.until(running)
    pids = stack.pids()
    state = json.loads((stack.home / "state.json").read_text())
    os.kill(state["supervisor"]["pid"], signal.SIGKILL)
    stack.genops("down")
    nothing_left(pids)
    assert stack.status()["state"] == "stopped"


def test_a_stack_ends_with_the_process_that_it_is_to_end_with_however_that_one_ends(stack: Stack) -> None:
    with subprocess.Popen(["sleep", "3600"]) as owner:
        stack.up("--owner", str(owner.pid))
        pids = stack.pids()
        owner.kill()
    until(lambda: stack.status()["state"] == "stopped", what="the end of the stack")
    nothing_left(pids)


def test_a_component_that_cannot_start_says_why_and_leaves_nothing(tmp_path: Path) -> None:
    other = Stack(tmp_path)
    (other.home / "postgres" / "data").mkdir(parents=True)  # no cluster in there
    try:
        said = other.up(expect=1).stderr
        assert str(other.home / "logs" / "postgres.log") in said
        status = other.status()
        assert status["state"] == "failed"
        failed = next(one for one in status["components"] if one["name"] == "postgres")
        assert failed["state"] == "failed"
        assert "could not access the server configuration file" in failed["reason"]
        assert {one["pid"] for one in status["components"]} == {None}
        log = (other.home / "logs" / "supervisor.log").read_text()
        started = [line for line in log.splitlines() if " started, pid " in line]
        nothing_left({line: int(line.rsplit(" ", 1)[1]) for line in started})
    finally:
        other.genops("down", "--purge")
