"""Notifications: what Cloud Storage tells a topic, and that it tells it whatever dies in between."""

from __future__ import annotations

import json
from datetime import datetime
from http.client import HTTPConnection

import pytest
from google.api_core import exceptions
from google.cloud.storage import Bucket, Client
from google.pubsub_v1.types import PubsubMessage
from storage_stand_in import PROJECT, StorageProcess, TopicRecorder, until
from waiting import HANG_SECONDS


@pytest.fixture
def watched(bucket: Bucket) -> Bucket:
    bucket.notification("arrivals", payload_format="JSON_API_V1").create()
    return bucket


def received(recorder: TopicRecorder, bucket: Bucket, count: int) -> list[PubsubMessage]:
    return until(lambda: len(found := recorder.of(bucket.name)) >= count and found)


def test_a_finalized_object_is_announced_with_its_resource(watched: Bucket, topic_recorder: TopicRecorder) -> None:
    blob = watched.blob("train/ünï code.jsonl")
    blob.metadata = {"k": "v"}
    blob.upload_from_string("{}", content_type="application/json")
    (message,) = received(topic_recorder, watched, 1)
    attributes = dict(message.attributes)
    assert datetime.fromisoformat(attributes.pop("eventTime")).tzinfo is not None
    assert attributes == {
        "eventType": "OBJECT_FINALIZE",
        "bucketId": watched.name,
        "objectId": "train/ünï code.jsonl",
        "objectGeneration": str(blob.generation),
        "payloadFormat": "JSON_API_V1",
        "notificationConfig": f"projects/_/buckets/{watched.name}/notificationConfigs/1",
    }
    payload = json.loads(message.data)
    assert payload == blob._properties
    assert message.ordering_key == ""


def test_every_kind_of_change_is_announced(watched: Bucket, topic_recorder: TopicRecorder) -> None:
    first = watched.blob("o")
    first.upload_from_string("1")
    second = watched.blob("o")
    second.upload_from_string("2")
    second.metadata = {"a": "1"}
    second.patch()
    second.delete()
    told = [
        (
            one.attributes["eventType"],
            int(one.attributes["objectGeneration"]),
            one.attributes.get("overwroteGeneration"),
            one.attributes.get("overwrittenByGeneration"),
        )
        for one in received(topic_recorder, watched, 5)
    ]
    assert told == [
        ("OBJECT_FINALIZE", first.generation, None, None),
        ("OBJECT_FINALIZE", second.generation, str(first.generation), None),
        ("OBJECT_DELETE", first.generation, None, str(second.generation)),
        ("OBJECT_METADATA_UPDATE", second.generation, None, None),
        ("OBJECT_DELETE", second.generation, None, None),
    ]


def test_a_versioned_bucket_archives(watched: Bucket, topic_recorder: TopicRecorder) -> None:
    watched.versioning_enabled = True
    watched.patch()
    watched.blob("o").upload_from_string("1")
    watched.blob("o").upload_from_string("2")
    watched.blob("o").delete()
    told = [one.attributes["eventType"] for one in received(topic_recorder, watched, 4)]
    assert told == ["OBJECT_FINALIZE", "OBJECT_FINALIZE", "OBJECT_ARCHIVE", "OBJECT_ARCHIVE"]


def test_copies_and_compositions_are_finalized_too(watched: Bucket, topic_recorder: TopicRecorder) -> None:
    source = watched.blob("source")
    source.upload_from_string("x")
    watched.copy_blob(source, watched, "copy")
    watched.blob("rewritten").rewrite(source)
    watched.blob("composed").compose([source, source])
    watched.blob("chunked", chunk_size=256 * 1024).upload_from_string("y")
    told = [(one.attributes["eventType"], one.attributes["objectId"]) for one in received(topic_recorder, watched, 5)]
    assert told == [("OBJECT_FINALIZE", name) for name in ("source", "copy", "rewritten", "composed", "chunked")]


def test_filters_custom_attributes_and_format_are_kept(bucket: Bucket, topic_recorder: TopicRecorder) -> None:
    created = bucket.notification(
        "arrivals",
        custom_attributes={"team": "a"},
        event_types=["OBJECT_FINALIZE"],
        blob_name_prefix="train/",
        payload_format="NONE",
    )
    created.create()
    bucket.blob("other/x").upload_from_string("x")
    bucket.blob("train/x").upload_from_string("x")
    bucket.blob("train/x").delete()
    bucket.blob("train/last").upload_from_string("x")
    messages = received(topic_recorder, bucket, 2)
    assert [one.attributes["objectId"] for one in messages] == ["train/x", "train/last"]
    assert {one.attributes["team"] for one in messages} == {"a"}
    assert {one.data for one in messages} == {b""}


