"""Who may do what: nobody is kept out of the stand-in, and it says so."""

from __future__ import annotations

import pytest
from google.api_core import exceptions
from google.cloud.storage import Bucket, Client


def test_all_permissions_that_are_asked_for_are_granted_in_their_order(bucket: Bucket) -> None:
    for asked in (
        ["storage.objects.list"],
        ["storage.objects.delete", "storage.objects.create", "storage.buckets.get"],
    ):
        assert bucket.test_iam_permissions(asked) == asked


def test_permissions_on_no_bucket_are_not_found_and_those_of_another_service_are_refused(
    client: Client, bucket: Bucket
) -> None:
    with pytest.raises(exceptions.NotFound):
        client.bucket("no-such-bucket-at-all").test_iam_permissions(["storage.objects.get"])
    with pytest.raises(exceptions.BadRequest, match="expected storage"):
        bucket.test_iam_permissions(["pubsub.topics.get"])
