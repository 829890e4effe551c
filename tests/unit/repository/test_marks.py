"""Marks of a test module are assigned once: of two assignments pytest sees the second alone, and says nothing."""

from __future__ import annotations

import re
from pathlib import Path

TESTS = Path(__file__).parents[2]


def test_each_module_names_its_marks_once() -> None:
    twice = [
        module.relative_to(TESTS).as_posix()
        for module in sorted(TESTS.rglob("*.py"))
        if len(re.findall(r"^pytestmark\b", module.read_text(encoding="utf-8"), flags=re.MULTILINE)) > 1
    ]
    assert twice == [], "put the marks of each into one list"
