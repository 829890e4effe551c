"""A stand-in can be told to answer calls word for word, so that Google's clients receive what the real service was seen to answer."""

from __future__ import annotations

from typing import Any

import pytest
from bigquery_stand_in import BigQueryProcess
from google.api_core.exceptions import Forbidden, NotFound, ResourceExhausted, TooManyRequests
from google.cloud import bigquery
from google.cloud.storage import Bucket
from google.genai.errors import APIError
from google.rpc.error_details_pb2 import RetryInfo
from pubsub_stand_in import Pair, StandIn, data_of
from storage_stand_in import StorageProcess
from vertex_stand_in import PARENT, VertexStandIn
from waiting import HANG_SECONDS

pytestmark = pytest.mark.filterwarnings("ignore:The SDK's tuning implementation is experimental")

NAME, MODEL = f"{PARENT}/tuningJobs/6284765961371254784", f"{PARENT}/models/1402067540926005248@1"
FAILED = {
    "name": NAME,
    "state": "JOB_STATE_FAILED",
    "error": {"code": 13, "message": "Failed to create endpoint."},
    "tunedModel": {"model": MODEL},
}
RETRY = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "53.5s"}
EXHAUSTED = {"error": {"code": 429, "message": "Too many.", "status": "RESOURCE_EXHAUSTED", "details": [RETRY]}}
TOO_MANY = {"error": {"code": 429, "message": "The object exceeded the rate limit for object mutation operations."}}


def test_a_call_is_answered_with_the_document_that_was_given(vertex: VertexStandIn) -> None:
    vertex.faults(answers=[{"method": "tuningJobs.get", "document": FAILED}])
    job = vertex.job(NAME)
    assert job.tuned_model is not None
    assert (job.tuned_model.model, job.tuned_model.endpoint) == (MODEL, None)
    vertex.faults()
    with pytest.raises(APIError) as caught:
        vertex.job(NAME)
    assert caught.value.code == 404


def test_answers_are_given_in_their_order_and_so_often(vertex: VertexStandIn) -> None:
    answers: list[dict[str, Any]] = [
        {"method": "tuningJobs.get", "document": {**FAILED, "state": "JOB_STATE_QUEUED"}, "times": 2},
        {"method": "models.get", "document": {}, "status": 500},
        {"method": "tuningJobs.get", "document": {**FAILED, "state": "JOB_STATE_RUNNING"}, "times": 1},
    ]
    vertex.faults(answers=answers)
    states = [vertex.job(NAME).state for _ in range(3)]
    assert states == ["JOB_STATE_QUEUED", "JOB_STATE_QUEUED", "JOB_STATE_RUNNING"]
    with pytest.raises(APIError) as caught:
        vertex.job(NAME)
    assert caught.value.code == 404


def test_status_headers_and_a_body_that_is_no_json_are_given_as_they_are(vertex: VertexStandIn) -> None:
    page = "<!DOCTYPE html><title>Error 502 (Server Error)!!1</title>"
    told = {"method": "endpoints.get", "status": 404, "text": page, "headers": {"Retry-After": "7"}}
    vertex.faults(answers=[told])
    with pytest.raises(NotFound) as caught:
        vertex.endpoints.get_endpoint(name=f"{PARENT}/endpoints/1", retry=None)
    assert page in str(caught.value)
    assert caught.value.response is not None
    assert caught.value.response.headers["Retry-After"] == "7"
    assert caught.value.response.headers["Content-Type"].startswith("text/html")


def test_cloud_storage_answers_as_it_is_told_and_does_nothing(bucket: Bucket, no_faults: StorageProcess) -> None:
    told = {"method": "objects.insert", "status": 429, "document": TOO_MANY, "times": 1}
    no_faults.admin("PUT", "/faults", {"answers": [told]})
    blob = bucket.blob("ledger.json")
    with pytest.raises(TooManyRequests, match="rate limit for object mutation"):
        blob.upload_from_string("{}", retry=None)
    assert not blob.exists()
    blob.upload_from_string("{}", retry=None)
    assert blob.exists()


def test_bigquery_answers_as_it_is_told(bq: bigquery.Client, dataset: str, faulty: BigQueryProcess) -> None:
    refusal = {"error": {"code": 403, "message": "Access Denied.", "status": "PERMISSION_DENIED"}}
    faulty.admin("PUT", "/faults", {"answers": [{"method": "datasets.get", "status": 403, "document": refusal}]})
    with pytest.raises(Forbidden, match="Access Denied"):
        bq.get_dataset(dataset, retry=None)
    faulty.admin("DELETE", "/faults")
    assert bq.get_dataset(dataset, retry=None).dataset_id == dataset


def test_pubsub_answers_with_the_error_and_the_details_that_it_is_told(stand_in: StandIn, pair: Pair) -> None:
    pair.publish("a")
    stand_in.set_faults(answers=[{"method": "Pull", "document": EXHAUSTED, "times": 1}])
    with pytest.raises(ResourceExhausted, match="Too many") as caught:
        pair.subscriber.pull(subscription=pair.subscription, max_messages=1, retry=None)
    (detail,) = caught.value.details
    assert isinstance(detail, RetryInfo)
    assert detail.retry_delay.ToMilliseconds() == 53_500
    assert data_of(pair.pull_all(1)) == ["a"]
    stand_in.admin("DELETE", "/faults")


@pytest.mark.parametrize(
    "told",
    [
        {"document": {"subscription": "a"}},
        {"document": EXHAUSTED, "headers": {"Retry-After": "7"}},
        {"text": "<html>"},
        {"document": {"error": {"status": "NO_SUCH_STATUS"}}},
        {"document": {"error": {"status": "ABORTED", "details": [{"@type": "type.googleapis.com/none.Such"}]}}},
    ],
    ids=["no error", "headers", "a page", "unknown status", "unknown detail"],
)
def test_what_grpc_cannot_say_is_refused(stand_in: StandIn, told: dict[str, Any]) -> None:
    status, answer = stand_in.admin("PUT", "/faults", {"answers": [{"method": "Pull", **told}]})
    assert status == 400
    assert "answers" in answer["error"][0]


def test_an_answer_with_two_bodies_is_refused(vertex: VertexStandIn) -> None:
    told = {"method": "tuningJobs.get", "document": {}, "text": ""}
    refused = vertex.admin.put("/faults", json={"answers": [told]})
    assert refused.status_code == 400
    assert "`document` or `text`" in refused.text


def test_an_operation_that_was_answered_can_be_asked_for_again(vertex: VertexStandIn) -> None:
    running = {"name": f"{PARENT}/models/1/operations/5"}
    vertex.faults(answers=[{"method": "models.delete", "document": running}])
    vertex.models.delete_model(name=f"{PARENT}/models/1").result(timeout=HANG_SECONDS)
