"""A name of a file that is not UTF-8 gets a clear error from every command, and nothing is printed raw."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner
from waiting import HANG_SECONDS

from genops_events.cli import app

NAME = b"\xff\x1b[2J.jsonl"


@pytest.mark.parametrize("command", [[b"validate"], [b"upload", b"--dataset", b"banking77"]])
def test_a_file_whose_name_is_not_utf_8_is_named_as_what_it_is(tmp_path: Path, command: list[bytes]) -> None:
    (Path(str(tmp_path)) / "x").write_bytes(b"{}\n")
    Path(str(tmp_path)).joinpath("x").rename(tmp_path / NAME.decode("utf-8", "surrogateescape"))
    done = subprocess.run(
        [sys.executable.encode(), b"-m", b"genops_events.cli", *command, NAME],
        cwd=tmp_path,
        capture_output=True,
        check=False,
        timeout=HANG_SECONDS,
    )
    assert done.returncode == 1
    assert done.stdout == b""
    told = done.stderr.decode()
    assert told.startswith("error: The argument '\\xff\\x1b[2J.jsonl' is not UTF-8")
    assert "Rename the file" in told
    assert "Traceback" not in told
    assert "\x1b" not in told


@pytest.mark.parametrize(
    "arguments",
    [
        ["estimate", "\udcff.jsonl", "--dataset", "banking77"],
        ["ask", "--file", "\udcff.jsonl", "--model", "gemini-2.5-flash"],
        ["ask", "\udcff", "--model", "gemini-2.5-flash"],
        ["compare", "\udcff.jsonl"],
        ["validate", "a.jsonl", "--validation", "\udcff.jsonl"],
        ["config", "check", "\udcff.yaml"],
        ["watch", "banking77-\udcff"],
        ["sql", "SELECT '\udcff'"],
        ["approve", "x", "--reason", "\udcff"],
    ],
)
def test_every_command_refuses_it_before_it_begins(arguments: list[str]) -> None:
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 1
    assert "is not UTF-8" in done.stderr
    assert not isinstance(done.exception, UnicodeError)
