"""What the package imports is declared, file by file.

deptry looks at the first word of an import alone, and all of Google's distributions share `google`, all of Airflow's `airflow`.
"""

from __future__ import annotations

import ast
import csv
import importlib.metadata
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[3]
SHARED = ("google", "airflow")
IN_ONE_VERSION = {"apache-airflow-core", "apache-airflow-task-sdk"}  # apache-airflow asks for exactly one of each


def imported() -> dict[str, Path]:
    """Return each module or name below a shared package that is imported, and one file that does."""
    found: dict[str, Path] = {}
    for folder in ("genops_events", "gcp_stand_ins", "triggers", "dags"):
        for file in sorted((ROOT / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                names: list[str] = []
                if isinstance(node, ast.Import):
                    names = [alias.name for alias in node.names]
                elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
                    names = [f"{node.module}.{alias.name}" for alias in node.names]
                found |= {name: file for name in names if name.split(".")[0] in SHARED}
    return found


@pytest.fixture(scope="module")
def owners() -> dict[str, str]:
    """Which distribution brings which file below a shared package."""
    # The records as they stand: `files` would look for each of tens of thousands of files on the disk.
    return {
        path: canonicalize_name(distribution.metadata["Name"])
        for distribution in importlib.metadata.distributions()
        for path, *_ in csv.reader((distribution.read_text("RECORD") or "").splitlines())
        if path.startswith(tuple(f"{name}/" for name in SHARED)) and path.endswith(".py")
    }


def files_of(name: str) -> Iterator[str]:
    """Yield where the module that holds the imported `name` may lie, the longest path first."""
    parts = name.split(".")
    for end in range(len(parts), 1, -1):
        yield "/".join(parts[:end]) + ".py"
        yield "/".join(parts[:end]) + "/__init__.py"
    yield parts[0] + "/__init__.py"


def test_every_distribution_that_is_imported_is_declared(owners: dict[str, str]) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = [*project["dependencies"], *project["optional-dependencies"]["local"]]
    declared = {canonicalize_name(Requirement(one).name) for one in asked} | IN_ONE_VERSION
    undeclared = {}
    for name, file in imported().items():
        owner = next((owners[path] for path in files_of(name) if path in owners), None)
        assert owner is not None, f"{name}, imported by {file}, is in no installed distribution"
        if owner not in declared:
            undeclared[owner] = f"{name} in {file.relative_to(ROOT)}"
    assert undeclared == {}


def test_everything_of_these_packages_that_is_declared_is_imported(owners: dict[str, str]) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = {canonicalize_name(Requirement(one).name) for one in project["dependencies"]}
    used = {owners.get(path) for name in imported() for path in files_of(name)}
    shared = declared.intersection(owners.values()) - {
        "apache-airflow"
    }  # brings the core and the SDK, no file of its own
    assert shared - used == set()
