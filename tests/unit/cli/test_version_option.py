from __future__ import annotations

import re
import tomllib
from pathlib import Path

from typer.testing import CliRunner

from genops_events import __version__
from genops_events.cli import app

ROOT = Path(__file__).parents[3]


def test_version_names_the_package_airflow_and_python() -> None:
    done = CliRunner().invoke(app, ["--version"])
    assert done.exit_code == 0
    assert re.fullmatch(rf"genops-events {re.escape(__version__)}, Airflow 3\.\S+, Python 3\.\d+\.\d+\n", done.stdout)


def test_the_version_stands_in_one_place() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["project"]["dynamic"] == ["version"]
    assert project["tool"]["hatch"]["version"] == {"path": "genops_events/__init__.py"}


def test_the_last_release_of_the_changelog_is_this_version_with_its_day() -> None:
    text = (ROOT / "CHANGELOG.md").read_text()
    released = re.findall(r"^## (\d\S*) \((\d{4}-\d{2}-\d{2})\)$", text, flags=re.MULTILINE)
    assert released[0][0] == __version__
