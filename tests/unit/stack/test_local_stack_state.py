"""State file, ports, secrets and environment of a local stack: no component runs here."""

from __future__ import annotations

import os
import socket
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from gcp_stand_ins.owner import birth
from genops_events.stack import ports, stack, state
from genops_events.stack.airflow_probes import dag_files
from genops_events.stack.components import PORTS, client_environment, component_list
from genops_events.stack.credentials import secrets_of, write_credentials
from genops_events.stack.keeper import RestartPolicy
from genops_events.stack.processes import ProcessId
from genops_events.stack.shell import clean_environment
from genops_events.stack.stack_errors import StackError


@pytest.fixture
def plan(tmp_path: Path) -> state.StackPlan:
    return state.StackPlan(
        home=tmp_path / "home",
        dags_folder=tmp_path,
        config_file=tmp_path / "genops.yaml",
        project="a-project",
        location="us-central1",
        bucket="a-bucket",
        arrivals_topic="arrivals",
        completions_topic="completions",
    )


@pytest.fixture
def numbers() -> dict[str, int]:
    return {name: 20_000 + index for index, name in enumerate(PORTS)}


def test_state_survives_a_round_trip_through_its_file(plan: state.StackPlan) -> None:
    plan.home.mkdir()
    one = state.ComponentState(name="storage", state="running", log="a.log", process=ProcessId(os.getpid(), 1.0))
    whole = state.StackState(state="running", plan=plan, run="x", ports={"api-server": 18_000}, components=(one,))
    state.save(plan.home, whole)
    assert state.load(plan.home) == whole
    assert whole.airflow_url == "http://127.0.0.1:18000"


def test_unreadable_state_file_is_an_error_and_not_a_stopped_stack(tmp_path: Path) -> None:
    state.state_file(tmp_path).write_text('{"state": "purple"}')
    with pytest.raises(StackError, match="cannot be read"):
        stack.read_state(tmp_path)


def test_a_home_without_a_state_file_is_a_stopped_stack(tmp_path: Path) -> None:
    assert stack.read_state(tmp_path).state == "stopped"
    assert stack.stop(tmp_path) is False


def test_state_of_a_dead_supervisor_whose_components_are_dead_is_stopped(plan: state.StackPlan) -> None:
    plan.home.mkdir()
    dead = ProcessId(os.getpid(), -1.0)  # our pid, but not our birth: a pid that was used again
    one = state.ComponentState(name="storage", state="running", log="a.log", process=dead)
    state.save(plan.home, state.StackState(state="running", plan=plan, supervisor=dead, components=(one,)))
    seen = stack.read_state(plan.home)
    assert (seen.state, seen.components[0].state, seen.components[0].process) == ("stopped", "stopped", None)
    assert stack.stop(plan.home) is False  # and above all: this test was not killed


def test_state_of_a_dead_supervisor_with_living_components_is_degraded(plan: state.StackPlan) -> None:
    plan.home.mkdir()
    alive = ProcessId(os.getpid(), birth(os.getpid()) or 0.0)
    one = state.ComponentState(name="storage", state="running", log="a.log", process=alive)
    dead = ProcessId(os.getpid(), -1.0)
    state.save(plan.home, state.StackState(state="running", plan=plan, supervisor=dead, components=(one,)))
    assert stack.read_state(plan.home).state == "degraded"


def test_environment_of_a_stopped_stack_names_the_next_step(tmp_path: Path) -> None:
    with pytest.raises(StackError, match="genops up"):
        stack.environment(stack.read_state(tmp_path))


def test_ports_stay_while_they_are_free_and_change_when_taken(tmp_path: Path) -> None:
    first = ports.choose(["a", "b"], home=tmp_path, kept={})
    assert len(set(first.values())) == 2
    assert ports.choose(["a", "b"], home=tmp_path, kept=first) == first
    with socket.socket() as squatter:
        squatter.bind(("127.0.0.1", first["a"]))
        squatter.listen()
        second = ports.choose(["a", "b"], home=tmp_path, kept=first)
    assert second["b"] == first["b"]
    assert second["a"] not in first.values()


def test_secrets_are_made_once_and_private(tmp_path: Path) -> None:
    made = secrets_of(tmp_path)
    assert secrets_of(tmp_path) == made
    assert len(made.jwt_secret) >= 64
    mode = stat.S_IMODE((tmp_path / "secrets" / "secrets.json").stat().st_mode)
    assert mode == 0o600


