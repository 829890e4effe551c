"""What Pub/Sub delivers when something happens to an object: notifications of Cloud Storage, and events of Eventarc."""

from __future__ import annotations

import pytest
from shapes import Shape, shapes_of

from genops_events.intake.notifications import UnreadableNotification, read_notification


@pytest.mark.parametrize("shape", shapes_of("notifications"), ids=str)
def test_a_new_object_is_an_arrival_and_nothing_else_is(shape: Shape) -> None:
    attributes = shape.told["attributes"]
    if "error" in shape.expect:
        with pytest.raises(UnreadableNotification, match=shape.expect["says"]):
            read_notification(attributes, shape.content)
        return
    notice = read_notification(attributes, shape.content)
    assert (None if notice is None else notice.payload()) == shape.expect["notice"], shape.told["otherwise"]


@pytest.mark.parametrize("data", [b"", b"null", b"[]", b"{", b"[" * 200_000, b'{"type": 1, "data": []}'])
def test_an_event_that_names_no_object_is_refused(data: bytes) -> None:
    for attributes in (
        {"ce-type": "google.cloud.storage.object.v1.finalized"},
        {"content-type": "application/cloudevents+json"},
    ):
        with pytest.raises(UnreadableNotification):
            read_notification(attributes, data)
