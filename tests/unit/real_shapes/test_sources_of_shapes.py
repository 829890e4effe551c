"""Every shape says where and when it was read, what is right to make of it, and is read by a test."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path

import pytest
from shapes import Shape, kinds, shapes_of

TESTS = Path(__file__).parents[2]


@pytest.mark.parametrize("shape", shapes_of(*kinds()), ids=lambda one: f"{one.kind}/{one.name}")
def test_a_shape_says_where_it_comes_from_and_what_is_right(shape: Shape) -> None:
    told = shape.told
    assert re.match(r"https://[\w.-]+/\S+(, and https://[\w.-]+/\S+)*$", told["source"])
    assert date(2026, 11, 1) <= date.fromisoformat(told["read"])
    assert told["seen"] in ("values", "structure")
    assert told["about"].endswith(".")
    assert told["otherwise"]
    assert told["expect"]
    assert ("document" in told) != ("text" in told)


def test_there_are_enough_of_them_and_each_kind_is_read_by_a_test() -> None:
    assert len(shapes_of(*kinds())) >= 40
    modules = [*TESTS.glob("unit/real_shapes/test_*.py"), *TESTS.glob("integration/real_shapes/test_*.py")]
    text = "".join(module.read_text(encoding="utf-8") for module in modules if module != Path(__file__))
    assert [kind for kind in kinds() if f'"{kind}"' not in text] == []
