"""Dead letters: made with a reason, counted and shown without being taken, and replayed."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import google.pubsub_v1
import pytest
from click.testing import Result
from cloud import PREFIX, Reader, StandIns
from triggerer import Arrivals, Settled, running, watched
from typer.testing import CliRunner
from waiting import HANG_SECONDS, until_async

from genops_events.cli import app
from genops_events.config import Config
from genops_events.gcp.record_store import RecordStore
from genops_events.gcp.requirements import dead_letter_topic, topic_name
from genops_events.intake import dead_letters
from genops_events.intake.dead_letters import DeadLetter, DeadLetters, count_dead_letters, letter_attributes
from genops_events.intake.notifications import Notice, read_notification
from genops_events.intake.uploads import NameIsIgnored, upload
from genops_events.provisioning.provision import provision
from triggers import gcs_arrival

UNREADABLE: dict[str, tuple[dict[str, str], str]] = {
    "no event type": ({"eventType": ""}, "no attribute `eventType`"),
    "no generation": ({"objectGeneration": ""}, "generation missing or wrong"),
    "a generation that is no number": ({"objectGeneration": "12x"}, "generation missing or wrong"),
    "no bucket": ({"bucketId": ""}, "bucket missing or wrong"),
    "no object": ({"objectId": ""}, "object missing or wrong"),
    "a generation of 30 digits": ({"objectGeneration": "1" * 30}, "generation missing or wrong"),
    "a generation of 64 bits": ({"objectGeneration": str(2**63)}, "generation missing or wrong"),
    "a generation of 1,000 digits": ({"objectGeneration": "1" * 1000}, "generation missing or wrong"),
    "an object with a line feed": ({"objectId": f"{PREFIX}a\nb.jsonl"}, "object missing or wrong"),
}


@pytest.fixture(autouse=True)
def quick_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """The stand-in knows at once what it has."""
    monkeypatch.setattr(dead_letters, "FIRST_LOOK_SECONDS", 0.5)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def letters(arrivals: Arrivals) -> Reader:
    return Reader(arrivals.subscriber, arrivals.dead_letters)


@pytest.mark.parametrize("case", UNREADABLE)
async def test_a_message_that_cannot_be_read_is_a_dead_letter_with_its_reason_and_the_others_go_on(
    arrivals: Arrivals, settled: Settled, case: str
) -> None:
    changed, reason = UNREADABLE[case]
    broken = arrivals.notification(watched(), **changed)
    (message_id,) = arrivals.publish(broken)
    (good,) = arrivals.announce(watched(1))
    async with running() as triggerer:
        (received,) = await asyncio.to_thread(letters(arrivals).read_some)
        await until_async(lambda: triggerer.events)
        triggerer.confirm()
        await until_async(lambda: set(settled.acked) == {message_id, good})
        assert triggerer.objects == [watched(1)]
    assert settled.nacked == []
    ours = {name: received.attributes[name] for name in received.attributes if name.startswith("genops-")}
    assert reason in ours.pop("genops-reason")
    assert ours.pop("genops-message-id") == message_id
    assert ours.pop("genops-publish-time").startswith("20")
    assert ours == {}
    assert broken["attributes"].items() <= received.attributes.items()
    assert received.data == {"size": "5"}


async def test_figures_over_64_bits_cost_their_message_alone_and_are_refused_at_once(
    arrivals: Arrivals, settled: Settled
) -> None:
    huge = arrivals.notification(watched(1)) | {"data": b'{"size": "9223372036854775808"}'}
    ids = arrivals.publish(
        arrivals.notification(watched(2)),
        arrivals.notification(watched(3), objectGeneration="9" * 30),
        huge,
        arrivals.notification(watched(4)),
    )
    async with running() as triggerer:
        await until_async(lambda: len(triggerer.events) == 2)
        triggerer.confirm()
        received = await asyncio.to_thread(letters(arrivals).read_some)
        while len(received) < 2:
            received += await asyncio.to_thread(letters(arrivals).read_some)
        await until_async(lambda: set(settled.acked) == set(ids))
    assert set(triggerer.objects) == {watched(2), watched(4)}
    assert set(settled.pulled.values()) == {1}  # nothing came again
    reasons = sorted(one.attributes["genops-reason"] for one in received)
    assert "generation missing or wrong (Input should be less than or equal to 9223372036854775807)" in reasons[0]
    assert "size_bytes missing or wrong" in reasons[1]


async def test_what_airflow_cannot_store_is_refused_though_it_was_read(
    arrivals: Arrivals, settled: Settled, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second line of defence: a figure that some later version reads, and forgets to bound."""

    def careless(attributes: dict[str, str], data: bytes) -> Notice | None:
        notice = read_notification(attributes, data)
        if notice is None or notice.object != watched(1):
            return notice
        return notice.model_copy(update={"generation": 10**30})

    monkeypatch.setattr(gcs_arrival, "read_notification", careless)
    ids = arrivals.announce(watched(1), watched(2))
    async with running() as triggerer:
        (received,) = await asyncio.to_thread(letters(arrivals).read_some)
        await until_async(lambda: triggerer.events)
        triggerer.confirm()
        await until_async(lambda: set(settled.acked) == set(ids))
    assert (
        "Airflow cannot store it: `generation` is an integer of more than 64 bits"
        in received.attributes["genops-reason"]
    )
    assert triggerer.objects == [watched(2)]


