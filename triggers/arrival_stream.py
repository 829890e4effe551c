"""The broker's side of the arrivals watcher: pull, keep the leases, settle what Airflow has stored."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any

from airflow.triggers.shared_stream import AdvanceItem, SharedStreamProducer

from genops_events.back_off import back_off_seconds
from genops_events.errors import GenopsError, PermanentError

if TYPE_CHECKING:
    from genops_events.config import Config
    from genops_events.intake.leases import Delivery, Leases
    from genops_events.intake.subscription import ArrivalsSubscription

log = logging.getLogger(__name__)

OUTSTANDING_MESSAGES = 400
"""Messages yielded but not yet advanced: well under Airflow's queue of 1,024, whose overflow fails the watcher."""

MESSAGES_PER_PULL = 100

ADVANCE_ATTEMPTS = 12
ADVANCE_SECONDS = 60.0
"""Then an ack is given up, and the message's lease runs out: `leases.LONGEST_HELD_SECONDS` counts on it."""

LETTER_ATTEMPTS = 5
FIRST_BACK_OFF_SECONDS = 0.5
LONGEST_BACK_OFF_SECONDS = 8.0
"""No pause is longer than 16 times the first: an arrival should not wait much longer than the outage lasted."""

CLOSE_SECONDS = 5.0
_LOG_EVERY_SECONDS = 60.0
_LETTERS_AT_ONCE = 20


