"""Buckets: their resources in the database, and the calls on them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, quote

import msgspec

from gcp_stand_ins.projects import project_number
from gcp_stand_ins.storage.database import Database
from gcp_stand_ins.storage.notifications import Notifications
from gcp_stand_ins.storage.pace import Pace
from gcp_stand_ins.storage.preconditions import Preconditions
from gcp_stand_ins.storage.resources import etag_of, timestamp, without_nulls
from gcp_stand_ins.storage.wire import Answer, ApiError, Call, Resource, json_answer

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]")
_WRITABLE = (
    "autoclass",
    "cors",
    "iamConfiguration",
    "labels",
    "lifecycle",
    "location",
    "logging",
    "rpo",
    "softDeletePolicy",
    "storageClass",
    "versioning",
    "website",
)
_UNSUPPORTED = (
    "customPlacementConfig",
    "defaultEventBasedHold",
    "encryption",
    "hierarchicalNamespace",
    "retentionPolicy",
)
"""Fields whose effect this stand-in does not have; keeping them silently would promise it."""


@dataclass(frozen=True, slots=True)
class Bucket:
    """A bucket, as it is in the database."""

    name: str
    project: str
    metageneration: int
    resource: Resource

    @property
    def generation(self) -> int:
        """Buckets have no generations; conditions on one do not hold."""
        return -1

    @property
    def etag(self) -> str:
        """The tag of this metageneration."""
        return etag_of(None, self.metageneration)

    @property
    def versioned(self) -> bool:
        """Whether overwritten and deleted generations are kept as noncurrent ones."""
        return bool((self.resource.get("versioning") or {}).get("enabled"))

    def on_wire(self, base_url: str) -> Resource:
        """Return the bucket resource as a caller sees it."""
        return {
            "kind": "storage#bucket",
            "selfLink": f"{base_url}/storage/v1/b/{quote(self.name, safe='')}",
            "metageneration": str(self.metageneration),
            "etag": self.etag,
            **self.resource,
        }


class Buckets:
    """All buckets and the calls on them.

    Args:
        database: where they are kept.
        notifications: dropped with their bucket.
        pace: refuses updates of one bucket that come too soon after each other.
    """

    def __init__(self, database: Database, notifications: Notifications, pace: Pace) -> None:
        self._database = database
        self._notifications = notifications
        self._pace = pace

    def find(self, name: str) -> Bucket:
        """Return a bucket.

        Raises:
            ApiError: 404.
        """
        row = self._database.execute(
            "SELECT name, project, metageneration, resource FROM buckets WHERE name = ?", (name,)
        ).fetchone()
        if row is None:
            raise ApiError(404, "The specified bucket does not exist.")
        return _bucket(row)

    async def insert(self, call: Call) -> Answer:
        """Create a bucket; 409 when the name is taken."""
        given = await call.resource()
        project = call.query.get("project")
        if not project:
            raise ApiError(400, "Required parameter: project", reason="required")
        name = given.get("name")
        if not isinstance(name, str) or not _NAME.fullmatch(name) or ".." in name or name.startswith("goog"):
            raise ApiError(
                400, f"Invalid bucket name: {name!r}. Use 3 to 63 of a-z, 0-9, '-', '_' and '.', no 'goog' in front."
            )
        fields = without_nulls(_writable(given))
        now = timestamp()
        location = str(fields.get("location") or "US").upper()
        resource = {
            "id": name,
            "name": name,
            "projectNumber": project_number(project),
            "timeCreated": now,
            "updated": now,
            "locationType": "multi-region" if location in {"US", "EU", "ASIA"} else "region",
            "storageClass": "STANDARD",
            "iamConfiguration": {"uniformBucketLevelAccess": {"enabled": True}, "publicAccessPrevention": "inherited"},
            **fields,
            "location": location,
        }
        with self._database.transaction():
            if self._database.execute("SELECT 1 FROM buckets WHERE name = ?", (name,)).fetchone():
                raise ApiError(
                    409, "Your previous request to create the named bucket succeeded and you already own it."
                )
            bucket = Bucket(name, project, 1, resource)
            self._keep(bucket)
        return json_answer(bucket.on_wire(call.base_url))

    async def get(self, call: Call, name: str) -> Answer:
        """Return a bucket's resource."""
        bucket = self.find(name)
        Preconditions.of_call(call).check_read(bucket)
        return json_answer(bucket.on_wire(call.base_url))

    async def page(self, call: Call) -> Answer:
        """Return a page of a project's buckets, by name."""
        project = call.query.get("project")
        if not project:
            raise ApiError(400, "Required parameter: project", reason="required")
        limit = min(call.number("maxResults") or 1000, 1000)
        prefix = call.query.get("prefix", "")
        rows = self._database.execute(
            "SELECT name, project, metageneration, resource FROM buckets"
            " WHERE project = ? AND name > ? AND substr(name, 1, ?) = ? ORDER BY name LIMIT ?",
            (project, call.query.get("pageToken", ""), len(prefix), prefix, limit + 1),
        ).fetchall()
        page: Resource = {"kind": "storage#buckets"}
        items = [_bucket(row).on_wire(call.base_url) for row in rows[:limit]]
        if items:
            page["items"] = items
        if len(rows) > limit:
            page["nextPageToken"] = rows[limit - 1][0]
        return json_answer(page)

    async def patch(self, call: Call, name: str) -> Answer:
        """Change the fields given; null removes one."""
        return await self._change(call, name, replace=False)

    async def update(self, call: Call, name: str) -> Answer:
        """Replace all fields that a caller may set."""
        return await self._change(call, name, replace=True)

    async def _change(self, call: Call, name: str, *, replace: bool) -> Answer:
        fields = _writable(await call.resource())
        conditions = Preconditions.of_call(call)
        with self._database.transaction():
            found = self.find(name)
            conditions.check_write(found)
            self._pace.check_bucket(name)
            fixed = {"location": found.resource["location"], "updated": timestamp()}
            kept = {field: value for field, value in found.resource.items() if not (replace and field in _WRITABLE)}
            resource = without_nulls({**kept, **_merged_labels(found.resource, fields, replace=replace), **fixed})
            resource.setdefault("storageClass", found.resource["storageClass"])
            bucket = Bucket(name, found.project, found.metageneration + 1, resource)
            self._keep(bucket)
        self._pace.bucket_made(name)
        return json_answer(bucket.on_wire(call.base_url))

    async def delete(self, call: Call, name: str) -> Answer:
        """Delete an empty bucket with its notification configurations."""
        conditions = Preconditions.of_call(call)
        with self._database.transaction():
            conditions.check_write(self.find(name))
            if self._database.execute("SELECT 1 FROM objects WHERE bucket = ? LIMIT 1", (name,)).fetchone():
                raise ApiError(409, "The bucket you tried to delete is not empty.")
            self._database.execute("DELETE FROM buckets WHERE name = ?", (name,))
            self._notifications.forget_bucket(name)
        return Answer(204)

    async def test_permissions(self, call: Call, name: str) -> Answer:
        """Return those of the permissions asked for that the caller has: all of them, since nobody is kept out here."""
        self.find(name)
        asked = parse_qs(call.raw_query).get("permissions", [])
        wrong = [one for one in asked if not one.startswith("storage.")]
        if wrong or not asked:
            raise ApiError(400, f"Invalid permissions {wrong}: expected storage.objects.… or storage.buckets.….")
        return json_answer({"kind": "storage#testIamPermissionsResponse", "permissions": asked})

    async def service_account(self, _call: Call, project: str) -> Answer:
        """Return the account that Cloud Storage publishes notifications as."""
        email = f"service-{project_number(project)}@gs-project-accounts.iam.gserviceaccount.com"
        return json_answer({"kind": "storage#serviceAccount", "email_address": email})

    def _keep(self, bucket: Bucket) -> None:
        self._database.execute(
            "INSERT OR REPLACE INTO buckets (name, project, metageneration, resource) VALUES (?, ?, ?, ?)",
            (bucket.name, bucket.project, bucket.metageneration, msgspec.json.encode(bucket.resource)),
        )


def _bucket(row: tuple[Any, ...]) -> Bucket:
    return Bucket(row[0], row[1], row[2], msgspec.json.decode(row[3]))


def _writable(given: Resource) -> Resource:
    for field in _UNSUPPORTED:
        if given.get(field):
            raise ApiError(501, f"The local Cloud Storage has no {field}; leave it out.")
    if (given.get("billing") or {}).get("requesterPays"):
        raise ApiError(501, "The local Cloud Storage has no requester pays; leave it out.")
    return {field: given[field] for field in _WRITABLE if field in given}


def _merged_labels(found: Resource, fields: Resource, *, replace: bool) -> Resource:
    labels = fields.get("labels")
    if replace or not isinstance(labels, dict):
        return fields
    merged = {**found.get("labels", {}), **labels}
    return {**fields, "labels": {key: value for key, value in merged.items() if value is not None}}
