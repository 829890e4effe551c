"""Downloads: the bytes of one generation, whole or a range, streamed."""

from __future__ import annotations

import re
from datetime import datetime
from email.utils import format_datetime
from urllib.parse import quote

from gcp_stand_ins.storage.content import ContentFolder, stream, stream_unzipped
from gcp_stand_ins.storage.objects import Objects
from gcp_stand_ins.storage.preconditions import Preconditions
from gcp_stand_ins.storage.resources import StoredObject
from gcp_stand_ins.storage.uploads import refuse_customer_keys
from gcp_stand_ins.storage.wire import Answer, ApiError, Call

_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


class Downloads:
    """The call that sends bytes out.

    Args:
        objects: where the generation is looked up.
        contents: where its bytes are.
    """

    def __init__(self, objects: Objects, contents: ContentFolder) -> None:
        self._objects = objects
        self._contents = contents

    async def get(self, call: Call, bucket: str, name: str) -> Answer:
        """Return an object's media, or the range of it that was asked for."""
        refuse_customer_keys(call)
        found = self._objects.find(bucket, name, call.number("generation"))
        Preconditions.of_call(call).check_read(found)
        headers = media_headers(found)
        size = found.content.size
        if "gzip" not in call.headers.get("accept-encoding", "") and self._is_transcoded(found):
            # The caller takes no gzip, so the size and hashes are not those it gets, and a range of it is not served.
            for gone in ("content-encoding", "x-goog-hash", "accept-ranges"):
                headers.pop(gone, None)
            return Answer(200, stream_unzipped(self._contents.open(found.content.key)), headers)
        asked = requested_range(call.headers.get("range"), size)
        # Opened in the same step as the look-up: a delete that comes next does not take the bytes away.
        file = self._contents.open(found.content.key)
        if asked is None:
            return Answer(200, stream(file, 0, size), {**headers, "content-length": str(size)})
        start, end = asked
        headers["content-range"] = f"bytes {start}-{end}/{size}"
        headers["content-length"] = str(end + 1 - start)
        return Answer(206, stream(file, start, end + 1 - start), headers)

    def _is_transcoded(self, found: StoredObject) -> bool:
        """Whether the service would unpack the object for a reader that does not ask for gzip.

        It must be labelled so, be gzip in fact, and not be `no-transform`: https://cloud.google.com/storage/docs/transcoding
        (read in November 2026). What is only labelled is served as it is, label and all.
        """
        resource = found.resource
        if resource.get("contentEncoding") != "gzip" or "no-transform" in (resource.get("cacheControl") or ""):
            return False
        with self._contents.open(found.content.key) as file:
            return file.read(2) == b"\x1f\x8b"


def requested_range(header: str | None, size: int) -> tuple[int, int] | None:
    """Return first and last byte asked for, None for all of them.

    Raises:
        ApiError: 416, the object ends before the range begins.
    """
    found = _RANGE.fullmatch(header.strip()) if header else None
    if found is None or not (found[1] or found[2]):
        return None
    if found[1]:
        start = int(found[1])
        end = min(int(found[2]), size - 1) if found[2] else size - 1
        if found[2] and int(found[2]) < start:
            return None
    else:
        start = max(0, size - int(found[2]))
        end = size - 1
    if start >= size:
        raise ApiError(
            416,
            f"The requested range cannot be satisfied: the object has {size} bytes.",
            headers={"content-range": f"bytes */{size}"},
        )
    return start, end


def media_headers(found: StoredObject) -> dict[str, str]:
    """Return the headers that come with an object's media."""
    resource = found.resource
    hashes = [f"crc32c={found.content.crc32c}"]
    if found.content.md5 is not None:
        hashes.append(f"md5={found.content.md5}")
    headers = {
        "content-type": resource["contentType"],
        "accept-ranges": "bytes",
        "etag": found.etag,
        "last-modified": format_datetime(datetime.fromisoformat(resource["updated"]), usegmt=True),
        "x-goog-generation": str(found.generation),
        "x-goog-metageneration": str(found.metageneration),
        "x-goog-storage-class": resource["storageClass"],
        "x-goog-stored-content-length": str(found.content.size),
        "x-goog-stored-content-encoding": resource.get("contentEncoding") or "identity",
        "x-goog-hash": ",".join(hashes),
    }
    optional = {
        "content-encoding": "contentEncoding",
        "content-disposition": "contentDisposition",
        "content-language": "contentLanguage",
        "cache-control": "cacheControl",
    }
    headers |= {header: resource[field] for header, field in optional.items() if resource.get(field)}
    # A header is Latin-1; anything else the caller put there is sent percent-encoded.
    return {
        header: quote(value, safe=_HEADER_SAFE) if not value.isascii() else value for header, value in headers.items()
    }


_HEADER_SAFE = " !\"#$%&'()*+,-./:;<=>?@[]^_`{|}~"
