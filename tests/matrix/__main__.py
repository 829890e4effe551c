"""Which Python and which Airflow this project runs on: each pair that can be had here, tried, and a table of it.

`make matrix`, or `.venv/bin/python -m tests.matrix [--pair 3.13:3.4.0b2] [--suite unit] [--python PATH]`.

It stands beside the tests because it is nothing but them, in another environment for each pair. All pairs are tried one after
the other, an hour or so each; what was found lies in `.matrix/` with the logs, so that the table grows pair by pair: a pair
that is not tried this time keeps its line, with its own day. Exit code 1: some pair failed.
"""

from __future__ import annotations

import argparse
import sys
import tomllib
from pathlib import Path

from packaging.specifiers import SpecifierSet

from tests.matrix.interpreters import find_interpreters
from tests.matrix.pairs import Pair, Tools, try_pair
from tests.matrix.releases import releases_to_try
from tests.matrix.table import SUITES, lines_of, table

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / ".matrix"
TABLE = ROOT / "docs" / "versions.md"


def main() -> int:
    """Try the pairs and write the table; 1 where one of them failed."""
    given = _arguments()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = next(one for one in project["dependencies"] if one.startswith("apache-airflow>"))
    pythons = find_interpreters(SpecifierSet(project["requires-python"]), given.python)
    tools = Tools.made(FOLDER)
    releases = releases_to_try(tools.published("apache-airflow"), SpecifierSet(asked.removeprefix("apache-airflow")))
    pairs = [Pair(version, release, python) for version, python in pythons.items() for release in releases]
    unknown = set(given.pair) - {pair.name for pair in pairs}
    if unknown:
        sys.stderr.write(f"No such pair: {', '.join(unknown)}. There are: {', '.join(one.name for one in pairs)}.\n")
        return 2
    for pair in pairs:
        if not given.table and (not given.pair or pair.name in given.pair):
            line = try_pair(pair, tools, suites=given.suite or list(SUITES), processes=given.processes)
            line.save(FOLDER)
            sys.stderr.write(f"{pair.name}: {line.said()}\n")
        lines = lines_of(FOLDER, pairs)
        TABLE.write_text(table(lines, asked=asked, python=project["requires-python"]))
    sys.stdout.write(TABLE.read_text())
    return 1 if any(line.failed for line in lines) else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.matrix", description=__doc__)
    parser.add_argument("--pair", action="append", default=[], help="only this pair, such as 3.13:3.4.0b2; repeatable")
    parser.add_argument("--suite", action="append", choices=SUITES, help="only this suite; repeatable")
    parser.add_argument("--python", action="append", default=[], type=Path, help="an interpreter that is not found")
    parser.add_argument("--table", action="store_true", help="try nothing; write the table of what was found before")
    parser.add_argument("--processes", type=int, default=2, help="of pytest (2)")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