@pytest.mark.parametrize(
    "changed",
    [{"payloadFormat": "NONE"}, {"weather": "fine", "timeout": "5"}, {"notificationConfig": ""}],
    ids=["no payload", "attributes nobody expects", "no notification named"],
)
async def test_what_is_missing_or_too_much_but_not_needed_is_no_reason_for_a_dead_letter(
    arrivals: Arrivals, settled: Settled, changed: dict[str, str]
) -> None:
    message = arrivals.notification(watched(), **changed)
    if changed.get("payloadFormat") == "NONE":
        message["data"] = b""
    arrivals.publish(message)
    async with running() as triggerer:
        await until_async(lambda: triggerer.events)
    assert triggerer.objects == [watched()]


async def test_a_mistake_of_ours_costs_one_message_and_not_the_watcher(
    arrivals: Arrivals, settled: Settled, monkeypatch: pytest.MonkeyPatch
) -> None:
    def mistaken(attributes: dict[str, str], data: bytes) -> Notice | None:
        if attributes["objectId"] == watched(1):
            raise ZeroDivisionError("no such luck")
        return read_notification(attributes, data)

    monkeypatch.setattr(gcs_arrival, "read_notification", mistaken)
    ids = arrivals.announce(watched(1), watched(2))
    async with running() as triggerer:
        (received,) = await asyncio.to_thread(letters(arrivals).read_some)
        await until_async(lambda: triggerer.events)
        triggerer.confirm()
        await until_async(lambda: set(settled.acked) == set(ids))
    assert "ZeroDivisionError: no such luck" in received.attributes["genops-reason"]
    assert triggerer.objects == [watched(2)]


async def test_a_reason_that_is_longer_than_an_attribute_may_be_is_cut(
    arrivals: Arrivals, monkeypatch: pytest.MonkeyPatch
) -> None:
    def mistaken(attributes: dict[str, str], data: bytes) -> Notice | None:
        raise ValueError("ü" * 2000)

    monkeypatch.setattr(gcs_arrival, "read_notification", mistaken)
    arrivals.announce(watched())
    async with running():
        (received,) = await asyncio.to_thread(letters(arrivals).read_some)
    assert 1000 < len(received.attributes["genops-reason"].encode()) <= 1024


