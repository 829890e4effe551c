"""One subscription at work: its backlog, who waits for it, and its timer."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterable
from itertools import takewhile
from typing import Any

from gcp_stand_ins.pubsub.delivery import Backlog, Consumer, Entry, StoredMessage
from gcp_stand_ins.pubsub.errors import ApiError, invalid
from gcp_stand_ins.pubsub.faults import PubSubFaultSwitch
from gcp_stand_ins.pubsub.filters import parse
from gcp_stand_ins.pubsub.resources import delivery_rules
from gcp_stand_ins.pubsub.store import MessageStore

DeadLetter = Callable[["Subscription", Entry], bool]
"""Forwards a message whose delivery attempts are used up; False if its topic is gone."""

_BATCH_MESSAGES = 1000
_BATCH_BYTES = 1_000_000
"""What one response carries at most, unless a single message is larger."""


class Subscription:
    """What the calls on one subscription share.

    Args:
        uid: its number in the journal.
        resource: the checked protobuf `Subscription`.
        store: where its messages are held.
        faults: `drop_acks`, `duplicate` and `reorder` are applied here.
        dead_letter: called with a message whose delivery attempts are used up.
    """

    def __init__(
        self, *, uid: int, resource: Any, store: MessageStore, faults: PubSubFaultSwitch, dead_letter: DeadLetter
    ) -> None:
        self.uid = uid
        self.resource = resource
        self.matches = parse(resource.filter)
        self.backlog = Backlog(delivery_rules(resource))
        self.retained: dict[int, StoredMessage] = {}
        """Acknowledged messages that are kept for a seek."""
        self._store = store
        self._faults = faults
        self._dead_letter = dead_letter
        self._loop = asyncio.get_running_loop()
        self._news = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._ended: ApiError | None = None

    def update(self, resource: Any) -> None:
        """Put new settings in force."""
        self.resource = resource
        self.backlog.rules = delivery_rules(resource)
        self.expire(0.0)
        self.wake()

    def accept(self, message: StoredMessage) -> None:
        """Take a message of the topic, unless the filter keeps it out. Whoever waits is woken after the commit."""
        if self.matches(message.body.attributes):
            self._store.hold(self.uid, message)
            self.backlog.offer(message)

    def restore(self, message: StoredMessage, *, acknowledged: bool, failures: int) -> None:
        """Take back a message that the journal held."""
        if acknowledged:
            self.retained[message.id] = message
        else:
            self.backlog.offer(message, failures=failures)

    def wake(self) -> None:
        """Make everybody who waits look again, longest waiting first."""
        self._news.set()

    def end(self, reason: ApiError) -> None:
        """Refuse every call that waits or comes from now on."""
        self._ended = reason
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.wake()

    async def readable(self, consumer: Consumer, *, until: float | None) -> bool:
        """Return True once there is something for `consumer`, False at `until` (event loop time).

        Raises:
            ApiError: the subscription was deleted or detached.
        """
        while True:
            if self._ended is not None:
                raise self._ended
            if self.backlog.has_something_for(consumer):
                if self._faults.current.reorder:
                    await asyncio.sleep(0.05)  # let a few come together: one alone cannot be out of order
                return True
            self._news.clear()
            try:
                async with asyncio.timeout_at(until):
                    await self._news.wait()
            except TimeoutError:
                return self.backlog.has_something_for(consumer)  # it may have come in this very moment

    def take(
        self, consumer: Consumer, received: Any, *, lease_seconds: float, max_messages: int = _BATCH_MESSAGES
    ) -> None:
        """Lease messages to `consumer` and add them to `received`, a repeated `ReceivedMessage`."""
        entries = self.backlog.take(
            consumer,
            now=self._loop.time(),
            lease_seconds=lease_seconds,
            max_messages=min(max_messages, _BATCH_MESSAGES),
            max_bytes=_BATCH_BYTES,
        )
        faults = self._faults.current
        if faults.reorder:
            entries = _shuffled(entries)
        with_attempt = self.resource.HasField("dead_letter_policy")
        for entry in entries:
            ack_id = f"{self.uid}-{entry.message.id}-{entry.delivery}"
            attempt = entry.failures + 1 if with_attempt else 0
            received.add(ack_id=ack_id, message=entry.message.body, delivery_attempt=attempt)
            if faults.duplicate and random.random() < faults.duplicate:  # noqa: S311 - not a secret
                received.add(ack_id=f"{ack_id}-again", message=entry.message.body, delivery_attempt=attempt)
        self._arm_timer()

    def close(self, consumer: Consumer) -> None:
        """Note that `consumer` takes no more."""
        self.backlog.close(consumer)

    def acknowledge(self, ack_ids: Iterable[str]) -> list[str]:
        """Settle the messages; return the ack ids whose lease had ended, which only exactly-once delivery minds.

        Raises:
            ApiError: INVALID_ARGUMENT for an ack id that was never given out.
        """
        parsed = [(ack_id, *self._parsed(ack_id)) for ack_id in ack_ids]
        strict = self.resource.enable_exactly_once_delivery
        dropped = self._faults.current.drop_acks
        stale = []
        for ack_id, uid, message_id, delivery in parsed:
            if dropped and random.random() < dropped:  # noqa: S311 - not a secret
                continue
            if uid != self.uid or (strict and not self.backlog.is_current(message_id, delivery)):
                stale.append(ack_id)
                continue
            self._settle(self.backlog.acknowledge(message_id, delivery))
        self._arm_timer()
        self.wake()
        return stale

    def modify_ack_deadline(self, changes: Iterable[tuple[str, int]]) -> list[str]:
        """Extend leases, or end them (0 seconds: a nack); return the ack ids whose lease had ended.

        Raises:
            ApiError: INVALID_ARGUMENT for an ack id that was never given out, or seconds out of range.
        """
        parsed = [(ack_id, *self._parsed(ack_id), seconds) for ack_id, seconds in changes]
        for *_, seconds in parsed:
            if not 0 <= seconds <= 600:  # noqa: PLR2004 - Google's limit
                raise invalid(f"Invalid ack deadline given ({seconds}): it must be between 0 and 600 seconds.")
        now = self._loop.time()
        stale = []
        failed = []
        for ack_id, uid, message_id, delivery, seconds in parsed:
            if uid != self.uid or not self.backlog.is_current(message_id, delivery):
                stale.append(ack_id)
            elif seconds:
                self.backlog.extend(message_id, delivery, now + seconds)
            else:
                entry = self.backlog.refuse(message_id, delivery, now=now)
                failed.extend([entry] if entry else [])
        self._after_failures(failed)
        return stale

    def expire(self, now: float) -> None:
        """Forget what was published before the retention of the subscription (`now`: seconds since the epoch)."""
        cutoff = now - self.resource.message_retention_duration.ToNanoseconds() / 1e9
        old = list(takewhile(lambda entry: entry.message.published_at < cutoff, self.backlog.entries.values()))
        for message in self.backlog.drop([entry.message.id for entry in old]):
            self._store.release(self.uid, message)
        keep = self.resource.retain_acked_messages
        for message in list(self.retained.values()):
            if not keep or message.published_at < cutoff:
                del self.retained[message.id]
                self._store.release(self.uid, message)

    def replay(self, pending: Iterable[StoredMessage]) -> None:
        """Make exactly `pending` the backlog; everything else that is held counts as acknowledged."""
        held = {entry.message.id: entry.message for entry in self.backlog.entries.values()} | self.retained
        self.retained.clear()
        self.backlog.drop(list(self.backlog.entries))
        wanted = {message.id: message for message in pending}
        self._settle(message for message in held.values() if message.id not in wanted)
        for message_id, message in sorted(wanted.items()):
            if message_id in held:
                self._store.note(self.uid, message)
            else:
                self._store.hold(self.uid, message)
            self.backlog.offer(message)
        self.wake()

    def release_everything(self) -> None:
        """Give up all messages, for a subscription that is deleted or detached."""
        for message in [*self.backlog.drop(list(self.backlog.entries)), *self.retained.values()]:
            self._store.release(self.uid, message)
        self.retained.clear()

    def _parsed(self, ack_id: str) -> tuple[int, int, int]:
        try:
            uid, message_id, delivery = ack_id.removesuffix("-again").split("-")
            return int(uid), int(message_id), int(delivery)
        except ValueError:
            raise invalid(f"You have passed an invalid ack ID to the service (ack_id={ack_id}).") from None

    def _settle(self, messages: Iterable[StoredMessage]) -> None:
        for message in messages:
            if self.resource.retain_acked_messages:
                self.retained[message.id] = message
                self._store.note(self.uid, message, acknowledged=True)
            else:
                self._store.release(self.uid, message)

    def _after_failures(self, failed: list[Entry]) -> None:
        if self.resource.HasField("dead_letter_policy"):
            attempts = self.resource.dead_letter_policy.max_delivery_attempts
            for entry in failed:
                if entry.failures >= attempts and self._dead_letter(self, entry):
                    # In the same commit as the forwarded message: it is in one place or the other, never in none.
                    self._settle(self.backlog.drop([entry.message.id]))
                else:
                    self._store.note(self.uid, entry.message, failures=entry.failures)
        self._arm_timer()
        self.wake()

    def _arm_timer(self) -> None:
        due = self.backlog.next_due()
        if self._timer is not None:
            if due is not None and self._timer.when() <= due:
                return  # it will look again
            self._timer.cancel()
            self._timer = None
        if due is not None and self._ended is None:
            self._timer = self._loop.call_at(due, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self._after_failures(self.backlog.advance(self._loop.time()))


def _shuffled(entries: list[Entry]) -> list[Entry]:
    """Return `entries` in random order, but those of one ordering key in theirs."""
    shuffled = random.sample(entries, len(entries))
    in_line: dict[str, list[Entry]] = {}
    for entry in reversed(entries):
        if entry.line is not None:
            in_line.setdefault(entry.line.key, []).append(entry)
    return [entry if entry.line is None else in_line[entry.line.key].pop() for entry in shuffled]
