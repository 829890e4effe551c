"""Calls that make an object of others: copy, rewrite, compose and move."""

from __future__ import annotations

from typing import Any

from gcp_stand_ins.storage.content import Content, ContentFolder
from gcp_stand_ins.storage.objects import Objects, copied_fields
from gcp_stand_ins.storage.preconditions import Preconditions
from gcp_stand_ins.storage.resources import StoredObject, check_object_name, writable
from gcp_stand_ins.storage.uploads import refuse_customer_keys
from gcp_stand_ins.storage.wire import Answer, ApiError, Call, Resource, json_answer

_PARTS_AT_MOST = 32
_BLOCK_BYTES = 1024 * 1024


class Copies:
    """The calls that need no bytes from the caller.

    Args:
        objects: sources and destinations.
        contents: their bytes.
    """

    def __init__(self, objects: Objects, contents: ContentFolder) -> None:
        self._objects = objects
        self._contents = contents

    async def copy(self, call: Call, bucket: str, name: str, to_bucket: str, to_name: str) -> Answer:
        """Copy an object, and answer with the new one."""
        created = await self._copied(call, bucket, name, to_bucket, to_name)
        return json_answer(created.on_wire(call.base_url))

    async def rewrite(self, call: Call, bucket: str, name: str, to_bucket: str, to_name: str) -> Answer:
        """Copy an object; here it is always done in one call."""
        created = await self._copied(call, bucket, name, to_bucket, to_name)
        size = str(created.content.size)
        return json_answer(
            {
                "kind": "storage#rewriteResponse",
                "totalBytesRewritten": size,
                "objectSize": size,
                "done": True,
                "resource": created.on_wire(call.base_url),
            }
        )

    async def _copied(self, call: Call, bucket: str, name: str, to_bucket: str, to_name: str) -> StoredObject:
        refuse_customer_keys(call)
        given = writable(await call.resource())
        check_object_name(to_name)
        source = self._objects.find(bucket, name, call.number("sourceGeneration"))
        Preconditions.of_source(call).check_write(source)
        # Fields in the body replace those of the source as a whole; without any, the source's are taken over.
        fields: Resource = copied_fields(source)
        if given:
            fields = {"contentType": source.resource["contentType"], **given}
        conditions = Preconditions.of_call(call)
        self._objects.check_can_write(to_bucket, to_name, conditions)
        content = self._contents.share(source.content)
        try:
            return self._objects.finalize(
                bucket=to_bucket,
                name=to_name,
                content=content,
                fields=fields,
                conditions=conditions,
                components=source.resource.get("componentCount"),
            )
        except BaseException:
            self._contents.remove([content.key])
            raise

    async def move(self, call: Call, bucket: str, name: str, to_name: str) -> Answer:
        """Rename an object within its bucket."""
        check_object_name(to_name)
        if to_name == name:
            raise ApiError(400, "The source and destination object are the same.")
        moved = self._objects.move(
            (bucket, name),
            to_name,
            conditions=Preconditions.of_call(call),
            source_conditions=Preconditions.of_source(call),
        )
        return json_answer(moved.on_wire(call.base_url))

    async def compose(self, call: Call, bucket: str, name: str) -> Answer:
        """Join up to 32 objects of a bucket into one."""
        refuse_customer_keys(call)
        given = await call.resource()
        check_object_name(name)
        if given.get("deleteSourceObjects"):
            raise ApiError(501, "The local Cloud Storage cannot delete the sources of a compose; delete them after it.")
        conditions = Preconditions.of_call(call)
        self._objects.check_can_write(bucket, name, conditions)
        sources = [self._source(bucket, one) for one in _source_list(given)]
        # Opened in the same step as the look-up: a delete that comes next does not take the bytes away.
        files = [self._contents.open(one.content.key) for one in sources]
        draft = self._contents.draft()
        try:
            for file in files:
                while block := file.read(_BLOCK_BYTES):
                    await draft.write(block)
            joined = draft.finish()
            first = sources[0].resource
            fields = {"contentType": first["contentType"], **writable(given.get("destination") or {})}
            created = self._objects.finalize(
                bucket=bucket,
                name=name,
                # A composed object has no MD5 at Cloud Storage, so code must not count on one.
                content=Content(joined.key, joined.size, joined.crc32c, None),
                fields=fields,
                conditions=conditions,
                components=sum(one.resource.get("componentCount", 1) for one in sources),
            )
        except BaseException:
            draft.discard()
            raise
        finally:
            for file in files:
                file.close()
        return json_answer(created.on_wire(call.base_url))

    def _source(self, bucket: str, one: Any) -> StoredObject:
        generation = one.get("generation")
        try:
            wanted = int(one["objectPreconditions"]["ifGenerationMatch"]) if one.get("objectPreconditions") else None
            found = self._objects.find(bucket, one["name"], None if generation is None else int(generation))
        except (KeyError, TypeError, ValueError):
            raise ApiError(400, f"Invalid source object in a compose: {one!r}.") from None
        Preconditions(generation=wanted).check_write(found)
        return found


def _source_list(given: Resource) -> list[Any]:
    sources = given.get("sourceObjects")
    if not isinstance(sources, list) or not sources or not all(isinstance(one, dict) for one in sources):
        raise ApiError(400, "You must provide at least one source component.", reason="required")
    if not all(isinstance(one.get("name", ""), str) for one in sources):
        raise ApiError(400, "Invalid value for sourceObjects: the name of an object is text.")
    if len(sources) > _PARTS_AT_MOST:
        raise ApiError(400, f"The number of source components provided ({len(sources)}) exceeds the maximum (32)")
    return sources
