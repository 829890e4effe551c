"""The stand-in alone: what survives `kill -9`, what is cleared away, and the faults that can be switched on."""

from __future__ import annotations

import concurrent.futures
import sqlite3
import threading
import time
from datetime import UTC, datetime, timedelta

import pytest
from google.api_core import exceptions
from google.cloud.pubsub_v1.subscriber.message import Message
from pubsub_stand_in import MakePair, Pair, StandIn, Stream, data_of, fresh
from waiting import HANG_SECONDS, until


@pytest.fixture(autouse=True)
def no_faults_left(stand_in: StandIn) -> object:
    yield
    stand_in.admin("DELETE", "/faults")
    return None


def restart(stand_in: StandIn, pair: Pair) -> None:
    """Kill without warning, start again, and wait until the clients are connected again."""
    stand_in.kill()
    stand_in.start()

    def answers() -> bool:
        try:
            pair.subscriber.get_subscription(subscription=pair.subscription, retry=None)
            pair.publisher.get_topic(topic=pair.topic, retry=None)
        except exceptions.ServiceUnavailable:
            return False
        return True

    until(answers, what="answers after the restart")


def test_kill_loses_nothing_that_was_acknowledged(stand_in: StandIn, make_pair: MakePair) -> None:
    pair = make_pair(enable_message_ordering=True, labels={"a": "b"}, filter="NOT attributes:unwanted")
    pair.publish_batch([{"data": b"never", "attributes": {"unwanted": "1"}}])
    pair.publish_in_order("k", "1", "2", "3")
    pair.publish("done", "open")
    received = {one.message.data: one for one in pair.pull_all(5)}
    pair.acknowledge([received[b"done"], received[b"1"]])
    restart(stand_in, pair)
    again = pair.pull_all(3)
    assert sorted(data_of(again)) == ["2", "3", "open"]
    assert [data for data in data_of(again) if data != "open"] == ["2", "3"]
    assert again[0].message.publish_time == received[again[0].message.data].message.publish_time
    kept = pair.subscriber.get_subscription(subscription=pair.subscription)
    assert (dict(kept.labels), kept.filter, kept.enable_message_ordering) == (
        {"a": "b"},
        "NOT attributes:unwanted",
        True,
    )


def test_kill_in_the_middle_of_publishing_loses_no_message_with_an_id(stand_in: StandIn, pair: Pair) -> None:
    confirmed: list[bytes] = []
    stopped = threading.Event()

    def publish(worker: int) -> None:
        number = 0
        while not stopped.is_set():
            data = f"{worker}-{number}".encode()
            number += 1
            pair.publish_batch([{"data": data}])  # the client retries until the service is back
            confirmed.append(data)

    with concurrent.futures.ThreadPoolExecutor() as workers:
        publishing = [workers.submit(publish, worker) for worker in range(4)]
        until(lambda: len(confirmed) > 300)
        stand_in.kill()
        stand_in.start()
        stopped.set()
        for one in publishing:
            one.result(timeout=HANG_SECONDS)
    received: set[bytes] = set()

    def callback(message: Message) -> None:
        received.add(message.data)
        message.ack()

    future = pair.subscriber.subscribe(pair.subscription, callback)
    until(lambda: received >= set(confirmed), what="every confirmed message at the subscriber")
    future.cancel()
    future.result(timeout=HANG_SECONDS)


def test_snapshots_retained_messages_and_attempts_survive_a_kill(stand_in: StandIn, make_pair: MakePair) -> None:
    dead = make_pair()
    pair = make_pair(
        retain_acked_messages=True, dead_letter_policy={"dead_letter_topic": dead.topic, "max_delivery_attempts": 5}
    )
    start = datetime.now(UTC) - timedelta(seconds=1)
    pair.publish("a")
    for _ in range(2):
        pair.nack(pair.pull_all(1))
    snapshot = fresh("snapshots")
    pair.subscriber.create_snapshot(name=snapshot, subscription=pair.subscription)
    restart(stand_in, pair)
    received = pair.pull_all(1)
    assert received[0].delivery_attempt == 3
    pair.acknowledge(received)
    restart(stand_in, pair)
    assert pair.pull_for(0.5) == []
    pair.subscriber.seek(request={"subscription": pair.subscription, "time": start})
    assert data_of(pair.pull_all(1, acknowledge=True)) == ["a"]
    pair.subscriber.seek(request={"subscription": pair.subscription, "snapshot": snapshot})
    assert data_of(pair.pull_all(1, acknowledge=True)) == ["a"]
    pair.subscriber.delete_snapshot(snapshot=snapshot)


def test_message_ids_are_not_used_again_after_a_kill(stand_in: StandIn, pair: Pair) -> None:
    before = pair.publish("a")
    pair.acknowledge(pair.pull_all(1))
    restart(stand_in, pair)
    assert int(pair.publish("b")[0]) > int(before[0])


def test_acknowledged_messages_leave_the_disk(stand_in: StandIn, pair: Pair) -> None:
    file = stand_in.state / "pubsub.sqlite"

    def kept() -> tuple[int, int]:
        with sqlite3.connect(file) as database:
            counts = database.execute("SELECT (SELECT count(*) FROM messages), (SELECT count(*) FROM holds)").fetchone()
        database.close()
        return counts

    start = kept()
    for _ in range(10):
        pair.publish_batch([{"data": b"x" * 100_000} for _ in range(30)])
    assert kept() == (start[0] + 300, start[1] + 300)
    pair.pull_all(300, acknowledge=True)
    assert kept() == start
    # The file gives the space back, a few megabytes a second, and its write-ahead log is bounded.
    until(lambda: file.stat().st_size < 10_000_000, what="a smaller file")
    assert file.with_name("pubsub.sqlite-wal").stat().st_size < 40_000_000


