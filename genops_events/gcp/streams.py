"""Read an object of any size in bounded memory."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from genops_events.errors import TransientError
from genops_events.gcp.clients import CALL_TIMEOUT_SECONDS
from genops_events.gcp.errors import google_call

if TYPE_CHECKING:
    from google.cloud.storage import Blob

CHUNK_BYTES = 8 * 1024 * 1024


class DamagedRead(TransientError):
    """What was read is not what Cloud Storage holds."""


def read_object(blob: Blob) -> Iterator[bytes]:
    """Yield the bytes of an object in chunks of 8 MiB, and read the next one while the caller works on this one.

    All chunks are of the generation that is there when reading begins. The whole is compared with the object's CRC32C:
    the client does that for whole downloads only. An object stored with `Content-Encoding: gzip` comes as it is stored.

    Raises:
        DamagedRead: after the last chunk, where the checksums differ.
        CloudRefused: the object is not there, or was overwritten or deleted meanwhile.
        CloudUnavailable: Cloud Storage does not answer.
    """
    import google_crc32c

    what = f"read gs://{blob.bucket.name}/{blob.name}"
    with google_call(what):
        blob.reload(timeout=CALL_TIMEOUT_SECONDS)
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
