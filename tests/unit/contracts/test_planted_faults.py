"""What is broken on purpose, in an answer of a stand-in or in a request, is found; what Google's services take and answer is not."""

from __future__ import annotations

import base64
import copy
import json
from collections.abc import Mapping
from typing import Any

import pytest
from contracts import held
from google.pubsub_v1 import types

JOBS = "/v1beta1/projects/p/locations/us-central1/tuningJobs"
TUNE: dict[str, Any] = {
    "baseModel": "gemini-2.5-flash",
    "supervisedTuningSpec": {
        "trainingDatasetUri": "gs://bucket/data.jsonl",
        "hyperParameters": {"epochCount": 3, "adapterSize": "ADAPTER_SIZE_FOUR"},
    },
    "labels": {"team": "bank"},
}
JOB: dict[str, Any] = {
    "name": "projects/p/locations/us-central1/tuningJobs/1",
    "baseModel": "gemini-2.5-flash",
    "supervisedTuningSpec": {
        "trainingDatasetUri": "gs://bucket/data.jsonl",
        "hyperParameters": {"epochCount": "3", "adapterSize": "ADAPTER_SIZE_FOUR"},
    },
    "state": "JOB_STATE_SUCCEEDED",
    "createTime": "2026-11-30T19:01:27.024470Z",
    "updateTime": "2026-11-30T19:01:27.024470Z",
    "tuningDataStats": {"supervisedTuningDataStats": {"tuningStepCount": "12"}},
    "tunedModel": {"endpoint": "projects/p/locations/us-central1/endpoints/2", "checkpoints": [{"epoch": "1"}]},
}
OBJECT: dict[str, Any] = {
    "kind": "storage#object",
    "id": "bucket/a%2Fb/1",
    "selfLink": "http://127.0.0.1/storage/v1/b/bucket/o/a%2Fb",
    "mediaLink": "http://127.0.0.1/download/storage/v1/b/bucket/o/a%2Fb",
    "name": "a/b",
    "bucket": "bucket",
    "generation": "1",
    "metageneration": "1",
    "storageClass": "STANDARD",
    "size": "5",
    "crc32c": "AAAAAA==",
    "etag": "x",
    "timeCreated": "2026-11-30T19:01:27.024Z",
    "updated": "2026-11-30T19:01:27.024Z",
}
NOTIFIED = {
    "notificationConfig": "projects/_/buckets/bucket/notificationConfigs/1",
    "eventType": "OBJECT_FINALIZE",
    "payloadFormat": "JSON_API_V1",
    "bucketId": "bucket",
    "objectId": "a/b",
    "objectGeneration": "1",
    "eventTime": "2026-11-30T19:01:27.024Z",
}
JUDGED = {
    "pointwiseMetricInput": {
        "instance": {"jsonInstance": '{"response": "yes", "prompt": "is it?"}'},
        "metricSpec": {"metricPromptTemplate": "Rate {response} to {prompt}."},
    }
}


def call(
    service: str, method: str, address: str, request: Any = "", answer: Any = "", *, status: int = 200
) -> dict[str, Any]:
    """Return a recorded line."""
    path, _, query = address.partition("?")
    written = {
        name: value if isinstance(value, str) else json.dumps(value)
        for name, value in (("request", request), ("answer", answer))
    }
    return {
        "service": service,
        "method": method,
        "path": path,
        "query": query,
        "request_type": "application/json",
        "request_read": True,
        "answered": True,
        "status": status,
        "answer_type": "application/json; charset=UTF-8",
        **written,
    }


def problems(line: Mapping[str, Any]) -> list[str]:
    return [problem for found in held.look_at(line) for problem in found.problems]


