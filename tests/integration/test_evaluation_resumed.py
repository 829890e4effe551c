# ruff: noqa: F401, F811 - fixtures are imported by name, and come back as arguments
"""An evaluation that is killed, refused or left alone by the service goes on where it stopped."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from cloud import StandIns, cloud, config, connections_closed, stand_ins, store, until
from evaluations import FILE, candidate, die, endpoint, evaluated, pairs, settings, write
from made_up import arrived, tuned
from waiting import FOREVER_SECONDS

from genops_events.config import Config
from genops_events.evaluation import pipeline
from genops_events.gcp.errors import CloudRefused, CloudUnavailable
from genops_events.gcp.parts import PartWriter, read_parts
from genops_events.gcp.record_store import RecordStore
from genops_events.record.evaluation import judgements_prefix
from genops_events.record.stages import Stage


def test_an_evaluation_goes_on_where_it_stopped(
    *,
    cloud: StandIns,
    config: Config,
    settings: Callable[..., None],
    store: RecordStore,
    endpoint: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings(metrics=["fluency"], judge={"samples": 1})
    write(store, FILE, *pairs(12))
    monkeypatch.setattr(pipeline, "CONCURRENT_CALLS", 1)
    for _ in range(20):  # until a call fails after some rows were judged: in three of four tries
        candidate = arrived(config, store).candidate
        tuned(store, candidate, endpoint=endpoint)
        cloud.vertex.faults(error_code="403", error_share=0.15, error_methods=["evaluateInstances"])
        before = cloud.vertex_calls("evaluateInstances")
        try:
            evaluated(candidate)
        except CloudRefused:
            judged = cloud.vertex_calls("evaluateInstances") - before - 1
            if judged:
                break
    else:
        pytest.fail("no call failed in 20 tries")
    cloud.vertex.faults()
    kept = len(read_parts(store.bucket, judgements_prefix(candidate)))
    # The one in flight when another failed is all that may be lost.
    assert judged - 1 <= kept <= judged
    answered = len(read_parts(store.bucket, f"genops/candidates/{candidate}/answers/evaluation.parts/"))
    before = cloud.vertex_calls("evaluateInstances"), cloud.vertex_calls("generateContent")
    _, told = evaluated(candidate)
    assert told["metrics"]["fluency"]["count"] == 12
    assert cloud.vertex_calls("evaluateInstances") - before[0] == 12 - kept
    assert cloud.vertex_calls("generateContent") - before[1] == 12 - answered


def test_what_a_killed_try_had_written_is_used_and_belongs_to_the_same_metric_and_answer_only(
    cloud: StandIns, settings: Callable[..., None], store: RecordStore, candidate: str
) -> None:
    settings(metrics=["fluency"])
    write(store, FILE, *pairs(3))
    prefix = judgements_prefix(candidate)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("genops_events.evaluation.work.remove_parts", lambda *_: None)
        patch.setattr("genops_events.cascade.stage_run.StageRun.conclude", die)
        with pytest.raises(KeyboardInterrupt):
            evaluated(candidate)
    assert len(read_parts(store.bucket, prefix)) == 3
    before = cloud.vertex_calls("evaluateInstances"), cloud.vertex_calls("generateContent")
    settings(metrics=["fluency", "coherence"])
    _, told = evaluated(candidate)
    assert cloud.vertex_calls("generateContent") == before[1]
    assert cloud.vertex_calls("evaluateInstances") == before[0] + 3, "coherence only"
    assert set(told["scores"]) == {"fluency", "coherence"}


def test_a_task_that_is_killed_loses_only_what_was_in_flight(
    cloud: StandIns, settings: Callable[..., None], store: RecordStore, candidate: str
) -> None:
    settings(metrics=["fluency"])
    write(store, FILE, *pairs(60))
    # So many are judged; then the judge is silent.
    cloud.vertex.faults(delay_seconds=FOREVER_SECONDS, pass_calls=20, error_methods=["evaluateInstances"])
    prefix = judgements_prefix(candidate)
    work = (
        "from made_up import context; from genops_events.airflow.evaluation import EvaluateModel; "
        f"EvaluateModel(task_id='evaluate').execute(context({candidate!r}))"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
    with subprocess.Popen([sys.executable, "-c", work], env=environment, stderr=subprocess.PIPE) as task:
        until(lambda: len(read_parts(store.bucket, prefix)) == 20, what="scores in the record")
        task.kill()
    cloud.vertex.faults()
    before = cloud.vertex_calls("evaluateInstances"), cloud.vertex_calls("generateContent")
    _, told = evaluated(candidate)
    assert told["metrics"]["fluency"]["count"] == 60
    assert cloud.vertex_calls("evaluateInstances") - before[0] == 60 - 20
    assert cloud.vertex_calls("generateContent") - before[1] < 60, "answers were kept, too"


def test_parts_hold_every_line_also_when_the_work_ends_in_an_error(store: RecordStore) -> None:
    def work() -> None:
        with PartWriter(store.bucket, "parts/") as parts:
            for number in range(50):
                parts.add({"number": number})
            raise ValueError("later")

    with pytest.raises(ValueError, match="later"):
        work()
    assert sorted(line["number"] for line in read_parts(store.bucket, "parts/")) == list(range(50))


def test_scores_survive_a_moment_without_the_service(
    cloud: StandIns, settings: Callable[..., None], store: RecordStore, candidate: str
) -> None:
    settings(metrics=["exact_match", "fluency"])
    write(store, FILE, *pairs(3))
    cloud.vertex.faults(unavailable_seconds=0.4)
    assert evaluated(candidate)[1]["scores"]["exact_match"] == 1.0


def test_an_evaluation_without_a_service_is_unavailable_in_the_end(
    cloud: StandIns, settings: Callable[..., None], store: RecordStore, candidate: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings(metrics=["exact_match"])
    write(store, FILE, *pairs(2))
    cloud.vertex.faults(error_code="429", error_share=1.0, error_methods=["evaluateInstances"])
    monkeypatch.setattr("genops_events.gcp.clients.CALL_TIMEOUT_SECONDS", 0.1)  # four make up a call's patience
    with pytest.raises(CloudUnavailable, match="score answers by exact_match"):
        evaluated(candidate)
    assert store.verdict(candidate, Stage.EVALUATION) is None