class ArrivalProducer(SharedStreamProducer):
    """Pull the arrivals subscription for as long as the watcher lives, through every passing fault.

    Nothing but cancellation leaves `open_stream` or `advance`: Airflow would fail the watcher, and start it again every
    two seconds without back-off. So the back-off is here, and it also waits for a subscription that is yet to be made.
    """

    def __init__(self) -> None:
        self._subscription: ArrivalsSubscription | None = None
        self._leases: Leases | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._room = asyncio.Event()
        self._ending = asyncio.Event()
        self._config: Config | None = None
        self._unread = _WarningLimiter("Arrivals are read again")
        self._unsettled = _WarningLimiter("Messages are settled again")
        self._unconfigured = _WarningLimiter("genops.yaml is read again")

    async def open_stream(self) -> AsyncIterator[tuple[Any, Any]]:
        """Yield `((delivery, config), delivery)`; waits instead of raising when Google Cloud does not answer."""
        failures = 0
        try:
            while True:
                try:
                    deliveries, config = await self._pull()
                except Exception as error:  # noqa: BLE001 - see the class
                    failures += 1
                    # The connection stays open: it mends itself, and closing it would cancel an ack that is under way.
                    self._unread.warn("Arrivals cannot be read; trying again until they can. %s", error)
                    await self._pause(failures)
                    continue
                failures = 0
                self._unread.passed()
                for delivery in deliveries:
                    yield (delivery, config), delivery
                    # Airflow's own tasks need a turn between messages, or its queue overflows.
                    await asyncio.sleep(0)
        finally:
            self._ending.set()

    async def _pull(self) -> tuple[list[Delivery], Config]:
        opened, leases = await self._open()
        while (room := OUTSTANDING_MESSAGES - len(leases)) <= 0:
            self._room.clear()
            await self._room.wait()
        messages = await opened.pull(max_messages=min(room, MESSAGES_PER_PULL))
        deliveries = leases.take(messages)
        if deliveries:
            # Read anew, so that a dataset added to genops.yaml is watched from its first upload on.
            try:
                self._config = await asyncio.to_thread(_load_config)
                self._unconfigured.passed()
            except Exception as error:  # noqa: BLE001 - what was taken must be yielded, or it is held for ever
                self._unconfigured.warn("genops.yaml cannot be read; going on with what it said before. %s", error)
        return deliveries, self._config or opened.config

    async def _open(self) -> tuple[ArrivalsSubscription, Leases]:
        if self._subscription is None or self._leases is None:
            # Google's clients take more than half a second to import: too long for the triggerer's event loop.
            opened, kind = await asyncio.to_thread(_open)
            self._subscription, self._leases = opened, kind(opened)
            self._keeper = asyncio.create_task(self._leases.keep(), name="genops-arrivals-leases")
        return self._subscription, self._leases

    async def advance(self, batch: Sequence[AdvanceItem]) -> None:
        """Ack what is stored, dead-letter what was refused, nack what failed and so has to come again.

        A fault that outlasts the retries is not raised, since that would end the watcher: the messages' leases
        run out, and Pub/Sub delivers them again, or moves them to the dead letters after five times.
        """
        opened, leases = self._subscription, self._leases
        if opened is None or leases is None:
            return
        stored: list[Delivery] = []
        refused: list[Delivery] = []
        failed: list[Delivery] = []
        for delivery, outcome in batch:
            # One subscriber's refusal is final, one's failure (it was too slow, or has left) sends the message to all again.
            kind = stored if outcome.is_clean else refused if outcome.rejected else failed
            kind.append(delivery)
        try:
            await self._ack(opened, stored)
            lettered, unlettered = await self._dead_letter(opened, refused)
            await self._ack(opened, lettered)
            await self._nack(opened, [*failed, *unlettered])
        finally:
            leases.forget([*stored, *refused, *failed])
            self._room.set()

    async def _ack(self, opened: ArrivalsSubscription, deliveries: list[Delivery]) -> None:
        acked: set[str] = set()
        # Once more for those that came again while the ack was under way.
        while ack_ids := [one for delivery in deliveries for one in delivery.ack_ids if one not in acked]:

            async def ack(some: Sequence[str] = tuple(ack_ids)) -> None:
                await opened.ack(some)

            if not await self._insist(f"ack {len(ack_ids)} messages", ack, attempts=ADVANCE_ATTEMPTS):
                return
            acked.update(ack_ids)

    async def _nack(self, opened: ArrivalsSubscription, deliveries: list[Delivery]) -> None:
        ack_ids = [delivery.ack_ids[-1] for delivery in deliveries]
        if ack_ids:
            await self._insist(f"nack {len(ack_ids)} messages", lambda: opened.nack(ack_ids), attempts=2)

    async def _dead_letter(
        self, opened: ArrivalsSubscription, deliveries: list[Delivery]
    ) -> tuple[list[Delivery], list[Delivery]]:
        """Publish the dead letters; return those that are published, and those that are not."""
        places = asyncio.Semaphore(_LETTERS_AT_ONCE)

        async def publish(delivery: Delivery) -> bool:
            message, reason = delivery.message, delivery.refusal or "It cannot be read."
            async with places:
                return await self._insist(
                    f"dead-letter message {message.message_id}",
                    lambda: opened.dead_letter(message, reason=reason),
                    attempts=LETTER_ATTEMPTS,
                    unless=PermanentError,  # Pub/Sub's own dead-letter policy is the fallback
                )

        done = await asyncio.gather(*(publish(delivery) for delivery in deliveries))
        both: tuple[list[Delivery], list[Delivery]] = ([], [])
        for delivery, is_published in zip(deliveries, done, strict=True):
            both[not is_published].append(delivery)
        return both

    async def _insist(
        self, what: str, call: Callable[[], Awaitable[None]], *, attempts: int, unless: type[Exception] | None = None
    ) -> bool:
        """Return whether `call` succeeded within `attempts`; it is not repeated once the stream has ended."""
        give_up = time.monotonic() + ADVANCE_SECONDS
        for attempt in range(1, attempts + 1):
            try:
                await call()
            except Exception as error:  # noqa: BLE001 - see the class
                self._unsettled.warn(f"Could not {what} (attempt {attempt} of {attempts}). %s", error)
                if self._ending.is_set() or (unless is not None and isinstance(error, unless)):
                    return False
                if time.monotonic() > give_up:
                    return False
                if attempt < attempts:
                    await self._pause(attempt)
            else:
                self._unsettled.passed()
                return True
        return False

    async def _pause(self, failures: int) -> None:
        pause = back_off_seconds(failures, first=FIRST_BACK_OFF_SECONDS, longest=LONGEST_BACK_OFF_SECONDS)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(pause):
                await self._ending.wait()

    async def aclose(self) -> None:
        """Let go of everything: what was not advanced is given back at once, for the next watcher."""
        self._ending.set()
        keeper, self._keeper = self._keeper, None
        if keeper is not None:
            keeper.cancel()
            await asyncio.gather(keeper, return_exceptions=True)
        opened, self._subscription = self._subscription, None
        leases, self._leases = self._leases, None
        if opened is None or leases is None:
            return
        try:
            # Without this, the next watcher would wait for the leases to run out.
            held = [delivery.ack_ids[-1] for delivery in leases.held()]
            async with asyncio.timeout(CLOSE_SECONDS):
                await opened.nack(held)
        except Exception as error:  # noqa: BLE001 - the leases run out by themselves
            log.info("%d messages come again only after their lease. %s", len(leases), error)
        finally:
            await opened.close()


class _WarningLimiter:
    """A warning for the first failure and then once a minute, and a word when it is over."""

    def __init__(self, over: str) -> None:
        self._over = over
        self._failures = 0
        self._next = 0.0

    def warn(self, text: str, error: Exception) -> None:
        """Log `error` into the `%s` of `text`, unless that was done a moment ago."""
        self._failures += 1
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + _LOG_EVERY_SECONDS
            log.warning(text, error, exc_info=not isinstance(error, GenopsError))

    def passed(self) -> None:
        """Note a success."""
        if self._failures:
            log.info("%s, after %d failures", self._over, self._failures)
        self._failures, self._next = 0, 0.0


def _load_config() -> Config:
    from genops_events.config import load_config

    return load_config()


def _open() -> tuple[ArrivalsSubscription, type[Leases]]:
    from genops_events.intake.leases import Leases
    from genops_events.intake.subscription import ArrivalsSubscription

    return ArrivalsSubscription(_load_config()), Leases