def changed(value: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    """Return a document with other values at paths such as `tunedModel.endpoint`; one that is None is taken away."""
    made = copy.deepcopy(dict(value))
    for path, one in change.items():
        *way, last = path.split(".")
        place = made
        for part in way:
            place = place.setdefault(part, {})
        if one is None:
            del place[last]
        else:
            place[last] = one
    return made


def tuned(request: Mapping[str, Any] = TUNE, answer: Mapping[str, Any] = JOB, *, address: str = JOBS) -> dict[str, Any]:
    return call("vertex", "POST", address, request, answer)


GOOD = {
    "a job is created": tuned(),
    "a field in snake case": tuned({"base_model": "gemini-2.5-flash", "supervised_tuning_spec": TUNE["supervisedTuningSpec"]}),
    "a page of jobs": call("vertex", "GET", f"{JOBS}?pageSize=10&filter=x", answer={"tuningJobs": [JOB]}),
    "enums as numbers, asked for": call("vertex", "GET", f"{JOBS}/1?%24alt=json%3Benum-encoding%3Dint", answer=changed(JOB, {"state": 4})),
    "an error": call("vertex", "GET", f"{JOBS}/1", answer={"error": {"code": 404, "message": "m", "status": "NOT_FOUND"}}, status=404),
    "a refused request": call(
        "vertex", "POST", JOBS, {"nonsense": 1}, {"error": {"code": 400, "message": "m", "status": "INVALID_ARGUMENT"}}, status=400
    ),
    "a method that is not there": call(
        "vertex", "POST", "/v1/nonsense", {}, {"error": {"code": 501, "message": "m", "status": "UNIMPLEMENTED"}}, status=501
    ),
    "a stream": call(
        "vertex", "POST", "/v1/projects/p/locations/l/publishers/google/models/m:streamGenerateContent?alt=sse", {"contents": []},
        'data: {"candidates": [{"finishReason": "STOP"}]}\r\n\r\ndata: {"modelVersion": "m"}\r\n\r\n',
    ) | {"answer_type": "text/event-stream"},
    "an evaluation": call("vertex", "POST", "/v1/projects/p/locations/l:evaluateInstances", JUDGED, {"pointwiseMetricResult": {"score": 3}}),
    "an upload": call("storage", "POST", "/upload/storage/v1/b/bucket/o?uploadType=media&name=a%2Fb&ifGenerationMatch=0", "hello", OBJECT),
    "an upload that begins": call("storage", "POST", "/upload/storage/v1/b/bucket/o?uploadType=resumable", {"name": "a/b"}),
    "its last part": call("storage", "PUT", "/upload/storage/v1/b/bucket/o?uploadType=resumable&upload_id=1", "hello", OBJECT),
    "a download": call("storage", "GET", "/download/storage/v1/b/bucket/o/a%2Fb?alt=media", answer="hello"),
    "some fields": call("storage", "GET", "/storage/v1/b/bucket/o/a:b%2Fc?fields=name", answer={"name": "a:b/c"}),
    "a caller who has gone": call("storage", "GET", "/storage/v1/b/bucket/o/a%2Fb") | {"status": None, "answered": False},
    "one who has gone amid a batch": call("storage", "POST", "/batch/storage/v1", "half") | {"answered": False},
    "an answer that a test has given": call("storage", "GET", "/storage/v1/b/bucket/o/a", answer={"x": 1}) | {"answer_given": True},
    "an operation below /ui": call("vertex", "GET", "/ui/projects/p/locations/l/models/1/operations/2", answer={"name": "o"}),
    "a token": call("vertex", "POST", "/token", "grant_type=x", {"access_token": "x", "expires_in": 3600, "token_type": "Bearer"}),
}  # fmt: skip


@pytest.mark.parametrize("what", GOOD)
def test_what_google_takes_and_answers_is_no_problem(what: str) -> None:
    assert problems(GOOD[what]) == []


BROKEN_REQUESTS = {
    "an unknown field": (tuned(changed(TUNE, {"supervisedTuningSpec.epochs": 3})), "supervisedTuningSpec.epochs is 3: unknown"),
    "an unknown field in snake case": (tuned(changed(TUNE, {"base_modell": "x"})), "body.baseModell is 'x': unknown"),
    "an unknown enum": (
        tuned(changed(TUNE, {"supervisedTuningSpec.hyperParameters.adapterSize": "ADAPTER_SIZE_FIVE"})),
        "adapterSize is 'ADAPTER_SIZE_FIVE': none of",
    ),
    "another type": (tuned(changed(TUNE, {"labels": ["team"]})), "body.labels is ['team']: not an object"),
    "text for a number": (tuned(changed(TUNE, {"supervisedTuningSpec.hyperParameters.learningRateMultiplier": "1"})), "not a number"),
    "an integer that is none": (tuned(changed(TUNE, {"supervisedTuningSpec.hyperParameters.epochCount": "three"})), "not of int64"),
    "an output-only field": (tuned(changed(TUNE, {"state": "JOB_STATE_RUNNING"})), "body.state is 'JOB_STATE_RUNNING': output only"),
    "a missing field": (tuned(changed(TUNE, {"supervisedTuningSpec.trainingDatasetUri": None})), "trainingDatasetUri is missing, and required"),
    "a field of the other version": (tuned(changed(TUNE, {"outputUri": "gs://b/o"}), address=JOBS.replace("v1beta1", "v1")), "outputUri is"),
    "no JSON": (tuned() | {"request": '{"labels": NaN}'}, "the body is no JSON"),
    "an unknown parameter": (call("vertex", "GET", f"{JOBS}?pagesize=1", answer={}), "?pagesize=1 is unknown"),
    "a parameter that is no number": (call("vertex", "GET", f"{JOBS}?pageSize=ten", answer={}), "?pageSize is 'ten': not of int32"),
    "a missing parameter": (call("storage", "GET", "/storage/v1/b", answer={"kind": "storage#buckets"}), "?project is missing, and required"),
    "a body that is not taken": (call("storage", "GET", "/storage/v1/b/bucket/o/a?fields=name", {"a": 1}, {"name": "a"}), "which storage.objects.get does not take"),
    "an annotated field that is missing": (
        call("storage", "POST", "/storage/v1/b/bucket/notificationConfigs?fields=id", {"topic": "t"}, {"id": "1"}),
        "payload_format is missing, and required",
    ),
    "snake case where it is not taken": (call("storage", "POST", "/storage/v1/b?project=p&fields=name", {"name": "b", "storage_class": "x"}, {"name": "b"}), "storage_class is 'x': unknown"),
    "a path that is nobody's": (call("vertex", "GET", "/v1/projects/p/jobs", answer={}), "no document of Google has GET /v1/projects/p/jobs, and no rule of ours"),
    "another method": (call("storage", "POST", "/storage/v1/b/bucket/o/a", {}, OBJECT), "no rule of ours"),
    "a template without its value": (
        call("vertex", "POST", "/v1/projects/p/locations/l:evaluateInstances", changed(JUDGED, {"pointwiseMetricInput.instance": {"jsonInstance": "{}"}}), {}),
        "the template has {prompt}, and the instance no prompt",
    ),
    "an instance of numbers": (
        call("vertex", "POST", "/v1/projects/p/locations/l:evaluateInstances", changed(JUDGED, {"pointwiseMetricInput.instance": {"jsonInstance": '{"response": 1}'}}), {}),
        "other values than text",
    ),
    "a row of a batch": (
        call("storage", "POST", "/upload/storage/v1/b/bucket/o?uploadType=media&name=x/batch/input.jsonl&fields=name", '{"request": {"contents": [{"role": "user", "words": []}]}}\n', {"name": "x"}),
        "contents[0].words is []: unknown",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", BROKEN_REQUESTS)
def test_a_broken_request_is_caught(what: str) -> None:
    line, words = BROKEN_REQUESTS[what]
    assert any(words in one for one in problems(line)), problems(line)


def predicted(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the call that writes one row of predictions."""
    address = "/upload/storage/v1/b/bucket/o?uploadType=media&name=x/predictions.jsonl&fields=name"
    return call("storage", "POST", address, json.dumps(row) + "\n", {"name": "x"})


BROKEN_ANSWERS = {
    "an integer of 64 bits as a number": (
        tuned(answer=changed(JOB, {"supervisedTuningSpec.hyperParameters.epochCount": 3})),
        "epochCount is 3: not text, as int64 is in JSON",
    ),
    "an unknown field": (tuned(answer=changed(JOB, {"tunedModel.name": "x"})), "body.tunedModel.name is 'x': unknown"),
    "snake case": (tuned(answer=changed(JOB, {"base_model": "x"})), "body.base_model is 'x': unknown"),
    "an unknown state": (tuned(answer=changed(JOB, {"state": "JOB_STATE_DONE"})), "'JOB_STATE_DONE': none of"),
    "an enum as a number": (tuned(answer=changed(JOB, {"state": 4})), "where an enum's name was asked for"),
    "null": (tuned(answer=JOB | {"error": None}), "body.error is None: null"),
    "a moment without a zone": (tuned(answer=changed(JOB, {"createTime": "2026-11-30T19:01:27"})), "not of the form google-datetime"),
    "an error at the wrong time": (tuned(answer=changed(JOB, {"error.code": 4})), "body.error is told of a job that is JOB_STATE_SUCCEEDED"),
    "steps of supervised tuning": (tuned(answer=changed(JOB, {"tuningJobMetadata.completedStepCount": "9"})), "without reinforcementTuningSpec"),
    "what every answer has": (tuned(answer=changed(JOB, {"updateTime": None})), "body.updateTime is missing"),
    "a wrong kind": (call("storage", "GET", "/storage/v1/b/bucket/o/a", answer=changed(OBJECT, {"kind": "storage#thing"})), "not storage#object"),
    "a size as a number": (call("storage", "GET", "/storage/v1/b/bucket/o/a", answer=changed(OBJECT, {"size": 5})), "body.size is 5: not text"),
    "no body": (call("storage", "GET", "/storage/v1/b/bucket/o/a"), "answer: no JSON"),
    "a body where there is none": (call("storage", "DELETE", "/storage/v1/b/bucket/o/a", answer={"a": 1}, status=204), "has none"),
    "an error in another form": (call("storage", "GET", "/storage/v1/b/b/o/a", answer={"error": "no"}, status=404), "answer: error.error: 'no' is not of type 'object'"),
    "a status that does not belong": (call("vertex", "GET", f"{JOBS}/1", answer={"error": {"code": 404, "message": "m", "status": "INTERNAL"}}, status=404), "does not belong to 404"),
    "another code than the status": (call("vertex", "GET", f"{JOBS}/1", answer={"error": {"code": 500, "message": "m", "status": "NOT_FOUND"}}, status=404), "error.code is 500 in an answer 404"),
    "a detail that is none": (
        call("vertex", "GET", f"{JOBS}/1", answer={"error": {"code": 429, "message": "m", "status": "RESOURCE_EXHAUSTED", "details": [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "delay": "1s"}]}}, status=429),
        "none of google.rpc's details",
    ),
    "a part of a stream": (
        GOOD["a stream"] | {"answer": 'data: {"candidates": [{"finishReason": "DONE"}]}\r\n\r\n'},
        "finishReason is 'DONE'",
    ),
    "an operation's answer": (
        call("vertex", "DELETE", "/v1/projects/p/locations/l/endpoints/1", answer={"name": "o", "done": True, "response": {"@type": "type.googleapis.com/google.protobuf.Empty", "x": 1}}),
        "body.response.x is 1: unknown: GoogleProtobufEmpty is empty",
    ),
    "a prediction with neither": (predicted({"status": "", "processed_time": "2026-11-30T19:01:27Z", "request": {}, "response": {}}), "neither a response nor a status"),
    "a prediction's response": (predicted({"status": "", "processed_time": "2026-11-30T19:01:27Z", "request": {}, "response": {"candidate": []}}), "response.candidate is []: unknown"),
    "a prediction without its time": (predicted({"status": "", "request": {}, "response": {}}), "'processed_time' is a required property"),
}  # fmt: skip


@pytest.mark.parametrize("what", BROKEN_ANSWERS)
def test_a_broken_answer_is_caught(what: str) -> None:
    line, words = BROKEN_ANSWERS[what]
    assert any(words in one for one in problems(line)), problems(line)


def message(rpc: str, request: Any = None, answer: Any = None, **more: Any) -> dict[str, Any]:
    """Return a recorded line of Pub/Sub."""
    sides = {"request_base64": request, "answer_base64": answer}
    raw = {
        name: one if isinstance(one, bytes) else type(one).serialize(one)
        for name, one in sides.items()
        if one is not None
    }
    return {
        "service": "pubsub",
        "rpc": rpc,
        **{name: base64.b64encode(one).decode() for name, one in raw.items()},
        **more,
    }


def published(attributes: Mapping[str, str], data: bytes) -> dict[str, Any]:
    one = types.PubsubMessage(data=data, attributes=dict(attributes))
    return message(
        "/google.pubsub.v1.Publisher/Publish", types.PublishRequest(topic="projects/p/topics/t", messages=[one])
    )


TOPIC = "projects/p/topics/t"
CREATE = "/google.pubsub.v1.Publisher/CreateTopic"
NOTIFICATION = json.dumps(OBJECT).encode()
BROKEN_MESSAGES = {
    "an unknown field": (message(CREATE, b"\xf8\x3f\x01", types.Topic(name=TOPIC)), "has field 1023"),
    "an output-only field": (message(CREATE, types.Topic(name=TOPIC, state=types.Topic.State.ACTIVE)), "message.state is 'ACTIVE': output only"),
    "no such method": (message("/google.pubsub.v1.Publisher/Shout", b""), "Pub/Sub has no method"),
    "a notification without its object": (published({key: one for key, one in NOTIFIED.items() if key != "objectId"}, NOTIFICATION), "'objectId' is a required property"),
    "an event that is none": (published(NOTIFIED | {"eventType": "OBJECT_CREATE"}, NOTIFICATION), "'OBJECT_CREATE' is not one of"),
    "an overwritten generation of a new object": (published(NOTIFIED | {"overwrittenByGeneration": "2"}, NOTIFICATION), "'OBJECT_FINALIZE' is not one of"),
    "a payload that is no object": (published(NOTIFIED, json.dumps(changed(OBJECT, {"size": 5})).encode()), "data.size is 5: not text"),
    "a payload that should not be": (published(NOTIFIED | {"payloadFormat": "NONE"}, NOTIFICATION), "has data, and payloadFormat NONE"),
}  # fmt: skip


@pytest.mark.parametrize("what", BROKEN_MESSAGES)
def test_a_broken_message_is_caught(what: str) -> None:
    line, words = BROKEN_MESSAGES[what]
    assert any(words in one for one in problems(line)), problems(line)


def test_messages_as_pubsub_has_them_are_no_problem() -> None:
    assert problems(published(NOTIFIED | {"custom": "x"}, NOTIFICATION)) == []
    assert problems(published({"anything": "goes"}, b"x")) == []
    assert (
        problems(message(CREATE, types.Topic(name=TOPIC), types.Topic(name=TOPIC, state=types.Topic.State.ACTIVE)))
        == []
    )
    stream = "/google.pubsub.v1.Subscriber/StreamingPull"
    assert problems(message(stream, types.StreamingPullRequest(subscription="projects/p/subscriptions/s"))) == []


def batch(status: str) -> dict[str, Any]:
    """Return a batch of one call, which deletes an object."""
    head = "Content-Type: application/http\r\n\r\n"
    request = f"--b\r\n{head}DELETE /storage/v1/b/bucket/o/a HTTP/1.1\r\n\r\n\r\n--b--\r\n"
    answer = f'--c\r\n{head}{status}\r\nContent-Type: application/json\r\n\r\n{{"error": "no"}}\r\n--c--\r\n'
    line = call("storage", "POST", "/batch/storage/v1", request, answer)
    return line | {"request_type": "multipart/mixed; boundary=b", "answer_type": "multipart/mixed; boundary=c"}


def test_each_call_of_a_batch_is_looked_at() -> None:
    found = list(held.look_at(batch("HTTP/1.1 404 Not Found")))
    assert [one.method for one in found] == ["storage.batch", "storage.objects.delete"]
    assert "'no' is not of type 'object'" in found[1].problems[0]


def test_what_google_gives_up_is_told_and_no_problem() -> None:
    asked = {"contents": [], "generationConfig": {"responseMimeType": "application/json"}}
    (found,) = held.look_at(
        call("vertex", "POST", "/v1beta1/projects/p/locations/l/endpoints/1:generateContent", asked, {})
    )
    assert (found.problems, found.deprecated) == ((), {"body.generationConfig.responseMimeType"})
