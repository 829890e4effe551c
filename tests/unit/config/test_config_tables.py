"""The part `tables` of genops.yaml."""

from __future__ import annotations

from pathlib import Path

import pytest

from genops_events.config import json_schema, parse_config
from genops_events.errors import ConfigError

FILE = Path(__file__).parents[3] / "examples" / "genops.yaml"
EXAMPLE = FILE.read_text(encoding="utf-8")


def with_tables(value: str) -> str:
    begin, _, rest = EXAMPLE.partition("tables: {")
    return f"{begin}tables: {{{value}}}{rest[rest.index('}') + 1 :]}"


@pytest.mark.parametrize(
    ("value", "dataset"), [("bigquery: off", None), ("bigquery: 'off'", None), ("", None), ("bigquery: my_1", "my_1")]
)
def test_off_is_a_word_for_no_dataset_although_yaml_reads_it_as_false(value: str, dataset: str | None) -> None:
    assert parse_config(with_tables(value), name=str(FILE)).tables.dataset == dataset


@pytest.mark.parametrize("value", ["bigquery: true", "bigquery: a-b", "bigquery: p.d", "every_minutes: 0", "every: 5"])
def test_what_is_no_dataset_or_no_interval_is_refused_by_its_key(value: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parse_config(with_tables(value), name=str(FILE))
    assert [one.key for one in refused.value.problems] == [f"tables.{value.partition(':')[0]}"]


def test_the_schema_says_what_tables_are() -> None:
    assert "AnalysisTables" in json_schema()["$defs"]
