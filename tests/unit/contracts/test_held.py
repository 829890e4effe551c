"""A test whose calls break Google's documents fails by itself, and the run says how much was looked at."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from contracts.held import Recordings

from gcp_stand_ins.recording import VARIABLE, Record

TESTS = Path(__file__).resolve().parents[2]
CONFTEST = """
import sys
sys.path.insert(0, {tests!r})
from contracts.held import Held

def pytest_addoption(parser):
    parser.addoption("--contracts-report")

def pytest_configure(config):
    config.pluginmanager.register(Held(config), "contracts")
"""
PLANTED = """
import os
import re
from pathlib import Path
import pytest
from gcp_stand_ins.recording import Record

def answered(size):
    folder = Path(os.environ["STAND_INS_RECORD"])
    Record(folder, "storage").write(
        method="GET", path="/storage/v1/b/bucket/o/a", query="fields=size", request="", request_type="", request_read=True,
        status=200, answer='{"size": ' + size + '}', answer_type="application/json", answered=True,
    )

@pytest.fixture
def late():
    yield
    answered("6")

def test_good():
    answered('"5"')

def test_broken():
    answered("5")

def test_broken_as_it_ends(late):
    pass

def test_good_again():
    answered('"7"')
"""


@pytest.mark.parametrize("workers", ["0", "1"])
def test_the_test_that_has_made_a_broken_call_fails_and_no_other(workers: str, tmp_path: Path) -> None:
    (tmp_path / "pytest.ini").write_text("[pytest]\n")  # else that of a checkout around the folder, if it lies in one
    (tmp_path / "conftest.py").write_text(CONFTEST.format(tests=str(TESTS)))
    (tmp_path / "conformance").mkdir()
    (tmp_path / "conformance" / "test_planted.py").write_text(PLANTED)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--numprocesses", workers]
    command += ["--rootdir", str(tmp_path), "--contracts-report", "report.md"]
    inherited = {
        name: value for name, value in os.environ.items() if name != VARIABLE and not name.startswith("PYTEST_")
    }
    environment = inherited | {"PYTHONPATH": str(TESTS.parent)}
    run = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    said = run.stdout + run.stderr
    # Beside warnings, if there are any: a year from now, Google's clients warn of an old Python.
    ended = {word: int(count) for count, word in re.findall(r"(\d+) (passed|failed|error)\b", said)}
    assert ended == {"passed": 3, "failed": 1, "error": 1}, said
    assert "FAILED conformance/test_planted.py::test_broken" in said
    assert "ERROR conformance/test_planted.py::test_broken_as_it_ends" in said
    assert "answer: body.size is 5: not text, as uint64 is in JSON" in said
    assert "4 calls of 1 methods" in said
    report = (tmp_path / "report.md").read_text()
    assert "| storage.objects.get | 4 |" in report
    assert "storage.v1 20" in report, "the revision of the document"


def test_a_run_of_other_tests_records_nothing(tmp_path: Path) -> None:
    (tmp_path / "pytest.ini").write_text("[pytest]\n")  # else that of a checkout around the folder, if it lies in one
    (tmp_path / "conftest.py").write_text(CONFTEST.format(tests=str(TESTS)))
    (tmp_path / "test_other.py").write_text(
        f'import os\n\ndef test_other():\n    assert "{VARIABLE}" not in os.environ\n'
    )
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-n", "0", "--rootdir", str(tmp_path)]
    inherited = {
        name: value for name, value in os.environ.items() if name != VARIABLE and not name.startswith("PYTEST_")
    }
    run = subprocess.run(
        command,
        cwd=tmp_path,
        env=inherited | {"PYTHONPATH": str(TESTS.parent)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout
    assert "Google's documents" not in run.stdout


def test_half_a_line_waits_for_its_other_half(tmp_path: Path) -> None:
    recordings = Recordings(tmp_path)
    Record(tmp_path, "storage").write(path="/a")
    assert [line["path"] for line in recordings.new()] == ["/a"]
    (file,) = tmp_path.glob("*.jsonl")
    with file.open("ab") as lines:
        lines.write(b'{"path": "/b"}\n{"path": ')
    assert [line["path"] for line in recordings.new()] == ["/b"]
    with file.open("ab") as lines:
        lines.write(b'"/c"}\n')
    assert [line["path"] for line in recordings.new()] == ["/c"]
    assert list(recordings.new()) == []
