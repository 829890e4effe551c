from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from genops_events.stack import postgres

ROOT = Path(__file__).parents[3]
YEAR_SECONDS = 365 * 24 * 3600


def test_a_command_takes_it_to_be_a_year_later_and_durations_stay() -> None:
    code = "import time; print(time.time(), time.monotonic())"
    words = [sys.executable, "-m", "tests.ahead", "+1y", "python", "-c", code]
    before = time.time(), time.monotonic()
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True)
    after = time.time(), time.monotonic()
    wall, monotonic = (float(word) for word in done.stdout.split())
    if "FAKETIME" not in os.environ:  # else this test itself is ahead already
        assert before[0] + YEAR_SECONDS <= wall <= after[0] + YEAR_SECONDS
    assert before[1] <= monotonic <= after[1]


def test_without_a_command_it_is_said_how_to_call_it() -> None:
    done = subprocess.run([sys.executable, "-m", "tests.ahead"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (2, "python -m tests.ahead +1y COMMAND [WORD…]\n")


def test_the_database_goes_by_the_clock_of_the_stack(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LD_PRELOAD", "/lib/clock.so")
    monkeypatch.setenv("FAKETIME", "+1y")
    monkeypatch.setenv("PGHOST", "elsewhere")
    own = postgres._environment()
    assert (own["LD_PRELOAD"], own["FAKETIME"], "PGHOST" in own) == ("/lib/clock.so", "+1y", False)


def test_what_google_says_of_an_old_python_by_the_calendar_is_no_business_of_a_command() -> None:
    command = (
        "from genops_events.cli import app; app(['config', 'check', 'examples/genops.yaml'], standalone_mode=False)"
    )
    code = f"{command}; import google.api_core.exceptions"
    words = [sys.executable, "-m", "tests.ahead", "+20y", "python", "-c", code]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "You are using a" not in done.stderr
