"""A stage that fails by its own error on a real Airflow is recorded by its callback, and `genops retry` lets it go on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from running_stack import DATASET, EVALUATION, Stack, Subscriber, running_stack, training_subset
from waiting import until

from genops_events.config.identity import candidate_id

pytestmark = pytest.mark.e2e

JOB_SECONDS = 20.0
FILE = f"evaluation/{DATASET}.jsonl"


def _configure(config: dict[str, Any]) -> None:
    config["datasets"][DATASET]["evaluation"]["gate"] = {}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running_stack(tmp_path_factory.mktemp("retry"), change=_configure) as running:
        yield running


def test_an_evaluation_that_failed_goes_on_once_its_file_is_back_and_nothing_is_tuned_again(
    stack: Stack, tmp_path_factory: pytest.TempPathFactory
) -> None:
    subscriber = Subscriber(stack, "retry-completions")
    bucket = stack.bucket()
    stack.set_vertex(job_seconds=JOB_SECONDS)
    file = training_subset(tmp_path_factory.mktemp("files"), "retry.jsonl", seed=3, examples=40)
    blob = bucket.blob(f"training/{DATASET}/retry.jsonl")
    blob.upload_from_filename(str(file))
    candidate = candidate_id(DATASET, bucket.name, blob.name, int(blob.generation))
    until(lambda: candidate in stack.tuning_jobs(), what="its tuning job")
    bucket.blob(FILE).delete()  # it was there when it was looked for, before anything was paid

    code, document = stack.watch(candidate)
    assert (code, document["state"]) == (2, "failed"), document
    failed = document["stages"]["evaluation"]
    assert (failed["state"], "InputMissing" in failed["reason"]) == ("failed", True)

    bucket.blob(FILE).upload_from_filename(str(EVALUATION))
    until(lambda: "genops.evaluation.failed.v1" in subscriber.types(candidate), what="the event")
    answer = stack.json("retry", candidate, "--reason", "The file is back")
    assert answer["goes_on"], answer
    assert "A sweep was started, and it goes on in a moment." in answer["text"]
    code, document = stack.watch(candidate)
    assert (code, document["state"]) == (0, "answered"), document
    assert document["stages"]["evaluation"]["retries"] == 1
    assert len(stack.tuning_jobs()[candidate]) == 1
    kept = json.loads(bucket.blob(f"genops/candidates/{candidate}/evaluation.json").download_as_bytes())
    assert kept["outcome"] == "failed"
    until(lambda: "genops.inference.completed.v1" in subscriber.types(candidate), what="the end")
    kinds = subscriber.types(candidate)
    assert kinds.index("genops.evaluation.failed.v1") < kinds.index("genops.evaluation.passed.v1")
    subscriber.close()
