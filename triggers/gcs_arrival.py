"""Watch a bucket's notifications, and ack each only once its asset event is stored (Airflow's ack mode)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Hashable, Sequence
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseEventTrigger, TriggerEvent
from airflow.triggers.shared_stream import AdvanceItem, SharedStreamProducer, reject_shared_stream_event

from genops_events.arrivals import UnreadableNotification, read_notification
from genops_events.errors import GenopsError
from genops_events.polling import back_off_seconds
from genops_events.record import ROOT

if TYPE_CHECKING:
    from genops_events.config import Config
    from genops_events.gcp.arrivals import ArrivalsSubscription, Message

log = logging.getLogger(__name__)

OUTSTANDING_MESSAGES = 400
"""Messages yielded but not yet advanced: well under Airflow's queue of 1,024, whose overflow fails the watcher."""

ADVANCE_ATTEMPTS = 5
FIRST_BACK_OFF_SECONDS = 1.0


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
        """Yield one event per finalized object under a watched prefix; refuse what cannot be read."""
        async for message, config in shared_stream:
            try:
                notice = read_notification(message.attributes, message.data)
            except UnreadableNotification as error:
                log.warning("Message %s goes to the dead letters. %s", message.message_id, error)
                reject_shared_stream_event()
                continue
            if notice is None or notice.bucket != config.bucket:
                continue
            if config.dataset_for(notice.object) is not None:
                yield TriggerEvent(notice.payload())
            elif not notice.object.startswith(ROOT):
                log.info("gs://%s/%s is under no watched prefix; ignored", notice.bucket, notice.object)

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Never used: a trigger with a shared stream key is driven through `filter_shared_stream`."""
        nothing: tuple[TriggerEvent, ...] = ()
        for event in nothing:
            yield event  # makes this an asynchronous generator
        raise RuntimeError("GCSArrivalTrigger runs on a shared stream; this Airflow does not support that")


class ArrivalProducer(SharedStreamProducer):
    """Pull the arrivals subscription for as long as the watcher lives, through every passing fault."""

    def __init__(self) -> None:
        self._subscription: ArrivalsSubscription | None = None
        self._outstanding = 0
        self._room = asyncio.Event()
        self._room.set()

    async def open_stream(self) -> AsyncIterator[tuple[Any, Any]]:
        """Yield `((message, config), message)`; waits instead of raising when Google Cloud does not answer.

        Airflow restarts a failed watcher every two seconds without back-off, so the back-off is here.
        """
        failures = 0
        while True:
            await self._room.wait()
            try:
                config, messages = await self._pull()
            except (GenopsError, OSError) as error:
                failures += 1
                pause = back_off_seconds(failures, poll_seconds=FIRST_BACK_OFF_SECONDS)
                # The connection stays open: it mends itself, and closing it would cancel an ack that is under way.
                log.warning("Arrivals cannot be read; trying again in %.1f s. %s", pause, error)
                await asyncio.sleep(pause)
                continue
            failures = 0
            for message in messages:
                self._outstanding += 1
                yield (message, config), message
                # Airflow's own tasks need a turn between messages, or its queue overflows.
                await asyncio.sleep(0)
            if self._outstanding >= OUTSTANDING_MESSAGES:
                self._room.clear()

    async def _pull(self) -> tuple[Config, list[Message]]:
        # Google's clients take more than half a second to import: too long for the triggerer's event loop.
        opened = self._subscription
        if opened is None:
            opened = self._subscription = await asyncio.to_thread(_open)
        room = OUTSTANDING_MESSAGES - self._outstanding
        messages = await opened.pull(max_messages=max(1, min(room, 100)))
        # Read anew, so that a dataset added to genops.yaml is watched from its first upload on.
        return await asyncio.to_thread(_load_config) if messages else opened.config, messages

    async def advance(self, batch: Sequence[AdvanceItem]) -> None:
        """Ack what is stored, nack the rest: refused messages end as dead letters, failed ones come again.

        A fault that outlasts the retries is not raised, since that would end the watcher:
        the messages' leases run out, and Pub/Sub delivers them again.
        """
        stored = [item.broker_payload for item in batch if item.outcome.is_clean]
        unstored = [item.broker_payload for item in batch if not item.outcome.is_clean]
        for attempt in range(1, ADVANCE_ATTEMPTS + 1):
            try:
                await self._settle(stored, unstored)
                break
            except (GenopsError, OSError) as error:
                log.warning("%d messages could not be acked (attempt %d). %s", len(batch), attempt, error)
                await asyncio.sleep(back_off_seconds(attempt, poll_seconds=FIRST_BACK_OFF_SECONDS / 4))
        self._outstanding -= len(batch)
        self._room.set()

    async def _settle(self, stored: Sequence[Message], unstored: Sequence[Message]) -> None:
        opened = self._subscription
        if opened is None:
            opened = self._subscription = await asyncio.to_thread(_open)
        if stored:
            await opened.ack(stored)
        if unstored:
            await opened.nack(unstored)

    async def aclose(self) -> None:
        """Close the connection to Pub/Sub."""
        opened, self._subscription = self._subscription, None
        if opened is not None:
            await opened.close()


def _load_config() -> Config:
    from genops_events.config import load_config

    return load_config()


def _open() -> ArrivalsSubscription:
    from genops_events.gcp.arrivals import ArrivalsSubscription

    return ArrivalsSubscription(_load_config())
