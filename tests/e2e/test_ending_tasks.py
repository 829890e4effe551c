"""What a person does to a task that waits in Airflow, and what a tuning job can do to its candidate: seen from the outside."""

from __future__ import annotations

import copy
import json
import os
import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from google.cloud.storage import Bucket
from running_stack import DATASET, Stack, Subscriber, running_stack, training_subset
from waiting import HANG_SECONDS, until

from genops_events.config.identity import candidate_id

pytestmark = pytest.mark.e2e

IMPATIENT = "impatient"
TIMEOUT_HOURS = 0.005
"""18 seconds."""
DAG = "genops_tuning"
FAILED = "genops.tuning.failed.v1"
RESTARTED_SECONDS = 60.0
"""Long enough for two restarts of the triggerer."""


class Airflow:
    """Airflow's REST API, as its pages use it.

    Args:
        url: of the API server.
    """

    def __init__(self, stack: Stack) -> None:
        url = stack.variables["GENOPS_AIRFLOW_URL"]
        self._base = f"{url.rstrip('/')}/api/v2/dags/{DAG}"
        self._client = httpx.Client(headers=stack.airflow_login(), timeout=HANG_SECONDS)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def call(self, method: str, path: str, **more: Any) -> httpx.Response:
        """Return the answer to a call below the Dag."""
        return self._client.request(method, f"{self._base}{path}", **more)

    def ask(self, method: str, path: str, **more: Any) -> Any:
        """Return the JSON of a call that must succeed."""
        answer = self.call(method, path, **more)
        assert answer.is_success, answer.text
        return answer.json() if answer.content else None

    def runs(self) -> dict[str, str]:
        """Return the Dag run of each candidate."""
        runs = self.ask("GET", "/dagRuns", params={"limit": 100})["dag_runs"]
        return {run["partition_key"]: run["dag_run_id"] for run in runs}

    def states(self) -> dict[str, str | None]:
        """Return the state of every candidate's `tune` task."""
        found = self.ask("GET", "/dagRuns/~/taskInstances", params={"limit": 100, "task_id": "tune"})["task_instances"]
        by_run = {one["dag_run_id"]: one["state"] for one in found if one["task_id"] == "tune"}
        return {candidate: by_run.get(run) for candidate, run in self.runs().items()}

    def log(self, candidate: str) -> list[str]:
        """Return the lines that the page of the `tune` task shows, of all tries."""
        path = f"/dagRuns/{self.runs()[candidate]}/taskInstances/tune"
        lines = []
        for number in range(1, self.ask("GET", path)["try_number"] + 1):
            answer = self.ask("GET", f"{path}/logs/{number}", params={"full_content": True})
            for line in answer["content"]:
                lines.append(line if isinstance(line, str) else str(line["event"]))
                if isinstance(line, dict):
                    lines += [f"{one['exc_type']}: {one['exc_value']}" for one in line.get("error_detail") or ()]
        return lines


@dataclass
class World:
    """A stack with candidates under way, and who looks at it."""

    stack: Stack
    airflow: Airflow
    subscriber: Subscriber
    bucket: Bucket
    files: Iterator[Path]

    def upload(self, *, dataset: str = DATASET) -> str:
        """Upload a training file of its own; return its candidate."""
        file = next(self.files)
        blob = self.bucket.blob(f"training/{dataset}/{file.name}")
        blob.upload_from_filename(os.fspath(file))
        return candidate_id(dataset, self.bucket.name, blob.name, int(blob.generation))

    def jobs(self, candidate: str) -> list[dict[str, Any]]:
        """Return the candidate's tuning jobs."""
        return self.stack.tuning_jobs().get(candidate, [])

    def document(self, candidate: str, name: str) -> dict[str, Any] | None:
        """Return a document of the record, None where there is none."""
        found: dict[str, Any] | None = self.stack.document(f"genops/candidates/{candidate}/{name}")
        return found

    def ended(self, candidate: str) -> dict[str, Any]:
        """Return tuning as `genops watch --json` tells it once the candidate has ended badly."""
        code, document = self.stack.watch(candidate)
        assert (code, document["state"]) == (2, "failed"), document
        row: dict[str, Any] = document["stages"]["tuning"]
        return row

    def event(self, candidate: str) -> dict[str, Any]:
        """Return the data of the candidate's completion event, which must be the only one, and tell of a failure."""
        until(lambda: self.subscriber.types(candidate), what=f"an event of {candidate}")
        assert self.subscriber.types(candidate) == [FAILED]
        message = next(one for one in self.subscriber.messages if one.attributes["ce-subject"] == candidate)
        data: dict[str, Any] = json.loads(message.data)
        return data


