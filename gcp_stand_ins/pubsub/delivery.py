"""Which message of one subscription goes to whom, and when again: decisions without I/O, `now` passed in.

Two kinds of messages: single ones, and those of an ordering key, which wait in a line. What of a line has been sent
is its run; a run belongs to one consumer, and when a message of it is set back, so are the later ones, the
acknowledged included, as the service does.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum, auto
from itertools import islice
from typing import Any

from gcp_stand_ins.pubsub.deadlines import Deadlines


@dataclass(slots=True, eq=False)
class StoredMessage:
    """A published message, shared by all that hold it.

    Args:
        id: message id, increasing in the order of publication.
        published_at: seconds since the epoch.
        body: the protobuf `PubsubMessage`, never changed after publication.
        size_bytes: its serialized size, what flow control counts.
    """

    id: int
    published_at: float
    body: Any
    size_bytes: int


@dataclass(frozen=True, slots=True)
class DeliveryRules:
    """What of a subscription's settings decides delivery; seconds for the back-offs, 0 for at once."""

    ordering: bool = False
    minimum_backoff: float = 0.0
    maximum_backoff: float = 0.0

    def backoff(self, failures: int) -> float:
        """Return how long a message rests after its `failures`-th failed delivery, in seconds."""
        return min(self.minimum_backoff * 2.0 ** min(failures - 1, 30), self.maximum_backoff)


class Phase(Enum):
    """Where a message of the backlog is."""

    QUEUED = auto()
    """To be sent as soon as somebody takes it (and, in a line, as soon as its turn comes)."""
    SENT = auto()
    """With a consumer, until it is acknowledged, set back, or its lease ends."""
    RESTING = auto()
    """Set back, and waiting for the back-off of the retry policy to end."""
    AHEAD = auto()
    """Acknowledged before an earlier message of its ordering key: kept until that one is, too."""


@dataclass(slots=True, eq=False)
class Consumer:
    """One streaming pull or one Pull call, and how much it may hold at a time (0: no limit)."""

    max_messages: int = 0
    max_bytes: int = 0
    messages: int = 0
    bytes: int = 0
    is_open: bool = True
    own: list[tuple[int, str]] = field(default_factory=list)
    """Heads of the lines whose runs it has."""

    def has_room(self) -> bool:
        """Return whether flow control lets another message through."""
        return (self.max_messages <= 0 or self.messages < self.max_messages) and (
            self.max_bytes <= 0 or self.bytes < self.max_bytes
        )


@dataclass(slots=True, eq=False)
class Entry:
    """A message in the backlog of one subscription."""

    message: StoredMessage
    line: Line | None
    failures: int = 0
    """Deliveries that ended in a nack or an ended lease."""
    delivery: int = 0
    """Number of the last delivery; part of the ack id."""
    phase: Phase = Phase.QUEUED
    consumer: Consumer | None = None


@dataclass(slots=True, eq=False)
class Line:
    """The messages of one ordering key, oldest first; the first `sent` of them are the run."""

    key: str
    entries: deque[Entry] = field(default_factory=deque)
    sent: int = 0
    consumer: Consumer | None = None
    resting: bool = False


