"""Tell of a run that failed what it left behind: where the logs of its stacks lie, and that nothing of them runs any more."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest
import running_stack

_OUTPUT = "genops_left"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed:
        running_stack.failed.append(report.nodeid)
    return report


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    # A worker of pytest-xdist prints nothing: it hands this to the process that does.
    getattr(session.config, "workeroutput", {})[_OUTPUT] = running_stack.left


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    running_stack.left += getattr(node, "workeroutput", {}).get(_OUTPUT, [])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if running_stack.left:
        terminalreporter.section("what failed runs left behind")
        for line in running_stack.left:
            terminalreporter.write_line(line)
