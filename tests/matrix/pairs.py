"""Try one pair of Python and Airflow: install both with the project, then run its tests and its demo there."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from tests.matrix.table import Line, Outcome

ROOT = Path(__file__).parents[2]
_INSTALL_SECONDS = 1800
_SUITE_SECONDS = 5400
_CASCADE_SECONDS = 1800
_OF_THE_SHELL = re.compile(r"GENOPS_|AIRFLOW|PYTHON|PYTEST|VIRTUAL_ENV|STORAGE_EMULATOR|PUBSUB_EMULATOR|BIGQUERY_")


@dataclass(frozen=True, slots=True)
class Pair:
    """A Python, by its minor version, and a release of Airflow."""

    python: str
    airflow: str
    interpreter: Path | None
    """None where this machine has no such Python."""

    @property
    def name(self) -> str:
        """How the command line calls it: `3.13:3.4.0b2`."""
        return f"{self.python}:{self.airflow}"


@dataclass(frozen=True, slots=True)
class Tools:
    """pip and uv in a folder of their own, so that it does not matter what the machine has."""

    folder: Path

    @classmethod
    def made(cls, folder: Path) -> Self:
        """Install them, unless they are there."""
        tools = folder / "tools"
        if not (tools / "bin" / "uv").exists():
            subprocess.run([sys.executable, "-m", "venv", "--clear", tools], check=True)
            subprocess.run([tools / "bin" / "pip", "install", "--quiet", "--upgrade", "pip", "uv"], check=True)
        return cls(folder)

    def uv(self, *words: str | Path) -> list[str]:
        """Return a command of uv."""
        return [str(self.folder / "tools" / "bin" / "uv"), *map(str, words)]

    def published(self, name: str) -> list[str]:
        """Return all versions of a distribution that the index has, pre-releases too."""
        pip = self.folder / "tools" / "bin" / "pip"
        done = subprocess.run([pip, "index", "versions", name, "--pre"], capture_output=True, text=True, check=True)
        return re.search(r"Available versions: (.*)", done.stdout)[1].split(", ")  # type: ignore[index]


class CannotInstallError(Exception):
    """The pair cannot be installed; the message is the last that the installer said."""


def try_pair(pair: Pair, tools: Tools, *, suites: list[str], processes: int) -> Line:
    """Install the pair and run the suites; whatever goes wrong is in the line that is returned."""
    outcomes: dict[str, Outcome] = {}
    reason = None
    if pair.interpreter is None:
        reason = f"not installed: no Python {pair.python} on this machine"
    else:
        place = tools.folder / pair.name.replace(":", "-")
        try:
            installed = _installed(pair, tools, place)
        except CannotInstallError as error:
            reason = f"not installed: {error}"
        else:
            for suite in suites:
                run = _cascade(installed, place) if suite == "cascade" else _suite(installed, place, suite, processes)
                outcomes[suite] = run
                sys.stderr.write(f"{pair.name} {suite}: {run.said()}\n")
    return Line(
        python=pair.python,
        airflow=pair.airflow,
        when=_now(),
        reason=reason,
        outcomes=outcomes,
    )


def _installed(pair: Pair, tools: Tools, place: Path) -> Path:
    """Return the interpreter of an environment with the pair, the project and its tests' tools in it.

    The lock with another Airflow in it: whatever else can keep its version, keeps it, so that what fails is Airflow's doing.
    """
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    assert pair.interpreter is not None
    lock, wish, python = place / "requirements.lock", place / "airflow.in", place / "venv" / "bin" / "python"
    shutil.copy(ROOT / "requirements.lock", lock)
    wish.write_text(f"apache-airflow=={pair.airflow}\n")
    project = ROOT / "pyproject.toml"
    asked = ("--extra", "local", *(word for one in ("dev", "docs") for word in ("--group", f"{project}:{one}")))
    resolve = ("--python-version", pair.python, "--generate-hashes", "--no-emit-index-url", "--quiet", "-o", lock)
    log = place / "install.log"
    for command in (
        tools.uv("pip", "compile", project, wish, *asked, *resolve),
        tools.uv("venv", "--quiet", "--python", pair.interpreter, place / "venv"),
        tools.uv("pip", "sync", "--quiet", "--compile-bytecode", "--python", python, "--require-hashes", lock),
        tools.uv(
            "pip", "install", "--quiet", "--python", python, "--no-deps", "--no-build-isolation", "--editable", ROOT
        ),
        tools.uv("pip", "check", "--python", python),
        [str(python.with_name("genops")), "--version"],
    ):
        if _run(command, place, log, seconds=_INSTALL_SECONDS) != 0:
            raise CannotInstallError(_end_of(log))
    return python


def _suite(python: Path, place: Path, suite: str, processes: int) -> Outcome:
    """Run one folder of tests; those that fail are run once more, alone, since a busy machine can fail a test."""
    report = place / f"{suite}.xml"
    base = [str(python), "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--basetemp={place / 'tmp'}"]
    all_of_it = [*base, "-n", str(processes), "--dist", "loadfile", f"--junitxml={report}", f"tests/{suite}"]
    code = _run(all_of_it, place, place / f"{suite}.log", seconds=_SUITE_SECONDS)
    if not report.exists():
        return Outcome(
            when=_now(), passed=0, failed=[f"{suite}: pytest ended with {code}: {_end_of(place / f'{suite}.log')}"]
        )
    cases = list(ET.parse(report).iter("testcase"))
    failed = [one for one in cases if one.find("failure") is not None or one.find("error") is not None]
    skipped = [one for one in cases if one.find("skipped") is not None]
    names = sorted({_node(one) for one in failed})
    remaining = [
        name for name in names if _run([*base, name], place, place / f"{suite}-again.log", seconds=_SUITE_SECONDS) != 0
    ]
    return Outcome(
        when=_now(),
        passed=len(cases) - len(skipped) - len(remaining),
        failed=remaining,
        alone=len(names) - len(remaining),
        skipped=len(skipped),
    )


def _node(case: ET.Element) -> str:
    """Return what pytest calls a test case of its report."""
    words = case.attrib["classname"].split(".")
    file = next(end for end in range(len(words), 0, -1) if (ROOT / Path(*words[:end])).with_suffix(".py").exists())
    return "::".join([str(Path(*words[:file]).with_suffix(".py")), *words[file:], case.attrib["name"]])


def _cascade(python: Path, place: Path) -> Outcome:
    """Run `genops demo`: two files through the whole cascade, one promoted and one held."""
    log = place / "cascade.log"
    demo = [str(python.with_name("genops")), "demo", "--home", str(place / "demo")]
    if _run(demo, place, log, seconds=_CASCADE_SECONDS) == 0:
        return Outcome(when=_now(), passed=1)
    return Outcome(when=_now(), passed=0, failed=[f"genops demo: {_end_of(log)}"])


def _run(command: list[str], place: Path, log: Path, *, seconds: float) -> int:
    """Run a command in the checkout with nothing of this shell's in its environment; return its exit code, 124 if too long."""
    kept = {name: value for name, value in os.environ.items() if not _OF_THE_SHELL.match(name)}
    own = {**kept, "AIRFLOW_HOME": str(place / "airflow"), "PYTHONDONTWRITEBYTECODE": "1"}
    with log.open("a") as output:
        output.write(f"$ {' '.join(command)}\n")
        output.flush()
        try:
            done = subprocess.run(
                command, cwd=ROOT, env=own, stdout=output, stderr=subprocess.STDOUT, timeout=seconds, check=False
            )
        except subprocess.TimeoutExpired:
            output.write(f"did not end within {seconds:g} s\n")
            return 124
    return done.returncode


def _end_of(log: Path) -> str:
    """Return the last line that says something, shortened."""
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1][:300] if lines else "it said nothing"


def _now() -> str:
    """Return the day and the commit; `dirty` where the checkout holds what no commit does, but for the table itself."""

    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()

    commit = git("rev-parse", "--short", "HEAD") or "no commit"
    dirty = "-dirty" if git("status", "--porcelain", "--untracked-files=no", "--", ".", ":!docs/versions.md") else ""
    return f"{datetime.now(UTC).date()}, {commit}{dirty}"
