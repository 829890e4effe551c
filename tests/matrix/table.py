"""What was found of each pair, and the table of it."""

from __future__ import annotations

import platform
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import msgspec

SUITES = ("unit", "conformance", "integration", "cascade")
_INTRODUCTION = """# Python and Airflow

Written by `make matrix` on {system}; do not edit. It asks for Python `{python}` and `{asked}`.

Each pair that this machine and the index had was installed (the lock with that Airflow in it; everything else that can keep its
version keeps it), then the tests ran on it, and the cascade of `genops demo` (one file is promoted, one held back). A pair that is
not installed says why. `make matrix PAIRS="--pair 3.13:3.4.0b2"` tries one pair, and keeps the lines of the others.

| Python | Airflow | unit | conformance | integration | cascade | when (UTC), commit |
|---|---|---|---|---|---|---|
"""


class _Pair(Protocol):
    @property
    def python(self) -> str: ...

    @property
    def airflow(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one suite ended."""

    when: str
    """Day (UTC) and commit."""
    passed: int
    failed: list[str] = field(default_factory=list)
    """Each that failed, also when it was run again alone."""
    alone: int = 0
    """Of the passed: how many failed at first, beside the others, and passed alone."""
    skipped: int = 0

    def said(self) -> str:
        """Return it in a few words."""
        words = [f"**{len(self.failed):,} failed**"] if self.failed else []
        words += [f"{self.passed:,} passed"] if self.passed or not self.failed else []
        words += [f"{self.skipped:,} skipped"] if self.skipped else []
        return ", ".join(words) + (f" ({self.alone:,} only when run alone)" if self.alone else "")


@dataclass(frozen=True, slots=True)
class Line:
    """What was found of one pair."""

    python: str
    airflow: str
    when: str
    """Day (UTC) and commit of the last try."""
    reason: str | None = None
    """Why nothing ran on it: not installed, with the reason, or not tried."""
    outcomes: dict[str, Outcome] = field(default_factory=dict)

    @property
    def failed(self) -> bool:
        """Tell whether a test failed on it."""
        return any(one.failed for one in self.outcomes.values())

    def said(self) -> str:
        """Return it in a few words."""
        if self.reason is not None:
            return self.reason
        return "; ".join(f"{suite} {one.said()}" for suite, one in self.outcomes.items())

    def save(self, folder: Path) -> None:
        """Keep it for the next table; of a pair that could be installed both times, a suite that did not run now stays."""
        path = _path(folder, self)
        kept = msgspec.json.decode(path.read_bytes(), type=Line) if path.exists() else None
        if kept is not None and self.reason is None:
            self.outcomes.update({suite: one for suite, one in kept.outcomes.items() if suite not in self.outcomes})
        path.write_bytes(msgspec.json.format(msgspec.json.encode(self)))


def lines_of(folder: Path, pairs: Iterable[_Pair]) -> list[Line]:
    """Return what is known of each pair; one that was never tried says so."""
    found = []
    for pair in pairs:
        path = _path(folder, pair)
        untried = Line(pair.python, pair.airflow, when="", reason="not tried yet")
        found.append(msgspec.json.decode(path.read_bytes(), type=Line) if path.exists() else untried)
    return found


def table(lines: list[Line], *, asked: str, python: str) -> str:
    """Return the page with the table."""
    system = f"{platform.system()} {platform.machine()}"
    rows = [_row(line) for line in lines]
    failures = [
        f"- Python {line.python}, Airflow {line.airflow}: {one}"
        for line in lines
        for outcome in line.outcomes.values()
        for one in outcome.failed
    ]
    more = "\nWhat failed:\n\n" + "\n".join(failures) + "\n" if failures else ""
    return _INTRODUCTION.format(system=system, python=python, asked=asked) + "\n".join(rows) + "\n" + more


def _row(line: Line) -> str:
    if line.reason is not None:
        told = [line.reason, "", "", "", line.when]
    else:
        told = [line.outcomes[suite].said() if suite in line.outcomes else "not run" for suite in SUITES]
        told.append("; ".join(sorted({one.when for one in line.outcomes.values()})))
    cells = [line.python, line.airflow, *told]
    return "| " + " | ".join(cells) + " |"


def _path(folder: Path, pair: _Pair) -> Path:
    return folder / f"{pair.python}-{pair.airflow}.json"
