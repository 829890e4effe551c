"""A second `pytestmark` in a module takes the place of the first one, and nothing says so."""

from __future__ import annotations

import ast
from pathlib import Path

_TESTS = Path(__file__).parents[2]


def test_no_test_module_sets_its_marks_twice() -> None:
    files = sorted(_TESTS.rglob("test_*.py"))
    assert len(files) > 100, "no test modules were read"
    twice = []
    for file in files:
        body = ast.parse(file.read_text(encoding="utf-8")).body
        targets = [target for node in body if isinstance(node, ast.Assign) for target in node.targets]
        if sum(isinstance(one, ast.Name) and one.id == "pytestmark" for one in targets) > 1:
            twice.append(str(file.relative_to(_TESTS)))
    assert twice == []
