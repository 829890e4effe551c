"""Prompts answered by a batch prediction job: a real stack, whose triggerer dies while it waits."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from running_stack import DATASET, PROMPTS, TRAIN, Stack, running_stack, until

pytestmark = pytest.mark.e2e

BATCH_SECONDS = 20.0
"""Long enough to kill whoever waits, and to see another wait."""


def configure(config: dict[str, Any]) -> None:
    config["datasets"][DATASET]["inference"] |= {"mode": "batch", "batch": {"poll_seconds": 1}}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running_stack(tmp_path_factory.mktemp("stack"), change=configure) as running:
        yield running


def batches(stack: Stack) -> list[dict[str, Any]]:
    """Return the batch prediction jobs that the Vertex AI stand-in has."""
    return list(httpx.get(f"{stack.status()['vertex']['admin_url']}/batches").json())


def test_a_triggerer_that_dies_waiting_leaves_one_batch_job_and_each_prompt_answered_once(stack: Stack) -> None:
    candidate = stack.upload(TRAIN)
    folder = f"genops/candidates/{candidate}"
    until(lambda: stack.document(f"{folder}/tuning.json"), seconds=90, what="the verdict on tuning")
    stack.set_vertex(job_seconds=BATCH_SECONDS)
    job = until(lambda: stack.document(f"{folder}/inference-job.json"), seconds=90, what="the batch job")["job"]
    # From here on the triggerer waits: it has told how far the job is.
    until(lambda: stack.document(f"{folder}/inference-progress.json"), seconds=30, what="the wait for it")
    waiting = stack.status()["triggerer"]["pid"]
    os.kill(waiting, signal.SIGKILL)
    code, document = stack.watch(candidate, timeout=150)
    assert (code, document["state"]) == (0, "answered"), document
    assert stack.status()["triggerer"]["pid"] != waiting
    assert [one["name"] for one in batches(stack)] == [job]
    row = document["stages"]["inference"]
    prompts = [json.loads(line) for line in PROMPTS.read_text().splitlines()]
    assert (row["way"], row["job"], row["answered"]) == ("batch", job, len(prompts))
    content = stack.bucket().blob(f"{folder}/answers/answers.jsonl").download_as_text()
    assert [json.loads(line)["id"] for line in content.splitlines()] == [one["id"] for one in prompts]
