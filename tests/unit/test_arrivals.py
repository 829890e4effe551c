from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from genops_events.arrivals import UnreadableNotification, arrival, read_notification

ATTRIBUTES = {
    "eventType": "OBJECT_FINALIZE",
    "bucketId": "bucket",
    "objectId": "training/a b#é.jsonl",
    "objectGeneration": "1700000000000001",
    "eventTime": "2026-11-23T00:00:01.5Z",
    "payloadFormat": "JSON_API_V1",
    "notificationConfig": "projects/_/buckets/bucket/notificationConfigs/1",
}


def test_a_finalized_object_is_read_from_the_attributes():
    notice = read_notification(ATTRIBUTES, json.dumps({"size": "12"}).encode())
    assert notice is not None
    assert notice.payload() == {
        "bucket": "bucket",
        "object": "training/a b#é.jsonl",
        "generation": 1700000000000001,
        "size_bytes": 12,
        "finalized_at": "2026-11-23T00:00:01.500000Z",
    }


@pytest.mark.parametrize("data", [b"", b"no json", b"[]", b'{"size": null}'])
def test_a_payload_that_tells_no_size_loses_nothing_but_the_size(data):
    notice = read_notification(ATTRIBUTES, data)
    assert notice is not None
    assert notice.size_bytes is None


@pytest.mark.parametrize("event", ["OBJECT_DELETE", "OBJECT_METADATA_UPDATE", "OBJECT_ARCHIVE"])
def test_other_events_of_the_bucket_are_no_arrivals(event):
    assert read_notification({**ATTRIBUTES, "eventType": event}, b"") is None


@pytest.mark.parametrize("missing", ["eventType", "bucketId", "objectId", "objectGeneration", "eventTime"])
def test_a_message_without_what_every_notification_has_is_refused_and_not_ignored(missing):
    with pytest.raises(UnreadableNotification):
        read_notification({name: value for name, value in ATTRIBUTES.items() if name != missing}, b"")


def test_the_same_notice_makes_the_same_candidate_whoever_finds_it():
    notice = read_notification(ATTRIBUTES, b"")
    assert notice is not None
    now = datetime(2026, 11, 23, tzinfo=UTC)
    told = arrival(notice, dataset="d", found_by="notification", now=now)
    swept = arrival(notice, dataset="d", found_by="sweep", now=now)
    assert told.candidate == swept.candidate
