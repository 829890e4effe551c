"""Read an object of any size in bounded memory."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from genops_events.errors import PermanentError, TransientError
from genops_events.gcp.clients import CALL_TIMEOUT_SECONDS
from genops_events.gcp.errors import google_call

if TYPE_CHECKING:
    from google.cloud.storage import Blob

CHUNK_BYTES = 8 * 1024 * 1024
MOST_BYTES = 10_000_000_000
"""Largest object that is read at all, if the caller names no other limit."""
MOST_HELD_BYTES = 256 * 1024 * 1024
"""Largest object that is held in memory whole, if the caller names no other limit."""
MOST_ROWS_BYTES = 1_000_000_000
"""Largest file of rows that this project has written and holds whole: answers, scores."""
_GZIP = b"\x1f\x8b"


class DamagedRead(TransientError):
    """What was read is not what Cloud Storage holds."""


class UnusableObject(PermanentError):
    """An object is there, and is not read: it is stored compressed, or is too large."""


class StoredEncoded(UnusableObject):
    """An object has a `Content-Encoding`: some readers get it unpacked, others as it is stored, and some fail."""


def read_object(blob: Blob, *, most_bytes: int = MOST_BYTES) -> Iterator[bytes]:
    """Yield the bytes of an object in chunks of 8 MiB, and read the next one while the caller works on this one.

    All chunks are of the generation that is there when reading begins. The whole is compared with the object's CRC32C:
    the client does that for whole downloads only. No object is unpacked: what is stored is what is read, so that its
    size in the metadata bounds what comes.

    Args:
        blob: the object.
        most_bytes: a larger one is refused before a byte is read.

    Raises:
        StoredEncoded: its metadata has a `Content-Encoding`. Cloud Storage unpacks gzip for readers that do not ask for it
            (https://cloud.google.com/storage/docs/transcoding), and what Vertex AI does is documented nowhere.
        UnusableObject: it is larger than `most_bytes`.
        DamagedRead: after the last chunk, where the checksums differ.
        CloudRefused: the object is not there, or was overwritten or deleted meanwhile.
        CloudUnavailable: Cloud Storage does not answer.
    """
    import google_crc32c

    what = f"read gs://{blob.bucket.name}/{blob.name}"
    with google_call(what):
        blob.reload(timeout=CALL_TIMEOUT_SECONDS)
    uri = f"gs://{blob.bucket.name}/{blob.name}"
    if (encoding := blob.content_encoding) not in (None, "", "identity"):
        raise _stored_encoded(uri, encoding, is_packed=_begins_as_gzip(blob, what))
    if blob.size > most_bytes:
        raise _too_large(uri, most_bytes)
    checksum: Any = google_crc32c.Checksum()  # type: ignore[no-untyped-call]  # the package has no types

    def read(start: int) -> bytes:
        with google_call(what):
            return bytes(
                blob.download_as_bytes(
                    start=start,
                    end=min(start + CHUNK_BYTES, blob.size) - 1,
                    raw_download=True,
                    checksum=None,
                    timeout=CALL_TIMEOUT_SECONDS,
                )
            )

    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="read-ahead") as ahead:
        following = ahead.submit(read, 0) if blob.size else None
        for start in range(0, blob.size or 0, CHUNK_BYTES):
            assert following is not None
            chunk = following.result()
            after = start + CHUNK_BYTES
            following = ahead.submit(read, after) if after < blob.size else None
            checksum.update(chunk)
            yield chunk
    found = base64.b64encode(checksum.digest()).decode()
    if found != blob.crc32c:
        raise DamagedRead(
            f"Could not {what}: the bytes have CRC32C {found}, the object has {blob.crc32c}.", "It is read again."
        )


def read_whole(blob: Blob, *, most_bytes: int = MOST_HELD_BYTES) -> bytes:
    """Return the bytes of an object of this project's own, in one call; of the generation that `blob` then names.

    Raises:
        UnusableObject: more than `most_bytes` came, unpacked or not. The rest is not read.
        NotFound: the object is not there; this and the client's other errors are the caller's, as of a download.
    """
    held = _Bounded(f"gs://{blob.bucket.name}/{blob.name}", most_bytes)
    blob.download_to_file(held, timeout=CALL_TIMEOUT_SECONDS)
    return held.getvalue()


class _Bounded(io.BytesIO):
    """Takes so many bytes and no more."""

    def __init__(self, uri: str, most_bytes: int) -> None:
        super().__init__()
        self._uri = uri
        self._most_bytes = most_bytes

    def write(self, piece: Any) -> int:
        if self.tell() + len(piece) > self._most_bytes:
            raise _too_large(self._uri, self._most_bytes)
        return super().write(piece)


def _stored_encoded(uri: str, encoding: str, *, is_packed: bool) -> StoredEncoded:
    if is_packed:
        what = f"is stored compressed, with `Content-Encoding: {encoding}`"
        remedy = f"Store it uncompressed: `gcloud storage cat {uri} > FILE`, then `gcloud storage cp FILE {uri}`."
    else:
        what = f"has the label `Content-Encoding: {encoding}`, but its bytes are not compressed so"
        remedy = (
            f"Take the label off: `gcloud storage objects update {uri} --clear-content-encoding`. A training file has to "
            "be uploaded again without it, since another label is no arrival."
        )
    return StoredEncoded(f"{uri} {what}: readers get different bytes, or none. It was not read.", remedy)


def _too_large(uri: str, most_bytes: int) -> UnusableObject:
    return UnusableObject(
        f"{uri} has more than {most_bytes:,} bytes, which is the most that is read of such a file.",
        "Split it, or leave out what is not needed.",
    )


def _begins_as_gzip(blob: Blob, what: str) -> bool:
    if not blob.size:
        return False
    with google_call(what):
        head = blob.download_as_bytes(start=0, end=1, raw_download=True, checksum=None, timeout=CALL_TIMEOUT_SECONDS)
    return bytes(head) == _GZIP
