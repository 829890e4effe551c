"""Tests, demo and `genops up` do not hear what the shell points at; other commands say if that is gone."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner
from waiting import HANG_SECONDS

from genops_events.cli import app, demo
from genops_events.stack import shell, stack
from genops_events.stack.ports import choose
from genops_events.stack.stack_errors import StackError

ROOT = Path(__file__).resolve().parents[3]
ELSEWHERE = {
    "STORAGE_EMULATOR_HOST": "http://127.0.0.1:9",
    "PUBSUB_EMULATOR_HOST": "127.0.0.1:9",
    "BIGQUERY_EMULATOR_HOST": "http://127.0.0.1:9",
    "GOOGLE_VERTEX_BASE_URL": "http://127.0.0.1:9",
    "GOOGLE_CLOUD_PROJECT": "elsewhere",
    "GOOGLE_APPLICATION_CREDENTIALS": "/nowhere/credentials.json",
    "GOOGLE_GENAI_USE_VERTEXAI": "false",
    "GENOPS_HOME": "/nowhere",
    "GENOPS_CONFIG": "/nowhere/genops.yaml",
    "GENOPS_BUCKET": "elsewhere",
    "GENOPS_AIRFLOW_URL": "http://127.0.0.1:9",
    "GENOPS_AIRFLOW_TOKEN": "of another Airflow",
    "AIRFLOW_HOME": "/nowhere",
    "AIRFLOW__CORE__EXECUTOR": "nonsense",
    "HTTPS_PROXY": "http://127.0.0.1:9",
    "https_proxy": "http://127.0.0.1:9",
    "PYTHONPATH": "/nowhere",
}


def test_nothing_of_a_shell_reaches_a_test() -> None:
    assert [name for name in ELSEWHERE if name in os.environ and name != "AIRFLOW_HOME"] == []


def test_tests_do_not_hear_the_shell_and_say_what_they_do_not_hear() -> None:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    test = f"{Path(__file__)}::{test_nothing_of_a_shell_reaches_a_test.__name__}"
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", test]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**inherited, **ELSEWHERE},
        capture_output=True,
        text=True,
        timeout=HANG_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "not heard of this shell: " in done.stdout
    assert "STORAGE_EMULATOR_HOST" in done.stdout


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A shell that points at another stack; what a command does to its own environment is undone."""
    before = dict(os.environ)
    for name, value in ELSEWHERE.items():
        monkeypatch.setenv(name, value)
    yield
    monkeypatch.undo()
    os.environ.clear()
    os.environ.update(before)


def heard() -> dict[str, str]:
    """Return what this process would tell a child of another stack."""
    return {name: value for name, value in os.environ.items() if ELSEWHERE.get(name) == value}


@pytest.mark.usefixtures("elsewhere")
def test_the_demo_does_not_hear_the_shell(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    started: list[tuple[str, ...]] = []

    def started_only(*words: str, quiet: bool = False) -> None:
        started.append(words)
        assert heard() == {}
        assert os.environ["GENOPS_HOME"] == str(tmp_path)
        if words[0] == "up":
            raise StackError("This far and no further.")

    monkeypatch.setattr(demo, "_genops", started_only)
    monkeypatch.setattr(demo, "interrupt_on_signals", lambda: None)
    ended = CliRunner().invoke(app, ["demo", "--home", str(tmp_path)])
    assert "This far and no further." in ended.stderr
    assert started == [("down", "--purge"), ("up", "--detach", "--owner", str(os.getpid())), ("down",)]
    assert f"Nothing of the demo runs any more.\nIts logs are in {tmp_path}/logs" in ended.stderr


@pytest.mark.usefixtures("elsewhere")
def test_up_does_not_hear_the_shell(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def started_only(plan: stack.StackPlan) -> stack.StartedStack:
        assert heard() == {}
        assert plan.home == tmp_path
        raise StackError("This far and no further.")

    monkeypatch.setenv("GENOPS_HOME", str(tmp_path))  # the two that say which stack is meant
    monkeypatch.setenv("GENOPS_CONFIG", str(ROOT / "examples" / "genops.yaml"))
    monkeypatch.setattr(stack, "start", started_only)
    monkeypatch.setattr("genops_events.cli.stack.interrupt_on_signals", lambda: None)
    ended = CliRunner().invoke(app, ["up", "--detach"])
    assert "This far and no further." in ended.stderr


def test_a_stack_cannot_end_with_a_process_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GENOPS_CONFIG", str(ROOT / "examples" / "genops.yaml"))
    ended = CliRunner().invoke(app, ["up", "--detach", "--owner", str(2**22 + 1)])
    assert ended.exit_code == 1
    assert f"There is no process {2**22 + 1}" in ended.stderr


COMMANDS = (
    ["candidates"],
    ["events"],
    ["watch", "banking77-0123456789abcdef"],
    ["upload", "train.jsonl", "--dataset", "banking77"],
    ["ask", "Where?", "--dataset", "banking77"],
    ["champions"],
    ["dead-letters"],
    ["provision"],
    ["doctor"],
    ["spend"],
    ["sql", "SELECT 1"],
    ["prune"],
)


@pytest.fixture
def gone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, int]:
    """A shell after `eval "$(genops env)"` of a stack that is not there any more; return the ports that it names."""
    ports = choose(("storage", "pubsub", "vertex"), home=tmp_path, kept={})
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{ports['storage']}")
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", f"127.0.0.1:{ports['pubsub']}")
    monkeypatch.setenv("GOOGLE_VERTEX_BASE_URL", f"http://127.0.0.1:{ports['vertex']}")
    monkeypatch.setenv("GENOPS_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("GENOPS_CONFIG", str(ROOT / "examples" / "genops.yaml"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train.jsonl").write_text("{}\n")
    return ports


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: words[0])
def test_a_command_says_that_the_stack_is_gone_which_the_shell_points_at(
    words: list[str], gone: dict[str, int]
) -> None:
    ended = CliRunner().invoke(app, words)
    assert ended.exit_code == 1, ended.output
    assert "This shell points at a local stack that is gone: nothing answers at" in ended.stderr
    assert f"PUBSUB_EMULATOR_HOST=127.0.0.1:{gone['pubsub']}" in ended.stderr
    assert "genops up --detach" in ended.stderr
    assert (
        "unset STORAGE_EMULATOR_HOST PUBSUB_EMULATOR_HOST GOOGLE_VERTEX_BASE_URL GENOPS_CONFIG GENOPS_HOME"
        in ended.stderr
    )


def test_a_component_that_is_away_for_a_moment_is_no_stack_that_is_gone(gone: dict[str, int]) -> None:
    from genops_events.cli.target import connect

    with socket.create_server(("127.0.0.1", gone["pubsub"])):
        assert connect().project == "genops-local"


def test_google_itself_is_not_asked_whether_it_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    from genops_events.cli.target import connect

    monkeypatch.setenv("GENOPS_CONFIG", str(ROOT / "examples" / "genops.yaml"))
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "https://storage.example.com")
    monkeypatch.setattr(socket, "create_connection", None)
    assert connect().project == "genops-local"


def test_what_belongs_to_the_tests_themselves_is_heard() -> None:
    assert not shell.is_foreign("GENOPS_TEST_BROWSER")
    assert not shell.is_foreign("HOME")
    assert shell.forget(environment := {"PATH": "/bin", "AIRFLOW_HOME": "x", "no_proxy": "y"}) == [
        "AIRFLOW_HOME",
        "no_proxy",
    ]
    assert environment == {"PATH": "/bin"}
