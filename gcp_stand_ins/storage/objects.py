"""Objects and their generations: each change is checked, applied and announced in one transaction."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from gcp_stand_ins.storage.buckets import Buckets
from gcp_stand_ins.storage.content import Content, ContentFolder
from gcp_stand_ins.storage.database import Database
from gcp_stand_ins.storage.notifications import Event, Notifications
from gcp_stand_ins.storage.pace import Pace
from gcp_stand_ins.storage.preconditions import Preconditions
from gcp_stand_ins.storage.resources import WRITABLE, StoredObject, changed, new_object, timestamp
from gcp_stand_ins.storage.wire import ApiError, Resource

COLUMNS = "bucket, name, generation, metageneration, live, content, resource"


class Objects:
    """All generations of all objects.

    No method waits for anything, so nothing comes between checking a condition and applying the change.

    Args:
        database: their metadata.
        contents: their bytes.
        buckets: the buckets they are in.
        notifications: told of each change.
        pace: refuses changes of one name that come too soon after each other.
        wake_delivery: called after a commit that put messages into the outbox.
    """

    def __init__(
        self,
        *,
        database: Database,
        contents: ContentFolder,
        buckets: Buckets,
        notifications: Notifications,
        pace: Pace,
        wake_delivery: Callable[[], None],
    ) -> None:
        self._database = database
        self._contents = contents
        self._buckets = buckets
        self._notifications = notifications
        self._pace = pace
        self._wake_delivery = wake_delivery

    def find(self, bucket: str, name: str, generation: int | None = None) -> StoredObject:
        """Return the live generation, or the one asked for.

        Raises:
            ApiError: 404, the bucket or the object is not there.
        """
        found = self.lookup(bucket, name, generation)
        if found is None:
            self._buckets.find(bucket)
            suffix = "" if generation is None else f"#{generation}"
            raise ApiError(404, f"No such object: {bucket}/{name}{suffix}")
        return found

    def lookup(self, bucket: str, name: str, generation: int | None = None) -> StoredObject | None:
        """Return what `find` returns, None when it is not there."""
        if generation is None:
            sql, values = "live = 1", (bucket, name)
        else:
            sql, values = "generation = ?", (bucket, name, generation)  # type: ignore[assignment]
        row = self._database.execute(
            f"SELECT {COLUMNS} FROM objects WHERE bucket = ? AND name = ? AND {sql}",  # noqa: S608 - constants
            values,
        ).fetchone()
        return None if row is None else stored_object(row)

    def check_can_write(self, bucket: str, name: str, conditions: Preconditions) -> None:
        """Refuse at once what `finalize` would refuse now, before bytes are sent for nothing.

        Raises:
            ApiError: 404 for the bucket, 412 for a condition, 403 for a hold.
        """
        self._buckets.find(bucket)
        current = self.lookup(bucket, name)
        conditions.check_write(current)
        _refuse_when_held(current)

    def finalize(
        self,
        *,
        bucket: str,
        name: str,
        content: Content,
        fields: Resource,
        conditions: Preconditions,
        components: int | None = None,
        also: Callable[[StoredObject], None] | None = None,
    ) -> StoredObject:
        """Make finished bytes the live generation of an object.

        Args:
            bucket: its bucket.
            name: its name.
            content: the bytes, finished in the content folder; the caller discards them when this raises.
            fields: what the caller set on it.
            conditions: what has to hold of the generation that is live now.
            components: how many parts it was composed of, if it was.
            also: done in the same transaction, for instance to close an upload session.

        Raises:
            ApiError: 404 for the bucket, 412 for a condition, 403 for a hold, 429 for the pace.
        """
        with self._database.transaction():
            versioned = self._buckets.find(bucket).versioned
            current = self.lookup(bucket, name)
            conditions.check_write(current)
            _refuse_when_held(current)
            self._pace.check(bucket, name)
            generation = self._database.next_generation()
            created = new_object(
                bucket=bucket, name=name, generation=generation, content=content, fields=fields, components=components
            )
            overwrote = {} if current is None else {"overwroteGeneration": current.generation}
            told = self._notifications.record(Event.FINALIZE, created, **overwrote)
            removed = self._retire(current, versioned=versioned, overwritten_by=generation)
            self._keep(created)
            if also is not None:
                also(created)
        self._pace.made(bucket, name)
        self._after(removed=removed, told=told or current is not None)
        return created

    def change(
        self, found_by: tuple[str, str, int | None], fields: Resource, conditions: Preconditions, *, replace: bool
    ) -> StoredObject:
        """Change an object's metadata; see `resources.changed`.

        Raises:
            ApiError: 404, or 412 for a condition.
        """
        with self._database.transaction():
            found = self.find(*found_by)
            conditions.check_write(found)
            self._pace.check(found.bucket, found.name)
            after = changed(found, fields, replace=replace)
            self._keep(after)
            told = self._notifications.record(Event.METADATA_UPDATE, after)
        self._pace.made(after.bucket, after.name)
        self._after(removed=[], told=told)
        return after

    def delete(self, bucket: str, name: str, generation: int | None, conditions: Preconditions) -> None:
        """Delete the live generation (kept as noncurrent in a versioned bucket), or one generation for good.

        Raises:
            ApiError: 404, 412 for a condition, 403 for a hold.
        """
        with self._database.transaction():
            found = self.find(bucket, name, generation)
            conditions.check_write(found)
            _refuse_when_held(found)
            self._pace.check(bucket, name)
            keep = generation is None and self._buckets.find(bucket).versioned
            removed = self._retire(found, versioned=keep)
        self._pace.made(bucket, name)
        self._after(removed=removed, told=True)

    def move(
        self, source: tuple[str, str], name: str, *, conditions: Preconditions, source_conditions: Preconditions
    ) -> StoredObject:
        """Rename an object within its bucket, in one step.

        Raises:
            ApiError: 404, 412 for a condition on either, 403 for a hold.
        """
        found = self.find(*source)
        content = self._contents.share(found.content)

        def drop_source(_: StoredObject) -> None:
            source_conditions.check_write(found)
            _refuse_when_held(found)
            self._pace.check(found.bucket, found.name)
            removed.extend(self._retire(found, versioned=self._buckets.find(found.bucket).versioned))

        removed: list[str] = []
        fields = copied_fields(found)
        try:
            moved = self.finalize(
                bucket=found.bucket, name=name, content=content, fields=fields, conditions=conditions, also=drop_source
            )
        except BaseException:
            self._contents.remove([content.key])
            raise
        self._pace.made(found.bucket, found.name)
        self._after(removed=removed, told=True)
        return moved

    def _retire(self, found: StoredObject | None, *, versioned: bool, overwritten_by: int | None = None) -> list[str]:
        """Take a generation out of service; return the content to remove once that is committed."""
        if found is None:
            return []
        by = {} if overwritten_by is None else {"overwrittenByGeneration": overwritten_by}
        if versioned:
            resource = {**found.resource, "timeDeleted": timestamp()}
            archived = StoredObject(
                found.bucket, found.name, found.generation, found.metageneration, False, found.content, resource
            )
            self._keep(archived)
            self._notifications.record(Event.ARCHIVE, archived, **by)
            return []
        self._database.execute(
            "DELETE FROM objects WHERE bucket = ? AND name = ? AND generation = ?",
            (found.bucket, found.name, found.generation),
        )
        self._notifications.record(Event.DELETE, found, **by)
        return [found.content.key]

    def _keep(self, one: StoredObject) -> None:
        self._database.execute(
            "INSERT OR REPLACE INTO objects (bucket, name, generation, metageneration, live, content, size, resource)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                one.bucket,
                one.name,
                one.generation,
                one.metageneration,
                int(one.live),
                one.content.key,
                one.content.size,
                msgspec.json.encode(one.resource),
            ),
        )

    def _after(self, *, removed: list[str], told: bool) -> None:
        self._contents.remove(removed)
        if told:
            self._wake_delivery()


def stored_object(row: tuple[Any, ...]) -> StoredObject:
    """Return the object of a row with the columns that this module selects."""
    resource = msgspec.json.decode(row[6])
    content = Content(row[5], int(resource["size"]), resource["crc32c"], resource.get("md5Hash"))
    return StoredObject(row[0], row[1], row[2], row[3], bool(row[4]), content, resource)


def copied_fields(source: StoredObject) -> Resource:
    """Return the fields that a copy takes over: all that a caller may set, without holds."""
    return {field: value for field, value in source.resource.items() if field in WRITABLE and "Hold" not in field}


def _refuse_when_held(found: StoredObject | None) -> None:
    if found is not None and found.held:
        raise ApiError(403, f"Object '{found.bucket}/{found.name}' is under active Temporary or Event-Based hold.")
