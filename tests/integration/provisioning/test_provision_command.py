"""`genops provision`: a project gets what the cascade needs, whatever is in the way, and nothing of others is undone."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from cloud import StandIns, at_once
from google.api_core.exceptions import BadRequest, Forbidden, InvalidArgument, NotFound
from google.cloud.pubsub_v1 import PublisherClient
from google.cloud.storage.notification import BucketNotification
from google.iam.v1.policy_pb2 import Binding, Policy
from typer.testing import CliRunner, Result
from waiting import HANG_SECONDS

from genops_events.cli import app
from genops_events.config import Config, load_config
from genops_events.gcp.clients import publisher_client, storage_client, subscriber_client
from genops_events.gcp.requirements import RETENTION_SECONDS, dead_letter_topic, topic_name
from genops_events.intake import dead_letters
from genops_events.intake.dead_letters import DeadLetters
from genops_events.provisioning import provision as provisioning
from genops_events.provisioning.access import grant
from genops_events.provisioning.provision import steps

PUBLISHER = "roles/pubsub.publisher"


@pytest.fixture
def config(whole_config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    """A genops.yaml whose bucket, topics and subscription are not there yet."""
    settings = yaml.safe_load((tmp_path / "genops.yaml").read_text(encoding="utf-8"))
    own = uuid.uuid4().hex[:12]
    settings |= {
        "bucket": f"new-{own}",
        "topics": {"arrivals": f"new-arrivals-{own}", "completions": f"new-completions-{own}"},
        "subscription": f"new-intake-{own}",
    }
    file = tmp_path / "new.yaml"
    file.write_text(yaml.safe_dump(settings), encoding="utf-8")
    monkeypatch.setenv("GENOPS_CONFIG", str(file))
    return load_config()


def run(*words: str) -> Result:
    return CliRunner().invoke(app, ["provision", *words])


def told(result: Result) -> list[str]:
    return list(json.loads(result.stdout)["steps"])


def policy(config: Config, topic: str) -> dict[str, set[str]]:
    client = publisher_client()
    found = client.get_iam_policy(request={"resource": topic_name(config, topic)})
    client.stop()
    client.transport.close()
    return {one.role: set(one.members) for one in found.bindings}


def test_without_apply_all_that_is_missing_is_listed_and_nothing_changed(config: Config) -> None:
    listed = run("--json")
    assert listed.exit_code == 0
    letters = dead_letter_topic(config)
    tells = "serviceAccount:service-N@gs-project-accounts.iam.gserviceaccount.com"
    moves = "serviceAccount:service-N@gcp-sa-pubsub.iam.gserviceaccount.com"
    assert [re.sub(r"service-\d+", "service-N", one) for one in told(listed)] == [
        f"bucket {config.bucket}",
        f"topic {config.topics.arrivals}",
        f"topic {config.topics.completions}",
        f"topic {letters}",
        f"subscription {config.subscription}",
        f"subscription {letters}",
        f"{PUBLISHER} on topic {config.topics.arrivals} for {tells}",
        f"notification to {config.topics.arrivals}",
        f"{PUBLISHER} on topic {letters} for {moves}",
        f"roles/pubsub.subscriber on subscription {config.subscription} for {moves}",
    ]
    assert "Nothing was changed; `genops provision --apply`" in listed.stderr
    assert storage_client(config).lookup_bucket(config.bucket) is None
    with pytest.raises(NotFound):
        policy(config, config.topics.arrivals)
    assert told(run("--json")) == told(listed)


def test_apply_does_what_was_listed_and_afterwards_nothing_is_missing(config: Config) -> None:
    listed = told(run("--json"))
    applied = run("--apply", "--json")
    assert (applied.exit_code, told(applied)) == (0, listed)
    again = run("--apply", "--json")
    assert (again.exit_code, told(again)) == (0, [])
    assert "Nothing is missing" in again.stderr
    bucket = storage_client(config).get_bucket(config.bucket)
    assert bucket.iam_configuration.uniform_bucket_level_access_enabled
    assert bucket.location == config.location.upper()


def test_what_others_were_granted_stays_also_where_they_are_granted_it_at_the_same_moment(config: Config) -> None:
    run("--apply")
    topic = topic_name(config, config.topics.arrivals)
    client = publisher_client()
    theirs = Policy(bindings=[Binding(role="roles/pubsub.viewer", members=["group:team@example.com"])])
    client.set_iam_policy(request={"resource": topic, "policy": theirs})
    members = [f"user:{number}@example.com" for number in range(3)]
    at_once(
        lambda: list(steps_taken(config)),
        *(lambda one=one: grant(client, topic, [Binding(role=PUBLISHER, members=[one])]) for one in members),  # type: ignore[misc]
    )
    client.stop()
    client.transport.close()
    found = policy(config, config.topics.arrivals)
    assert found["roles/pubsub.viewer"] == {"group:team@example.com"}
    assert found[PUBLISHER] > set(members)
    assert list(steps(config)) == []


@pytest.mark.parametrize("passed", [1, 4, 6, 9, 12, 15])
def test_a_run_that_is_cut_off_says_so_and_is_finished_by_the_next(
    cloud: StandIns, config: Config, passed: int
) -> None:
    cloud.pubsub.faults(error_code="PERMISSION_DENIED", error_share=1.0, pass_calls=passed)
    cut = run("--apply", "--json")
    cloud.pubsub.faults()
    assert cut.exit_code == 1
    document = json.loads(cut.stdout)
    assert (document["complete"], "403" in document["error"]["message"]) == (False, True)
    rest = run("--apply", "--json")
    assert (rest.exit_code, json.loads(rest.stdout)["complete"]) == (0, True)
    everything = [*told(cut), *told(rest)]
    assert len(everything) == len(set(everything)) == 10, "nothing twice, nothing left out"
    assert list(steps(config)) == []


def test_of_what_two_make_at_once_one_stays(config: Config) -> None:
    at_once(lambda: list(steps_taken(config)), lambda: list(steps_taken(config)))
    list(steps_taken(config))
    assert list(steps(config)) == []
    assert len(notifications(config)) == 1


def steps_taken(config: Config) -> Iterator[str]:
    for step in steps(config):
        step.take()
        yield step.what


def notifications(config: Config) -> list[str]:
    """Return the prefixes that are announced."""
    bucket = storage_client(config).bucket(config.bucket)
    return [one.blob_name_prefix for one in bucket.list_notifications()]


# Notifications


def test_a_right_that_does_not_count_everywhere_yet_is_waited_for(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "'service-1@gs-project-accounts.iam.gserviceaccount.com' does not have permission to publish"
    refusals = [Forbidden(text), BadRequest(f"Cloud Pub/Sub topic not found, or user {text}")]
    create = BucketNotification.create

    def reluctant(self: BucketNotification, **given: Any) -> None:
        if refusals:
            raise refusals.pop()
        create(self, **given)

    monkeypatch.setattr(BucketNotification, "create", reluctant)
    applied = run("--apply", "--json")
    assert applied.exit_code == 0, applied.stderr
    assert list(steps(config)) == []


def test_who_may_not_create_notifications_is_told_at_once(
    cloud: StandIns, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud.storage.faults(error_code="403", error_share=1.0, error_methods=["notifications.insert"])
    tries: list[None] = []
    create = BucketNotification.create

    def counted(self: BucketNotification, **given: Any) -> None:
        tries.append(None)
        create(self, **given)

    monkeypatch.setattr(BucketNotification, "create", counted)
    refused = run("--apply", "--json")
    assert len(tries) == 1
    assert refused.exit_code == 1
    assert "create the notification" in json.loads(refused.stdout)["error"]["message"]


def test_a_dataset_more_makes_the_notification_wider_and_leaves_one(config: Config, tmp_path: Path) -> None:
    run("--apply")
    settings = yaml.safe_load((tmp_path / "new.yaml").read_text(encoding="utf-8"))
    other = settings["datasets"]["banking77"] | {"prefix": "training/other/"}
    settings["datasets"]["other"] = other
    (tmp_path / "new.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    assert notifications(config) == ["training/banking77/"]
    assert run("--apply").exit_code == 0
    assert notifications(config) == ["training/"]
    assert told(run("--json")) == []


# Rights, and subscriptions that are made anew


def test_an_account_that_google_has_not_made_yet_keeps_no_arrival_away_and_is_named(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provisioning, "PROPAGATION_SECONDS", 1.5)
    set_policy = PublisherClient.set_iam_policy

    def unknown(self: PublisherClient, **given: Any) -> Policy:
        if "gcp-sa-pubsub" in str(given):
            raise InvalidArgument("Service account service-1@gcp-sa-pubsub.iam.gserviceaccount.com does not exist.")
        return set_policy(self, **given)

    monkeypatch.setattr(PublisherClient, "set_iam_policy", unknown)
    refused = run("--apply", "--json")
    assert refused.exit_code == 1
    error = json.loads(refused.stdout)["error"]
    assert "does not exist" in error["message"]
    assert "gcloud beta services identity create --service=pubsub.googleapis.com" in error["help"]
    assert notifications(config) == ["training/banking77/"]


def test_a_subscription_that_is_made_anew_keeps_who_may_use_it(config: Config) -> None:
    run("--apply")
    name = f"projects/{config.project}/subscriptions/{config.subscription}"
    airflow = Binding(
        role="roles/pubsub.subscriber", members=["serviceAccount:airflow@example.iam.gserviceaccount.com"]
    )
    with subscriber_client() as subscriber:
        subscriber.delete_subscription(subscription=name)
        topic = topic_name(config, config.topics.arrivals)
        subscriber.create_subscription(request={"name": name, "topic": topic, "filter": 'attributes.a = "b"'})
        subscriber.set_iam_policy(request={"resource": name, "policy": Policy(bindings=[airflow])})
        applied = run("--apply", "--json")
        assert (applied.exit_code, len(told(applied))) == (0, 2), "the subscription, and Google's right to it"
        assert subscriber.get_subscription(subscription=name).filter == ""
        found = subscriber.get_iam_policy(request={"resource": name})
    (binding,) = found.bindings
    assert airflow.members[0] in binding.members
    assert any("gcp-sa-pubsub" in one for one in binding.members)
    assert list(steps(config)) == []


def test_who_may_use_a_subscription_is_known_also_after_it_had_to_be_made_anew_twice(
    cloud: StandIns, config: Config
) -> None:
    run("--apply")
    name = f"projects/{config.project}/subscriptions/{config.subscription}"
    topic = topic_name(config, config.topics.arrivals)
    wrong = {"name": name, "topic": topic, "filter": 'attributes.a = "b"'}
    airflow = Binding(role="roles/pubsub.viewer", members=["serviceAccount:airflow@example.iam.gserviceaccount.com"])
    with subscriber_client() as subscriber:
        subscriber.delete_subscription(subscription=name)
        subscriber.create_subscription(request=wrong)
        subscriber.set_iam_policy(request={"resource": name, "policy": Policy(bindings=[airflow])})
        cloud.pubsub.faults(error_code="PERMISSION_DENIED", error_share=1.0, error_methods=["SetIamPolicy"])
        assert run("--apply").exit_code == 1
        cloud.pubsub.faults()
        assert list(subscriber.get_iam_policy(request={"resource": name}).bindings) == []
        subscriber.delete_subscription(subscription=name)
        subscriber.create_subscription(request=wrong)
        assert run("--apply").exit_code == 0
        found = subscriber.get_iam_policy(request={"resource": name})
    assert airflow in list(found.bindings)
    assert list(steps(config)) == []


@pytest.mark.parametrize("method", ["DeleteSubscription", "CreateSubscription", "SetIamPolicy", "Publish"])
def test_dead_letters_outlive_a_run_that_dies_while_it_makes_their_subscription_anew(
    cloud: StandIns, config: Config, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dead_letters, "FIRST_LOOK_SECONDS", 0.5)
    run("--apply")
    topic = topic_name(config, dead_letter_topic(config))
    publisher = publisher_client()
    texts = {f"letter {number}".encode() for number in range(3)}
    for text in texts:
        publisher.publish(topic, text, reason="no luck").result(timeout=HANG_SECONDS)
    publisher.delete_topic(topic=topic)
    publisher.stop()
    publisher.transport.close()
    cloud.pubsub.faults(error_code="PERMISSION_DENIED", error_share=1.0, error_methods=[method])
    assert run("--apply").exit_code == 1
    cloud.pubsub.faults()
    assert run("--apply").exit_code == 0
    with DeadLetters.opened(config) as letters:
        assert {one.data for one in letters.peek(limit=10)} == texts
    assert list(steps(config)) == []


@pytest.mark.parametrize("which", ["arrivals", "dead letters"])
def test_a_setting_that_is_wrong_is_mended_on_either_subscription(config: Config, which: str) -> None:
    run("--apply")
    own = {"arrivals": config.subscription, "dead letters": dead_letter_topic(config)}[which]
    name = f"projects/{config.project}/subscriptions/{own}"
    wrong = {
        "ack_deadline_seconds": 10,
        "message_retention_duration": {"seconds": 3600},
        "expiration_policy": {"ttl": {"seconds": 86_400}},
    }
    with subscriber_client() as subscriber:
        subscriber.update_subscription(
            request={"subscription": {"name": name, **wrong}, "update_mask": {"paths": list(wrong)}}
        )
        assert len(told(run("--json"))) == 1
        assert run("--apply").exit_code == 0
        found = subscriber.get_subscription(subscription=name)
    assert found.message_retention_duration.total_seconds() == RETENTION_SECONDS
    assert list(steps(config)) == []