def _configure(config: dict[str, Any]) -> None:
    impatient = copy.deepcopy(config["datasets"][DATASET])
    impatient["prefix"] = f"training/{IMPATIENT}/"
    impatient["tuning"]["timeout_hours"] = TIMEOUT_HOURS
    config["datasets"][IMPATIENT] = impatient


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("ending")
    with running_stack(folder, change=_configure) as stack:
        airflow = Airflow(stack)
        subscriber = Subscriber(stack, "ending-completions")
        files = (training_subset(folder, f"{seed}.jsonl", seed=seed, examples=40) for seed in range(100))
        try:
            yield World(stack, airflow, subscriber, stack.bucket(), files)
        finally:
            subscriber.close()
            airflow.close()


OUTCOMES: dict[str, dict[str, Any]] = {
    "failed": {
        "job_outcome": "failed",
        "job_error_code": 8,
        "job_error_message": "The project has no quota left for tuning in us-central1.",
    },
    "expired": {"job_outcome": "expired"},
    "vanished": {"job_vanishes": True},
    "partially_succeeded": {"job_outcome": "partially_succeeded"},
    "paused": {"job_outcome": "paused"},
    "timed_out": {"job_hangs": True},
}
HANG = ("task failed", "task cleared", "run failed", "run deleted")


@pytest.fixture(scope="module")
def waiting(world: World) -> dict[str, str]:
    """Return candidates whose tasks wait: those that hang, and one whose job goes on and ends."""
    found = _submitted(world, HANG, job_hangs=True)
    found |= _submitted(world, ["restarted"], job_seconds=RESTARTED_SECONDS)
    until(
        lambda: all(world.airflow.states().get(one) == "deferred" for one in found.values()),
        what=f"the tasks wait: {world.airflow.states()}",
    )
    return found


@pytest.fixture(scope="module")
def ending(world: World) -> dict[str, str]:
    """Return a candidate for each bad end of a job."""
    found = {}
    for name, faults in OUTCOMES.items():
        found |= _submitted(world, [name], job_seconds=3, **faults)
    return found


def _submitted(world: World, names: Sequence[str], **faults: Any) -> dict[str, str]:
    """Upload a file for each name, and return the candidates once they have jobs: these keep the faults for life."""
    world.stack.set_vertex(**faults)
    found = {name: world.upload(dataset=IMPATIENT if name == "timed_out" else DATASET) for name in names}
    until(
        lambda: world.stack.tuning_jobs().keys() >= set(found.values()),
        what=f"the jobs of {names}",
    )
    world.stack.set_vertex()
    return found


def test_a_restart_of_the_triggerer_cancels_no_job(world: World, waiting: dict[str, str]) -> None:
    def begun() -> dict[str, int]:
        return {one: sum(line.endswith(" starting") for line in world.airflow.log(one)) for one in waiting.values()}

    for number in (signal.SIGTERM, signal.SIGKILL):
        before, pid = begun(), world.stack.status()["triggerer"]["pid"]
        os.kill(pid, number)
        until(lambda was=pid: _successor(world.stack, was), what=f"a triggerer after {number.name}")
        # What Airflow has not handed on yet is nobody's: who ends such a task leaves the job to the next sweep.
        until(
            lambda was=before: all(now > was[one] for one, now in begun().items()),
            what=f"the waits begin again: {before}, {begun()}",
        )
    for name in HANG:
        assert [job["state"] for job in world.jobs(waiting[name])] == ["JOB_STATE_RUNNING"], name
        assert world.document(waiting[name], "cancellation.json") is None, name


def _successor(stack: Stack, before: int) -> bool:
    now = stack.status()["triggerer"]
    return now["state"] == "running" and now["pid"] != before


@pytest.mark.parametrize("name", ["task failed", "run failed", "run deleted"])
def test_who_ends_a_task_that_waits_cancels_its_job_and_is_told_so(
    name: str, world: World, waiting: dict[str, str]
) -> None:
    candidate = waiting[name]
    run = world.airflow.runs()[candidate]
    if name == "task failed":
        world.airflow.ask("PATCH", f"/dagRuns/{run}/taskInstances/tune", json={"new_state": "failed"})
    else:
        deleted = world.airflow.call("DELETE", f"/dagRuns/{run}")
        assert deleted.status_code == httpx.codes.CONFLICT, "Airflow deletes no run that is under way"
        world.airflow.ask("PATCH", f"/dagRuns/{run}", json={"state": "failed"})
    if name == "run deleted":
        world.airflow.ask("DELETE", f"/dagRuns/{run}")
    row = world.ended(candidate)
    assert row["state"] == "failed"
    assert row["end"] == "cancelled"
    [job] = world.jobs(candidate)
    assert row["job"] == job["name"]
    assert row["reason"] == (
        f"Tuning job {job['name']} was cancelled by Airflow. Its task in Airflow was marked as failed, or removed."
    )
    assert row["help"] == "Upload the file again to tune anew."
    _is_cancelled(world, candidate)
    event = world.event(candidate)
    assert (event["reason"], event["end"]) == (row["reason"], "cancelled")
    if name != "run deleted":
        asked = f"Asked Vertex AI to cancel {job['name']}: its task was ended"
        until(lambda: asked in world.airflow.log(candidate), what=f"the task's log says {asked!r}")


