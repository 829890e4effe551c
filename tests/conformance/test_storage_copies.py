"""Copy, rewrite, move, compose and batch."""

from __future__ import annotations

import uuid

import pytest
from google.api_core import exceptions
from google.cloud.storage import Bucket, Client
from storage_stand_in import rest


def test_a_copy_has_the_bytes_and_metadata_of_its_source(client: Client, bucket: Bucket) -> None:
    source = bucket.blob("dir/source name")
    source.metadata = {"a": "1"}
    source.upload_from_string("body", content_type="text/x")
    other = client.create_bucket(f"other-{uuid.uuid4().hex[:12]}")
    copied = bucket.copy_blob(source, other, "dir/köpy")
    assert (copied.metadata, copied.content_type, copied.md5_hash) == ({"a": "1"}, "text/x", source.md5_hash)
    source.delete()
    assert other.blob("dir/köpy").download_as_text() == "body"


def test_a_rewrite_is_done_at_once_and_may_set_metadata(bucket: Bucket) -> None:
    source = bucket.blob("source")
    source.metadata = {"a": "1"}
    source.upload_from_string("body", content_type="text/x")
    same = bucket.blob("same")
    assert same.rewrite(source) == (None, 4, 4)
    assert same.metadata == {"a": "1"}
    new = bucket.blob("new")
    new.metadata = {"b": "2"}
    new.rewrite(source)
    assert (new.metadata, new.content_type) == ({"b": "2"}, "text/x")
    rest()
    source.update_storage_class("NEARLINE")
    assert bucket.get_blob("source").storage_class == "NEARLINE"


def test_a_rewrite_onto_itself_keeps_the_bytes(bucket: Bucket) -> None:
    blob = bucket.blob("self")
    blob.upload_from_string("body")
    first = blob.generation
    blob.rewrite(bucket.blob("self"), if_generation_match=first)  # what has a condition is repeated by the client
    assert blob.generation > first
    assert bucket.blob("self").download_as_text() == "body"


def test_a_move_leaves_nothing_behind(bucket: Bucket) -> None:
    blob = bucket.blob("old")
    blob.upload_from_string("body")
    moved = bucket.move_blob(blob, "dir/new", if_generation_match=0)
    assert moved.name == "dir/new"
    assert [one.name for one in bucket.list_blobs()] == ["dir/new"]
    assert bucket.blob("dir/new").download_as_text() == "body"
    bucket.rename_blob(moved, "renamed")
    assert [one.name for one in bucket.list_blobs()] == ["renamed"]


def test_compose_joins_in_order(bucket: Bucket) -> None:
    parts = []
    for number in range(32):
        part = bucket.blob(f"part-{number}")
        part.upload_from_string(f"{number},", content_type="text/csv")
        parts.append(part)
    whole = bucket.blob("whole")
    whole.content_type = "text/plain"
    whole.compose(parts)
    assert (whole.component_count, whole.content_type, whole.md5_hash) == (32, "text/plain", None)
    assert whole.download_as_text() == "".join(f"{number}," for number in range(32))
    whole.compose([whole, parts[0]], if_generation_match=whole.generation)
    assert bucket.get_blob("whole").component_count == 33
    with pytest.raises(exceptions.BadRequest, match="32"):
        whole.compose([*parts, parts[0]])
    with pytest.raises(exceptions.NotFound):
        whole.compose([bucket.blob("missing")])


def test_a_batch_does_many_calls_in_one(client: Client, bucket: Bucket) -> None:
    names = [f"dir/ö {number}?#" for number in range(20)]
    for name in names:
        bucket.blob(name).upload_from_string("x")
    rest()
    with client.batch():
        for name in names[:10]:
            blob = bucket.blob(name)
            blob.metadata = {"batch": "ja ü"}
            blob.patch()
        for name in names[10:]:
            bucket.blob(name).delete()
    found = list(bucket.list_blobs())
    assert [one.name for one in found] == names[:10]
    assert all(one.metadata == {"batch": "ja ü"} for one in found)


def test_a_failed_call_of_a_batch_does_not_stop_the_others(client: Client, bucket: Bucket) -> None:
    bucket.blob("there").upload_from_string("x")
    bucket.blob("kept").upload_from_string("x")
    rest()
    with client.batch(raise_exception=False) as batch:
        bucket.blob("missing").delete()
        bucket.blob("kept").delete(if_generation_match=1)
        bucket.blob("there").delete()
    assert [one.status_code for one in batch._responses] == [404, 412, 204]
    assert [one.name for one in bucket.list_blobs()] == ["kept"]
    with pytest.raises(exceptions.NotFound), client.batch():
        bucket.blob("missing").delete()
