from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from genops_events.config import load_config
from genops_events.intake.notifications import UnreadableNotification, arrival, read_notification
from genops_events.reading.object_names import is_temporary

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
    }


@pytest.mark.parametrize("data", [b"", b"no json", b"[]", b'{"size": null}', b'{"size": 1e999}', b"[" * 200_000])
def test_a_payload_that_tells_no_size_loses_nothing_but_the_size(data):
    notice = read_notification(ATTRIBUTES, data)
    assert notice is not None
    assert notice.size_bytes is None


@pytest.mark.parametrize("event", ["OBJECT_DELETE", "OBJECT_METADATA_UPDATE", "OBJECT_ARCHIVE"])
def test_other_events_of_the_bucket_are_no_arrivals(event):
    assert read_notification({**ATTRIBUTES, "eventType": event}, b"") is None


@pytest.mark.parametrize("missing", ["eventType", "bucketId", "objectId", "objectGeneration"])
def test_a_message_without_what_every_notification_has_is_refused_and_not_ignored(missing):
    with pytest.raises(UnreadableNotification):
        read_notification({name: value for name, value in ATTRIBUTES.items() if name != missing}, b"")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("objectGeneration", "12x"),
        ("objectGeneration", "-1"),
        ("objectGeneration", "0"),
        ("objectGeneration", "1" * 30),
        ("objectGeneration", str(2**63)),
        ("objectGeneration", "1" * 5000),
        ("bucketId", ""),
        ("bucketId", "../other"),
        ("bucketId", "Upper"),
        ("objectId", ""),
        ("objectId", ".."),
        ("objectId", "training/a\nb.jsonl"),
        ("objectId", "training/a\0b.jsonl"),
        ("objectId", "training/" + "ü" * 600),
        ("objectId", "training/\ud800.jsonl"),
    ],
)
def test_an_attribute_that_is_wrong_is_named(name, value):
    with pytest.raises(UnreadableNotification, match="missing or wrong"):
        read_notification({**ATTRIBUTES, name: value}, b"")


@pytest.mark.parametrize(
    "size", ['"9223372036854775808"', "1" + "0" * 30, '"-1"', "-1", '"' + "9" * 5000 + '"', "9" * 5000]
)
def test_a_size_that_no_object_has_is_refused_with_its_reason(size):
    with pytest.raises(UnreadableNotification, match="size_bytes missing or wrong"):
        read_notification(ATTRIBUTES, f'{{"size": {size}}}'.encode())


def test_the_largest_figures_of_64_bits_are_read():
    notice = read_notification(
        {**ATTRIBUTES, "objectGeneration": str(2**63 - 1)}, f'{{"size": "{2**63 - 1}"}}'.encode()
    )
    assert notice is not None
    assert (notice.generation, notice.size_bytes) == (2**63 - 1, 2**63 - 1)


@pytest.mark.parametrize("time", ["", "yesterday", "9999-12-31T23:59:59-01:00"])
def test_the_time_that_a_message_tells_is_not_believed_and_so_never_wrong(time):
    assert read_notification({**ATTRIBUTES, "eventTime": time}, b"") == read_notification(ATTRIBUTES, b"")


def test_attributes_that_nobody_expects_change_nothing():
    assert read_notification({**ATTRIBUTES, "more": "1"}, b"") == read_notification(ATTRIBUTES, b"")


DIGEST = "kPXb7dYz0Q-_3nVqWl5sTg"


@pytest.mark.parametrize(
    "name",
    [
        "gcloud/tmp/parallel_composite_uploads/see_gcloud_storage_cp_help_for_details/123_part",
        "parts/4067301142_8843d7f92416211de9ebb963ff4ce28125932878_3",
        "4067301142/gsutil/tmp/parallel_composite_uploads/for_details_see/gsutil_help_cp/8843d7f9",
        "gcs-go-sdk-pu-tmp/part-1",
        f"{DIGEST};{DIGEST};0001.part",
        f"train.jsonl/{DIGEST};{DIGEST};0001-0032.part",
        "_GCS_SYNCABLE_TEMPFILE_train.jsonl.1.7c9e",
        "_temporary/0/_temporary/attempt_202611230000_0001_m_000000_0/part-00000.json",
        ".spark-staging-5f0c/day=1/part-00000.json",
        "train.jsonl._COPYING_",
        ".distcp.tmp.attempt_local1_0001_m_000000_0.1700000000000",
        ".temp-beam-2026-11-23_00-00-01-1/5a.json",
        ".gcsfuse_tmp/8f2e",
        "train.jsonl.vipolod4.partial",
    ],
)
def test_what_an_upload_tool_makes_for_its_own_use_is_temporary_wherever_it_lies(name):
    assert is_temporary(name)
    config = load_config(Path(__file__).resolve().parents[3] / "examples" / "genops.yaml")
    prefix = config.datasets["banking77"].prefix
    assert config.dataset_for(prefix + name) is None
    assert config.dataset_for(f"{prefix}train.jsonl") is not None


@pytest.mark.parametrize(
    "name",
    [
        "train.jsonl",
        "part-00000-8843d7f9.json",
        "tmp/train.jsonl",
        "train.tmp",
        "train.part",
        "train.partial",
        "my.notes.partial",
        ".hidden.jsonl",
        "_train.jsonl",
        "temporary/train.jsonl",
        "my_temporary/train.jsonl",
        "a;b;0001.part",
        "2026_8843d7f92416211de9ebb963ff4ce28125932878.jsonl",
        "gcloud/train.jsonl",
        "gsutil/tmp/train.jsonl",
        "COPYING",
    ],
)
def test_a_name_that_a_person_may_give_is_not_temporary(name):
    assert not is_temporary(name)
    assert not is_temporary(f"training/banking77/{name}")


def test_the_same_notice_makes_the_same_candidate_whoever_finds_it():
    notice = read_notification(ATTRIBUTES, b"")
    assert notice is not None
    now = datetime(2026, 11, 23, tzinfo=UTC)
    told = arrival(notice, dataset="d", found_by="notification", now=now)
    swept = arrival(notice, dataset="d", found_by="sweep", now=now)
    assert told.candidate == swept.candidate