def test_deleted_subscription_leaves_nothing_on_the_disk(stand_in: StandIn, make_pair: MakePair) -> None:
    pair = make_pair()
    pair.publish("a", "b")
    pair.subscriber.delete_subscription(subscription=pair.subscription)
    with sqlite3.connect(stand_in.state / "pubsub.sqlite") as database:
        assert database.execute(
            "SELECT count(*) FROM messages WHERE id NOT IN (SELECT message FROM holds)"
        ).fetchone() == (0,)
        owners = "SELECT count(*) FROM holds WHERE owner NOT IN (SELECT uid FROM resources)"
        assert database.execute(owners).fetchone() == (0,)
    database.close()


def test_admin_route_tells_and_checks_the_faults(stand_in: StandIn) -> None:
    assert stand_in.admin("GET", "/faults") == (200, {})
    stand_in.set_faults(drop_acks=0.5, reorder=True)
    assert stand_in.admin("GET", "/faults") == (200, {"drop_acks": 0.5, "reorder": True})
    status, answer = stand_in.admin("PUT", "/faults", {"drop_axe": 1})
    assert status == 400
    assert "drop_axe" in str(answer["error"])
    assert "drop_acks" in answer["allowed"]
    status, answer = stand_in.admin("PUT", "/faults", {"error_code": "NO_SUCH_STATUS"})
    assert status == 400
    assert stand_in.admin("DELETE", "/faults") == (200, {})


def test_faults_survive_a_kill(stand_in: StandIn, pair: Pair) -> None:
    stand_in.set_faults(duplicate=0.25)
    restart(stand_in, pair)
    assert stand_in.admin("GET", "/faults") == (200, {"duplicate": 0.25})


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("RESOURCE_EXHAUSTED", exceptions.ResourceExhausted),
        ("429", exceptions.ResourceExhausted),
        ("500", exceptions.InternalServerError),
    ],
)
def test_injected_error_hits_the_named_methods_only(
    stand_in: StandIn, pair: Pair, code: str, error: type[Exception]
) -> None:
    stand_in.set_faults(error_share=1, error_code=code, error_methods=["Pull"])
    pair.publish("a")
    with pytest.raises(error, match="injected fault"):
        pair.pull()
    stand_in.admin("DELETE", "/faults")
    assert data_of(pair.pull()) == ["a"]


def test_delay_is_added_to_the_named_methods(stand_in: StandIn, pair: Pair) -> None:
    stand_in.set_faults(delay_seconds=0.7, error_methods=["GetTopic"])
    started = time.monotonic()
    pair.publisher.get_topic(topic=pair.topic)
    assert time.monotonic() - started > 0.7


def test_unavailable_service_ends_streams_and_comes_back(stand_in: StandIn, pair: Pair) -> None:
    stream = Stream(pair)
    pair.publish("a")
    until(lambda: stream.received)
    stand_in.set_faults(unavailable_seconds=1)
    with pytest.raises(exceptions.ServiceUnavailable):
        pair.subscriber.get_subscription(subscription=pair.subscription, retry=None)
    until(lambda: isinstance(stream.ended_with, exceptions.ServiceUnavailable))
    pair.publish_batch([{"data": b"b"}])  # the client retries until the service is back
    assert data_of(pair.pull_all(1)) == ["b"]
    stream.close()


def test_dropped_acknowledgement_means_redelivery(stand_in: StandIn, pair: Pair) -> None:
    pair.publish("a")
    received = pair.pull_all(1)
    stand_in.set_faults(drop_acks=1)
    pair.acknowledge(received)
    pair.set_deadline(received, 1)
    again = pair.pull_all(1)
    stand_in.admin("DELETE", "/faults")
    pair.acknowledge(again)
    pair.nack(again)
    assert pair.pull_for(0.5) == []


def test_duplicated_message_comes_twice_with_one_id(stand_in: StandIn, pair: Pair) -> None:
    stand_in.set_faults(duplicate=1)
    (message_id,) = pair.publish("a")
    received = pair.pull_all(2)
    assert [one.message.message_id for one in received] == [message_id, message_id]
    pair.acknowledge(received[1:])
    pair.nack(received[:1])
    assert pair.pull_for(0.5) == []


def test_reordered_messages_keep_the_order_of_their_key(stand_in: StandIn, make_pair: MakePair) -> None:
    stand_in.set_faults(reorder=True)
    pair = make_pair(enable_message_ordering=True)
    pair.publish_in_order("", *(f"{number:02}" for number in range(20)))
    pair.publish_in_order("k", *(f"k{number:02}" for number in range(20)))
    received = data_of(pair.pull_all(40))
    single = [data for data in received if not data.startswith("k")]
    assert [data for data in received if data.startswith("k")] == [f"k{number:02}" for number in range(20)]
    assert sorted(single) == [f"{number:02}" for number in range(20)] != single


def test_taken_port_is_an_error_and_not_a_second_server(stand_in: StandIn) -> None:
    import subprocess
    import sys

    arguments = ["--port", str(stand_in.port), "--admin-port", "0", "--state", str(stand_in.state.parent / "other")]
    command = [sys.executable, "-m", "gcp_stand_ins.pubsub", *arguments]
    ended = subprocess.run(command, capture_output=True, timeout=HANG_SECONDS, check=False)
    assert ended.returncode != 0
    assert str(stand_in.port).encode() in ended.stderr
