"""A triggerer reduced to one trigger: Airflow's own shared stream, driven as Airflow's trigger runner drives it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import google.pubsub_v1
import pytest
from airflow.jobs.triggerer_job_runner import TriggerEventEntry, messages
from airflow.sdk.execution_time.comms import _RequestFrame
from airflow.triggers.shared_stream import SharedStreamManager
from cloud import PREFIX
from google.cloud.pubsub_v1 import PublisherClient, SubscriberClient

from genops_events.config import Config
from genops_events.intake.subscription import ArrivalsSubscription, Message
from triggers.gcs_arrival import GCSArrivalTrigger

TRIGGER_ID = 1


@dataclass
class Triggerer:
    """What a triggerer does with one trigger; `confirm` is its supervisor saying that events are stored."""

    manager: SharedStreamManager = field(default_factory=SharedStreamManager)
    trigger_id: int = TRIGGER_ID
    messages: list[Message] = field(default_factory=list)
    """All that the stream handed to the trigger."""
    events: list[dict[str, Any]] = field(default_factory=list)
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    """Cleared, the trigger takes no more messages for the moment."""
    _unconfirmed: list[int] = field(default_factory=list)
    _task: asyncio.Task[None] | None = None

    @property
    def objects(self) -> list[str]:
        return [str(event["object"]) for event in self.events]

    @property
    def unconfirmed(self) -> int:
        return len(self._unconfirmed)

    def confirm(self) -> None:
        """Confirm that all events so far are in the database."""
        seqs, self._unconfirmed = self._unconfirmed, []
        self.manager.confirm_persisted(seqs)

    def assert_alive(self) -> None:
        assert self._task is not None
        assert not self._task.done(), self._task

    async def start(self) -> None:
        self.ready.set()
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        assert self._task is not None
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        trigger = GCSArrivalTrigger()
        key = trigger.shared_stream_key()
        stream = self.manager.subscribe(trigger_id=self.trigger_id, trigger=trigger, key=key)
        try:
            async for event in trigger.filter_shared_stream(self._seen(stream)):
                # Back to back, as Airflow's trigger runner does.
                seq = self.manager.bind_pending_event(trigger_id=self.trigger_id, key=key)
                assert seq is not None
                # As it goes to the supervisor: what raises here ends every trigger of a triggerer's process.
                entry = TriggerEventEntry(trigger_id=self.trigger_id, event=event, persist_seq=seq)
                changes = messages.TriggerStateChanges(events=[entry])
                _RequestFrame(id=1, body=changes.model_dump()).as_bytes()
                self._unconfirmed.append(seq)
                self.events.append(event.payload)
        finally:
            await self.manager.unsubscribe(self.trigger_id, key)

    async def _seen(self, stream: AsyncIterator[Any]) -> AsyncIterator[Any]:
        async for raw in stream:
            await self.ready.wait()
            self.messages.append(raw[0].message)
            yield raw


@asynccontextmanager
async def running(
    manager: SharedStreamManager | None = None, *, trigger_id: int = TRIGGER_ID
) -> AsyncIterator[Triggerer]:
    """Run a triggerer for as long as the block lasts; it must live to its end, and leave no task behind.

    With the manager of another it is a second watcher of the same process.
    """
    before = asyncio.all_tasks()
    made = Triggerer(manager or SharedStreamManager(), trigger_id)
    await made.start()
    try:
        yield made
        made.assert_alive()
    finally:
        await made.stop()
    if manager is None:
        assert asyncio.all_tasks() <= before


class Settled:
    """Counts what was pulled, acked and nacked, by message id, successful calls only; the calls themselves go through."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.pulled: Counter[str] = Counter()
        self.acked: list[str] = []
        self.nacked: list[str] = []
        self.attempts = 0
        of: dict[str, str] = {}
        pull, ack, nack = ArrivalsSubscription.pull, ArrivalsSubscription.ack, ArrivalsSubscription.nack

        async def counted_pull(subscription: ArrivalsSubscription, *, max_messages: int) -> list[Message]:
            messages = await pull(subscription, max_messages=max_messages)
            of.update((one.ack_id, one.message_id) for one in messages)
            self.pulled.update(one.message_id for one in messages)
            return messages

        async def counted_ack(subscription: ArrivalsSubscription, ack_ids: list[str]) -> None:
            self.attempts += 1
            await ack(subscription, ack_ids)
            self.acked += [of[one] for one in ack_ids]

        async def counted_nack(subscription: ArrivalsSubscription, ack_ids: list[str]) -> None:
            await nack(subscription, ack_ids)
            self.nacked += [of[one] for one in ack_ids]

        patch.setattr(ArrivalsSubscription, "pull", counted_pull)
        patch.setattr(ArrivalsSubscription, "ack", counted_ack)
        patch.setattr(ArrivalsSubscription, "nack", counted_nack)


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> Settled:
    return Settled(monkeypatch)


