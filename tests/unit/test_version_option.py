from __future__ import annotations

import re

from typer.testing import CliRunner

from genops_events.cli import app


def test_version_names_the_package_airflow_and_python() -> None:
    done = CliRunner().invoke(app, ["--version"])
    assert done.exit_code == 0
    assert re.fullmatch(r"genops-events \d\S*, Airflow 3\.\S+, Python 3\.\d+\.\d+\n", done.stdout)
