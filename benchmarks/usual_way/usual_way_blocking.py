"""The Google provider's own operator for tuning jobs, as it is: a worker sleeps until the job has ended."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import usual_way_provider  # noqa: F401 - what follows is found only then
from airflow.providers.google.cloud.operators.gen_ai import GenAISupervisedFineTuningTrainOperator
from airflow.sdk import DAG

SETTINGS: dict[str, Any] = json.loads(Path(__file__).with_name("usual_way_blocking.json").read_text(encoding="utf-8"))

with DAG("usual_way_blocking", schedule=None, catchup=False, tags=["usual way"]):
    GenAISupervisedFineTuningTrainOperator(task_id="tune", **SETTINGS)