async def test_publishing_a_dead_letter_is_tried_again_when_pub_sub_does_not_answer(
    cloud: StandIns, arrivals: Arrivals, settled: Settled
) -> None:
    (message_id,) = arrivals.publish({"data": b"1", "attributes": {"a": "b"}})
    await asyncio.to_thread(cloud.pubsub.faults, error_code="UNAVAILABLE", error_share=1.0, error_methods=["Publish"])
    async with running() as triggerer:
        await until_async(lambda: triggerer.messages)
        await asyncio.sleep(0.5)
        assert (settled.acked, settled.nacked) == ([], [])
        await asyncio.to_thread(cloud.pubsub.faults)
        (received,) = await asyncio.to_thread(letters(arrivals).read_some)
        await until_async(lambda: settled.acked == [message_id])
    assert received.attributes["genops-message-id"] == message_id


async def test_a_dead_letter_that_cannot_be_published_is_left_to_pub_subs_own_policy(
    cloud: StandIns, arrivals: Arrivals, settled: Settled
) -> None:
    (message_id,) = arrivals.publish({"data": b"1", "attributes": {"a": "b"}})
    await asyncio.to_thread(
        cloud.pubsub.faults, error_code="PERMISSION_DENIED", error_share=1.0, error_methods=["Publish"]
    )
    async with running():
        (received,) = await asyncio.to_thread(letters(arrivals).read_some)
    assert settled.nacked == [message_id] * 5
    assert settled.acked == []
    assert received.attributes["CloudPubSubDeadLetterSourceDeliveryCount"] == "5"


def put_letters(arrivals: Arrivals, *messages: dict[str, Any]) -> None:
    """Publish on the dead-letter topic, as the trigger and Pub/Sub do."""
    name = arrivals.dead_letters.rpartition("/")[2]
    topic = f"projects/{arrivals.config.project}/topics/{name}"
    google.pubsub_v1.PublisherClient.publish(arrivals.publisher, topic=topic, messages=list(messages))


def ours(arrivals: Arrivals, number: int, **more: str) -> dict[str, Any]:
    made = arrivals.notification(watched(number), objectGeneration="12x")
    made["attributes"] |= {
        "genops-reason": "It cannot be read.",
        "genops-message-id": str(1000 + number),
        "genops-publish-time": f"2026-11-23T00:00:0{number}+00:00",
        **more,
    }
    return made


def moved(arrivals: Arrivals, number: int) -> dict[str, Any]:
    made = arrivals.notification(watched(number))
    made["attributes"] |= {
        "CloudPubSubDeadLetterSourceSubscription": arrivals.config.subscription,
        "CloudPubSubDeadLetterSourceSubscriptionProject": arrivals.config.project,
        "CloudPubSubDeadLetterSourceTopicPublishTime": f"2026-11-23T00:00:0{number}+00:00",
        "CloudPubSubDeadLetterSourceDeliveryCount": "5",
    }
    return made


def test_dead_letters_are_shown_with_their_reason_and_stay(arrivals: Arrivals) -> None:
    long = ours(arrivals, 1)
    long["data"] = b"\x1b[2J" + b"x" * 500
    put_letters(arrivals, long, long, moved(arrivals, 2))
    for _ in range(2):  # the second time shows that the first took nothing
        result = run("dead-letters", "--json")
        assert result.exit_code == 0, result.output
        mine, theirs = json.loads(result.stdout)
        assert mine == {
            "message_id": "1001",
            "published_at": "2026-11-23T00:00:01+00:00",
            "reason": "It cannot be read.",
            "bucket": arrivals.config.bucket,
            "object": watched(1),
            "generation": "12x",
            "data": "\x1b[2J" + "x" * 116,
        }
        assert theirs["reason"] == "delivered 5 times without being stored"
    result = run("dead-letters")
    assert result.stdout == ""
    assert f"gs://{arrivals.config.bucket}/{watched(1)}#12x" in result.stderr
    assert "It cannot be read." in result.stderr
    assert "\x1b[2J" not in result.stderr
    assert "2 dead letters. Fix the cause, then: genops dead-letters --replay." in result.stderr


def test_no_more_than_the_limit_are_shown_and_the_rest_are_not_held(arrivals: Arrivals) -> None:
    put_letters(arrivals, *(ours(arrivals, number) for number in range(5)))
    assert len(json.loads(run("dead-letters", "--json", "--limit", "2").stdout)) == 2
    assert count_dead_letters(arrivals.config) == 5


