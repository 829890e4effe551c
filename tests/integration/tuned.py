"""A candidate with a training file, and its tuning stage up to the job that it waits for."""

from __future__ import annotations

import json

import pytest
from airflow.sdk.exceptions import TaskDeferred
from made_up import context

from genops_events.airflow.tuning import TuneModel
from genops_events.cascade.stage_run import StageRun

EXAMPLES = "\n".join(
    [
        json.dumps(
            {"contents": [{"role": "user", "parts": [{"text": "a"}]}, {"role": "model", "parts": [{"text": "b"}]}]}
        )
    ]
    * 40
)


def work(run: StageRun) -> str:
    """Return the job that the stage defers on."""
    with pytest.raises(TaskDeferred) as deferred:
        TuneModel(task_id="tune").work(run, context(run.candidate))
    return str((deferred.value.kwargs or {})["job"])
