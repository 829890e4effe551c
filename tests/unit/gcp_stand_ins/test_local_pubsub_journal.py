"""What the journal keeps, and what it does when it cannot."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest

from gcp_stand_ins.pubsub.journal import Journal, KeptHold, KeptResource


def never(error: BaseException) -> None:
    raise AssertionError(error)


async def test_what_was_committed_is_there_when_opened_again(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "deep" / "journal", never)
    topic = journal.add_resource("topic", None, b"topic")
    subscription = journal.add_resource("subscription", topic, b"subscription")
    first, second = journal.next_message_id(), journal.next_message_id()
    for number in (first, second):
        journal.add_message(number, b"body")
        journal.hold(subscription, number)
    journal.drop_hold(subscription, first)
    journal.drop_message(first)
    journal.hold(subscription, second, acknowledged=True, failures=3)
    await journal.committed()
    # Not closed: a kill would not close it either.
    again = Journal(tmp_path / "deep" / "journal", never)
    assert list(again.resources()) == [
        KeptResource(topic, "topic", None, b"topic"),
        KeptResource(subscription, "subscription", topic, b"subscription"),
    ]
    assert list(again.messages()) == [(second, b"body")]
    assert list(again.holds()) == [KeptHold(subscription, second, True, 3)]
    assert again.next_message_id() > second
    assert again.add_resource("topic", None, b"") > subscription
    again.close()
    journal.close()


async def test_writes_of_one_turn_are_one_commit_and_calls_follow_it(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal", never)
    calls: list[str] = []
    watcher = sqlite3.connect(tmp_path / "journal")

    def wake() -> None:
        calls.append(str(watcher.execute("SELECT count(*) FROM messages").fetchone()[0]))

    for number in range(5):
        journal.add_message(number, b"")
        journal.after_commit(wake)
    assert calls == []
    await asyncio.gather(*(journal.committed() for _ in range(5)))
    assert calls == ["5"], "once, and after the commit"
    watcher.close()
    journal.close()


async def test_failed_commit_is_told_to_everybody_who_waits(tmp_path: Path) -> None:
    failures: list[BaseException] = []
    journal = Journal(tmp_path / "journal", failures.append)
    journal.add_message(1, b"")
    journal.add_message(1, b"")  # the same id twice cannot be written
    with pytest.raises(sqlite3.IntegrityError):
        await journal.committed()
    assert len(failures) == 1
    journal.close()


async def test_caller_who_gives_up_does_not_take_the_commit_from_the_others(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal", never)
    journal.add_message(1, b"")
    impatient = asyncio.ensure_future(journal.committed())
    patient = asyncio.ensure_future(journal.committed())
    await asyncio.sleep(0)
    impatient.cancel()
    await patient
    journal.close()
