"""Options, the marker and the closing table of the chaos suite: `pytest tests/chaos -m chaos`."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

# The stack is started as the end-to-end tests start theirs.
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "e2e"))

from report import REPORT, Report
from scenario import Chaos, Settings, Stacks

_SETTINGS = pytest.StashKey[Settings]()


_OPTIONS: dict[str, tuple[Callable[[str], Any], Any, str]] = {
    "--chaos-seed": (int, None, "repeats every random choice; drawn if not given"),
    "--chaos-uploads": (int, 100, "uploads in each burst"),
    "--chaos-seconds": (float, 60.0, "time over which a burst is spread"),
    "--chaos-full-share": (float, 0.35, "share of uploads that go the whole way; the rest is rejected"),
    "--chaos-backlog": (int, 1500, "uploads that wait when the watcher starts"),
    "--chaos-report": (Path, None, "write the table to FILE: .json, or Markdown"),
}


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("chaos")
    for name, (kind, default, text) in _OPTIONS.items():
        group.addoption(name, type=kind, default=default, help=f"{text} (default: {default})")


def _option(config: pytest.Config, name: str) -> Any:
    # Collected from a folder above, this file comes too late to add options.
    return config.getoption(name, _OPTIONS[name][1])


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "chaos: breaks a whole local stack on purpose, for an hour")
    seed = _option(config, "--chaos-seed")
    settings = Settings(
        seed=random.SystemRandom().randrange(1_000_000) if seed is None else seed,
        uploads=_option(config, "--chaos-uploads"),
        seconds=_option(config, "--chaos-seconds"),
        full_share=_option(config, "--chaos-full-share"),
        backlog=_option(config, "--chaos-backlog"),
    )
    config.stash[_SETTINGS] = settings
    config.stash[REPORT] = Report(seed=settings.seed, file=_option(config, "--chaos-report"))


def pytest_report_header(config: pytest.Config) -> str:
    return f"chaos: --chaos-seed {config.stash[_SETTINGS].seed} repeats this run's random choices"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    report = config.stash[REPORT]
    if not (report.rows or report.kills):
        return
    terminalreporter.section("chaos")
    for line in report.markdown().splitlines():
        terminalreporter.write_line(line)
    if report.file is not None:
        terminalreporter.write_line(f"written to {report.file}")


@pytest.fixture(scope="module")
def stacks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stacks]:
    """The running stack of a test file: a new one where the last scenario left it broken."""
    running = Stacks(lambda: tmp_path_factory.mktemp("chaos"))
    try:
        yield running
    finally:
        running.stop()


@pytest.fixture
def chaos(stacks: Stacks, request: pytest.FixtureRequest) -> Chaos:
    """What a scenario works with. Its random numbers are its own, whatever other tests run before it."""
    settings = request.config.stash[_SETTINGS]
    generator = random.Random(f"{settings.seed}/{request.node.name}")
    return Chaos(stacks=stacks, settings=settings, generator=generator, report=request.config.stash[REPORT])
