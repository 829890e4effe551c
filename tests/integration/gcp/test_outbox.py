"""The outbox: no verdict goes unannounced, whatever dies in between, and none is announced twice without need."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from cloud import DATASET, Reader, Received, StandIns, at_once
from made_up import now, verdict
from typer.testing import CliRunner

from genops_events.cli import app
from genops_events.config import Config
from genops_events.gcp import outbox
from genops_events.gcp.errors import CloudRefused, CloudUnavailable
from genops_events.gcp.outbox import announce, was_published
from genops_events.gcp.record_store import RecordStore
from genops_events.intake.open_candidates import traces_of
from genops_events.record.events import announcement, announcement_path, event_data, publication_path
from genops_events.record.stages import Outcome, Stage
from genops_events.record.verdicts import Verdict

CANDIDATE = "banking77-0123456789abcdef"
PATH = announcement_path(CANDIDATE, Stage.TUNING, Outcome.SUCCEEDED)


def is_marked(store: RecordStore) -> bool:
    """Return whether the record says that the event was published, to a reader of events and to a listing alike."""
    known = {path for path, event in store.announcements(CANDIDATE, skip=set()) if event.published_at is not None}
    assert known == traces_of(store, CANDIDATE).published
    assert was_published(store, PATH) == (PATH in known)
    return PATH in known


@pytest.fixture
def tuned() -> Verdict:
    """A verdict whose event is at PATH."""
    return verdict(Stage.TUNING, Outcome.SUCCEEDED, CANDIDATE)


def announced_once(config: Config, store: RecordStore, completions: Reader, tuned: Verdict) -> Received:
    """Announce the verdict; return its event, which came once and is marked."""
    announce(config, store, tuned)
    (received,) = completions.read_some()
    assert is_marked(store)
    return received


def test_a_verdict_is_published_once_and_marked(
    config: Config, store: RecordStore, completions: Reader, tuned: Verdict
) -> None:
    received = announced_once(config, store, completions, tuned)
    ((_, event),) = store.announcements(CANDIDATE, skip=set())
    told = CliRunner().invoke(app, ["events", "--candidate", CANDIDATE, "--json"]).stdout
    assert json.loads(told)["message_id"] == received.message_id
    announce(config, store, tuned)
    assert completions.read() == []
    assert list(store.announcements(CANDIDATE, skip=set())) == [(PATH, event)]


def test_no_object_is_written_twice_for_an_event(
    cloud: StandIns, config: Config, store: RecordStore, completions: Reader, tuned: Verdict
) -> None:
    cloud.storage.faults(object_write_seconds=3600)
    announced_once(config, store, completions, tuned)


def test_an_event_that_an_older_version_has_published_is_not_published_again(
    config: Config, store: RecordStore, completions: Reader, tuned: Verdict
) -> None:
    written = announcement(tuned, bucket=config.bucket, now=now())
    blob = store.bucket.blob(PATH)
    blob.metadata = {"published": "true"}
    blob.upload_from_string(written.model_copy(update={"published_at": now(), "message_id": "7"}).to_json())
    assert is_marked(store)
    announce(config, store, tuned)
    assert completions.read() == []


def test_a_subscriber_gets_a_cloudevent_under_the_candidates_ordering_key(
    config: Config, store: RecordStore, completions: Reader
) -> None:
    scores = {"exact_match": 0.5, "rouge": 0.75}
    passed = verdict(
        Stage.EVALUATION, Outcome.PASSED, CANDIDATE, reason="1 € ≠ 2 €", scores=scores, cost_usd=Decimal("0.0012")
    )
    announce(config, store, passed)
    (received,) = completions.read_some()
    assert received.ordering_key == CANDIDATE
    time = received.attributes["ce-time"]
    assert received.attributes == {
        "ce-specversion": "1.0",
        "ce-id": f"{CANDIDATE}/genops.evaluation.passed.v1",
        "ce-source": f"//storage.googleapis.com/projects/_/buckets/{config.bucket}/genops",
        "ce-type": "genops.evaluation.passed.v1",
        "ce-subject": CANDIDATE,
        "ce-time": time,
        "ce-dataschema": "urn:genops-events:schema:genops.evaluation.passed.v1",
        "content-type": "application/json",
    }
    assert time == passed.ended_at.isoformat().replace("+00:00", "Z")
    assert received.data == event_data(passed)
    assert received.data["dataset"] == DATASET
    assert received.data["scores"] == scores
    assert received.data["cost_usd"] == "0.0012"
    assert received.data["reason"] == "1 € ≠ 2 €"


def test_a_score_that_is_no_number_leaves_the_event_json_whoever_publishes_it(
    config: Config, store: RecordStore, completions: Reader
) -> None:
    passed = verdict(Stage.EVALUATION, Outcome.REFUSED, CANDIDATE, scores={"exact_match": float("nan")})
    announce(config, store, passed)
    (at_once_published,) = completions.read_some()
    path = announcement_path(CANDIDATE, Stage.EVALUATION, Outcome.REFUSED)
    store.bucket.blob(path).upload_from_string(announcement(passed, bucket=config.bucket, now=now()).to_json())
    store.bucket.blob(publication_path(path)).delete()
    announce(config, store, passed)
    (later_published,) = completions.read_some()
    # JSON has no NaN: a subscriber in another language could not read the event at all.
    json.dumps(at_once_published.data, allow_nan=False)
    assert at_once_published.data == later_published.data


def test_the_events_of_a_candidate_come_in_the_order_in_which_they_were_announced(
    config: Config, store: RecordStore, completions: Reader
) -> None:
    stages = [(Stage.TUNING, Outcome.SUCCEEDED), (Stage.BUDGET, Outcome.APPROVED), (Stage.EVALUATION, Outcome.PASSED)]
    for stage, outcome in stages:
        announce(config, store, verdict(stage, outcome, CANDIDATE))
    received = completions.read_some(len(stages))
    assert [one.data["stage"] for one in received] == [stage for stage, _ in stages]


def test_an_event_that_was_written_by_one_who_died_is_published(
    config: Config, store: RecordStore, completions: Reader, tuned: Verdict
) -> None:
    store.create(PATH, announcement(tuned, bucket=config.bucket, now=now()))
    assert not is_marked(store)
    assert completions.read() == []
    assert announced_once(config, store, completions, tuned).data == event_data(tuned)


def test_an_event_that_was_published_by_one_who_died_before_marking_it_keeps_its_id(
    config: Config, store: RecordStore, completions: Reader, tuned: Verdict
) -> None:
    written = announcement(tuned, bucket=config.bucket, now=now())
    store.create(PATH, written)
    outbox.publish(config, written)
    announce(config, store, tuned)
    both = completions.read_some(2)
    assert len({one.attributes["ce-id"] for one in both}) == 1
    assert is_marked(store)


def test_four_who_announce_one_verdict_at_once_agree_on_one_document(
    config: Config, store: RecordStore, completions: Reader, tuned: Verdict
) -> None:
    at_once(*[lambda: announce(config, RecordStore.open(config), tuned)] * 4)
    assert is_marked(store)
    assert {one.attributes["ce-id"] for one in completions.read_some()} == {f"{CANDIDATE}/genops.tuning.succeeded.v1"}


def test_what_pub_sub_does_not_take_is_kept_and_published_later(
    cloud: StandIns, config: Config, store: RecordStore, completions: Reader, tuned: Verdict
) -> None:
    cloud.pubsub.faults(error_code="UNAVAILABLE", error_share=1.0, error_methods=["Publish"])
    with pytest.MonkeyPatch.context() as patch:
        # The client itself tries again for as long as it may: a minute is too long for a test.
        patch.setattr(outbox, "PUBLISH_TIMEOUT_SECONDS", 0.7)
        with pytest.raises(CloudUnavailable, match=config.topics.completions):
            announce(config, store, tuned)
    assert not is_marked(store)
    cloud.pubsub.faults()
    announce(config, store, tuned)
    assert {one.attributes["ce-type"] for one in completions.read_some()} == {"genops.tuning.succeeded.v1"}
    assert is_marked(store)


def test_a_topic_that_is_not_there_is_refused_by_name_and_the_event_kept(
    config: Config, store: RecordStore, tuned: Verdict
) -> None:
    elsewhere = config.model_copy(update={"topics": config.topics.model_copy(update={"completions": "nowhere"})})
    with pytest.raises(CloudRefused, match="nowhere"):
        announce(elsewhere, store, tuned)
    assert not is_marked(store)


def test_an_event_that_pub_sub_would_not_take_is_published_with_shorter_texts_and_whole_in_the_record(
    config: Config, store: RecordStore, completions: Reader
) -> None:
    reason = "The metric failed: " + "€" * 8_000_000
    failed = verdict(Stage.EVALUATION, Outcome.FAILED, CANDIDATE, reason=reason)
    announce(config, store, failed)
    (received,) = completions.read_some()
    assert received.data == {**event_data(failed), "reason": f"{reason[:99_999]}…"}
    ((_, event),) = store.announcements(CANDIDATE, skip=set())
    assert event.data["reason"] == reason
    assert was_published(store, announcement_path(CANDIDATE, Stage.EVALUATION, Outcome.FAILED))
