"""Watch a bucket's notifications, and ack each only once its asset event is stored (Airflow's ack mode).

With one exception, which is Airflow's: while genops_intake is paused or deployed anew, messages are acked for a moment
with nothing stored. The sweep finds those arrivals.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Hashable
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseEventTrigger, TriggerEvent
from airflow.triggers.shared_stream import SharedStreamProducer, reject_shared_stream_event

from genops_events.intake.admission import Admitted, admission
from genops_events.intake.notifications import UnreadableNotification, read_notification
from genops_events.reading.object_names import ROOT
from genops_events.reading.storable import NotStorable
from triggers.arrival_stream import ArrivalProducer
from triggers.events import event

if TYPE_CHECKING:
    from genops_events.config import Config
    from genops_events.intake.subscription import Message

log = logging.getLogger(__name__)


class GCSArrivalTrigger(BaseEventTrigger):
    """Fire for every object that is finalized under a watched prefix, at least once whatever crashes.

    Takes no arguments: what is watched stands in genops.yaml, which is read while the stream is pulled,
    so the constructor cannot raise (an error there would stop the triggerer).
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path that Airflow stores."""
        return "triggers.gcs_arrival.GCSArrivalTrigger", {}

    def shared_stream_key(self) -> Hashable:
        """Return the one key of all instances: they share one subscription."""
        return ("genops_events", "gcs_arrival")

    @classmethod
    def create_shared_stream_producer(cls, kwargs: dict[str, Any]) -> SharedStreamProducer:  # noqa: ARG003
        """Return the broker's side of the stream; nothing is opened yet."""
        return ArrivalProducer()

    async def filter_shared_stream(self, shared_stream: AsyncIterator[Any]) -> AsyncIterator[TriggerEvent]:
        """Yield one event per finalized object under a watched prefix; refuse what cannot be read, with the reason."""
        async for delivery, config in shared_stream:
            try:
                made = _event(delivery.message, config)
            except (UnreadableNotification, NotStorable) as error:
                delivery.refusal = error.message
            except Exception as error:  # a mistake of ours: raised, it would end the watcher, again and again
                log.exception("Message %s could not be handled", delivery.message.message_id)
                delivery.refusal = f"It could not be handled: {type(error).__name__}: {error}"
            else:
                if made is not None:
                    yield made
                continue
            log.warning("Message %s goes to the dead letters. %s", delivery.message.message_id, delivery.refusal)
            reject_shared_stream_event()

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Never used: a trigger with a shared stream key is driven through `filter_shared_stream`."""
        nothing: tuple[TriggerEvent, ...] = ()
        for one in nothing:
            yield one  # makes this an asynchronous generator
        raise RuntimeError("GCSArrivalTrigger runs on a shared stream; this Airflow does not support that")


def _event(message: Message, config: Config) -> TriggerEvent | None:
    """Return the event that `message` makes; None if it tells of no arrival.

    Raises:
        UnreadableNotification: it is no notification, or a broken one.
        NotStorable: Airflow could not store the event.
    """
    notice = read_notification(message.attributes, message.data)
    if notice is None:
        return None
    found = admission(config, notice.bucket, notice.object)
    if isinstance(found, Admitted):
        return event(notice.payload())
    if not notice.object.startswith(ROOT):
        log.info("%r is no arrival: %s", f"gs://{notice.bucket}/{notice.object}", found.reason)
    return None