def test_configurations_are_created_listed_read_and_deleted(bucket: Bucket) -> None:
    first = bucket.notification("arrivals", payload_format="JSON_API_V1", blob_name_prefix="a/")
    first.create()
    second = bucket.notification("arrivals", payload_format="NONE")
    second.create()
    listed = list(bucket.list_notifications())
    assert [one.notification_id for one in listed] == [first.notification_id, second.notification_id] == ["1", "2"]
    assert (listed[0].topic_name, listed[0].topic_project, listed[0].blob_name_prefix) == ("arrivals", PROJECT, "a/")
    assert bucket.get_notification("1").payload_format == "JSON_API_V1"
    first.delete()
    assert not first.exists()
    with pytest.raises(exceptions.NotFound):
        bucket.get_notification("1")
    third = bucket.notification("arrivals", payload_format="NONE")
    third.create()
    assert third.notification_id == "3"


def test_a_topic_that_is_not_there_is_refused(client: Client, bucket: Bucket) -> None:
    with pytest.raises(exceptions.BadRequest, match="projects/test-project/topics/missing not found"):
        bucket.notification("missing", payload_format="NONE").create()
    assert client.get_service_account_email().endswith(".iam.gserviceaccount.com")


def test_faults_drop_repeat_and_delay(
    watched: Bucket, topic_recorder: TopicRecorder, no_faults: StorageProcess
) -> None:
    no_faults.admin("PUT", "/faults", {"delay_notifications_seconds": 60})
    watched.blob("delayed").upload_from_string("x")
    assert topic_recorder.of(watched.name) == []
    no_faults.admin("PUT", "/faults", {"duplicate_notifications": 1})
    assert [one.attributes["objectId"] for one in received(topic_recorder, watched, 2)] == ["delayed"] * 2
    no_faults.admin("PUT", "/faults", {"drop_notifications": 1})
    watched.blob("dropped").upload_from_string("x")
    until(lambda: not _outbox(no_faults))
    no_faults.admin("DELETE", "/faults")
    watched.blob("last").upload_from_string("x")
    assert [one.attributes["objectId"] for one in received(topic_recorder, watched, 3)] == [
        "delayed",
        "delayed",
        "last",
    ]


def _outbox(running: StorageProcess) -> bool:
    return running.admin("GET", "/outbox")["waiting"] > 0


def test_a_notification_is_made_as_soon_as_pubsub_answers_though_it_was_away_a_moment_before(
    own_process: StorageProcess, own_recorder: TopicRecorder
) -> None:
    client = own_process.client()
    bucket = client.create_bucket("waits")
    bucket.notification("arrivals", payload_format="JSON_API_V1").create()
    own_recorder.stop()
    # So the stand-in knows that it has lost Pub/Sub, before it is asked for another notification.
    bucket.blob("while-away").upload_from_string("x")
    until(lambda: _outbox(own_process))
    call = HTTPConnection("127.0.0.1", own_process.port, timeout=HANG_SECONDS)
    about = {"topic": f"//pubsub.googleapis.com/projects/{PROJECT}/topics/arrivals", "payload_format": "NONE"}
    call.request(
        "POST", "/storage/v1/b/waits/notificationConfigs", json.dumps(about), {"Content-Type": "application/json"}
    )
    assert bucket.exists()  # requests are taken in the order in which they come: it asks by now
    own_recorder.start()
    answer = call.getresponse()
    assert (answer.status, json.load(answer)["payload_format"]) == (200, "NONE")
    call.close()
    client.close()


def test_accepted_uploads_are_announced_though_both_sides_die(
    own_process: StorageProcess, own_recorder: TopicRecorder
) -> None:
    client = own_process.client()
    bucket = client.create_bucket("outbox")
    bucket.notification("arrivals", payload_format="JSON_API_V1").create()
    bucket.blob("before").upload_from_string("x")
    until(lambda: own_recorder.of("outbox", "before"))
    own_recorder.stop()
    for number in range(20):
        bucket.blob(f"while-away-{number:02}").upload_from_string("x")
    own_process.kill()
    own_process.start()
    bucket.blob("after-restart").upload_from_string("x")
    own_recorder.start()
    names = ["before", *(f"while-away-{number:02}" for number in range(20)), "after-restart"]
    until(lambda: {one.attributes["objectId"] for one in own_recorder.of("outbox")} == set(names))
    assert [one.topic_name for one in bucket.list_notifications()] == ["arrivals"]
    client.close()
    assert own_process.stop() == 0
