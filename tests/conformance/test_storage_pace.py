"""One write a second to one object name, as https://cloud.google.com/storage/quotas says."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from google.api_core import exceptions
from google.cloud.storage import Bucket
from storage_stand_in import StorageProcess

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
    stand_in = StorageProcess(tmp_path / "state", "127.0.0.1:1", limited=True)
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


def test_nothing_is_refused_or_counted_where_it_is_not_switched_on(bucket: Bucket, no_faults: StorageProcess) -> None:
    for number in range(3):
        bucket.blob("o").upload_from_string(str(number), retry=None)
    assert no_faults.admin("GET", f"/writes?prefix={bucket.name}/o") == {"made": {}, "refused": {}}
