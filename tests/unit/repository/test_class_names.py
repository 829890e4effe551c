"""One word for one thing: no two classes of the product have the same name."""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path

_ROOT = Path(__file__).parents[3]


def test_no_two_modules_define_a_class_of_the_same_name() -> None:
    places: dict[str, list[str]] = defaultdict(list)
    for package in ("genops_events", "triggers"):
        for file in sorted((_ROOT / package).rglob("*.py")):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(node, ast.ClassDef):
                    places[node.name].append(str(file.relative_to(_ROOT)))
    assert len(places) > 100, "no classes were read"
    assert {name: files for name, files in places.items() if len(files) > 1} == {}
