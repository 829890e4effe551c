"""Whoever interrupts the tests finds nothing of them running, whether they ran in the background or as workers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from waiting import HANG_SECONDS, until

from gcp_stand_ins.owner import birth

RUN = Path(__file__).parents[1] / "waits_to_be_interrupted.py"
IN_THE_BACKGROUND = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_IGN)
signal.signal(signal.SIGHUP, signal.SIG_DFL)
os.execv(sys.argv[1], sys.argv[1:])
"""
"""As a shell starts what it is to run in the background: it does not hear Ctrl-C. It hears that the terminal is closed, even
where these tests do not, since they run under `nohup`."""


@pytest.mark.parametrize(
    ("number", "workers", "at"),
    [
        (signal.SIGINT, "0", "the run"),
        (signal.SIGHUP, "0", "the run"),
        (signal.SIGTERM, "1", "the run"),
        (signal.SIGKILL, "0", "the run"),
        (signal.SIGKILL, "1", "the worker"),
    ],
)
def test_an_interrupted_run_leaves_no_process_behind(
    number: signal.Signals, workers: str, at: str, tmp_path: Path
) -> None:
    told = tmp_path / "pids"
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    environment = {**inherited, "GENOPS_TEST_PIDS": str(told)}
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--basetemp", str(tmp_path / "run"), str(RUN)]
    words = [sys.executable, "-c", IN_THE_BACKGROUND, *command, "--numprocesses", workers]
    with (tmp_path / "output").open("wb") as output:
        run = subprocess.Popen(words, env=environment, stdout=output, stderr=output)
    try:
        until(lambda: told.exists() or run.poll() is not None, what="the component of the run is up")
        assert told.exists(), (tmp_path / "output").read_text()
        worker, component = map(int, told.read_text().split())
        assert (worker == run.pid) == (workers == "0")
        os.kill(worker if at == "the worker" else run.pid, number)
        until(lambda: [pid for pid in (worker, component) if birth(pid) is not None] == [], what="the end of them all")
        if number == signal.SIGKILL and at == "the worker":
            return  # the run itself goes on, with another worker
        run.wait(timeout=HANG_SECONDS)
        assert run.returncode != 0
    finally:
        run.kill()
        run.wait()
