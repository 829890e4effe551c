from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest
from packaging.specifiers import SpecifierSet

from tests.matrix import interpreters
from tests.matrix.pairs import Pair, Tools, try_pair
from tests.matrix.releases import releases_to_try
from tests.matrix.table import Line, Outcome, lines_of, table

IN_RANGE = SpecifierSet(">=3.3.1,<3.5")
HERE = "{}.{}".format(*sys.version_info)


@pytest.mark.parametrize(
    ("published", "tried"),
    [
        (["3.3.2", "3.3.1", "3.3.0", "3.3.3rc1", "3.2.2"], ["3.3.1", "3.3.2", "3.3.3rc1"]),
        (["3.4.0b2", "3.4.0b1", "3.3.2rc1", "3.3.2", "3.3.1"], ["3.3.1", "3.3.2", "3.4.0b2"]),
        (["3.5.0", "3.5.0b1", "3.4.0", "3.4.0rc1", "3.3.1"], ["3.3.1", "3.4.0"]),
        (["3.2.2"], []),
    ],
)
def test_final_releases_in_range_are_tried_and_a_pre_release_that_is_ahead_of_them(
    published: list[str], tried: list[str]
) -> None:
    assert releases_to_try(published, IN_RANGE) == tried


def test_each_python_that_is_allowed_is_looked_for_and_a_missing_one_is_not_left_out(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(interpreters, "_KEPT", ())
    shim = tmp_path / f"python{HERE}"
    shim.write_text("#!/bin/sh\necho 'pyenv: command not found' >&2\nexit 127\n")
    shim.chmod(0o755)
    other = tmp_path / "other"
    other.mkdir()
    (other / f"python{HERE}").symlink_to(sys.executable)
    monkeypatch.setenv("PATH", f"{tmp_path}:{other}")
    found = interpreters.find_interpreters(SpecifierSet(f"=={HERE}.*"), [])
    assert found == {HERE: other / f"python{HERE}"}, "a shim that does not work is passed over"
    monkeypatch.setenv("PATH", str(tmp_path))
    assert interpreters.find_interpreters(SpecifierSet(f"=={HERE}.*"), []) == {HERE: None}
    by_hand = Path(sys.executable)
    assert interpreters.find_interpreters(SpecifierSet(f"=={HERE}.*"), [by_hand]) == {HERE: by_hand}


def test_a_pair_without_its_python_says_so_and_runs_nothing(tmp_path: Path) -> None:
    line = try_pair(Pair("3.99", "3.3.2", None), Tools(tmp_path), suites=["unit"], processes=1)
    assert (line.reason, line.outcomes) == ("not installed: no Python 3.99 on this machine", {})


def test_table_has_a_line_for_each_pair_and_keeps_what_was_found_before(tmp_path: Path) -> None:
    pairs = [Pair("3.11", "3.3.1", None), Pair("3.11", "3.3.2", None), Pair("3.13", "3.3.2", None)]
    first = Line("3.11", "3.3.1", when="2026-11-30, abc")
    first.outcomes["unit"] = Outcome("2026-11-30, abc", passed=1387, alone=1)
    first.outcomes["cascade"] = Outcome("2026-11-30, abc", passed=0, failed=["genops demo: it was late"])
    first.save(tmp_path)
    again = replace(first, outcomes={"unit": Outcome("2026-12-01, def", passed=1390)}, when="2026-12-01, def")
    again.save(tmp_path)
    Line("3.13", "3.3.2", when="2026-12-01, def", reason="not installed: no Python 3.13 on this machine").save(tmp_path)
    text = table(lines_of(tmp_path, pairs), asked="apache-airflow>=3.3.1,<3.5", python=">=3.11")
    rows = [row for row in text.splitlines() if row.startswith("| 3")]
    assert rows == [
        "| 3.11 | 3.3.1 | 1,390 passed | not run | not run | **1 failed** | 2026-11-30, abc; 2026-12-01, def |",
        "| 3.11 | 3.3.2 | not tried yet |  |  |  |  |",
        "| 3.13 | 3.3.2 | not installed: no Python 3.13 on this machine |  |  |  | 2026-12-01, def |",
    ]
    assert "- Python 3.11, Airflow 3.3.1: genops demo: it was late" in text
