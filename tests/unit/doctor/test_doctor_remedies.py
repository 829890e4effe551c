"""The commands that mend: real names, real options, one line each."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from genops_events.config import load_config
from genops_events.doctor.remedies import Remedies

CONFIG = load_config(Path(__file__).parents[3] / "examples" / "genops.yaml")
CLOUD = Remedies(CONFIG, is_local=False, airflow="https://airflow.example")
LOCAL = Remedies(CONFIG, is_local=True, airflow="http://127.0.0.1:1")


ALL: dict[str, Callable[[Remedies], tuple[str, ...]]] = {
    "no answer": lambda one: one.no_answer(),
    "credentials": lambda one: one.refused(None, ""),
    "forbidden bucket": lambda one: one.refused(403, "read gs://genops-data/x"),
    "forbidden subscription": lambda one: one.refused(403, "look at subscription s"),
    "forbidden model": lambda one: one.refused(403, "look at the model m"),
    "provisioning": lambda one: one.provision(),
    "bucket setting": lambda one: one.bucket_setting("--clear-lifecycle", "b.lifecycle_rules = []"),
    "surplus notification": lambda one: one.surplus_notifications(["2"]),
    "evaluation": lambda one: one.input_file("banking77", ("evaluation", "file"), "evaluation/x.jsonl"),
    "validation": lambda one: one.input_file("banking77", ("tuning", "validation_file"), "validation/x.jsonl"),
    "document": lambda one: one.unreadable_document("genops/ledger/2026-01.json"),
    "sweep": lambda one: one.sweep_now(),
    "vertex": lambda one: one.vertex(),
    "tables": lambda one: one.tables(),
    "airflow": lambda one: one.airflow_down(),
    "airflow url": lambda one: one.airflow_url(),
    "airflow access": lambda one: one.airflow_access(),
    "database": lambda one: one.airflow_database(),
    "triggerer": lambda one: one.airflow_job("triggerer"),
    "missing Dags": lambda one: one.missing_dags(),
    "paused Dag": lambda one: one.paused_dag("genops_tuning"),
    "watcher": lambda one: one.missing_watcher(),
    "pool": lambda one: one.pool("genops_tuning_jobs", "Tuning jobs at a time", slots=4),
    "installation": lambda one: one.broken_installation(),
}


@pytest.mark.parametrize("remedies", [CLOUD, LOCAL], ids=["cloud", "local"])
@pytest.mark.parametrize("what", ALL)
def test_a_remedy_is_commands_that_a_shell_can_read(what: str, remedies: Remedies) -> None:
    commands = ALL[what](remedies)
    assert commands
    for command in commands:
        assert "\n" not in command
        assert shlex.split(command)[0].split("=")[0] in {
            *("genops", "gcloud", "airflow", "curl", "python", "pip", "eval", "export GENOPS_AIRFLOW_URL"),
            "export",
        }


@pytest.mark.parametrize(
    "what", sorted(set(ALL) - {"forbidden bucket", "forbidden model", "forbidden subscription", "vertex"})
)
def test_the_local_stack_is_never_mended_with_google_clouds_command(what: str) -> None:
    assert [one for one in ALL[what](LOCAL) if one.startswith(("gcloud", "airflow"))] == []
