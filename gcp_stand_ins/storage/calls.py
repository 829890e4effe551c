"""Every call of the JSON API that this stand-in answers, by the path it comes on."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from urllib.parse import quote

from gcp_stand_ins.storage.buckets import Buckets
from gcp_stand_ins.storage.copies import Copies
from gcp_stand_ins.storage.delivery import Delivery
from gcp_stand_ins.storage.downloads import Downloads
from gcp_stand_ins.storage.listing import Listing
from gcp_stand_ins.storage.notifications import Notifications, checked_config, topic_of
from gcp_stand_ins.storage.objects import Objects
from gcp_stand_ins.storage.preconditions import Preconditions
from gcp_stand_ins.storage.resources import writable
from gcp_stand_ins.storage.uploads import Uploads
from gcp_stand_ins.storage.wire import Answer, Call, Resource, json_answer

_BUCKET = "storage/v1/b/*"
_OBJECT = "storage/v1/b/*/o/*"


@dataclass(frozen=True, slots=True)
class Calls:
    """The parts that answer calls, wired together in `__main__`."""

    buckets: Buckets
    objects: Objects
    listing: Listing
    uploads: Uploads
    downloads: Downloads
    copies: Copies
    notifications: Notifications
    delivery: Delivery

    def routes(self) -> Iterator[tuple[str, str, str, Callable[..., Awaitable[Answer]]]]:
        """Yield HTTP method, path pattern, the call's name in the JSON API, and what answers it."""
        yield "GET", "storage/v1/b", "buckets.list", self.buckets.page
        yield "POST", "storage/v1/b", "buckets.insert", self.buckets.insert
        yield "GET", _BUCKET, "buckets.get", self.buckets.get
        yield "PATCH", _BUCKET, "buckets.patch", self.buckets.patch
        yield "PUT", _BUCKET, "buckets.update", self.buckets.update
        yield "DELETE", _BUCKET, "buckets.delete", self.buckets.delete
        yield "GET", f"{_BUCKET}/iam/testPermissions", "buckets.testIamPermissions", self.buckets.test_permissions
        yield "GET", "storage/v1/projects/*/serviceAccount", "projects.serviceAccount.get", self.buckets.service_account
        yield "GET", f"{_BUCKET}/o", "objects.list", self.listing.page
        yield "GET", _OBJECT, "objects.get", self._get_object
        yield "PATCH", _OBJECT, "objects.patch", self._patch_object
        yield "PUT", _OBJECT, "objects.update", self._update_object
        yield "DELETE", _OBJECT, "objects.delete", self._delete_object
        yield "POST", f"{_OBJECT}/copyTo/b/*/o/*", "objects.copy", self.copies.copy
        yield "POST", f"{_OBJECT}/rewriteTo/b/*/o/*", "objects.rewrite", self.copies.rewrite
        yield "POST", f"{_OBJECT}/moveTo/o/*", "objects.move", self.copies.move
        yield "POST", f"{_OBJECT}/compose", "objects.compose", self.copies.compose
        yield "GET", f"download/{_OBJECT}", "objects.get", self.downloads.get
        yield "POST", f"upload/{_BUCKET}/o", "objects.insert", self.uploads.insert
        yield "PUT", f"upload/{_BUCKET}/o", "objects.insert", self.uploads.resume
        yield "DELETE", f"upload/{_BUCKET}/o", "objects.insert", self.uploads.cancel
        yield "GET", f"{_BUCKET}/notificationConfigs", "notifications.list", self._list_notifications
        yield "POST", f"{_BUCKET}/notificationConfigs", "notifications.insert", self._insert_notification
        yield "GET", f"{_BUCKET}/notificationConfigs/*", "notifications.get", self._get_notification
        yield "DELETE", f"{_BUCKET}/notificationConfigs/*", "notifications.delete", self._delete_notification

    async def _get_object(self, call: Call, bucket: str, name: str) -> Answer:
        if call.query.get("alt") == "media":
            return await self.downloads.get(call, bucket, name)
        found = self.objects.find(bucket, name, call.number("generation"))
        Preconditions.of_call(call).check_read(found)
        return json_answer(found.on_wire(call.base_url), headers={"etag": found.etag})

    async def _patch_object(self, call: Call, bucket: str, name: str) -> Answer:
        return await self._change_object(call, bucket, name, replace=False)

    async def _update_object(self, call: Call, bucket: str, name: str) -> Answer:
        return await self._change_object(call, bucket, name, replace=True)

    async def _change_object(self, call: Call, bucket: str, name: str, *, replace: bool) -> Answer:
        fields = writable(await call.resource())
        found_by = (bucket, name, call.number("generation"))
        after = self.objects.change(found_by, fields, Preconditions.of_call(call), replace=replace)
        return json_answer(after.on_wire(call.base_url))

    async def _delete_object(self, call: Call, bucket: str, name: str) -> Answer:
        self.objects.delete(bucket, name, call.number("generation"), Preconditions.of_call(call))
        return Answer(204)

    async def _list_notifications(self, call: Call, bucket: str) -> Answer:
        self.buckets.find(bucket)
        page: Resource = {"kind": "storage#notifications"}
        configs = self.notifications.of_bucket(bucket)
        if configs:
            page["items"] = [_config_on_wire(one, bucket, call) for one in configs]
        return json_answer(page)

    async def _insert_notification(self, call: Call, bucket: str) -> Answer:
        self.buckets.find(bucket)
        config = checked_config(await call.resource())
        await self.delivery.check_topic(topic_of(config))
        # Asking Pub/Sub took a while; the bucket may be gone.
        self.buckets.find(bucket)
        return json_answer(_config_on_wire(self.notifications.create(bucket, config), bucket, call))

    async def _get_notification(self, call: Call, bucket: str, config_id: str) -> Answer:
        self.buckets.find(bucket)
        return json_answer(_config_on_wire(self.notifications.get(bucket, config_id), bucket, call))

    async def _delete_notification(self, _call: Call, bucket: str, config_id: str) -> Answer:
        self.buckets.find(bucket)
        self.notifications.delete(bucket, config_id)
        return Answer(204)


def _config_on_wire(config: Resource, bucket: str, call: Call) -> Resource:
    link = f"{call.base_url}/storage/v1/b/{quote(bucket, safe='')}/notificationConfigs/{config['id']}"
    return {**config, "selfLink": link}