class Arrivals:
    """The arrivals topic and its subscription, as a stranger sees them."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.publisher = PublisherClient()
        self.subscriber = SubscriberClient()
        self._topic = f"projects/{config.project}/topics/{config.topics.arrivals}"
        self.subscription = f"projects/{config.project}/subscriptions/{config.subscription}"
        self.dead_letters = f"projects/{config.project}/subscriptions/{config.topics.arrivals}-dead-letters"

    def close(self) -> None:
        self.publisher.stop()
        self.publisher.transport.close()
        self.subscriber.close()

    def set_ack_deadline(self, seconds: int) -> None:
        """Make the subscription's own leases this short; ten seconds is Google's least, and its default."""
        self._update("ack_deadline_seconds", seconds)

    def pull(self, *, seconds: float) -> list[Any]:
        """Return what another subscriber gets within `seconds`; leased, not acked."""
        from google.api_core.exceptions import DeadlineExceeded

        try:
            pulled = self.subscriber.pull(subscription=self.subscription, max_messages=100, timeout=seconds, retry=None)
        except DeadlineExceeded:
            return []
        return list(pulled.received_messages)

    def ack(self, *received: Any) -> None:
        self.subscriber.acknowledge(subscription=self.subscription, ack_ids=[one.ack_id for one in received])

    def hurry(self) -> None:
        """Let refused messages come back after a tenth of a second instead of one."""
        self._update(
            "retry_policy", {"minimum_backoff": {"nanos": 100_000_000}, "maximum_backoff": {"nanos": 200_000_000}}
        )

    def _update(self, field: str, value: object) -> None:
        known = self.subscriber.get_subscription(subscription=self.subscription)
        change = {"name": known.name, "topic": known.topic, field: value}
        self.subscriber.update_subscription(request={"subscription": change, "update_mask": {"paths": [field]}})

    def notification(self, name: str, **changed: str) -> dict[str, Any]:
        """Return a message as Cloud Storage publishes it, without attributes that are changed to nothing."""
        attributes = {
            "eventType": "OBJECT_FINALIZE",
            "bucketId": self.config.bucket,
            "objectId": name,
            "objectGeneration": "1700000000000001",
            "eventTime": "2026-11-23T00:00:01.5Z",
            "payloadFormat": "JSON_API_V1",
        }
        merged = {key: value for key, value in (attributes | changed).items() if value}
        return {"data": b'{"size": "5"}', "attributes": merged}

    def publish(self, *messages: dict[str, Any]) -> list[str]:
        """Publish in one request, past the batching of the client."""
        made = google.pubsub_v1.PublisherClient.publish(self.publisher, topic=self._topic, messages=list(messages))
        return list(made.message_ids)

    def announce(self, *names: str) -> list[str]:
        return self.publish(*(self.notification(name) for name in names))

    def give_back(self, message: Message) -> None:
        """Make the broker deliver a message again, if it still has it: one that was acked is gone."""
        self.subscriber.modify_ack_deadline(
            subscription=self.subscription, ack_ids=[message.ack_id], ack_deadline_seconds=0
        )


@pytest.fixture
def arrivals(config: Config) -> Iterator[Arrivals]:
    made = Arrivals(config)
    made.hurry()
    yield made
    made.close()


def watched(number: int = 0) -> str:
    return f"{PREFIX}{number:05}.jsonl"
