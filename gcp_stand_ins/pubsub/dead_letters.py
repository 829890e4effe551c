"""The message that goes to the dead-letter topic, with the attributes that say where it came from."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from gcp_stand_ins.pubsub import wire
from gcp_stand_ins.pubsub.delivery import StoredMessage
from gcp_stand_ins.pubsub.names import project_and_id


def dead_letter(message: StoredMessage, *, subscription: str, attempts: int) -> Any:
    """Return what is published in place of `message` after `attempts` failed deliveries to `subscription`."""
    project, subscription_id = project_and_id(subscription)
    published = datetime.fromtimestamp(message.published_at, UTC).isoformat(timespec="milliseconds")
    forwarded = wire.PubsubMessage(data=message.body.data, ordering_key=message.body.ordering_key)
    forwarded.attributes.update(message.body.attributes)
    forwarded.attributes.update(
        {
            "CloudPubSubDeadLetterSourceSubscription": subscription_id,
            "CloudPubSubDeadLetterSourceSubscriptionProject": project,
            "CloudPubSubDeadLetterSourceTopicPublishTime": published,
            "CloudPubSubDeadLetterSourceDeliveryCount": str(attempts),
        }
    )
    return forwarded
