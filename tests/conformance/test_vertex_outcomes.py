"""How jobs end that do not simply succeed, and calls that go wrong in the moment that matters."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import httpx
import pytest
from google.genai import errors, types

if TYPE_CHECKING:
    from vertex_stand_in import VertexStandIn

pytest_plugins = ["vertex_stand_in"]
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


def test_a_job_that_partially_succeeds_ends_with_its_last_checkpoint_and_an_error(vertex: VertexStandIn) -> None:
    vertex.faults(job_seconds=0.2, job_outcome="partially_succeeded")
    job = vertex.ended(vertex.tune(epoch_count=3))
    assert job.state == types.JobState.JOB_STATE_PARTIALLY_SUCCEEDED
    assert not job.has_ended, "the client does not know that this is an end"
    assert job.end_time
    assert job.error
    assert job.error.code == 13
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


def hasty(seconds: float) -> types.HttpOptions:
    return types.HttpOptions(timeout=int(seconds * 1000))


def test_a_create_call_whose_client_has_gone_away_is_still_applied(vertex: VertexStandIn) -> None:
    vertex.faults(job_seconds=5, delay_seconds=3.0, error_methods=["tuningJobs.create"])
    from vertex_stand_in import until

    start = time.monotonic()
    with pytest.raises(httpx.TimeoutException):
        vertex.tune(labels={"gone": "early"}, http_options=hasty(0.3))
    assert time.monotonic() - start < 2.9
    assert vertex.found("labels.gone:early") == [], "not applied yet"
    until(lambda: vertex.found("labels.gone:early"), lambda names: len(names) == 1, what="the job nobody waits for")


def test_an_answer_can_come_long_after_its_call_was_applied(vertex: VertexStandIn) -> None:
    vertex.faults(job_seconds=5, delay_answers_seconds=3.0, error_methods=["tuningJobs.create"])
    start = time.monotonic()
    with pytest.raises(httpx.TimeoutException):
        vertex.tune(labels={"gone": "late"}, http_options=hasty(0.3))
    assert len(vertex.found("labels.gone:late")) == 1
    assert time.monotonic() - start < 2.9, "applied before its answer was due"
    job = vertex.tune()
    assert time.monotonic() - start > 3.0
    assert job.create_time


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
    vertex.faults(job_seconds=5, delay_methods_seconds={"tuningJobs.list": 0.4, "tuningJobs.get": 0.8})

    def seconds(path: str) -> float:
        start = time.monotonic()
        httpx.get(f"{vertex.url}/v1beta1/{path}").raise_for_status()
        return time.monotonic() - start

    job = vertex.tune()
    assert 0.4 <= seconds(f"{vertex.parent}/tuningJobs") < 0.8 <= seconds(str(job.name))
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
