"""How jobs end that do not simply succeed, and calls that go wrong in the moment that matters."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from typing import TYPE_CHECKING

import httpx
import pytest
from google.genai import errors, types
from waiting import FOREVER_SECONDS, HANG_SECONDS, until

if TYPE_CHECKING:
    from vertex_stand_in import VertexStandIn

pytestmark = pytest.mark.filterwarnings("ignore:The SDK's tuning implementation is experimental")


def test_a_paused_job_stays_so_until_it_is_cancelled(vertex: VertexStandIn) -> None:
    vertex.faults(job_seconds=0.2, job_outcome="paused")
    job = vertex.reached(vertex.tune(epoch_count=4), types.JobState.JOB_STATE_PAUSED)
    vertex.faults(job_seconds=0.2)
    vertex.ended(vertex.tune())
    job = vertex.job(job.name)
    assert job.state == types.JobState.JOB_STATE_PAUSED
    assert not job.has_ended
    assert (job.end_time, job.error, job.tuned_model) == (None, None, None)
    assert job.tuning_job_metadata
    assert job.tuning_job_metadata.completed_epoch_count == 1, "it pauses after half its time"
    assert job.name
    vertex.client.tunings.cancel(name=job.name)
    assert vertex.ended(job).state == types.JobState.JOB_STATE_CANCELLED


def test_a_paused_job_goes_on_when_it_is_resumed(vertex: VertexStandIn) -> None:
    vertex.faults(job_seconds=0.6, job_outcome="paused")
    jobs = [vertex.reached(vertex.tune(), types.JobState.JOB_STATE_PAUSED) for _ in range(2)]
    resumed = vertex.admin.post("/jobs/resume", params={"name": jobs[0].name}).json()
    assert resumed == {"resumed": [jobs[0].name]}
    assert vertex.job(jobs[0].name).state == types.JobState.JOB_STATE_RUNNING
    first = vertex.ended(jobs[0])
    assert first.state == types.JobState.JOB_STATE_SUCCEEDED
    assert first.tuned_model
    assert first.tuned_model.endpoint
    assert vertex.answers(first.tuned_model.endpoint, [("phone stolen", "")]) == ["lost_phone"]
    assert vertex.job(jobs[1].name).state == types.JobState.JOB_STATE_PAUSED
    assert vertex.admin.post("/jobs/resume").json() == {"resumed": [jobs[1].name]}
    assert vertex.ended(jobs[1]).state == types.JobState.JOB_STATE_SUCCEEDED


def test_a_job_that_partially_succeeds_ends_with_its_last_checkpoint_and_no_error(vertex: VertexStandIn) -> None:
    vertex.faults(job_seconds=0.2, job_outcome="partially_succeeded")
    job = vertex.ended(vertex.tune(epoch_count=3))
    assert job.state == types.JobState.JOB_STATE_PARTIALLY_SUCCEEDED
    assert not job.has_ended, "the client does not know that this is an end"
    assert job.end_time
    assert job.error is None, "only a job that failed or was cancelled has one"
    assert job.tuned_model
    assert job.tuned_model.endpoint
    assert job.tuned_model.checkpoints
    assert [one.epoch for one in job.tuned_model.checkpoints] == [3]
    assert vertex.answers(job.tuned_model.endpoint, [("phone stolen", "")]) == ["lost_phone"]


def test_the_error_of_a_failed_job_can_be_chosen(vertex: VertexStandIn) -> None:
    vertex.faults(job_seconds=0.2, job_outcome="failed", job_error_code=8, job_error_message="Quota for tuning.")
    job = vertex.ended(vertex.tune())
    assert job.state == types.JobState.JOB_STATE_FAILED
    assert job.error
    assert (job.error.code, job.error.message) == (8, "Quota for tuning.")
    rejected = vertex.ended(vertex.tune(vertex.bucket.put("empty.jsonl", b"")))
    assert rejected.error
    assert rejected.error.code == 3, "data that cannot be learned from has its own error"


def tuned_by_nobody(vertex: VertexStandIn, gone: str) -> None:
    """Ask for a tuning job, and go away as soon as a fault setting holds the call back."""
    from vertex_stand_in import examples, jsonl

    uri = vertex.bucket.put("good data.jsonl", jsonl(examples()))
    body = {
        "baseModel": vertex.base_model,
        "supervisedTuningSpec": {"trainingDatasetUri": uri},
        "labels": {"gone": gone},
    }
    connection = HTTPConnection(vertex.url.removeprefix("http://"), timeout=HANG_SECONDS)
    connection.request("POST", f"/v1beta1/{vertex.parent}/tuningJobs", json.dumps(body))
    until(vertex.delayed, lambda held: held == {"tuningJobs.create": 1}, what="the call is held back")
    connection.close()


def test_a_create_call_whose_client_has_gone_away_is_still_applied(vertex: VertexStandIn) -> None:
    vertex.faults(job_seconds=5, delay_seconds=FOREVER_SECONDS, error_methods=["tuningJobs.create"])
    tuned_by_nobody(vertex, "early")
    assert vertex.found("labels.gone:early") == [], "not applied yet"
    vertex.let_go()
    until(lambda: vertex.found("labels.gone:early"), lambda names: len(names) == 1, what="the job nobody waits for")


def test_an_answer_can_come_long_after_its_call_was_applied(vertex: VertexStandIn) -> None:
    vertex.faults(job_seconds=5, delay_answers_seconds=FOREVER_SECONDS, error_methods=["tuningJobs.create"])
    tuned_by_nobody(vertex, "late")
    assert len(vertex.found("labels.gone:late")) == 1, "applied before its answer was due"
    vertex.let_go()
    vertex.faults(job_seconds=5, delay_answers_seconds=0.5, error_methods=["tuningJobs.create"])
    start = time.monotonic()
    assert vertex.tune().create_time
    assert time.monotonic() - start >= 0.5


def test_a_create_call_can_be_applied_and_its_answer_lost(vertex: VertexStandIn) -> None:
    vertex.faults(job_seconds=5, lose_answers=1.0, error_methods=["tuningJobs.create"])
    with pytest.raises(errors.ServerError, match=r"tuningJobs\.create: applied, but its answer is lost") as lost:
        vertex.tune(labels={"lost": "answer"})
    assert (lost.value.code, lost.value.status) == (503, "UNAVAILABLE")
    [name] = vertex.found("labels.lost:answer")
    assert name
    vertex.client.tunings.cancel(name=name)
    vertex.faults(lose_answers=1.0)
    with pytest.raises(errors.ServerError, match=r"tuningJobs\.cancel: applied"):
        vertex.client.tunings.cancel(name=name)
    assert vertex.job(name).state in ("JOB_STATE_CANCELLING", "JOB_STATE_CANCELLED"), "reads lose no answers"


def test_each_method_can_have_a_delay_of_its_own(vertex: VertexStandIn) -> None:
    job = vertex.tune()
    urls = {
        "tuningJobs.list": f"{vertex.url}/v1beta1/{vertex.parent}/tuningJobs",
        "tuningJobs.get": f"{vertex.url}/v1beta1/{job.name}",
    }
    for late, at_once in (("tuningJobs.list", "tuningJobs.get"), ("tuningJobs.get", "tuningJobs.list")):
        vertex.faults(job_seconds=5, delay_methods_seconds={late: FOREVER_SECONDS, at_once: 0.4})
        with ThreadPoolExecutor() as threads:
            waits = threads.submit(httpx.get, urls[late], timeout=HANG_SECONDS)
            until(lambda late=late: vertex.delayed().get(late), what=f"{late} is delayed")
            start = time.monotonic()
            httpx.get(urls[at_once], timeout=HANG_SECONDS).raise_for_status()
            assert time.monotonic() - start >= 0.4
            assert not waits.done(), "its delay is another one"
            vertex.let_go()
            waits.result(timeout=HANG_SECONDS).raise_for_status()
    assert vertex.admin.put("/faults", json={"delay_methods_seconds": {"tuningJobs.list": -1}}).status_code == 400


@pytest.mark.parametrize(
    ("code", "settings", "header", "delay"),
    [
        ("429", {}, "1", "1s"),
        ("429", {"retry_after_seconds": 7}, "7", "7s"),
        ("503", {"retry_after_seconds": 2.5}, "3", "2.5s"),
        ("503", {}, None, None),
        ("429", {"retry_after_seconds": 0}, None, None),
        ("500", {"retry_after_seconds": 7}, None, None),
    ],
)
def test_an_injected_error_says_when_to_come_back(
    vertex: VertexStandIn, code: str, settings: dict[str, float], header: str | None, delay: str | None
) -> None:
    vertex.faults(error_code=code, error_share=1.0, **settings)
    with pytest.raises(errors.APIError) as refused:
        vertex.client.tunings.list()
    assert refused.value.code == int(code)
    assert refused.value.response.headers.get("retry-after") == header
    told = [
        one["retryDelay"]
        for one in refused.value.details["error"].get("details", [])
        if one["@type"] == "type.googleapis.com/google.rpc.RetryInfo"
    ]
    assert told == ([delay] if delay else [])
