"""Resumable uploads: chunks, unknown size, lost answers, and constant memory."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest
from google.cloud.storage import Bucket, Client
from google.cloud.storage.exceptions import InvalidResponse
from storage_stand_in import StorageProcess, resident_bytes

CHUNK = 256 * 1024


class Unseekable(io.RawIOBase):
    """A stream whose size nobody knows."""

    def __init__(self, content: bytes) -> None:
        self._inner = io.BytesIO(content)

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        return self._inner.read(size)

    def tell(self) -> int:
        return self._inner.tell()


@pytest.mark.parametrize("size", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK, 3 * CHUNK + 17])
def test_chunks_of_a_known_size_make_the_whole(bucket: Bucket, size: int) -> None:
    content = os.urandom(size)
    blob = bucket.blob("known", chunk_size=CHUNK)
    blob.upload_from_file(io.BytesIO(content), size=size, content_type="a/b")
    assert bucket.blob("known").download_as_bytes() == content
    assert bucket.get_blob("known").content_type == "a/b"


@pytest.mark.parametrize("size", [0, CHUNK, 2 * CHUNK + 1])
def test_a_stream_of_unknown_size_makes_the_whole(bucket: Bucket, size: int) -> None:
    content = os.urandom(size)
    bucket.blob("unknown", chunk_size=CHUNK).upload_from_file(Unseekable(content))
    assert bucket.blob("unknown").download_as_bytes() == content


@pytest.fixture
def session(client: Client, bucket: Bucket, storage_process: StorageProcess) -> str:
    """The URL of a session opened by hand."""
    answer = client._http.post(
        f"{storage_process.url}/upload/storage/v1/b/{bucket.name}/o?uploadType=resumable",
        json={"name": "by hand", "metadata": {"k": "v"}},
        headers={"x-upload-content-type": "text/plain"},
    )
    assert answer.status_code == 200
    location = answer.headers["location"]
    assert location.startswith(storage_process.url)
    return location


def put(client: Client, session: str, content: bytes, content_range: str) -> tuple[int, str | None]:
    answer = client._http.put(session, data=content, headers={"content-range": content_range}, allow_redirects=False)
    return answer.status_code, answer.headers.get("range")


def test_a_session_says_how_far_it_is(client: Client, bucket: Bucket, session: str) -> None:
    assert put(client, session, b"", "bytes */*") == (308, None)
    assert put(client, session, b"a" * CHUNK, f"bytes 0-{CHUNK - 1}/*") == (308, f"bytes=0-{CHUNK - 1}")
    assert put(client, session, b"", f"bytes */{CHUNK + 3}") == (308, f"bytes=0-{CHUNK - 1}")
    assert put(client, session, b"end", f"bytes {CHUNK}-{CHUNK + 2}/{CHUNK + 3}")[0] == 200
    assert bucket.get_blob("by hand").metadata == {"k": "v"}
    assert bucket.get_blob("by hand").content_type == "text/plain"


def test_a_chunk_sent_again_counts_once(client: Client, bucket: Bucket, session: str) -> None:
    for _ in range(2):
        assert put(client, session, b"a" * CHUNK, f"bytes 0-{CHUNK - 1}/*") == (308, f"bytes=0-{CHUNK - 1}")
    both = b"a" * CHUNK + b"b" * CHUNK
    assert put(client, session, both, f"bytes 0-{2 * CHUNK - 1}/*") == (308, f"bytes=0-{2 * CHUNK - 1}")
    for _ in range(2):
        assert put(client, session, b"", f"bytes */{2 * CHUNK}")[0] == 200
    assert bucket.blob("by hand").download_as_bytes() == both
    assert len(list(bucket.list_blobs(versions=True))) == 1


def test_a_gap_or_an_odd_chunk_is_refused(client: Client, session: str) -> None:
    assert put(client, session, b"a" * CHUNK, f"bytes {CHUNK}-{2 * CHUNK - 1}/*")[0] == 503
    assert put(client, session, b"abc", "bytes 0-2/*")[0] == 400
    assert put(client, session, b"abc", "bytes 0-1/2")[0] == 400
    assert put(client, session, b"abc", "bytes zero")[0] == 400
    assert put(client, session, b"", "bytes */*") == (308, None)


def test_a_cancelled_session_is_gone(client: Client, bucket: Bucket, session: str) -> None:
    assert client._http.delete(session).status_code == 499
    assert put(client, session, b"abc", "bytes 0-2/3")[0] == 404
    assert bucket.get_blob("by hand") is None


def test_conditions_of_a_session_hold_at_its_end(bucket: Bucket) -> None:
    file = bucket.blob("late", chunk_size=CHUNK).open("wb", if_generation_match=0)
    file.write(b"x" * (CHUNK + 1))
    bucket.blob("late").upload_from_string("somebody was quicker")
    with pytest.raises(InvalidResponse, match="412"):
        file.close()
    file.terminate()  # else its finalizer tries again, whenever that runs
    assert bucket.blob("late").download_as_text() == "somebody was quicker"


def test_large_objects_take_constant_memory(
    bucket: Bucket,
    storage_process: StorageProcess,
    tmp_path: Path,
) -> None:
    assert storage_process.process is not None
    size = 64 * 1024 * 1024
    large = tmp_path / "large"
    with large.open("wb") as file:
        file.truncate(size)
    before = resident_bytes(storage_process.process)
    bucket.blob("chunks", chunk_size=16 * 1024 * 1024).upload_from_filename(str(large))
    with large.open("rb") as file:
        bucket.blob("one-request").upload_from_file(file, size=size)
    bucket.blob("one-request").download_to_filename(str(tmp_path / "back"))
    assert (tmp_path / "back").stat().st_size == size
    assert resident_bytes(storage_process.process) - before < 24 * 1024 * 1024
