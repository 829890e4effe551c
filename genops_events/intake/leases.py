"""The messages that this process holds, and the task that extends their leases."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Iterable
from dataclasses import dataclass, field

from genops_events.back_off import back_off_seconds
from genops_events.gcp.errors import CloudUnavailable
from genops_events.intake.subscription import ArrivalsSubscription, Message

log = logging.getLogger(__name__)

LEASE_SECONDS = 30
"""Length of one extension. The messages of a process that dies are delivered to others after this time at most."""

LONGEST_HELD_SECONDS = 420.0
"""A message that is held longer is not extended any more: Airflow fails an event that is not stored in 300 s, and an ack may be tried for a minute."""


@dataclass(slots=True, eq=False)
class Delivery:
    """A message that this process holds, from its first delivery until it is settled."""

    message: Message
    ack_ids: list[str]
    """One for each time it was delivered, the newest last; all are settled together."""
    refusal: str | None = None
    """Why the message cannot be read; set when it is refused."""
    pulled_at: float = field(default_factory=time.monotonic)
    extended_at: float = -math.inf


class Leases:
    """The deliveries that are not settled yet.

    Args:
        subscription: where the leases are extended.
    """

    def __init__(self, subscription: ArrivalsSubscription) -> None:
        self._subscription = subscription
        self._held: dict[str, Delivery] = {}
        self._taken = asyncio.Event()

    def __len__(self) -> int:
        return len(self._held)

    def take(self, messages: Iterable[Message]) -> list[Delivery]:
        """Hold `messages`; return those that were not held yet.

        A message that is delivered again while it is held (its lease ran out, or Pub/Sub sent it twice) is not
        returned again: its new ack id is added to the others.
        """
        new = []
        for message in messages:
            held = self._held.get(message.message_id)
            if held is None:
                held = self._held[message.message_id] = Delivery(message, [message.ack_id])
                new.append(held)
            else:
                held.ack_ids.append(message.ack_id)
                held.extended_at = -math.inf
        self._taken.set()
        return new

    def forget(self, deliveries: Iterable[Delivery]) -> None:
        """Hold `deliveries` no longer: they are settled, or left to Pub/Sub."""
        for one in deliveries:
            self._held.pop(one.message.message_id, None)

    def held(self) -> list[Delivery]:
        """Return the held deliveries, oldest first."""
        return list(self._held.values())

    async def keep(self) -> None:
        """Extend leases for ever: that of a new message at once, all others after a third of the lease.

        New ones are extended at once, since a subscription's own ack deadline may be ten seconds. An extension that fails is
        logged and tried again; if a lease runs out, the message is delivered again, which changes nothing.
        """
        failures = 0
        while True:
            self._taken.clear()
            now = time.monotonic()
            due = [one for one in self._held.values() if self._is_due(one, now)]
            try:
                if due:
                    await self._subscription.extend([one.ack_ids[-1] for one in due], seconds=LEASE_SECONDS)
            except Exception as error:  # after any error: without this task, all leases would run out
                failures += 1
                expected = isinstance(error, CloudUnavailable)
                log.warning("%d leases could not be extended. %s", len(due), error, exc_info=not expected)
                await asyncio.sleep(back_off_seconds(failures, first=1.0, longest=4.0))
                continue
            failures = 0
            for one in due:
                one.extended_at = now
            await self._until_due()

    def _is_due(self, one: Delivery, now: float) -> bool:
        # Due at half of that time already, so that messages which came one by one are soon extended together.
        return now - one.extended_at >= LEASE_SECONDS / 6 and now - one.pulled_at < LONGEST_HELD_SECONDS

    async def _until_due(self) -> None:
        oldest = min((one.extended_at for one in self._held.values()), default=time.monotonic())
        # At least a second: messages that are not extended any more stay overdue.
        pause = max(1.0, oldest + LEASE_SECONDS / 3 - time.monotonic())
        try:
            async with asyncio.timeout(pause):
                await self._taken.wait()
        except TimeoutError:
            pass
