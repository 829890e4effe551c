"""A plugin of pytest: what stand-ins record while a test runs is held to Google's documents, and what breaks them fails that test.

`tests/conftest.py` brings it in. Each stand-in writes a call into its file before the caller has the whole answer, so that the lines of a test are there when it ends;
what runs on behind it, such as a delivery, may be found with the next one.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections import Counter
from collections.abc import Generator, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from contracts import http_calls, pubsub_calls
from contracts.documents import NAMES, document
from contracts.http_calls import Looked
from gcp_stand_ins.recording import VARIABLE

TIERS = ("conformance", "integration", "browser", "e2e")
"""The folders of tests/ whose calls are looked at."""
_OUTPUT = "contracts"
_SHOWN_CALLS = 5
_SHOWN_LETTERS = 2000


class ContractBroken(AssertionError):
    """A request or an answer is not as Google's documents have it."""


class Recordings:
    """The lines that processes of stand-ins add to the files of a folder.

    Args:
        folder: what `STAND_INS_RECORD` names.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._read: dict[Path, int] = {}

    def new(self) -> Iterator[Mapping[str, Any]]:
        """Yield each line that came since the last time. Of a process that was killed the last one may be half a line."""
        for file in sorted(self._folder.glob("*.jsonl")):
            begin = self._read.get(file, 0)
            if file.stat().st_size <= begin:
                continue
            with file.open("rb") as lines:
                lines.seek(begin)
                whole = lines.read()
            end = whole.rfind(b"\n") + 1
            self._read[file] = begin + end
            for line in whole[:end].splitlines():
                yield json.loads(line)


class Tally:
    """What was looked at in all: how many calls of each method, and what of it Google is about to give up."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.deprecated: Counter[str] = Counter()

    def add(self, found: Looked) -> None:
        """Count a call."""
        self.calls[found.method] += 1
        self.deprecated.update(f"{found.method}: {one}" for one in found.deprecated)

    def merge(self, other: Mapping[str, Mapping[str, int]]) -> None:
        """Add what another process has counted."""
        self.calls.update(other["calls"])
        self.deprecated.update(other["deprecated"])

    def as_dict(self) -> dict[str, dict[str, int]]:
        """Return it as another process can read it."""
        return {"calls": dict(self.calls), "deprecated": dict(self.deprecated)}


def look_at(line: Mapping[str, Any]) -> Iterator[Looked]:
    """Yield what is found of a recorded line."""
    if "rpc" in line:
        yield pubsub_calls.look_at(line)
    else:
        yield from http_calls.look_at(line)


class Held:
    """Holds one run of tests to the documents.

    Args:
        config: of the run.
    """

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._folder = tempfile.TemporaryDirectory(prefix="genops-contracts-")
        self._recordings = Recordings(Path(self._folder.name))
        self.tally = Tally()

    def check(self) -> None:
        """Look at what was recorded since the last time.

        Raises:
            ContractBroken: something in it is not as the documents have it.
        """
        broken = []
        for line in self._recordings.new():
            for found in look_at(line):
                self.tally.add(found)
                if found.problems:
                    broken.append(_told(found, line))
        if broken:
            more = f"\n… and {len(broken) - _SHOWN_CALLS} calls more" if len(broken) > _SHOWN_CALLS else ""
            raise ContractBroken("\n".join(broken[:_SHOWN_CALLS]) + more)

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Have stand-ins record what they are asked, if any test is to be held."""
        if any(_is_held(item) for item in session.items):
            os.environ[VARIABLE] = self._folder.name

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None]:
        """Let a test fail by a call that it has made."""
        yield
        if _is_held(item):
            self.check()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_teardown(self, item: pytest.Item) -> Generator[None]:
        """Look at what came while fixtures ended, or after a test that failed."""
        yield
        if _is_held(item):
            self.check()

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Hand what was counted to the process that prints, if this one is a worker of pytest-xdist."""
        getattr(session.config, "workeroutput", {})[_OUTPUT] = self.tally.as_dict()

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Add what a worker has counted."""
        if _OUTPUT in getattr(node, "workeroutput", {}):
            self.tally.merge(node.workeroutput[_OUTPUT])

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Say how much was looked at; all of it goes into the file of `--contracts-report`."""
        if not self.tally.calls:
            return
        terminalreporter.section("held to Google's documents")
        terminalreporter.write_line(f"{self.tally.calls.total():,} calls of {len(self.tally.calls)} methods")
        for one, count in sorted(self.tally.deprecated.items()):
            terminalreporter.write_line(f"deprecated, {count:,} times: {one}")
        report = self._config.getoption("--contracts-report")
        if report:
            Path(report).write_text(as_markdown(self.tally), encoding="utf-8")

    def pytest_unconfigure(self) -> None:
        """Leave nothing behind."""
        os.environ.pop(VARIABLE, None)
        self._folder.cleanup()


def as_markdown(tally: Tally) -> str:
    """Return what was looked at as two tables."""
    names = [*(name for of in NAMES.values() for name in of), "pubsub.v1"]
    revisions = ", ".join(f"{name} {document(name).revision}" for name in names)
    lines = [
        "# Calls held to Google's documents",
        "",
        f"Documents: {revisions}.",
        "",
        "| method | calls |",
        "|---|---|",
    ]
    lines += [f"| {method} | {count:,} |" for method, count in sorted(tally.calls.items())]
    lines += [f"| in all | {tally.calls.total():,} |", "", "| deprecated | times |", "|---|---|"]
    lines += [f"| {one} | {count:,} |" for one, count in sorted(tally.deprecated.items())]
    return "\n".join(lines) + "\n"


def _is_held(item: pytest.Item) -> bool:
    return any(tier in item.path.parts for tier in TIERS)


def _told(found: Looked, line: Mapping[str, Any]) -> str:
    call = line.get("rpc") or f"{line['method']} {line['path']}?{line['query']} -> {line['status']}"
    parts = [f"{name}: {str(line[name])[:_SHOWN_LETTERS]}" for name in ("request", "answer") if line.get(name)]
    return "\n  ".join([f"{found.method} ({line['service']}) {call}", *found.problems, *parts])
