"""The doctor on a whole stack: it sees what is broken from the outside, nothing else, and its commands mend it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from google.cloud import pubsub_v1
from running_stack import Stack, running_stack
from waiting import HANG_SECONDS, until

from genops_events.stack.processes import session_members

pytestmark = pytest.mark.e2e

PROJECT = "genops-local"
SUBSCRIPTION = f"projects/{PROJECT}/subscriptions/genops-arrivals-intake"
TOPIC = f"projects/{PROJECT}/topics/genops-arrivals"


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running_stack(tmp_path_factory.mktemp("doctor")) as running:
        # So that the sweep is on time, and no warning is left: a run that a person starts sweeps.
        airflow(running, "POST", "dags/genops_intake/dagRuns", {"logical_date": None})
        blob = running.bucket().blob("genops/intake/sweep.json")
        until(blob.exists, what="the first sweep has ended")
        yield running


def airflow(stack: Stack, method: str, path: str, body: Any = None) -> Any:
    url = f"{stack.variables['GENOPS_AIRFLOW_URL']}/api/v2/{path}"
    answer = httpx.request(method, url, json=body, headers=stack.airflow_login(), timeout=HANG_SECONDS)
    answer.raise_for_status()
    return answer.json() if answer.content else None


def diagnosis(stack: Stack) -> dict[str, dict[str, Any]]:
    """Return the checks by name, and make sure that exit code, figures and checks say the same."""
    done = stack.genops("doctor", "--json")
    assert done.stdout, done.stderr
    document = json.loads(done.stdout)
    failed = [one["name"] for one in document["checks"] if one["status"] == "failed"]
    assert document["target"] == "local stack"
    assert (document["healthy"], done.returncode) == ((True, 0) if not failed else (False, 1))
    assert all(one["cause"] and one["remedy"] for one in document["checks"] if one["status"] == "failed")
    return {one["name"]: one for one in document["checks"]}


def names(checks: dict[str, dict[str, Any]], status: str) -> set[str]:
    return {name for name, one in checks.items() if one["status"] == status}


def healthy(stack: Stack) -> None:
    """Wait until all is well: a component that was stopped for a while takes its time."""
    last: list[dict[str, Any]] = []

    def is_well() -> bool:
        checks = diagnosis(stack)
        # Which model ends when is a matter of the calendar, not of the stack.
        last[:] = [one for one in checks.values() if one["status"] != "ok" and one["name"] != "models' ends"]
        return not last

    try:
        until(is_well, what="all is well")
    except AssertionError as error:
        raise AssertionError(f"{error}: {last}") from error


def mend(stack: Stack, *checks: dict[str, Any]) -> None:
    """Run the commands of these checks as a person would copy them, each once."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    mine = {name: value for name, value in os.environ.items() if not name.startswith("GENOPS_")}
    environment = {**mine, "PATH": path, "GENOPS_HOME": str(stack.home), "GENOPS_CONFIG": str(stack.config)}
    for command in dict.fromkeys(command for check in checks for command in check["remedy"]):
        subprocess.run(command, shell=True, env=environment, check=True, capture_output=True, timeout=HANG_SECONDS)


@contextmanager
def subscriber(stack: Stack) -> Iterator[pubsub_v1.SubscriberClient]:
    os.environ["PUBSUB_EMULATOR_HOST"] = stack.variables["PUBSUB_EMULATOR_HOST"]
    with pubsub_v1.SubscriberClient() as client:
        yield client


@contextmanager
def stopped(stack: Stack, name: str) -> Iterator[None]:
    """Stop every process of a component as `kill -STOP` does, and let them go on in the end."""
    members = session_members(stack.status()[name]["pid"])
    assert members
    for pid in members:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in members:
            with suppress(ProcessLookupError):  # a supervisor may have lost patience with it
                os.kill(pid, signal.SIGCONT)


def test_a_fresh_stack_is_healthy_and_quickly_so(stack: Stack) -> None:
    done = stack.genops("doctor")
    assert done.returncode == 0, done.stdout
    *lines, last = done.stdout.splitlines()
    assert {line[0] for line in lines} == {"✓"}
    assert last.startswith(f"local stack: {len(lines)} ok, in ")


