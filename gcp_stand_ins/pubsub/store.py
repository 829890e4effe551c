"""Messages that somebody still needs, counted by who holds them, in step with the journal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from gcp_stand_ins.pubsub import wire
from gcp_stand_ins.pubsub.delivery import StoredMessage
from gcp_stand_ins.pubsub.journal import Journal, KeptHold


class MessageStore:
    """Keeps a message from its first hold to the last release.

    Owners are topics (that retain what is published), subscriptions and snapshots, known by their uid.
    """

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self._holders: Counter[int] = Counter()

    def hold(self, owner_uid: int, message: StoredMessage) -> None:
        """Keep `message` until `owner_uid` releases it."""
        if not self._holders[message.id]:
            self.journal.add_message(message.id, message.body.SerializeToString())
        self._holders[message.id] += 1
        self.journal.hold(owner_uid, message.id)

    def note(self, owner_uid: int, message: StoredMessage, *, acknowledged: bool = False, failures: int = 0) -> None:
        """Keep what became of a held message."""
        self.journal.hold(owner_uid, message.id, acknowledged=acknowledged, failures=failures)

    def release(self, owner_uid: int, message: StoredMessage) -> None:
        """Note that `owner_uid` is done with `message`; without holders it is deleted."""
        self.journal.drop_hold(owner_uid, message.id)
        self._holders[message.id] -= 1
        if not self._holders[message.id]:
            del self._holders[message.id]
            self.journal.drop_message(message.id)

    def restore(self) -> Iterator[tuple[KeptHold, StoredMessage]]:
        """Yield what the journal holds, oldest message first for each owner."""
        messages: dict[int, StoredMessage] = {}
        for message_id, serialized in self.journal.messages():
            body = wire.PubsubMessage.FromString(serialized)
            published_at = body.publish_time.ToNanoseconds() / 1e9
            messages[message_id] = StoredMessage(message_id, published_at, body, len(serialized))
        for hold in self.journal.holds():
            self._holders[hold.message_id] += 1
            yield hold, messages[hold.message_id]
