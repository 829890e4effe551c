"""What follows a promotion in a real Airflow, seen from the outside and killed on the way: answers by a batch prediction
job, and comparisons, started by the promotion and by the command."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from running_stack import DATASET, PROMPTS, TRAIN, Stack, Subscriber, running_stack
from waiting import FOREVER_SECONDS, HANG_SECONDS, until

pytestmark = pytest.mark.e2e

MODEL, LITE = "gemini-2.5-flash", "gemini-2.5-flash-lite"
ROWS = 39
"""Of the evaluation file that `running_stack` makes."""
ANSWERED = 15
"""Prompts of a contestant that are answered before its process is killed."""
NOBODY = f"{DATASET}-{'0' * 16}"
BATCH_SECONDS = 20.0
"""Long enough to kill whoever waits, and to see another wait."""


def configure(config: dict[str, Any]) -> None:
    dataset = config["datasets"][DATASET]
    dataset["evaluation"]["gate"] = {"exact_match": 0.01}
    dataset["inference"] |= {"mode": "batch", "batch": {"poll_seconds": 1}}
    dataset["comparison"] = {"contestants": ["champion", LITE], "budget_usd": 1}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running_stack(tmp_path_factory.mktemp("stack"), change=configure) as running:
        yield running


@pytest.fixture(scope="module")
def subscriber(stack: Stack) -> Iterator[Subscriber]:
    listening = Subscriber(stack, "test-comparisons")
    yield listening
    listening.close()


@dataclass(frozen=True)
class Answered:
    """A candidate that was promoted, whose prompts a batch job has answered while its triggerer was killed."""

    candidate: str
    document: dict[str, Any]
    """Of `genops watch --json`."""
    job: str
    """The batch job that was recorded first."""
    killed: int
    """The triggerer that waited for it."""


@pytest.fixture(scope="module")
def answered(stack: Stack, subscriber: Subscriber) -> Answered:
    candidate = stack.upload(TRAIN)
    folder = f"genops/candidates/{candidate}"
    until(lambda: stack.document(f"{folder}/tuning.json"), what="the verdict on tuning")
    stack.set_vertex(job_seconds=BATCH_SECONDS)
    job = until(lambda: stack.document(f"{folder}/inference-job.json"), what="the batch job")["job"]
    # From here on the triggerer waits: it has told how far the job is.
    until(lambda: stack.document(f"{folder}/inference-progress.json"), what="the wait for it")
    waiting = stack.status()["triggerer"]["pid"]
    os.kill(waiting, signal.SIGKILL)
    code, document = stack.watch(candidate)
    stack.set_vertex()
    assert (code, document["state"]) == (0, "answered"), document
    return Answered(candidate, document, job, waiting)


@pytest.fixture(scope="module")
def champion(answered: Answered) -> str:
    return answered.candidate


def compare(stack: Stack, *words: str) -> tuple[int, dict[str, Any]]:
    """Return exit code and summary of `genops compare --wait`."""
    done = stack.genops("compare", *words, "--wait", "--timeout", "3600", "--json")
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def statuses(comparison: dict[str, Any]) -> dict[str, str]:
    return {one["name"]: one["status"] for one in comparison["contestants"]}


def tasks(stack: Stack, run_id: str) -> list[dict[str, Any]]:
    path = f"/dags/genops_comparison/dagRuns/{quote(run_id, safe='')}/taskInstances"
    return list(stack.airflow("GET", path)["task_instances"])


def calls(stack: Stack) -> int:
    """Return how often models were asked."""
    admin = stack.status()["vertex"]["admin_url"]
    return int(httpx.get(f"{admin}/calls", timeout=HANG_SECONDS).json().get("generateContent", 0))


def test_a_triggerer_that_dies_waiting_leaves_one_batch_job_and_each_prompt_answered_once(
    stack: Stack, answered: Answered
) -> None:
    assert stack.status()["triggerer"]["pid"] != answered.killed
    batches = httpx.get(f"{stack.status()['vertex']['admin_url']}/batches", timeout=HANG_SECONDS).json()
    assert [one["name"] for one in batches] == [answered.job]
    row = answered.document["stages"]["inference"]
    prompts = [json.loads(line) for line in PROMPTS.read_text().splitlines()]
    assert (row["way"], row["job"], row["answered"]) == ("batch", answered.job, len(prompts))
    path = f"genops/candidates/{answered.candidate}/answers/answers.jsonl"
    content = stack.bucket().blob(path).download_as_text()
    assert [json.loads(line)["id"] for line in content.splitlines()] == [one["id"] for one in prompts]


def test_a_promotion_compares_the_datasets_contestants(stack: Stack, subscriber: Subscriber, champion: str) -> None:
    folder = f"genops/comparisons/{champion}/"
    found = until(lambda: stack.document(f"{folder}comparison.json"), what="the comparison")
    assert (found["outcome"], found["started_by"], found["champion"]) == ("completed", "promotion", champion)
    assert statuses(found) == {"champion": "completed", LITE: "completed"}
    by_name = {one["name"]: one for one in found["contestants"]}
    assert by_name["champion"]["cost_usd"] == "0.000000", "its evaluation has paid for its answers"
    assert by_name["champion"]["metrics"]["exact_match"]["count"] == ROWS
    assert float(by_name[LITE]["cost_usd"]) > 0
    report = stack.bucket().blob(f"{folder}report.html").download_as_text()
    assert champion in report
    assert LITE in report
    kind = "genops.comparison.completed.v1"
    until(lambda: kind in subscriber.types(champion), what="its completion event")
    (run,) = stack.dag_runs("genops_comparison")
    until(lambda: stack.dag_runs("genops_comparison")[0]["state"] == "success", what="the end of the Dag run")
    assert run["run_type"] == "asset_triggered"


def test_contestants_that_are_not_there_fail_alone_and_the_run_says_so(stack: Stack, champion: str) -> None:
    gone = f"gone: {{model: projects/genops-local/locations/us-central1/endpoints/404, base_model: {MODEL}}}"
    words = [word for one in ("champion", NOBODY, gone) for word in ("--contestant", one)]
    code, found = compare(stack, *words)
    assert code == 2
    assert statuses(found) == {"champion": "completed", NOBODY: "failed", "gone": "failed"}
    assert f"no tuned model of a candidate {NOBODY}" in found["reason"]
    run = until(
        lambda: next((one for one in stack.dag_runs("genops_comparison") if one["state"] == "failed"), None),
        what="the Dag run that failed",
    )
    states = {(one["task_id"], one["rendered_map_index"]): one["state"] for one in tasks(stack, run["dag_run_id"])}
    assert states["contest", "champion"] == "success"
    assert states["contest", "gone"] == states["contest", NOBODY] == "failed"
    asked = (
        "SELECT contestant, count(score) AS n FROM genops.evaluations WHERE run = '{}' AND metric = 'rouge' GROUP BY 1"
    )
    assert stack.json("sql", asked.format(found["candidate"])) == [{"contestant": "champion", "n": ROWS}]


def test_a_contestant_whose_process_is_killed_goes_on_and_pays_nothing_twice(stack: Stack, champion: str) -> None:
    # So many prompts are answered; then the model is silent.
    stack.set_vertex(delay_seconds=FOREVER_SECONDS, pass_calls=ANSWERED, error_methods=["generateContent"])
    before = calls(stack)
    known = {one["dag_run_id"] for one in stack.dag_runs("genops_comparison")}
    started = stack.json("compare", "--contestant", MODEL)

    def victim() -> int | None:
        running = [one for one in tasks(stack, started["run_id"]) if one["task_id"] == "contest"]
        return next((one["pid"] for one in running if one["state"] == "running" and one["pid"]), None)

    def kept() -> int:
        prefix = f"genops/comparisons/{started['comparison']}/contestants/"
        parts = [one for one in stack.bucket().list_blobs(prefix=prefix) if ".parts/" in one.name]
        return sum(len(one.download_as_bytes().splitlines()) for one in parts)

    assert started["run_id"] not in known
    pid = until(victim, what="the contestant's process")
    until(lambda: kept() >= ANSWERED, what="answers in the record")
    os.kill(pid, signal.SIGKILL)
    lost = calls(stack) - before - ANSWERED
    stack.set_vertex()
    path = f"genops/comparisons/{started['comparison']}/comparison.json"
    found = until(lambda: stack.document(path), what="the comparison")
    assert statuses(found) == {MODEL: "completed"}
    (contest,) = (one for one in tasks(stack, started["run_id"]) if one["task_id"] == "contest")
    assert (contest["state"], contest["try_number"]) == ("success", 2)
    assert calls(stack) - before == ROWS + lost, "only what was under way is asked again"
    spent = stack.json("spend")["datasets"][DATASET]["stages"]["comparison"]
    assert float(spent["reserved_usd"]) == 0