def test_what_is_wrong_in_bucket_pubsub_and_airflow_at_once_is_told_apart_and_mended(stack: Stack) -> None:
    for one in stack.bucket().list_notifications():
        one.delete()
    with subscriber(stack) as client:
        changed = {"name": SUBSCRIPTION, "ack_deadline_seconds": 10}
        mask = {"paths": ["ack_deadline_seconds", "dead_letter_policy"]}
        client.update_subscription(request={"subscription": changed, "update_mask": mask})
    airflow(stack, "PATCH", "dags/genops_tuning", {"is_paused": True})
    airflow(stack, "DELETE", "pools/genops_tuning_jobs")
    checks = diagnosis(stack)
    assert names(checks, "failed") == {"notification", "subscription", "Dags not paused", "places for tuning jobs"}
    assert names(checks, "skipped") == {"arrival watcher"}
    assert "its ack deadline is 10 s, not 30 s; it has no dead-letter policy" in checks["subscription"]["found"]
    assert checks["notification"]["remedy"] == checks["subscription"]["remedy"] == ["genops up --detach"]
    assert checks["Dags not paused"]["found"] == "genops_tuning is paused."
    mend(stack, *(checks[name] for name in names(checks, "failed")))
    healthy(stack)


def test_a_deleted_subscription_and_a_triggerer_that_hangs(stack: Stack) -> None:
    with subscriber(stack) as client:
        client.delete_subscription(subscription=SUBSCRIPTION)
    with stopped(stack, "triggerer"):
        until(
            lambda: airflow(stack, "GET", "monitor/health")["triggerer"]["status"] == "unhealthy",
            what="the triggerer's heartbeat is old",
        )
        checks = diagnosis(stack)
    assert names(checks, "failed") == {"subscription", "triggerer"}
    assert names(checks, "skipped") == {"arrival watcher"}
    assert checks["triggerer"]["remedy"] == ["genops down", "genops up --detach"]
    mend(stack, checks["subscription"])
    healthy(stack)


def test_a_deleted_topic_and_an_api_server_that_hangs(stack: Stack) -> None:
    with subscriber(stack), pubsub_v1.PublisherClient() as client:
        client.delete_topic(topic=TOPIC)
    with stopped(stack, "api-server"):
        checks = diagnosis(stack)
    assert names(checks, "failed") == {"arrivals topic", "Airflow"}
    assert "does not answer" in checks["Airflow"]["found"]
    assert names(checks, "skipped") == {
        *("subscription", "scheduler", "Dag processor", "triggerer"),
        *("Dags parsed", "Dags not paused", "arrival watcher", "places for tuning jobs"),
    }
    mend(stack, checks["arrivals topic"], checks["Airflow"])
    healthy(stack)


def test_storage_that_is_unavailable_and_then_a_bucket_that_is_gone(stack: Stack) -> None:
    admin = stack.status()["storage"]["admin_url"]
    httpx.put(f"{admin}/faults", json={"unavailable_seconds": 120}, timeout=HANG_SECONDS).raise_for_status()
    unavailable = diagnosis(stack)
    httpx.delete(f"{admin}/faults", timeout=HANG_SECONDS).raise_for_status()
    need_the_bucket = {"bucket settings", "notification", "input files", "BigQuery", "shared documents", "sweep"}
    assert names(unavailable, "failed") == {"bucket"}
    assert names(unavailable, "skipped") == need_the_bucket
    assert "503" in unavailable["bucket"]["found"]
    kept = stack.bucket().blob("genops/intake/sweep.json").download_as_bytes()
    stack.bucket().delete(force=True)
    gone = diagnosis(stack)
    assert names(gone, "failed") == {"bucket"}
    assert names(gone, "skipped") == need_the_bucket
    assert gone["bucket"]["found"] == "There is no bucket genops-data."
    mend(stack, gone["bucket"])
    stack.bucket().blob("genops/intake/sweep.json").upload_from_string(kept)
    healthy(stack)
