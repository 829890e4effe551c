"""Objects: what is uploaded is what is read back, by every form of upload and under any name."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import time

import google_crc32c
import pytest
import requests
from google.api_core import exceptions
from google.cloud.storage import Bucket, Client
from storage_stand_in import StorageProcess

NAMES = [
    "plain.txt",
    "a/b/c.txt",
    "with space.txt",
    "hash#mark",
    "what?.txt",
    "per%2Fcent",
    "ünïcödé/日本語/🙂",
    "+&=;",
    "a//b",
]


@pytest.mark.parametrize("name", NAMES)
def test_an_object_keeps_its_name_and_bytes(bucket: Bucket, name: str) -> None:
    bucket.blob(name).upload_from_string(f"bytes of {name}", content_type="text/plain")
    found = bucket.get_blob(name)
    assert found is not None
    assert found.name == name
    assert bucket.blob(name).download_as_bytes() == f"bytes of {name}".encode()
    assert found.download_as_bytes() == f"bytes of {name}".encode()
    assert [one.name for one in bucket.list_blobs()] == [name]
    found.delete()
    assert bucket.get_blob(name) is None


def test_the_resource_has_what_cloud_storage_says_about_an_object(
    bucket: Bucket, storage_process: StorageProcess
) -> None:
    before_us = time.time_ns() // 1000
    blob = bucket.blob("dir/data.jsonl")
    blob.metadata = {"team": "a", "näme": "wért"}
    blob.cache_control = "no-store"
    blob.upload_from_string(b"hello", content_type="application/jsonl")
    found = bucket.get_blob("dir/data.jsonl")
    assert found is not None
    assert before_us <= found.generation <= time.time_ns() // 1000
    assert (found.metageneration, found.size, found.content_type) == (1, 5, "application/jsonl")
    assert found.md5_hash == base64.b64encode(hashlib.md5(b"hello").digest()).decode()
    assert found.crc32c == base64.b64encode(google_crc32c.value(b"hello").to_bytes(4, "big")).decode()
    assert found.metadata == {"team": "a", "näme": "wért"}
    assert found.cache_control == "no-store"
    assert found.storage_class == "STANDARD"
    assert found.time_created == found.updated
    assert found.id == f"{bucket.name}/dir/data.jsonl/{found.generation}"
    assert found.media_link.startswith(f"{storage_process.url}/download/storage/v1/b/{bucket.name}/o/dir%2Fdata.jsonl?")
    assert found.etag


def test_generations_only_grow_and_never_repeat(bucket: Bucket) -> None:
    generations = []
    for number in range(20):
        blob = bucket.blob("same")
        blob.upload_from_string(str(number))
        generations.append(blob.generation)
        if number % 3 == 0:
            blob.delete()
    assert generations == sorted(set(generations))


def test_a_media_upload_has_the_content_type_of_its_request(
    client: Client, bucket: Bucket, storage_process: StorageProcess
) -> None:
    answer = client._http.post(
        f"{storage_process.url}/upload/storage/v1/b/{bucket.name}/o?uploadType=media&name=m%2F1.csv",
        data=b"a,b\r\n",
        headers={"content-type": "text/csv"},
    )
    assert answer.status_code == 200, answer.text
    assert answer.json()["contentType"] == "text/csv"
    assert bucket.blob("m/1.csv").download_as_bytes() == b"a,b\r\n"


def test_a_multipart_body_may_hold_anything_but_its_boundary(
    client: Client, bucket: Bucket, storage_process: StorageProcess
) -> None:
    media = b"--xyz\r\n\r\n--xy\r\n-- \n\r\n--\r" * 50_000
    for name, newline in (("odd", b"\r\n"), ("even", b"\n")):
        lines = [b"--XYZ", b"Content-Type: application/json", b"", f'{{"name": "{name}"}}'.encode()]
        lines += [b"--XYZ", b"content-type: x/y", b"", media, b"--XYZ--", b""]
        answer = client._http.post(
            f"{storage_process.url}/upload/storage/v1/b/{bucket.name}/o?uploadType=multipart",
            data=newline.join(lines),
            headers={"content-type": 'multipart/related; boundary="XYZ"'},
        )
        assert answer.status_code == 200, answer.text
        assert answer.json()["contentType"] == "x/y"
        assert bucket.blob(name).download_as_bytes() == media


def test_an_upload_cut_short_leaves_no_object(client: Client, bucket: Bucket, storage_process: StorageProcess) -> None:
    answer = client._http.post(
        f"{storage_process.url}/upload/storage/v1/b/{bucket.name}/o?uploadType=multipart",
        data=b'--XYZ\r\n\r\n{"name": "cut"}\r\n--XYZ\r\n\r\nhalf of',
        headers={"content-type": "multipart/related; boundary=XYZ"},
    )
    assert answer.status_code == 400
    assert bucket.get_blob("cut") is None


@pytest.mark.parametrize(
    ("start", "end", "expected"), [(0, 3, b"0123"), (7, None, b"789"), (-3, None, b"789"), (2, 200, b"23456789")]
)
def test_a_range_is_those_bytes(bucket: Bucket, start: int, end: int | None, expected: bytes) -> None:
    bucket.blob("digits").upload_from_string(b"0123456789")
    assert bucket.blob("digits").download_as_bytes(start=start, end=end) == expected


def test_a_range_past_the_end_is_416(bucket: Bucket) -> None:
    bucket.blob("digits").upload_from_string(b"0123456789")
    with pytest.raises(exceptions.RequestRangeNotSatisfiable):
        bucket.blob("digits").download_as_bytes(start=10)


def test_an_empty_object_is_an_object(bucket: Bucket) -> None:
    bucket.blob("empty").upload_from_string(b"")
    found = bucket.get_blob("empty")
    assert found is not None
    assert found.size == 0
    assert found.download_as_bytes() == b""


def test_a_download_goes_on_while_its_object_is_deleted(bucket: Bucket) -> None:
    whole = bytes(range(256)) * 32 * 1024
    bucket.blob("big").upload_from_string(whole)
    url = bucket.blob("big")._get_download_url(bucket.client)
    with bucket.client._http.get(url, stream=True) as answer:
        bucket.blob("big").delete()
        assert answer.content == whole


def test_a_reader_and_a_writer_that_are_files_work(bucket: Bucket) -> None:
    with bucket.blob("lines.txt").open("w") as file:
        file.writelines(f"line {number}\n" for number in range(1000))
    with bucket.blob("lines.txt").open("r") as file:
        assert sum(1 for _ in file) == 1000


def test_gzip_content_is_unzipped_for_who_takes_none(client: Client, bucket: Bucket) -> None:
    blob = bucket.blob("zipped")
    blob.content_encoding = "gzip"
    blob.upload_from_string(gzip.compress(b"text " * 1000), content_type="text/plain")
    assert bucket.blob("zipped").download_as_bytes() == b"text " * 1000
    assert gzip.decompress(bucket.blob("zipped").download_as_bytes(raw_download=True)) == b"text " * 1000
    url = bucket.blob("zipped")._get_download_url(client)
    plain = client._http.get(url, headers={"accept-encoding": "identity"})
    assert plain.content == b"text " * 1000
    assert "content-encoding" not in plain.headers
    # Of what is unpacked on the way there are no ranges: who asks for one gets the whole.
    part = client._http.get(url, headers={"accept-encoding": "identity", "range": "bytes=0-3"})
    assert (part.status_code, part.content) == (200, b"text " * 1000)
    stored = client._http.get(url, headers={"accept-encoding": "gzip", "range": "bytes=0-1"}, stream=True)
    assert (stored.status_code, stored.raw.read()) == (206, b"\x1f\x8b")


def test_what_is_only_labelled_gzip_is_served_as_it_is(client: Client, bucket: Bucket) -> None:
    blob = bucket.blob("labelled")
    blob.content_encoding = "gzip"
    blob.upload_from_string(b"plain text", content_type="text/plain")
    assert bucket.blob("labelled").download_as_bytes(raw_download=True) == b"plain text"
    url = bucket.blob("labelled")._get_download_url(client)
    answer = client._http.get(url, headers={"accept-encoding": "identity"}, stream=True)
    assert (answer.headers["content-encoding"], answer.raw.read()) == ("gzip", b"plain text")
    with pytest.raises(requests.exceptions.ContentDecodingError):
        bucket.blob("labelled").download_as_bytes()


def test_an_object_that_is_not_to_be_transformed_stays_packed(client: Client, bucket: Bucket) -> None:
    blob = bucket.blob("kept")
    blob.content_encoding = "gzip"
    blob.cache_control = "public, no-transform"
    blob.upload_from_string(gzip.compress(b"text"), content_type="text/plain")
    url = bucket.blob("kept")._get_download_url(client)
    answer = client._http.get(url, headers={"accept-encoding": "identity"}, stream=True)
    assert answer.headers["content-encoding"] == "gzip"
    assert gzip.decompress(answer.raw.read()) == b"text"


def test_patch_changes_what_is_given_and_update_replaces_all(bucket: Bucket) -> None:
    blob = bucket.blob("o")
    blob.metadata = {"keep": "1", "drop": "2"}
    blob.content_language = "en"
    blob.upload_from_string("x")
    generation = blob.generation
    fresh = bucket.get_blob("o")
    assert fresh is not None
    fresh.metadata = {"drop": None, "new": "3"}
    fresh.patch(if_metageneration_match=1)  # what has a condition is repeated by the client
    assert fresh.metadata == {"keep": "1", "new": "3"}
    assert (fresh.generation, fresh.metageneration, fresh.content_language) == (generation, 2, "en")
    fresh.content_language = None
    fresh.update(if_metageneration_match=2)
    found = bucket.get_blob("o")
    assert found is not None
    assert (found.metageneration, found.content_language, found.content_type) == (3, None, "text/plain")
    assert found.etag != blob.etag


def test_damaged_bytes_are_refused(bucket: Bucket) -> None:
    blob = bucket.blob("damaged")
    blob.crc32c = "AAAAAA=="
    with pytest.raises(exceptions.BadRequest, match="CRC32C"):
        blob.upload_from_string("good", checksum=None)
    blob = bucket.blob("damaged")
    blob.md5_hash = "AAAAAAAAAAAAAAAAAAAAAA=="
    with pytest.raises(exceptions.BadRequest, match="MD5"):
        blob.upload_from_file(io.BytesIO(b"good"), size=4, checksum=None)
    assert bucket.get_blob("damaged") is None


def test_what_is_not_there_is_404(client: Client, bucket: Bucket) -> None:
    with pytest.raises(exceptions.NotFound, match="No such object"):
        bucket.blob("none").download_as_bytes()
    with pytest.raises(exceptions.NotFound, match="No such object"):
        bucket.blob("none").delete()
    with pytest.raises(exceptions.NotFound, match="bucket does not exist"):
        client.bucket("nowhere-at-all").blob("x").upload_from_string("x")
    assert not bucket.blob("none").exists()
    assert not client.bucket("nowhere-at-all").exists()


def test_a_hold_keeps_an_object(bucket: Bucket) -> None:
    blob = bucket.blob("held")
    blob.upload_from_string("first")
    blob.temporary_hold = True
    blob.patch()
    with pytest.raises(exceptions.Forbidden, match="hold"):
        blob.delete()
    with pytest.raises(exceptions.Forbidden, match="hold"):
        bucket.blob("held").upload_from_string("second")
    blob.temporary_hold = False
    blob.patch()
    blob.delete()


def test_a_route_that_is_not_here_is_501_and_named(
    client: Client, bucket: Bucket, storage_process: StorageProcess
) -> None:
    bucket.blob("o").upload_from_string("x")
    with pytest.raises(exceptions.MethodNotImplemented, match=f"GET /storage/v1/b/{bucket.name}/o/o/acl"):
        bucket.blob("o").acl.reload()
    answer = client._http.get(f"{storage_process.url}/{bucket.name}/o")
    assert answer.status_code == 501
    assert answer.json()["error"]["code"] == 501


@pytest.mark.parametrize(
    "request_line_and_body",
    [
        ("POST", "/storage/v1/b?project=p", b"{not json"),
        ("POST", "/storage/v1/b?project=p", b'{"name": "UPPER"}'),
        ("POST", "/storage/v1/b?project=p", b"[1]"),
        ("GET", "/storage/v1/b/{bucket}/o?pageToken=garbage", None),
        ("GET", "/storage/v1/b/{bucket}/o?maxResults=many", None),
        ("GET", "/storage/v1/b/{bucket}/o/%ff%fe", None),
        ("GET", "/storage/v1/b/{bucket}/o?matchGlob=%5Ba", None),
        ("GET", "/storage/v1/b/{bucket}/o?fields=items(", None),
        ("POST", "/upload/storage/v1/b/{bucket}/o?uploadType=other&name=x", b"x"),
        ("POST", "/upload/storage/v1/b/{bucket}/o?uploadType=media", b"x"),
        ("POST", "/upload/storage/v1/b/{bucket}/o?uploadType=multipart", b"x"),
        ("POST", "/storage/v1/b/{bucket}/o/x/compose", b'{"sourceObjects": [{"name": 5}]}'),
        ("POST", "/storage/v1/b/{bucket}/notificationConfigs", b'{"topic": "arrivals", "payload_format": "NONE"}'),
        ("POST", "/batch/storage/v1", b"x"),
    ],
)
def test_nonsense_is_400_never_500(
    client: Client,
    bucket: Bucket,
    storage_process: StorageProcess,
    request_line_and_body: tuple[str, str, bytes | None],
) -> None:
    method, path, body = request_line_and_body
    answer = client._http.request(method, storage_process.url + path.format(bucket=bucket.name), data=body)
    assert answer.status_code in {400, 404}, answer.text
    assert answer.json()["error"]["message"]
