"""What holds for all tests: they do not hear the shell, an interrupt ends them in order, and none goes by the clock."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import hypothesis
import pytest
from contracts.held import Held

import genops_events
from genops_events.stack import shell

ROOT = Path(__file__).resolve().parents[1]

# Before any test is read: after `eval "$(genops env)"` all of them would be about that stack, or about one that is gone.
# PYTEST_ADDOPTS is heard: whoever sets it means the tests. GENOPS_TEST_… are the tests' own.
FORGOTTEN = shell.forget(os.environ)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--contracts-report",
        metavar="FILE",
        help="write there which calls were held to Google's documents, as Markdown",
    )


def pytest_configure(config: pytest.Config) -> None:
    found = Path(genops_events.__file__).resolve()
    if "PYTHONPATH" in FORGOTTEN and ROOT not in found.parents:
        raise pytest.UsageError(f"PYTHONPATH leads to {found}, not to what lies here: unset PYTHONPATH.")
    # Hypothesis has a clock of its own: 200 ms for each example, and a bound on making one.
    patient = {"deadline": None, "suppress_health_check": [hypothesis.HealthCheck.too_slow]}
    hypothesis.settings.register_profile("patient", **patient)
    hypothesis.settings.load_profile("patient")
    interrupt_on_signals()
    config.pluginmanager.register(Held(config), "contracts")


def interrupt_on_signals() -> None:
    """Let a polite kill and a closed terminal end the tests as Ctrl-C does: what they started is stopped.

    In the background, a shell has Ctrl-C ignored; whoever sends it all the same means it. `nohup` is left to do its work.
    """

    def interrupt(number: int, _: object) -> None:
        raise KeyboardInterrupt(signal.Signals(number).name)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, interrupt)


def pytest_report_header() -> list[str]:
    telling = [name for name in FORGOTTEN if name.startswith(("GENOPS_", "GOOGLE_", "AIRFLOW")) or "EMULATOR" in name]
    return [f"not heard of this shell: {', '.join(telling)}"] if telling else []