def test_application_default_credentials_are_good_without_asking_anybody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import google.auth

    path = write_credentials(tmp_path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(path))
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "a-project")
    credentials, project = google.auth.default(scopes=["https://www.googleapis.com/auth/cloud-platform"])
    assert project == "a-project"
    assert credentials.valid
    headers: dict[str, str] = {}
    # Neither a token nor the regions of a service account are looked up: either would leave this machine.
    credentials.before_request(_nobody_may_be_asked, "GET", "http://127.0.0.1:1/", headers)
    assert headers["authorization"] == "Bearer local"


def _nobody_may_be_asked(*_: object, **__: object) -> None:
    raise AssertionError("credentials must not make a request")


def test_nothing_of_another_airflow_cloud_or_python_leaks_in() -> None:
    outer = {
        "PATH": "/bin",
        "HOME": "/home/x",
        "LD_LIBRARY_PATH": "/lib",
        "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor",
        "AIRFLOW_HOME": "/elsewhere",
        "PYTHONPATH": "/elsewhere",
        "PYTHONDONTWRITEBYTECODE": "1",
        "GENOPS_BUCKET": "theirs",
        "PUBSUB_EMULATOR_HOST": "elsewhere:1",
        "STORAGE_EMULATOR_HOST": "http://elsewhere:1",
        "GOOGLE_APPLICATION_CREDENTIALS": "/their/key.json",
        "https_proxy": "http://proxy:3128",
        "PGHOST": "elsewhere",
        "FORCE_COLOR": "1",
    }
    clean = clean_environment(outer)
    kept = {name: value for name, value in clean.items() if name in outer}
    assert kept == {"PATH": "/bin", "HOME": "/home/x", "LD_LIBRARY_PATH": "/lib"}


def test_every_component_has_its_place_and_airflow_has_the_clients_variables(
    plan: state.StackPlan, numbers: dict[str, int]
) -> None:
    plan = replace(plan, schedulers=2, triggerers=2)
    components = component_list(plan, numbers, secrets_of(plan.home), {"PATH": "/bin"})
    assert [one.name for one in components] == [
        *("postgres", "storage", "pubsub", "vertex", "bigquery"),
        *("api-server", "scheduler", "scheduler-2", "dag-processor", "triggerer", "triggerer-2"),
    ]
    assert len({one.log for one in components}) == len(components)
    variables = next(one for one in components if one.name == "triggerer-2").environment
    assert client_environment(plan, numbers).items() <= variables.items()
    api = f"http://127.0.0.1:{numbers['api-server']}"
    assert variables["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"] == f"{api}/execution/"


def test_client_variables_have_the_forms_that_the_clients_expect(
    plan: state.StackPlan, numbers: dict[str, int]
) -> None:
    variables = client_environment(plan, numbers)
    assert variables["STORAGE_EMULATOR_HOST"] == f"http://127.0.0.1:{numbers['storage']}"
    assert variables["PUBSUB_EMULATOR_HOST"] == f"127.0.0.1:{numbers['pubsub']}"
    assert variables["GENOPS_COMPLETIONS_TOPIC"] == "completions"


def test_back_off_grows_to_its_bound_and_a_long_life_resets_it() -> None:
    policy, pauses = RestartPolicy(), []
    for _ in range(7):
        policy = policy.after_death(lived_seconds=0.5)
        pauses.append(policy.pause_seconds)
    assert pauses == [1, 2, 4, 8, 15, 15, 15]
    assert policy.failed
    policy = policy.after_death(lived_seconds=31)
    assert (policy.pause_seconds, policy.failed) == (1, False)


def test_dag_files_are_those_that_airflow_would_parse(tmp_path: Path) -> None:
    (tmp_path / "one.py").write_text("from airflow.sdk import DAG")
    (tmp_path / "plain.py").write_text("print('nothing of the kind')")
    hidden = tmp_path / "__pycache__"
    hidden.mkdir()
    (hidden / "two.py").write_text("from airflow.sdk import DAG")
    assert dag_files(tmp_path) == {str(tmp_path / "one.py")}


def test_purge_refuses_a_folder_that_is_no_stacks_home(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(StackError, match="Nothing was removed"):
        stack.stop(tmp_path, purge=True)
    assert (tmp_path / "thesis.tex").exists()


def test_purge_leaves_the_files_of_others(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    (tmp_path / "genops-home.txt").touch()
    (tmp_path / "storage").mkdir()
    stack.stop(tmp_path, purge=True)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_missing_dags_folder_is_said_before_anything_starts(plan: state.StackPlan) -> None:
    with pytest.raises(StackError, match="no Dags folder"):
        stack.start(replace(plan, dags_folder=plan.home / "nowhere"))


def test_unknown_log_lists_the_known_ones(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "storage.log").touch()
    with pytest.raises(StackError, match="There are: storage"):
        stack.log_of(tmp_path, "sotrage")