def test_who_clears_a_task_that_waits_cancels_its_job_and_pays_for_no_other(
    world: World, waiting: dict[str, str]
) -> None:
    candidate = waiting["task cleared"]
    run = world.airflow.runs()[candidate]
    body = {"dry_run": False, "only_failed": False, "task_ids": ["tune"], "dag_run_id": run}
    cleared = world.airflow.ask("POST", "/clearTaskInstances", json=body)
    assert cleared["total_entries"] == 1
    row = world.ended(candidate)
    [job] = world.jobs(candidate)
    assert (row["job"], row["end"]) == (job["name"], "cancelled")
    assert row["reason"] == f"Tuning job {job['name']} was cancelled by Airflow. Its task in Airflow was cleared."
    _is_cancelled(world, candidate)
    assert world.event(candidate)["reason"] == row["reason"]


def test_a_wait_that_the_triggerer_died_under_twice_ends_with_its_job(world: World, waiting: dict[str, str]) -> None:
    candidate = waiting["restarted"]
    verdict = until(lambda: world.document(candidate, "tuning.json"), what="the verdict")
    assert (verdict["outcome"], verdict["end"]) == ("succeeded", "succeeded")
    assert [job["state"] for job in world.jobs(candidate)] == ["JOB_STATE_SUCCEEDED"]


def _is_cancelled(world: World, candidate: str) -> None:
    until(
        lambda: [job["state"] for job in world.jobs(candidate)] == ["JOB_STATE_CANCELLED"],
        what=f"the one job is cancelled: {world.jobs(candidate)}",
    )


ENDS = {
    "failed": (
        "Tuning job {job} ended as failed. RESOURCE_EXHAUSTED: The project has no quota left for tuning in us-central1.",
        "RESOURCE_EXHAUSTED",
        "Ask for a higher quota, or lower `tuning_jobs_at_once`; then upload the file again.",
    ),
    "expired": (
        "Tuning job {job} ended as expired. It did not finish within the time that Vertex AI gives a job.",
        None,
        "Tune on fewer examples or epochs, or upload the file again.",
    ),
    "vanished": (
        "Vertex AI does not know tuning job {job} any more: it was deleted, or is in another project or region.",
        None,
        "Look at the job in the console before you upload the file again.",
    ),
    "partially_succeeded": (
        "Tuning job {job} ended as partially succeeded. Vertex AI finished a part of it, and does not say why no more.",
        None,
        "A partly tuned model is not served. Upload the file again to tune anew.",
    ),
    "timed_out": (
        f"Tuning job {{job}} took longer than `tuning.timeout_hours` ({TIMEOUT_HOURS:g}) and was cancelled.",
        None,
        "Raise `tuning.timeout_hours`, or tune on less.",
    ),
}


@pytest.mark.parametrize("end", ENDS)
def test_a_job_that_ends_badly_says_so_in_watch_in_airflow_and_in_the_event(
    end: str, world: World, ending: dict[str, str]
) -> None:
    _told_alike(world, ending[end], end)
    if end == "timed_out":
        _is_cancelled(world, ending[end])


def test_a_paused_job_is_waited_for_until_somebody_cancels_it(world: World, ending: dict[str, str]) -> None:
    candidate = ending["paused"]
    code, document = world.stack.watch(candidate, timeout=0)
    waiting = document["stages"]["tuning"]
    assert (code, waiting["state"], waiting["progress"]["state"]) == (3, "running", "paused"), document
    [job] = world.jobs(candidate)
    assert any(line.startswith(f"{job['name']}: paused") for line in world.airflow.log(candidate))
    # As in Google's console, behind the back of genops.
    url = f"{world.stack.variables['GOOGLE_VERTEX_BASE_URL'].rstrip('/')}/v1/{job['name']}:cancel"
    httpx.post(url, json={}, timeout=HANG_SECONDS).raise_for_status()
    row = _told_alike(world, candidate, "cancelled")
    assert row["reason"] == f"Tuning job {job['name']} was cancelled in Vertex AI, not by genops."


def _told_alike(world: World, candidate: str, end: str) -> dict[str, Any]:
    """Assert that watch, Airflow and the event tell the same of a candidate; return what watch tells."""
    row = world.ended(candidate)
    [job] = world.jobs(candidate)
    assert (row["job"], row["end"]) == (job["name"], end)
    reason, code, hint = ENDS.get(end, ("Tuning job {job} was cancelled ", None, "Upload the file again to tune anew."))
    assert row["reason"].startswith(reason.format(job=job["name"]))
    assert row.get("error_code") == code
    assert row["help"].startswith(hint)
    assert row["help"]
    event = world.event(candidate)
    for key in ("reason", "end", "help"):
        assert event[key] == row[key], key
    assert event.get("error_code") == code
    state = until(lambda: _final(world.airflow.states()[candidate]), what="the end of the task")
    assert state == "failed"
    log = world.airflow.log(candidate)
    assert any(row["reason"] in line for line in log), log
    return row


def _final(state: str | None) -> str | None:
    return state if state in {"success", "failed", "skipped"} else None
