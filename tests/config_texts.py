"""A configuration that says only what it must, as text and as data, and what is wrong with a changed one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from genops_events.config import parse_config
from genops_events.errors import ConfigError, ConfigProblem

MINIMAL = """\
project: genops-local
location: us-central1
bucket: genops-data
datasets:
  banking77:
    prefix: training/banking77/
    source_model: gemini-2.5-flash
    evaluation:
      file: evaluation/banking77.jsonl
      metrics: [exact_match, rouge]
    budget: {tuning_usd: 25, inference_usd: 5.5, monthly_usd: 200}
    inference: {prompts: prompts/banking77.jsonl}
"""
CONFIG: dict[str, Any] = yaml.safe_load(MINIMAL)
_EXAMPLE = Path(__file__).parents[1] / "examples" / "genops.yaml"


def example() -> dict[str, Any]:
    """Return examples/genops.yaml as data, with a model that needs no file beside it."""
    data: dict[str, Any] = yaml.safe_load(_EXAMPLE.read_text(encoding="utf-8"))
    del data["models"]
    data["datasets"]["banking77"]["source_model"] = "gemini-2.5-flash"
    return data


def changed(**values: Any) -> dict[str, Any]:
    """Return the minimal configuration as data, with dotted keys (`__` for a dot) of the dataset replaced."""
    data = yaml.safe_load(MINIMAL)
    for path, value in values.items():
        here = data["datasets"]["banking77"]
        *parents, last = path.split("__")
        for parent in parents:
            here = here.setdefault(parent, {})
        here[last] = value
    return data


def problems_of(text_or_data: str | dict[str, Any]) -> dict[str, ConfigProblem]:
    text = text_or_data if isinstance(text_or_data, str) else yaml.safe_dump(text_or_data, sort_keys=False)
    with pytest.raises(ConfigError) as caught:
        parse_config(text)
    for problem in caught.value.problems:
        assert str(problem) in str(caught.value)
    return {problem.key: problem for problem in caught.value.problems}