class Backlog:
    """The unacknowledged messages of one subscription."""

    def __init__(self, rules: DeliveryRules) -> None:
        self.rules = rules
        self.entries: dict[int, Entry] = {}
        self._lines: dict[str, Line] = {}
        self._queue: list[tuple[int, str]] = []  # (message id, ordering key); checked when popped, so it may be stale
        self._leases: Deadlines[int] = Deadlines()
        self._line_rests: Deadlines[str] = Deadlines()

    def offer(self, message: StoredMessage, *, failures: int = 0) -> None:
        """Add a message; within a key, messages come in order."""
        key = message.body.ordering_key if self.rules.ordering else ""
        if not key:
            self.entries[message.id] = Entry(message, None, failures)
            heapq.heappush(self._queue, (message.id, ""))
            return
        line = self._lines.get(key)
        if line is None:
            line = self._lines[key] = Line(key)
        entry = Entry(message, line, failures)
        self.entries[message.id] = entry
        line.entries.append(entry)
        if line.sent == len(line.entries) - 1:  # it is the head: nothing else announced the line
            self._announce(line)

    def take(
        self, consumer: Consumer, *, now: float, lease_seconds: float, max_messages: int, max_bytes: int
    ) -> list[Entry]:
        """Lease messages to `consumer`, oldest first, as far as its flow control and the two limits allow."""
        taken: list[Entry] = []
        size_bytes = 0
        while len(taken) < max_messages and (entry := self._next_for(consumer)) is not None:
            if taken and size_bytes + entry.message.size_bytes > max_bytes:
                break
            self._lease(entry, consumer, now + lease_seconds)
            taken.append(entry)
            size_bytes += entry.message.size_bytes
        return taken

    def has_something_for(self, consumer: Consumer) -> bool:
        """Return whether `take` would return anything."""
        return self._next_for(consumer) is not None

    def is_current(self, message_id: int, delivery: int) -> bool:
        """Return whether the lease of that delivery still holds."""
        entry = self.entries.get(message_id)
        return entry is not None and entry.phase is Phase.SENT and entry.delivery == delivery

    def acknowledge(self, message_id: int, delivery: int) -> list[StoredMessage]:
        """Return the messages that are settled by this acknowledgement: none, one, or several of a line.

        A late one counts for a single message. In a line it does not: the run was set back, to keep the order.
        """
        entry = self.entries.get(message_id)
        if entry is None or (entry.line is not None and not self.is_current(message_id, delivery)):
            return []
        if entry.line is None:
            self._release(entry)
            del self.entries[message_id]
            return [entry.message]
        self._release(entry)
        entry.phase = Phase.AHEAD
        return self._settle_ahead(entry.line)

    def extend(self, message_id: int, delivery: int, until: float) -> None:
        """Make the lease of that delivery end at `until`; without effect when it has ended."""
        if self.is_current(message_id, delivery):
            self._leases.set(message_id, until)

    def refuse(self, message_id: int, delivery: int, *, now: float) -> Entry | None:
        """Take a nack; return the message that failed, or None if its lease had ended."""
        if not self.is_current(message_id, delivery):
            return None
        entry = self.entries[message_id]
        self._set_back(entry, now)
        return entry

    def advance(self, now: float) -> list[Entry]:
        """End the leases and rests that are due; return the messages whose leases ended."""
        failed = []
        for message_id in sorted(self._leases.fire(now)):
            entry = self.entries[message_id]
            if entry.phase is Phase.RESTING:
                entry.phase = Phase.QUEUED
                heapq.heappush(self._queue, (message_id, ""))
            elif entry.phase is Phase.SENT:  # not set back a moment ago with an earlier message of its line
                self._set_back(entry, now)
                failed.append(entry)
        for key in self._line_rests.fire(now):
            line = self._lines[key]
            line.resting = False
            self._announce(line)
        return failed

    def next_due(self) -> float | None:
        """Return when `advance` will have something to do."""
        both = [due for due in (self._leases.next_due(), self._line_rests.next_due()) if due is not None]
        return min(both, default=None)

    def close(self, consumer: Consumer) -> None:
        """Note that `consumer` takes no more; its leases run on."""
        consumer.is_open = False
        consumer.own.clear()

    def drop(self, message_ids: Iterable[int]) -> list[StoredMessage]:
        """Remove messages, whatever their phase; return them and those that are settled by it."""
        gone: list[StoredMessage] = []
        for message_id in list(message_ids):
            entry = self.entries.pop(message_id, None)
            if entry is None:
                continue
            self._release(entry)
            gone.append(entry.message)
            line = entry.line
            if line is not None:
                line.sent -= line.entries.index(entry) < line.sent
                line.entries.remove(entry)
                gone.extend(self._settle_ahead(line))
                self._announce(line)
        return gone

    def _next_for(self, consumer: Consumer) -> Entry | None:
        if not consumer.has_room():
            return None
        own, queue = consumer.own, self._queue
        while own or queue:
            heap = own if own and (not queue or own[0] < queue[0]) else queue
            entry = self.entries.get(heap[0][0])
            if entry is not None and entry.phase is Phase.QUEUED:
                line = entry.line
                if line is None or (
                    not line.resting and line.consumer in (None, consumer) and line.entries[line.sent] is entry
                ):
                    return entry
            # Stale, or of a line that has another consumer now: it is announced anew when that changes.
            heapq.heappop(heap)
        return None

    def _lease(self, entry: Entry, consumer: Consumer, until: float) -> None:
        entry.phase = Phase.SENT
        entry.delivery += 1
        entry.consumer = consumer
        consumer.messages += 1
        consumer.bytes += entry.message.size_bytes
        self._leases.set(entry.message.id, until)
        if entry.line is not None:
            entry.line.sent += 1
            entry.line.consumer = consumer
            self._announce(entry.line)

    def _release(self, entry: Entry) -> None:
        """End the lease or rest of `entry`, and give its consumer the room back."""
        self._leases.cancel(entry.message.id)
        if entry.consumer is not None:
            entry.consumer.messages -= 1
            entry.consumer.bytes -= entry.message.size_bytes
            entry.consumer = None

    def _set_back(self, entry: Entry, now: float) -> None:
        entry.failures += 1
        rest = self.rules.backoff(entry.failures)
        line = entry.line
        if line is None:
            self._release(entry)
            if rest:
                entry.phase = Phase.RESTING
                self._leases.set(entry.message.id, now + rest)
            else:
                entry.phase = Phase.QUEUED
                heapq.heappush(self._queue, (entry.message.id, ""))
            return
        start = line.entries.index(entry)
        for one in islice(line.entries, start, line.sent):
            self._release(one)
            one.phase = Phase.QUEUED
        line.sent = start
        if start == 0:
            line.consumer = None
        if rest:
            line.resting = True
            self._line_rests.set(line.key, now + rest)
        self._announce(line)

    def _settle_ahead(self, line: Line) -> list[StoredMessage]:
        settled = []
        while line.entries and line.entries[0].phase is Phase.AHEAD:
            first = line.entries.popleft()
            line.sent -= 1
            del self.entries[first.message.id]
            settled.append(first.message)
        if not line.entries:
            self._line_rests.cancel(line.key)
            del self._lines[line.key]
        elif line.sent == 0:
            line.consumer = None
            self._announce(line)
        return settled

    def _announce(self, line: Line) -> None:
        """Put the next message of `line` where whoever may have it will find it."""
        if line.resting or line.sent == len(line.entries):
            return
        item = (line.entries[line.sent].message.id, line.key)
        if line.consumer is None:
            heapq.heappush(self._queue, item)
        elif line.consumer.is_open:
            heapq.heappush(line.consumer.own, item)