def test_no_dead_letters_are_said_to_be_none(arrivals: Arrivals) -> None:
    result = run("dead-letters")
    assert (result.exit_code, result.stderr) == (0, "No dead letters.\n")
    assert json.loads(run("dead-letters", "--json").stdout) == []


def test_a_look_that_is_interrupted_gives_the_letters_back(arrivals: Arrivals) -> None:
    put_letters(arrivals, ours(arrivals, 1))

    def interrupted() -> None:
        with DeadLetters.opened(arrivals.config) as looked:
            assert len(looked.peek(limit=10)) == 1
            assert letters(arrivals).read() == []
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert len(letters(arrivals).read_some()) == 1


async def test_a_replayed_notification_comes_again_and_makes_its_event(arrivals: Arrivals, settled: Settled) -> None:
    put_letters(arrivals, moved(arrivals, 1), ours(arrivals, 2, objectGeneration="17", timeout="5"))
    async with running() as triggerer:
        result = await asyncio.to_thread(run, "dead-letters", "--replay", "--json")
        assert result.exit_code == 0, result.output
        await until_async(lambda: len(triggerer.events) == 2)
        for message in triggerer.messages:
            assert not [name for name in message.attributes if name.startswith(("genops-", "CloudPubSub"))]
        triggerer.confirm()
        await until_async(lambda: len(settled.acked) == 2)
    assert set(triggerer.objects) == {watched(1), watched(2)}
    assert {row["replayed_as"] for row in json.loads(result.stdout)} == set(settled.acked)
    assert json.loads(run("dead-letters", "--json").stdout) == []


async def test_what_is_replayed_before_it_is_mended_is_a_dead_letter_again(arrivals: Arrivals) -> None:
    put_letters(arrivals, ours(arrivals, 1, objectGeneration="9" * 30))
    async with running() as triggerer:
        arrivals.announce(watched(2))
        result = await asyncio.to_thread(run, "dead-letters", "--replay")
        assert "replayed as message" in result.stderr
        assert "but it becomes a dead letter again: A Cloud Storage notification cannot be read" in result.stderr
        await until_async(lambda: triggerer.objects == [watched(2)])
        triggerer.confirm()
        (received,) = await asyncio.to_thread(letters(arrivals).read_some)
    assert "generation missing or wrong" in received.attributes["genops-reason"]


def test_what_cannot_be_replayed_stays_a_dead_letter(cloud: StandIns, arrivals: Arrivals) -> None:
    put_letters(arrivals, ours(arrivals, 1))
    cloud.pubsub.faults(error_code="PERMISSION_DENIED", error_share=1.0, error_methods=["Publish"])
    result = run("dead-letters", "--replay")
    assert result.exit_code == 1
    assert "not replayed, and still a dead letter: Could not publish" in result.stderr
    assert count_dead_letters(arrivals.config) == 1


def test_a_subscription_that_is_missing_is_named_with_the_command_that_makes_it(arrivals: Arrivals) -> None:
    arrivals.subscriber.delete_subscription(subscription=arrivals.dead_letters)
    result = run("dead-letters")
    assert result.exit_code == 1
    assert "does not exist" in result.stderr
    assert "genops up" in result.stderr
    assert "genops provision --apply" in result.stderr


def test_the_list_of_candidates_tells_their_number_and_keeps_its_json(
    monkeypatch: pytest.MonkeyPatch, arrivals: Arrivals
) -> None:
    monkeypatch.setattr("genops_events.cli.dead_letters.COUNT_SECONDS", HANG_SECONDS)
    assert "dead letter" not in run("candidates").stderr
    put_letters(arrivals, ours(arrivals, 1), ours(arrivals, 1), moved(arrivals, 2))
    result = run("candidates", "--json")
    assert json.loads(result.stdout) == []
    assert result.stderr == "2 dead letters: genops dead-letters\n"
    assert count_dead_letters(arrivals.config) == 2


