"""Death and restart of the stand-in, injected faults, and routes that are not there."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING

import httpx
import pytest
from google.genai import errors, types
from waiting import HANG_SECONDS, until

if TYPE_CHECKING:
    from vertex_stand_in import VertexStandIn

pytestmark = pytest.mark.filterwarnings("ignore:The SDK's tuning implementation is experimental")


def test_a_job_outlives_the_process_that_accepted_it(own_vertex: VertexStandIn) -> None:
    own_vertex.faults(job_seconds=1.5)
    done = own_vertex.ended(own_vertex.tune())
    running = own_vertex.tune(labels={"killed": "yes"})
    own_vertex.end(signal.SIGKILL)
    own_vertex.start()
    assert own_vertex.admin.get("/faults").json() == {"job_seconds": 1.5}
    again = own_vertex.job(done.name)
    assert again.model_dump(exclude={"sdk_http_response"}) == done.model_dump(exclude={"sdk_http_response"})
    jobs = own_vertex.admin.get("/jobs").json()
    assert [one["name"] for one in jobs] == [done.name, running.name]
    assert jobs[1]["labels"] == {"killed": "yes"}
    running = own_vertex.ended(running)
    assert running.state == types.JobState.JOB_STATE_SUCCEEDED
    assert done.tuned_model
    assert done.tuned_model.endpoint
    assert running.tuned_model
    assert running.tuned_model.endpoint
    for endpoint in (done.tuned_model.endpoint, running.tuned_model.endpoint):
        assert own_vertex.answers(endpoint, [("phone stolen", "")]) == ["lost_phone"]
    own_vertex.end(signal.SIGTERM)
    assert "ERROR" not in own_vertex.log_text()


@pytest.mark.parametrize(
    ("outcome", "state", "code"),
    [
        ("failed", "JOB_STATE_FAILED", 13),
        ("cancelled", "JOB_STATE_CANCELLED", 1),
        ("expired", "JOB_STATE_EXPIRED", None),
    ],
)
def test_a_job_ends_as_the_fault_settings_were_at_its_creation(
    vertex: VertexStandIn, outcome: str, state: str, code: int | None
) -> None:
    vertex.faults(job_seconds=0.3, job_outcome=outcome)
    job = vertex.tune()
    vertex.faults()
    job = vertex.ended(job)
    assert job.state == state
    assert (job.error and job.error.code) == code, "only what failed or was cancelled has an error"
    assert job.tuned_model is None


def test_a_new_job_is_found_by_its_name_before_any_listing_shows_it(vertex: VertexStandIn) -> None:
    def listed() -> list[str | None]:
        return [one.name for one in vertex.client.tunings.list(config={"filter": 'labels.late="yes"'})]

    vertex.faults(listed_after_seconds=3600)
    job = vertex.tune(labels={"late": "yes"})
    assert vertex.job(job.name).name == job.name
    assert listed() == []
    vertex.faults(listed_after_seconds=0)
    assert listed() == [job.name]


def test_a_job_that_vanishes_is_found_by_no_call(vertex: VertexStandIn) -> None:
    vertex.faults(job_vanishes=True)
    job = vertex.tune(labels={"vanished": "yes"})
    with pytest.raises(errors.ClientError, match="NOT_FOUND"):
        vertex.job(job.name)
    assert list(vertex.client.tunings.list(config={"filter": "labels.vanished:*"})) == []
    assert any(one["name"] == job.name and one["vanished"] for one in vertex.admin.get("/jobs").json())


def test_a_job_that_hangs_runs_until_it_is_cancelled(vertex: VertexStandIn) -> None:
    vertex.faults(job_hangs=True, job_seconds=0.1)
    hanging = vertex.tune()
    vertex.faults(job_seconds=0.1)
    vertex.ended(vertex.tune())
    job = vertex.job(hanging.name)
    assert job.state == types.JobState.JOB_STATE_RUNNING
    assert job.name
    vertex.client.tunings.cancel(name=job.name)
    assert vertex.ended(job).state == types.JobState.JOB_STATE_CANCELLED


def test_an_injected_error_hits_the_named_methods_only(vertex: VertexStandIn) -> None:
    vertex.faults(error_code="429", error_share=1.0, error_methods=["tuningJobs.list"])
    with pytest.raises(errors.ClientError) as refused:
        vertex.client.tunings.list()
    assert (refused.value.code, refused.value.status) == (429, "RESOURCE_EXHAUSTED")
    assert refused.value.response.headers["retry-after"] == "1"
    assert refused.value.details["error"]["details"] == [
        {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "1s"}
    ]
    assert vertex.client.models.count_tokens(model=vertex.base_model, contents="abcd").total_tokens == 2


def test_the_clients_own_retries_get_through_a_partial_failure(vertex: VertexStandIn) -> None:
    vertex.faults(error_code="503", error_share=0.5, error_methods=["countTokens"])
    before = vertex.admin.get("/calls").json().get("countTokens", 0)
    retry = types.HttpRetryOptions(attempts=20, initial_delay=0.01, max_delay=0.02)
    config = types.CountTokensConfig(http_options=types.HttpOptions(retry_options=retry))
    for _ in range(10):
        assert vertex.client.models.count_tokens(model=vertex.base_model, contents="a", config=config).total_tokens == 1
    assert vertex.admin.get("/calls").json()["countTokens"] >= before + 10


def test_unavailable_lasts_as_long_as_it_was_set(vertex: VertexStandIn) -> None:
    start = time.monotonic()
    vertex.faults(unavailable_seconds=1.5)
    with pytest.raises(errors.ServerError) as refused:
        vertex.client.tunings.list()
    assert (refused.value.code, refused.value.status) == (503, "UNAVAILABLE")
    url = f"{vertex.url}/v1/{vertex.parent}/tuningJobs"
    until(lambda: httpx.get(url, timeout=HANG_SECONDS).status_code != 503, what="it is available again")
    assert time.monotonic() - start >= 1.0


def test_a_delay_is_added(vertex: VertexStandIn) -> None:
    vertex.faults(delay_seconds=0.3, error_methods=["countTokens"])
    start = time.monotonic()
    vertex.client.models.count_tokens(model=vertex.base_model, contents="a")
    assert time.monotonic() - start >= 0.3


def test_an_unknown_fault_is_refused_by_name(vertex: VertexStandIn) -> None:
    answer = vertex.admin.put("/faults", json={"job_second": 1})
    assert answer.status_code == 400
    assert "job_second" in answer.json()["error"][0]
    assert "job_seconds" in answer.json()["allowed"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PATCH", "/v1/projects/p/locations/l/batchPredictionJobs/1"),
        ("GET", "/v1beta1/projects/p/locations/l/ragCorpora"),
        ("POST", "/v1/projects/p/locations/l/tuningJobs:rebaseTunedModel"),
        ("DELETE", "/v1/projects/p/locations/l/tuningJobs/1"),
        ("GET", "/"),
    ],
)
def test_a_route_that_is_not_there_answers_501_and_names_itself(vertex: VertexStandIn, method: str, path: str) -> None:
    answer = httpx.request(method, f"{vertex.url}{path}", json={} if method == "POST" else None, timeout=HANG_SECONDS)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["status"]) == (501, 501, "UNIMPLEMENTED")
    assert f"{method} {path}" in error["message"]


def test_a_body_that_is_not_json_is_refused(vertex: VertexStandIn) -> None:
    for body in (b"{", b"[]", b"\xff"):
        answer = httpx.post(f"{vertex.url}/v1/{vertex.parent}:evaluateInstances", content=body, timeout=HANG_SECONDS)
        assert (answer.status_code, answer.json()["error"]["status"]) == (400, "INVALID_ARGUMENT")


def test_a_prompt_without_contents_is_refused(vertex: VertexStandIn) -> None:
    url = f"{vertex.url}/v1beta1/{vertex.parent}/publishers/google/models/{vertex.base_model}:generateContent"
    nothing: list[object] = [[], {}, [{"role": "user"}], [{"role": "user", "parts": []}], "text", None]
    for contents in nothing:
        answer = httpx.post(url, json={"contents": contents}, timeout=HANG_SECONDS)
        assert (answer.status_code, answer.json()["error"]["status"]) == (400, "INVALID_ARGUMENT")


def test_the_token_route_serves_a_service_account(vertex: VertexStandIn) -> None:
    answer = httpx.post(f"{vertex.url}/token", data={"grant_type": "x"}, timeout=HANG_SECONDS)
    assert answer.json() == {"access_token": "local", "expires_in": 3600, "token_type": "Bearer"}
