"""Preconditions hold on every verb, reads too, and among writers that race."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Barrier

import pytest
from google.api_core import exceptions
from google.cloud.storage import Blob, Bucket, Client
from google.cloud.storage.exceptions import InvalidResponse
from storage_stand_in import StorageProcess, rest


def _patched(blob: Blob) -> Blob:
    blob.metadata = {"patched": "yes"}
    return blob


def _resumable(blob: Blob, **conditions: int) -> None:
    blob.chunk_size = 256 * 1024
    file = blob.open("wb", **conditions)
    try:
        file.write(b"x" * 300_000)
        file.close()
    finally:
        file.terminate()  # one that was refused is open: its finalizer would try again, whenever that runs


CHANGES: dict[str, Callable[..., object]] = {
    "upload": lambda blob, **conditions: blob.upload_from_string("new", **conditions),
    "resumable": _resumable,
    "patch": lambda blob, **conditions: _patched(blob).patch(**conditions),
    "update": lambda blob, **conditions: _patched(blob).update(**conditions),
    "rewrite": lambda blob, **conditions: blob.rewrite(blob.bucket.blob("source"), **conditions),
    "copy": lambda blob, **conditions: blob.bucket.copy_blob(
        blob.bucket.blob("source"), blob.bucket, blob.name, **conditions
    ),
    "delete": lambda blob, **conditions: blob.delete(**conditions),
}
READS: dict[str, Callable[..., object]] = {
    "metadata": lambda blob, **conditions: blob.reload(**conditions),
    "download": lambda blob, **conditions: blob.download_as_bytes(**conditions),
}


@contextmanager
def refused() -> Iterator[None]:
    """Expect a 412; the client's file objects raise an error of their own for it."""
    with pytest.raises((exceptions.PreconditionFailed, InvalidResponse)) as caught:
        yield
    assert caught.value.response.status_code == 412


@pytest.fixture
def existing(bucket: Bucket) -> Blob:
    bucket.blob("source").upload_from_string("source")
    blob = bucket.blob("existing")
    blob.upload_from_string("first")
    return blob


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_of_another_generation_than_expected_is_412(existing: Blob, change: str) -> None:
    generation = existing.generation
    wrong = [
        {"if_generation_match": generation - 1},
        {"if_generation_not_match": generation},
        {"if_metageneration_match": 2},
        {"if_metageneration_not_match": 1},
    ]
    for conditions in wrong:
        with refused():
            CHANGES[change](existing.bucket.blob("existing"), **conditions)
    found = existing.bucket.get_blob("existing")
    assert found is not None
    assert (found.generation, found.metageneration) == (generation, 1)


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_of_the_expected_generation_is_applied(existing: Blob, change: str) -> None:
    conditions = {"if_generation_match": existing.generation, "if_metageneration_match": 1}
    rest()
    CHANGES[change](existing.bucket.blob("existing"), **conditions)
    found = existing.bucket.get_blob("existing")
    assert found is None or (found.generation, found.metageneration) != (existing.generation, 1)


@pytest.mark.parametrize("change", ["upload", "resumable", "rewrite", "copy"])
def test_generation_zero_means_there_must_be_none(existing: Blob, change: str) -> None:
    with refused():
        CHANGES[change](existing.bucket.blob("existing"), if_generation_match=0)
    CHANGES[change](existing.bucket.blob("fresh"), if_generation_match=0)
    with refused():
        CHANGES[change](existing.bucket.blob("missing"), if_generation_match=existing.generation)
    assert existing.bucket.get_blob("fresh") is not None
    assert existing.bucket.get_blob("missing") is None


@pytest.mark.parametrize("read", READS)
def test_a_read_of_another_generation_is_412_and_of_the_known_one_304(existing: Blob, read: str) -> None:
    generation = existing.generation
    reading = READS[read]
    blob = existing.bucket.blob("existing")
    reading(blob, if_generation_match=generation, if_metageneration_match=1)
    reading(blob, if_generation_not_match=generation - 1, if_metageneration_not_match=2)
    etag = existing.bucket.get_blob("existing").etag
    reading(existing.bucket.blob("existing"), if_etag_match=etag)
    for conditions in ({"if_generation_match": 5}, {"if_metageneration_match": 5}, {"if_etag_match": "other"}):
        with refused():
            reading(existing.bucket.blob("existing"), **conditions)
    known = ({"if_generation_not_match": generation}, {"if_metageneration_not_match": 1}, {"if_etag_not_match": etag})
    for conditions in known:
        with pytest.raises(exceptions.NotModified):
            reading(existing.bucket.blob("existing"), **conditions)


def test_a_copy_of_another_source_than_expected_is_412(existing: Blob) -> None:
    source = existing.bucket.get_blob("source")
    assert source is not None
    target = existing.bucket.blob("target")
    with refused():
        target.rewrite(source, if_source_generation_match=source.generation + 1)
    with refused():
        existing.bucket.copy_blob(source, existing.bucket, "target", if_source_metageneration_match=9)
    with refused():
        target.compose([source], if_source_generation_match=[source.generation + 1])
    with refused():
        existing.compose([source], if_generation_match=0)
    assert existing.bucket.get_blob("target") is None
    target.compose([source], if_source_generation_match=[source.generation], if_generation_match=0)


def test_bucket_changes_take_a_metageneration(client: Client, bucket: Bucket) -> None:
    bucket.labels = {"a": "1"}
    with refused():
        bucket.patch(if_metageneration_match=7)
    bucket.patch(if_metageneration_match=1)
    assert bucket.metageneration == 2
    with refused():
        bucket.delete(if_metageneration_match=1)
    with pytest.raises(exceptions.NotModified):
        client.get_bucket(bucket.name, if_metageneration_not_match=2)
    with refused():
        client.get_bucket(bucket.name, if_metageneration_match=1)


def test_of_eight_racing_creators_one_wins(storage_process: StorageProcess, bucket: Bucket) -> None:
    writers = 8
    clients = [storage_process.client() for _ in range(writers)]
    together = Barrier(writers)

    def create(number: int, name: str) -> int | None:
        own = clients[number].bucket(bucket.name).blob(name)
        together.wait()
        try:
            own.upload_from_string(str(number), if_generation_match=0)
        except exceptions.PreconditionFailed:
            return None
        return number

    with ThreadPoolExecutor(writers) as threads:
        for race in range(10):
            name = f"race-{race}"
            winners = [one for one in threads.map(create, range(writers), [name] * writers) if one is not None]
            assert len(winners) == 1
            assert bucket.blob(name).download_as_text() == str(winners[0])
    for one in clients:
        one.close()


def test_racing_counters_lose_no_update(storage_process: StorageProcess, bucket: Bucket) -> None:
    bucket.blob("counter").upload_from_string("0")

    def add(times: int) -> None:
        own_client = storage_process.client()
        for _ in range(times):
            while True:
                blob = own_client.bucket(bucket.name).get_blob("counter")
                assert blob is not None
                try:
                    value = int(blob.download_as_text(if_generation_match=blob.generation))
                    blob.upload_from_string(str(value + 1), if_generation_match=blob.generation)
                    break
                # The generation that was read may be overwritten, and so be gone, before its bytes are read.
                except (exceptions.PreconditionFailed, exceptions.NotFound):
                    continue
        own_client.close()

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(add, [10] * 4))
    assert bucket.blob("counter").download_as_text() == "40"
