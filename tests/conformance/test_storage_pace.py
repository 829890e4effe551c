"""One change a second of one object name and of one bucket: as https://cloud.google.com/storage/quotas says (read 2026-12-01)."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from google.api_core import exceptions
from google.cloud.storage import Bucket
from google.cloud.storage.exceptions import InvalidResponse
from storage_stand_in import PROJECT, StorageProcess

LONG = {"object_write_seconds": 3600}
MANY = 20


def write(bucket: Bucket) -> None:
    bucket.blob("o").upload_from_string(b"later", retry=None)


def change(bucket: Bucket) -> None:
    blob = bucket.blob("o")
    blob.metadata = {"colour": "red"}
    blob.patch(retry=None)


def remove(bucket: Bucket) -> None:
    bucket.blob("o").delete(retry=None)


def copy(bucket: Bucket) -> None:
    bucket.copy_blob(bucket.blob("other"), bucket, "o", retry=None)


def compose(bucket: Bucket) -> None:
    bucket.blob("o").compose([bucket.blob("other")], retry=None)


@pytest.mark.parametrize("again", [write, change, remove, copy, compose])
def test_a_second_change_of_a_name_that_comes_too_soon_is_refused_and_changes_nothing(
    bucket: Bucket, no_faults: StorageProcess, again: Callable[[Bucket], None]
) -> None:
    bucket.blob("other").upload_from_string(b"theirs")
    no_faults.admin("PUT", "/faults", LONG)
    no_faults.admin("DELETE", "/writes")
    bucket.blob("o").upload_from_string(b"first", if_generation_match=0)
    with pytest.raises(exceptions.TooManyRequests, match="exceeded the rate limit for object mutation") as refused:
        again(bucket)
    assert refused.value.response.json()["error"]["errors"][0]["reason"] == "rateLimitExceeded"
    blob = bucket.get_blob("o")
    assert (blob.download_as_bytes(), blob.metadata) == (b"first", None)
    name = f"{bucket.name}/o"
    assert no_faults.admin("GET", f"/writes?prefix={name}") == {"made": {name: 1}, "refused": {name: 1}}


def test_other_names_and_conditions_that_do_not_hold_are_no_writes_of_it(
    bucket: Bucket, no_faults: StorageProcess
) -> None:
    no_faults.admin("PUT", "/faults", LONG)
    for name in ("a", "b", "c"):
        bucket.blob(name).upload_from_string(b"first")
    with pytest.raises(exceptions.PreconditionFailed):
        bucket.blob("a").upload_from_string(b"second", if_generation_match=0, retry=None)


def test_once_the_time_is_over_the_name_may_be_written_again(bucket: Bucket, no_faults: StorageProcess) -> None:
    no_faults.admin("PUT", "/faults", {"object_write_seconds": 0.5})
    bucket.blob("o").upload_from_string(b"first")
    bucket.blob("o").upload_from_string(b"second")  # the client's own retry waits it out
    assert bucket.blob("o").download_as_bytes() == b"second"


def test_the_limit_is_in_force_unless_somebody_switches_it_off(tmp_path: Path) -> None:
    stand_in = StorageProcess(tmp_path / "state", "127.0.0.1:1")
    stand_in.start()
    try:
        client = stand_in.client()
        blob = client.create_bucket("some-bucket").blob("o")
        while not (counts := stand_in.admin("GET", "/writes"))["refused"]:
            assert sum(counts["made"].values()) < MANY, "so many writes of one name are never a second apart each"
            with suppress(exceptions.TooManyRequests):
                blob.upload_from_string(b"again", retry=None)
        client.close()
    finally:
        stand_in.kill()


def test_a_second_update_of_a_bucket_that_comes_too_soon_is_refused(bucket: Bucket, no_faults: StorageProcess) -> None:
    no_faults.admin("PUT", "/faults", {"bucket_update_seconds": 3600})
    bucket.labels = {"a": "1"}
    bucket.patch()
    bucket.labels = {"a": "2"}
    with pytest.raises(exceptions.TooManyRequests, match="exceeded the rate limit for bucket metadata"):
        bucket.patch(retry=None)
    bucket.blob("o").upload_from_string(b"an object is no metadata of its bucket")
    no_faults.admin("PUT", "/faults", {"bucket_update_seconds": 0.0})
    bucket.reload()
    assert bucket.labels == {"a": "1"}
    bucket.labels = {"a": "3"}
    bucket.patch(retry=None)


def test_a_resumable_upload_whose_last_part_comes_too_soon_has_to_begin_anew(
    bucket: Bucket, no_faults: StorageProcess
) -> None:
    no_faults.admin("PUT", "/faults", LONG)
    bucket.blob("o").upload_from_string(b"first")
    later = bucket.blob("o", chunk_size=256 * 1024).open("wb")
    try:
        later.write(b"x" * 300_000)
        with pytest.raises(InvalidResponse) as refused:
            later.close()
    finally:
        later.terminate()
    assert refused.value.response.status_code == 410
    assert "exceeded the rate limit" in refused.value.response.text
    assert bucket.blob("o").download_as_bytes() == b"first"


def test_nothing_is_refused_or_counted_where_the_limit_is_switched_off(
    bucket: Bucket, no_faults: StorageProcess
) -> None:
    no_faults.admin("PUT", "/faults", {"object_write_seconds": 0})
    for number in range(3):
        bucket.blob("o").upload_from_string(str(number), retry=None)
    assert no_faults.admin("GET", f"/writes?prefix={bucket.name}/o") == {"made": {}, "refused": {}}


def test_all_metadata_of_an_object_is_at_most_8_kib(bucket: Bucket) -> None:
    blob = bucket.blob("o")
    blob.metadata = {"k": "é" * 2047}  # 4,095 bytes
    blob.upload_from_string(b"x")
    other = bucket.blob("too-much")
    other.metadata = {"k": "v" * 8192}
    with pytest.raises(exceptions.BadRequest, match="8193 bytes"):
        other.upload_from_string(b"x")


def test_what_a_patch_adds_counts_with_the_metadata_that_is_there(bucket: Bucket, no_faults: StorageProcess) -> None:
    no_faults.admin("PUT", "/faults", {"object_write_seconds": 0})
    blob = bucket.blob("o")
    blob.metadata = {"k": "v" * 4095}
    blob.upload_from_string(b"x")
    blob.metadata = {"l": "v" * 4096}
    with pytest.raises(exceptions.BadRequest, match="8193 bytes"):
        blob.patch()
    blob.metadata = {"l": "v" * 4095}
    blob.patch()


@pytest.mark.parametrize("name", [".", "..", "a\nb", "a\rb", "é" * 512 + "x"])
def test_names_that_cloud_storage_does_not_take_are_refused(bucket: Bucket, name: str) -> None:
    with pytest.raises(exceptions.BadRequest):
        bucket.blob(name).upload_from_string(b"x", retry=None)


def test_a_name_of_1024_bytes_is_taken(bucket: Bucket) -> None:
    bucket.blob("é" * 512).upload_from_string(b"x")
    assert bucket.get_blob("é" * 512) is not None


def test_a_bucket_has_at_most_100_notification_configurations(bucket: Bucket) -> None:
    for number in range(100):
        bucket.notification("arrivals", topic_project=PROJECT, blob_name_prefix=f"{number:02}/").create()
    with pytest.raises(exceptions.BadRequest, match="100 notification configurations"):
        bucket.notification("arrivals", topic_project=PROJECT, blob_name_prefix="more/").create()


def test_one_event_is_told_by_at_most_ten_notification_configurations(bucket: Bucket) -> None:
    for number in range(10):
        bucket.notification("arrivals", topic_project=PROJECT, blob_name_prefix="a/" * number).create()
    with pytest.raises(exceptions.BadRequest, match="overlapping"):
        bucket.notification("arrivals", topic_project=PROJECT).create()
    bucket.notification("arrivals", topic_project=PROJECT, blob_name_prefix="b/").create()


def test_a_notification_configuration_has_at_most_ten_attributes(bucket: Bucket) -> None:
    attributes = {f"a{number}": "x" for number in range(11)}
    with pytest.raises(exceptions.BadRequest, match="at most 10"):
        bucket.notification("arrivals", topic_project=PROJECT, custom_attributes=attributes).create()
