"""The Dag file of comparisons: its schedule by genops.yaml, what the scheduler knows of its mapped tasks, its form."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest
import yaml
from airflow.sdk.definitions.param import ParamsDict
from airflow.sdk.exceptions import ParamValidationError
from config_texts import changed

FILE = Path(__file__).parents[3] / "dags" / "genops_comparison.py"


def parsed(folder: Path, patch: pytest.MonkeyPatch, text: str) -> Any:
    """Return the Dag file as it is parsed beside this genops.yaml."""
    config = folder / "genops.yaml"
    config.write_text(text, encoding="utf-8")
    patch.setenv("GENOPS_CONFIG", str(config))
    spec = importlib.util.spec_from_file_location("parsed_dag_file", FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_no_promotion_starts_a_run_where_nobody_is_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dag = parsed(tmp_path, monkeypatch, yaml.safe_dump(changed())).plan.dag
    assert dag.schedule is None


@pytest.mark.parametrize("text", [yaml.safe_dump(changed(comparison={"contestants": ["champion"]})), "no: ["])
def test_promotions_start_it_where_somebody_is_compared_or_genops_yaml_cannot_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    dag = parsed(tmp_path, monkeypatch, text).plan.dag
    assert dag.schedule.asset_condition.name == "promoted_model"


def test_each_contestant_is_tried_as_often_as_a_stage_and_the_end_comes_whoever_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = parsed(tmp_path, monkeypatch, yaml.safe_dump(changed()))
    # The scheduler sees nothing of a mapped task's constructor: without these, a killed contestant would not be tried again.
    assert (module.contest.retries, module.plan.retries, module.report.retries) == (6, 6, 6)
    assert module.contest.retry_policy is not None
    assert module.contest.max_active_tis_per_dag == 4, "of all comparisons together: candidates need workers, too"
    assert module.report.trigger_rule == "all_done_min_one_success"
    assert module.report.upstream_task_ids == {"plan", "contest"}


def test_the_form_takes_what_the_command_sends_and_refuses_what_is_of_another_kind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    params = parsed(tmp_path, monkeypatch, yaml.safe_dump(changed())).plan.dag.params
    empty = dict.fromkeys(("dataset", "contestants", "prompts", "metrics", "budget_usd"))
    # What is not null by itself, Airflow's page insists on.
    assert params.dump() == empty
    asked = {"dataset": "banking77", "contestants": ["a: {model: champion}"], "metrics": ["bleu"], "budget_usd": 0.5}
    filled = ParamsDict({name: params.get_param(name) for name in params})
    filled.update(asked)
    assert filled.validate() == empty | asked
    with pytest.raises(ParamValidationError, match="minimum"):
        filled["budget_usd"] = -1
