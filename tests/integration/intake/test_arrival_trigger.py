"""The arrivals trigger under Airflow's own shared stream: nothing is acked before it is stored, nothing ends the stream."""

from __future__ import annotations

import asyncio
import inspect
import json
from pathlib import Path

import pytest
import yaml
from airflow._shared.module_loading import import_string
from cloud import DATASET, PREFIX, StandIns
from triggerer import Arrivals, Settled, running, watched
from waiting import FOREVER_SECONDS, until, until_async

from genops_events.config import Config
from genops_events.gcp.record_store import RecordStore
from genops_events.intake import subscription
from genops_events.intake.notifications import Notice
from genops_events.provisioning.provision import provision
from triggers import arrival_stream
from triggers.arrival_stream import ADVANCE_ATTEMPTS, OUTSTANDING_MESSAGES
from triggers.gcs_arrival import GCSArrivalTrigger


async def test_an_upload_becomes_an_event_with_its_identity(config: Config, store: RecordStore) -> None:
    async with running() as triggerer:
        blob = store.bucket.blob(f"{PREFIX}a b#ü.jsonl")
        await asyncio.to_thread(blob.upload_from_string, b"12345")
        await until_async(lambda: triggerer.events)
    notice = Notice.model_validate(triggerer.events[0])
    assert (notice.bucket, notice.object, notice.generation) == (config.bucket, blob.name, int(blob.generation))
    assert notice.size_bytes == 5
    assert json.loads(json.dumps(triggerer.events[0])) == triggerer.events[0]


async def test_a_message_is_acked_only_once_its_event_is_stored(arrivals: Arrivals, settled: Settled) -> None:
    async with running() as triggerer:
        (message_id,) = arrivals.announce(watched())
        await until_async(lambda: triggerer.events)
        # Still the broker's: given back, it comes again. It is in hand already, so there is no second event.
        arrivals.give_back(triggerer.messages[0])
        await until_async(lambda: settled.pulled[message_id] == 2)
        assert settled.attempts == 0
        triggerer.confirm()
        await until_async(lambda: settled.acked == [message_id] * 2)  # by both of its ack ids
        # Now it is gone: given back, it does not come again, though a later message does.
        arrivals.give_back(triggerer.messages[0])
        arrivals.announce(watched(1))
        await until_async(lambda: watched(1) in triggerer.objects)
        assert triggerer.objects == [watched(), watched(1)]


async def test_a_triggerer_that_dies_before_the_event_is_stored_acks_nothing(
    arrivals: Arrivals, settled: Settled
) -> None:
    arrivals.announce(watched())
    async with running() as died:
        await until_async(lambda: died.events)
    assert (settled.acked, settled.attempts) == ([], 0)
    async with running() as another:
        # Given back by the first one's end: its lease would have lasted a minute.
        await until_async(lambda: another.events)
        another.confirm()
        await until_async(lambda: len(settled.acked) == 1)
    assert another.events == died.events


async def test_what_is_no_arrival_is_acked_and_gives_no_event(arrivals: Arrivals, settled: Settled) -> None:
    ids = arrivals.publish(
        arrivals.notification("elsewhere/file.jsonl"),
        arrivals.notification(f"{PREFIX}folder/"),
        arrivals.notification("genops/candidates/x/arrival.json"),
        arrivals.notification(f"{PREFIX}{'A' * 22};{'b' * 22};0001.part"),
        arrivals.notification(watched(), bucketId="another-bucket"),
        arrivals.notification(watched(), eventType="OBJECT_DELETE"),
        arrivals.notification(watched(), eventType="OBJECT_METADATA_UPDATE"),
    )
    async with running() as triggerer:
        await until_async(lambda: sorted(settled.acked) == sorted(ids))
        assert (triggerer.events, settled.nacked) == ([], [])


