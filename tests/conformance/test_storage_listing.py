"""Listing: pages, prefixes, delimiters, offsets, globs and versions, in order; and buckets."""

from __future__ import annotations

import uuid

import pytest
from google.api_core import exceptions
from google.cloud.storage import Bucket, Client
from storage_stand_in import rest

NAMES = ["a.txt", "a/1.csv", "a/2.txt", "a/b/3.csv", "a/b/4.txt", "b/5.csv", "c.csv", "ö/6.txt", "日/7.txt", "🙂"]


@pytest.fixture
def filled(bucket: Bucket) -> Bucket:
    for name in reversed(NAMES):
        bucket.blob(name).upload_from_string(name)
    return bucket


def names(bucket: Bucket, **wanted: object) -> list[str]:
    return [one.name for one in bucket.list_blobs(**wanted)]


def test_all_names_come_in_utf8_order(filled: Bucket) -> None:
    assert names(filled) == sorted(NAMES, key=str.encode) == NAMES


@pytest.mark.parametrize("page_size", [1, 2, 3, 7, 10, 11])
def test_pages_of_any_size_hold_every_name_once(filled: Bucket, page_size: int) -> None:
    pages = [[one.name for one in page] for page in filled.list_blobs(page_size=page_size).pages]
    assert [name for page in pages for name in page] == NAMES
    assert all(len(page) == page_size for page in pages[:-1])


@pytest.mark.parametrize("page_size", [1, 2, 5, 100])
def test_a_delimiter_rolls_names_up_across_pages(filled: Bucket, page_size: int) -> None:
    listing = filled.list_blobs(delimiter="/", page_size=page_size)
    assert [one.name for one in listing] == ["a.txt", "c.csv", "🙂"]
    assert listing.prefixes == {"a/", "b/", "ö/", "日/"}
    inner = filled.list_blobs(prefix="a/", delimiter="/", page_size=page_size)
    assert [one.name for one in inner] == ["a/1.csv", "a/2.txt"]
    assert inner.prefixes == {"a/b/"}


def test_a_prefix_may_also_be_an_item(bucket: Bucket) -> None:
    for name in ("dir/", "dir/x", "dir2/y"):
        bucket.blob(name).upload_from_string("")
    plain = bucket.list_blobs(delimiter="/")
    assert ([one.name for one in plain], plain.prefixes) == ([], {"dir/", "dir2/"})
    both = bucket.list_blobs(delimiter="/", include_trailing_delimiter=True, page_size=1)
    assert ([one.name for one in both], both.prefixes) == (["dir/"], {"dir/", "dir2/"})


def test_offsets_begin_inclusive_and_end_exclusive(filled: Bucket) -> None:
    assert names(filled, start_offset="a/2.txt", end_offset="c.csv") == ["a/2.txt", "a/b/3.csv", "a/b/4.txt", "b/5.csv"]
    assert names(filled, prefix="a/", start_offset="a/b") == ["a/b/3.csv", "a/b/4.txt"]
    assert names(filled, prefix="zz") == []
    assert names(filled, max_results=3) == NAMES[:3]


@pytest.mark.parametrize(
    ("glob", "expected"),
    [
        ("*.csv", ["c.csv"]),
        ("**.csv", ["a/1.csv", "a/b/3.csv", "b/5.csv", "c.csv"]),
        ("a/*", ["a/1.csv", "a/2.txt"]),
        ("a/**/*.txt", ["a/b/4.txt"]),
        ("?/[15].csv", ["a/1.csv", "b/5.csv"]),
        ("?/[!1-4].csv", ["b/5.csv"]),
        ("{a,ö}/?.{txt,csv}", ["a/1.csv", "a/2.txt", "ö/6.txt"]),
    ],
)
def test_a_glob_selects_names(filled: Bucket, glob: str, expected: list[str]) -> None:
    assert names(filled, match_glob=glob) == expected


def test_only_the_fields_asked_for_come(filled: Bucket) -> None:
    first = next(iter(filled.list_blobs(fields="items(name,size),nextPageToken")))
    assert set(first._properties) == {"name", "size"}


def test_what_a_listing_cannot_do_is_501(filled: Bucket) -> None:
    with pytest.raises(exceptions.MethodNotImplemented, match="softDeleted"):
        names(filled, soft_deleted=True)


def test_a_versioned_bucket_keeps_every_generation(bucket: Bucket) -> None:
    bucket.versioning_enabled = True
    bucket.patch()
    generations = []
    for text in ("one", "two", "three"):
        blob = bucket.blob("v")
        blob.upload_from_string(text)
        generations.append(blob.generation)
    bucket.blob("w").upload_from_string("other")
    assert names(bucket) == ["v", "w"]
    versions = [one for one in bucket.list_blobs(versions=True, page_size=1) if one.name == "v"]
    assert [one.generation for one in versions] == generations
    assert [one.time_deleted is None for one in versions] == [False, False, True]
    assert bucket.blob("v", generation=generations[0]).download_as_text() == "one"
    bucket.blob("v").delete()
    assert bucket.get_blob("v") is None
    assert bucket.get_blob("v", generation=generations[2]) is not None
    bucket.blob("v", generation=generations[1]).delete()
    assert [one.generation for one in bucket.list_blobs(prefix="v", versions=True)] == [generations[0], generations[2]]
    rest()
    bucket.copy_blob(bucket.blob("v"), bucket, "v", source_generation=generations[0])
    assert bucket.blob("v").download_as_text() == "one"
    with pytest.raises(exceptions.Conflict):
        bucket.delete()


def test_an_overwritten_generation_is_gone_without_versioning(bucket: Bucket) -> None:
    blob = bucket.blob("v")
    blob.upload_from_string("one")
    bucket.blob("v").upload_from_string("two")
    assert bucket.get_blob("v", generation=blob.generation) is None
    assert len(names(bucket, versions=True)) == 1


def test_buckets_are_created_listed_changed_and_deleted(client: Client) -> None:
    stem = f"many-{uuid.uuid4().hex[:8]}"
    for number in range(5):
        client.create_bucket(f"{stem}-{number}", location="europe-west4")
    assert [one.name for one in client.list_buckets(prefix=stem, page_size=2)] == [f"{stem}-{n}" for n in range(5)]
    found = client.get_bucket(f"{stem}-3")
    assert (found.location, found.location_type, found.storage_class) == ("EUROPE-WEST4", "region", "STANDARD")
    assert found.project_number > 0
    found.labels = {"team": "a", "stage": "x"}
    found.patch()
    found.labels = {"stage": None}
    assert client.get_bucket(found.name).labels == {"team": "a", "stage": "x"}
    with pytest.raises(exceptions.Conflict):
        client.create_bucket(found.name)
    found.blob("o").upload_from_string("x")
    with pytest.raises(exceptions.Conflict, match="not empty"):
        found.delete()
    found.blob("o").delete()
    found.delete()
    with pytest.raises(exceptions.NotFound):
        client.get_bucket(found.name)
    assert list(client.list_buckets(project="other")) == []


def test_a_bucket_feature_that_is_not_here_is_501(bucket: Bucket) -> None:
    bucket.retention_period = 60
    with pytest.raises(exceptions.MethodNotImplemented, match="retentionPolicy"):
        bucket.patch()