def test_candidates_are_listed_though_pub_sub_cannot_be_asked(cloud: StandIns, arrivals: Arrivals) -> None:
    cloud.pubsub.faults(error_code="UNAVAILABLE", error_share=1.0, error_methods=["Pull"])
    result = run("candidates", "--json")
    assert (result.exit_code, json.loads(result.stdout)) == (0, [])
    assert "Dead letters could not be counted: Could not look at" in result.stderr


def test_a_file_whose_name_would_be_ignored_is_not_uploaded(config: Config, store: RecordStore, tmp_path: Path) -> None:
    file = tmp_path / "train.jsonl.ab12cd34.partial"
    file.write_text("{}\n")
    result = run("upload", str(file), "--dataset", "banking77")
    assert result.exit_code == 1
    assert "Rename the file" in result.stderr
    assert list(store.bucket.list_blobs(prefix=PREFIX)) == []
    with pytest.raises(NameIsIgnored):
        upload(config, file, dataset="banking77", name=f"{PREFIX}_temporary/0/x.jsonl")
    assert upload(config, file, dataset="banking77", name="evaluation/x.ab12cd34.partial").generation > 0


def test_dead_letters_outlive_their_subscription_when_it_is_created_anew(config: Config, arrivals: Arrivals) -> None:
    topic = topic_name(config, dead_letter_topic(config))
    attributes = letter_attributes({"a": "b"}, reason="no luck", message_id="7", published_at=datetime.now(UTC))
    texts = {f"{number}".encode() for number in range(3)}
    messages = [{"data": text, "attributes": attributes | {"genops-message-id": text.decode()}} for text in texts]
    google.pubsub_v1.PublisherClient.publish(arrivals.publisher, topic=topic, messages=messages)
    arrivals.publisher.delete_topic(topic=topic)
    topic_again, subscription_anew, right_again = provision(config)
    assert topic_again == f"topic {dead_letter_topic(config)}"
    assert subscription_anew == f"subscription {dead_letter_topic(config)}, anew: its topic was deleted"
    assert right_again.startswith(f"roles/pubsub.publisher on topic {dead_letter_topic(config)} for ")
    with DeadLetters.opened(config) as kept:
        found = kept.peek(limit=10)
    assert {one.data for one in found} == texts
    assert {(one.reason, one.published_at) for one in found} == {("no luck", attributes["genops-publish-time"])}
    assert arrivals.subscriber.get_subscription(subscription=arrivals.dead_letters).topic == topic
    assert provision(config) == []


@pytest.mark.parametrize(("others", "ours"), [(99, ["genops-reason"]), (100, [])])
async def test_a_message_with_as_many_attributes_as_pub_sub_takes_is_a_dead_letter_at_once(
    arrivals: Arrivals, settled: Settled, others: int, ours: list[str]
) -> None:
    broken = arrivals.notification(watched(), eventType="")
    filling = range(others - len(broken["attributes"]))
    broken["attributes"] |= {f"x-{number}": "y" for number in filling}
    (message_id,) = arrivals.publish(broken)
    async with running():
        (received,) = await asyncio.to_thread(letters(arrivals).read_some)
        await until_async(lambda: set(settled.acked) == {message_id})
    assert settled.nacked == []
    assert broken["attributes"].items() <= received.attributes.items()
    assert sorted(received.attributes.keys() - broken["attributes"].keys()) == ours


def test_a_letter_that_pub_sub_itself_has_added_to_is_published_again_with_what_it_came_with(
    config: Config, arrivals: Arrivals
) -> None:
    own = {f"x-{number}": "y" for number in range(98)}
    moved = {
        f"CloudPubSubDeadLetterSource{name}": "1" for name in ("DeliveryCount", "Subscription", "TopicPublishTime")
    }
    letter = DeadLetter("7", "2026-12-01T00:00:00+00:00", "r", own | moved, b"{}", ack_ids=())
    with DeadLetters.opened(config) as kept:
        kept.publish_again([letter])
        (found,) = kept.peek(limit=1)
    assert found.original_attributes() == own
    assert len(found.attributes) == 100
