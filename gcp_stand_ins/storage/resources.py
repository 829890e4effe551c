"""Object resources: what a caller may set, what Cloud Storage adds, and how one looks on the wire."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from gcp_stand_ins.storage.content import Content
from gcp_stand_ins.storage.wire import ApiError, Resource

WRITABLE = (
    "cacheControl",
    "contentDisposition",
    "contentEncoding",
    "contentLanguage",
    "contentType",
    "contexts",
    "customTime",
    "eventBasedHold",
    "metadata",
    "storageClass",
    "temporaryHold",
)
"""What a caller may set on an object; other fields that it sends back are read-only and passed over."""

UNSUPPORTED = ("retention", "kmsKeyName", "customerEncryption")
"""Fields whose effect this stand-in does not have; keeping them silently would promise it."""

_NAME_LIMIT_BYTES = 1024
"""Of a name in UTF-8 (https://cloud.google.com/storage/quotas and /docs/objects, read 2026-12-01)."""
_METADATA_LIMIT_BYTES = 8 * 1024
"""Of all custom metadata of one object, keys and values (https://cloud.google.com/storage/quotas, read 2026-12-01)."""


@dataclass(frozen=True, slots=True)
class StoredObject:
    """One generation of an object, as it is in the database."""

    bucket: str
    name: str
    generation: int
    metageneration: int
    live: bool
    content: Content
    resource: Resource
    """Everything but the links, which depend on how the caller reached this stand-in."""

    @property
    def etag(self) -> str:
        """The tag of this generation and metageneration."""
        return etag_of(self.generation, self.metageneration)

    @property
    def held(self) -> bool:
        """Whether a hold keeps it from being deleted or overwritten."""
        return bool(self.resource.get("temporaryHold") or self.resource.get("eventBasedHold"))

    def on_wire(self, base_url: str) -> Resource:
        """Return the object resource as a caller sees it."""
        path = f"b/{quote(self.bucket, safe='')}/o/{quote(self.name, safe='')}"
        return {
            "kind": "storage#object",
            "id": f"{self.bucket}/{self.name}/{self.generation}",
            "selfLink": f"{base_url}/storage/v1/{path}",
            "mediaLink": f"{base_url}/download/storage/v1/{path}?generation={self.generation}&alt=media",
            **self.resource,
        }


def timestamp(moment: datetime | None = None) -> str:
    """Return an instant as Cloud Storage writes it in resources; now by default."""
    return (moment or datetime.now(UTC)).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def etag_of(generation: int | None, metageneration: int) -> str:
    """Return the tag that Cloud Storage gives: a base64 message of both numbers."""
    message = b"" if generation is None else b"\x08" + _varint(generation)
    message += (b"\x08" if generation is None else b"\x10") + _varint(metageneration)
    return base64.b64encode(message).decode()


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 0x7F:  # noqa: PLR2004 - seven bits a byte
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def check_object_name(name: object) -> str:
    """Return `name` when Cloud Storage would take it.

    Raises:
        ApiError: 400, it says what is wrong.
    """
    if not isinstance(name, str) or not name:
        raise ApiError(400, "Required parameter: name", reason="required")
    if len(name.encode()) > _NAME_LIMIT_BYTES:
        raise ApiError(400, f"The object name is longer than {_NAME_LIMIT_BYTES} bytes in UTF-8.")
    if name in {".", ".."} or "\r" in name or "\n" in name or name.startswith(".well-known/acme-challenge/"):
        raise ApiError(400, f"Invalid object name {name!r}: no carriage return or line feed, not '.' or '..'.")
    return name


def writable(given: Resource) -> Resource:
    """Return the fields of `given` that a caller may set, checked.

    Raises:
        ApiError: 400 for a value of the wrong form, 501 for what this stand-in does not have.
    """
    for field in UNSUPPORTED:
        if given.get(field):
            raise ApiError(501, f"The local Cloud Storage has no {field}; leave it out.")
    kept = {field: given[field] for field in WRITABLE if field in given}
    for field, value in kept.items():
        if value is None:
            continue
        wanted: type = dict if field in {"metadata", "contexts"} else bool if field.endswith("Hold") else str
        if not isinstance(value, wanted):
            raise ApiError(400, f"Invalid value for {field}: expected {wanted.__name__}, got {value!r}.")
        if isinstance(value, str) and not value.isprintable():
            raise ApiError(400, f"Invalid value for {field}: {value!r} has control characters.")
    _check_metadata(kept.get("metadata") or {})
    return kept


def _check_metadata(metadata: Mapping[Any, Any]) -> None:
    size = 0
    for key, value in metadata.items():
        if value is not None and not isinstance(value, str):
            raise ApiError(400, f"Invalid value for metadata key {key!r}: expected a string, got {value!r}.")
        if value is not None:  # null removes a key
            size += len(str(key).encode()) + len(value.encode())
    if size > _METADATA_LIMIT_BYTES:
        raise ApiError(400, f"The metadata is {size} bytes; at most {_METADATA_LIMIT_BYTES} are allowed.")


def without_nulls(fields: Resource) -> Resource:
    """Return `fields` without those set to null, which stands for absent."""
    kept = {field: value for field, value in fields.items() if value is not None}
    if "metadata" in kept:
        kept["metadata"] = {key: value for key, value in kept["metadata"].items() if value is not None}
        if not kept["metadata"]:
            del kept["metadata"]
    return kept


def new_object(
    *, bucket: str, name: str, generation: int, content: Content, fields: Resource, components: int | None = None
) -> StoredObject:
    """Return a first metageneration.

    Args:
        bucket: its bucket.
        name: its name.
        generation: its generation, microseconds since the epoch.
        content: its bytes.
        fields: what the caller set.
        components: how many parts it was composed of, if it was.
    """
    now = timestamp()
    resource: Resource = {
        "name": name,
        "bucket": bucket,
        "generation": str(generation),
        "metageneration": "1",
        "contentType": "application/octet-stream",
        "storageClass": "STANDARD",
        "size": str(content.size),
        "crc32c": content.crc32c,
        "etag": etag_of(generation, 1),
        "timeCreated": now,
        "updated": now,
        "timeStorageClassUpdated": now,
        "timeFinalized": now,
        **without_nulls(fields),
    }
    if content.md5 is not None:
        resource["md5Hash"] = content.md5
    if components is not None:
        resource["componentCount"] = components
    return StoredObject(bucket, name, generation, 1, True, content, resource)


def changed(found: StoredObject, fields: Resource, *, replace: bool) -> StoredObject:
    """Return the next metageneration.

    Args:
        found: what is there.
        fields: what the caller set; null removes.
        replace: writable fields that are not given are removed (update), not kept (patch).
    """
    kept = {field: value for field, value in found.resource.items() if not (replace and field in WRITABLE)}
    merged = {**kept, **fields}
    if not replace and isinstance(fields.get("metadata"), dict):
        merged["metadata"] = {**found.resource.get("metadata", {}), **fields["metadata"]}
    _check_metadata(merged.get("metadata") or {})  # all of it: a patch adds to what is there
    merged.setdefault("storageClass", found.resource["storageClass"])
    metageneration = found.metageneration + 1
    now = timestamp()
    if merged["storageClass"] != found.resource["storageClass"]:
        merged["timeStorageClassUpdated"] = now
    merged |= {
        "metageneration": str(metageneration),
        "etag": etag_of(found.generation, metageneration),
        "updated": now,
    }
    resource = without_nulls(merged)
    return StoredObject(found.bucket, found.name, found.generation, metageneration, found.live, found.content, resource)