async def test_a_pull_that_fails_neither_ends_the_stream_nor_an_ack_that_is_under_way(
    cloud: StandIns,
    arrivals: Arrivals,
    settled: Settled,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    # A pull that waits does not notice an outage: shorter ones run into it.
    monkeypatch.setattr(subscription, "PULL_SECONDS", 0.2)
    async with running() as triggerer:
        (first,) = arrivals.announce(watched(1))
        await until_async(lambda: triggerer.events)
        held = {"delay_seconds": FOREVER_SECONDS, "error_methods": ["Acknowledge"]}
        await asyncio.to_thread(lambda: cloud.pubsub.faults(**held))
        triggerer.confirm()
        await asyncio.to_thread(until, lambda: cloud.pubsub.delayed() == {"Acknowledge": 1}, what="an ack under way")
        await asyncio.to_thread(cloud.pubsub.faults, error_code="UNAVAILABLE", error_share=1.0, error_methods=["Pull"])
        await until_async(lambda: "Arrivals cannot be read" in caplog.text)
        await asyncio.to_thread(cloud.pubsub.let_go)
        await until_async(lambda: settled.acked == [first])
        assert settled.attempts == 1
        await asyncio.to_thread(cloud.pubsub.faults)
        (second,) = arrivals.announce(watched(2))
        await until_async(lambda: watched(2) in triggerer.objects)
        triggerer.confirm()
        await until_async(lambda: settled.acked == [first, second])
    assert triggerer.objects == [watched(1), watched(2)]


async def test_five_seconds_without_pub_sub_pass_unnoticed(
    cloud: StandIns, arrivals: Arrivals, settled: Settled, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subscription, "PULL_SECONDS", 0.2)
    async with running() as triggerer:
        (first,) = arrivals.announce(watched(1))
        await until_async(lambda: triggerer.events)
        await asyncio.to_thread(cloud.pubsub.faults, unavailable_seconds=5.0)
        triggerer.confirm()
        await until_async(lambda: settled.acked == [first])
        assert settled.attempts > 1
        (second,) = arrivals.announce(watched(2))
        await until_async(lambda: watched(2) in triggerer.objects)
        triggerer.confirm()
        await until_async(lambda: settled.acked == [first, second])
    assert triggerer.objects == [watched(1), watched(2)]


async def test_acks_that_fail_for_good_do_not_end_the_stream(
    cloud: StandIns, arrivals: Arrivals, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("triggers.arrival_stream.FIRST_BACK_OFF_SECONDS", 0.01)
    cloud.pubsub.faults(error_code="PERMISSION_DENIED", error_share=1.0, error_methods=["Acknowledge"])
    settled = Settled(monkeypatch)
    async with running() as triggerer:
        arrivals.announce(watched(1))
        await until_async(lambda: triggerer.events)
        triggerer.confirm()
        await until_async(lambda: settled.attempts == ADVANCE_ATTEMPTS)
        arrivals.announce(watched(2))
        await until_async(lambda: watched(2) in triggerer.objects)
        await asyncio.to_thread(cloud.pubsub.faults)
        triggerer.confirm()
        await until_async(lambda: len(settled.acked) == 1)


async def test_an_ack_is_given_up_when_its_time_is_up_however_many_attempts_are_left(
    cloud: StandIns, arrivals: Arrivals, settled: Settled, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arrival_stream, "FIRST_BACK_OFF_SECONDS", 0.05)
    monkeypatch.setattr(arrival_stream, "ADVANCE_SECONDS", 0.0)
    await asyncio.to_thread(
        cloud.pubsub.faults, error_code="UNAVAILABLE", error_share=1.0, error_methods=["Acknowledge"]
    )
    async with running() as triggerer:
        arrivals.announce(watched(1))
        await until_async(lambda: triggerer.events)
        triggerer.confirm()
        await until_async(lambda: settled.attempts)
        (second,) = arrivals.announce(watched(2))
        await until_async(lambda: watched(2) in triggerer.objects)
        await asyncio.to_thread(cloud.pubsub.faults)
        triggerer.confirm()
        await until_async(lambda: second in settled.acked)
    # One attempt for each: the first message is left to the end of its lease.
    assert (settled.attempts, settled.acked) == (2, [second])


def publish_many(arrivals: Arrivals, count: int) -> None:
    for start in range(0, count, 500):
        arrivals.announce(*(watched(number) for number in range(start, start + 500)))


async def test_1500_messages_at_once_all_become_events_and_are_acked(arrivals: Arrivals, settled: Settled) -> None:
    publish_many(arrivals, 1500)
    most = 0
    async with running() as triggerer:
        while len(set(settled.acked)) < 1500:  # as a triggerer confirms, only quicker
            triggerer.assert_alive()
            most = max(most, triggerer.unconfirmed)
            triggerer.confirm()
            await asyncio.sleep(0.05)
    assert set(triggerer.objects) == {watched(number) for number in range(1500)}
    assert most <= OUTSTANDING_MESSAGES


async def test_a_trigger_that_is_slow_is_not_flooded(arrivals: Arrivals, settled: Settled) -> None:
    publish_many(arrivals, 1500)
    async with running() as triggerer:
        await until_async(lambda: triggerer.messages)
        triggerer.ready.clear()
        # Airflow's queue holds 1,024; whoever fills it is failed. Time enough for all 1,500 to be pulled, if they were.
        await asyncio.sleep(1.5)
        triggerer.assert_alive()
        triggerer.ready.set()
        await until_async(lambda: len(triggerer.messages) == OUTSTANDING_MESSAGES)
        while len(set(settled.acked)) < 1500:
            triggerer.assert_alive()
            triggerer.confirm()
            await asyncio.sleep(0.05)


async def test_a_dataset_that_is_added_to_the_file_is_watched_without_a_restart(
    config: Config, arrivals: Arrivals, settled: Settled, tmp_path: Path
) -> None:
    async with running() as triggerer:
        (before,) = arrivals.announce("training/new/1.jsonl")
        await until_async(lambda: settled.acked == [before])
        settings = yaml.safe_load((tmp_path / "genops.yaml").read_text())
        settings["datasets"]["new"] = {**settings["datasets"][DATASET], "prefix": "training/new/"}
        (tmp_path / "genops.yaml").write_text(yaml.safe_dump(settings))
        arrivals.announce("training/new/2.jsonl")
        await until_async(lambda: triggerer.events)
    assert triggerer.objects == ["training/new/2.jsonl"]


async def test_a_file_that_cannot_be_read_for_a_moment_does_not_end_the_stream(
    arrivals: Arrivals, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    good = (tmp_path / "genops.yaml").read_text()
    (tmp_path / "genops.yaml").write_text("{")
    async with running() as triggerer:
        arrivals.announce(watched(1))
        await until_async(lambda: "Arrivals cannot be read" in caplog.text)
        triggerer.assert_alive()
        (tmp_path / "genops.yaml").write_text(good)
        await until_async(lambda: triggerer.events)
        # What it said before goes on to hold, so that no message is put back for a slip of somebody's editor.
        (tmp_path / "genops.yaml").write_text("{")
        arrivals.announce(watched(2))
        await until_async(lambda: triggerer.objects == [watched(1), watched(2)])


async def test_a_mistake_in_reading_the_file_loses_no_message_that_was_taken(
    config: Config,
    arrivals: Arrivals,
    settled: Settled,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    loads: list[None] = []

    def mistaken() -> Config:
        loads.append(None)
        if len(loads) == 1:  # the subscription is opened with it
            return config
        raise ZeroDivisionError("no such luck")

    monkeypatch.setattr(arrival_stream, "_load_config", mistaken)
    async with running() as triggerer:
        ids = arrivals.announce(watched(1), watched(2))
        await until_async(lambda: len(triggerer.events) == 2)
        triggerer.confirm()
        await until_async(lambda: sorted(settled.acked) == sorted(ids))
    assert set(settled.pulled.values()) == {1}
    assert len(loads) > 1
    assert "genops.yaml cannot be read; going on with what it said before. no such luck" in caplog.text


async def test_a_subscription_that_is_made_later_is_waited_for_and_the_log_is_not_flooded(
    config: Config, arrivals: Arrivals, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("triggers.arrival_stream.FIRST_BACK_OFF_SECONDS", 0.02)
    attempts: list[int] = []
    pull = subscription.ArrivalsSubscription.pull

    async def counted(one: subscription.ArrivalsSubscription, *, max_messages: int) -> list[subscription.Message]:
        attempts.append(max_messages)
        return await pull(one, max_messages=max_messages)

    monkeypatch.setattr(subscription.ArrivalsSubscription, "pull", counted)
    arrivals.subscriber.delete_subscription(subscription=arrivals.subscription)
    async with running() as triggerer:
        await until_async(lambda: len(attempts) > 5)
        assert caplog.text.count("Arrivals cannot be read") == 1
        await asyncio.to_thread(provision, config)
        arrivals.announce(watched())
        await until_async(lambda: triggerer.events)
        assert "Arrivals are read again" in caplog.text


async def test_of_two_watchers_both_must_have_stored_a_message(arrivals: Arrivals, settled: Settled) -> None:
    async with running() as first, running(first.manager, trigger_id=2) as second:
        (message_id,) = arrivals.announce(watched())
        await until_async(lambda: first.events and second.events)
        first.confirm()
        arrivals.announce("elsewhere/file.jsonl")  # moves both on, and the pump has something to look at
        await until_async(lambda: len(first.messages) == len(second.messages) == 2)
        await asyncio.sleep(0.2)
        assert settled.attempts == 0
        second.confirm()
        await until_async(lambda: message_id in settled.acked)


async def test_what_one_of_two_watchers_had_not_taken_when_it_left_comes_again(
    arrivals: Arrivals, settled: Settled
) -> None:
    async with running() as first:
        async with running(first.manager, trigger_id=2) as second:
            second.ready.clear()
            ids = arrivals.announce(watched(1), watched(2))
            await until_async(lambda: len(first.events) == 2)
            first.confirm()
        arrivals.announce(watched(3))
        await until_async(lambda: watched(3) in first.objects)
        first.confirm()
        # The second one never saw watched(2): nacked, and so told again to who is left.
        await until_async(lambda: settled.nacked == ids[1:])
        await until_async(lambda: first.objects.count(watched(2)) == 2)
        first.confirm()
        await until_async(lambda: set(ids) < set(settled.acked))


def test_the_constructor_takes_nothing_and_the_trigger_comes_back_from_the_database() -> None:
    assert list(inspect.signature(GCSArrivalTrigger).parameters) == []
    made = GCSArrivalTrigger()
    path, given = made.serialize()
    again = import_string(path)(**json.loads(json.dumps(given)))
    assert isinstance(again, GCSArrivalTrigger)
    assert given == {}
    assert again.shared_stream_key() == made.shared_stream_key() is not None
