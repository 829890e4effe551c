"""What the package hands on to users: the same objects as inside, and nothing is imported before it is used."""

from __future__ import annotations

import subprocess
import sys
from typing import get_type_hints

import pytest

import genops_events

LOADED = """
import sys
import genops_events
{}
heavy = ("airflow", "google.auth", "pydantic", "duckdb", "aiohttp", "requests", "grpc")
print(*[one for one in sys.modules if one in heavy or one.startswith("genops_events.")])
"""


@pytest.mark.parametrize("name", genops_events.__all__)
def test_each_public_name_is_what_it_says(name: str) -> None:
    found = getattr(genops_events, name)
    assert found.__name__ == name
    assert found.__doc__
    assert found is getattr(sys.modules[found.__module__], name)


def test_the_public_names_are_these_and_tools_see_them() -> None:
    assert genops_events.__all__ == ["RecordStore", "dataset_of", "generate", "load_config"]
    assert set(genops_events.__all__) <= set(dir(genops_events))
    assert get_type_hints(genops_events.dataset_of) == {"candidate": str, "return": str}


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'genops_events' has no attribute 'load_confg'"):
        _ = genops_events.load_confg


def loaded(statement: str) -> list[str]:
    words = [sys.executable, "-c", LOADED.format(statement)]
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout.split()


def test_importing_the_package_imports_nothing_else() -> None:
    assert loaded("pass") == []


def test_one_name_does_not_import_what_another_needs() -> None:
    found = loaded("assert genops_events.dataset_of('banking77-2cdbbb2a21d6eddc') == 'banking77'")
    assert genops_events.dataset_of.__module__ in found
    assert "google.auth" not in found
    assert "airflow" not in found
