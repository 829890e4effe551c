# ruff: noqa: F401, F811 - fixtures are imported by name, and come back as arguments
"""`genops provision`: a project gets what the cascade needs, whatever is in the way, and nothing of others is undone."""

from __future__ import annotations

import json
import re
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from cloud import StandIns, at_once, cloud, connections_closed, stand_ins
from cloud import config as provisioned
from google.api_core.exceptions import NotFound
from google.iam.v1.policy_pb2 import Binding, Policy
from typer.testing import CliRunner, Result

from genops_events.cli import app
from genops_events.cloud_setup import dead_letter_topic, topic_name
from genops_events.config import Config, load_config
from genops_events.gcp.access import grant
from genops_events.gcp.clients import publisher_client, storage_client
from genops_events.gcp.provision import steps

PUBLISHER = "roles/pubsub.publisher"


@pytest.fixture
def config(provisioned: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
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
        f"roles/pubsub.subscriber on subscription {config.subscription} for {moves}",
        f"{PUBLISHER} on topic {letters} for {moves}",
        f"{PUBLISHER} on topic {config.topics.arrivals} for {tells}",
        f"notification to {config.topics.arrivals}",
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
    assert "has all that genops-events needs" in again.stderr
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
        *(lambda one=one: grant(client, topic, PUBLISHER, one) for one in members),  # type: ignore[misc]
    )
    client.stop()
    client.transport.close()
    found = policy(config, config.topics.arrivals)
    assert found["roles/pubsub.viewer"] == {"group:team@example.com"}
    assert found[PUBLISHER] > set(members)
    assert list(steps(config)) == []


@pytest.mark.parametrize("passed", [1, 4, 6, 9, 12, 15])
def test_a_run_that_is_cut_off_is_finished_by_the_next(cloud: StandIns, config: Config, passed: int) -> None:
    cloud.pubsub.faults(error_code="PERMISSION_DENIED", error_share=1.0, pass_calls=passed)
    cut = run("--apply", "--json")
    cloud.pubsub.faults()
    assert cut.exit_code == 1
    assert "PERMISSION_DENIED" in cut.stderr or "403" in cut.stderr
    rest = run("--apply", "--json")
    assert rest.exit_code == 0
    everything = [*told(cut), *told(rest)]
    assert len(everything) == len(set(everything)) == 10, "nothing twice, nothing left out"
    assert list(steps(config)) == []


def test_two_at_once_make_each_thing_once(config: Config) -> None:
    first, second = at_once(lambda: list(steps_taken(config)), lambda: list(steps_taken(config)))
    assert first
    assert second
    assert list(steps(config)) == []


def steps_taken(config: Config) -> Iterator[str]:
    for step in steps(config):
        step.take()
        yield step.what


def test_a_right_that_does_not_count_everywhere_yet_is_waited_for(cloud: StandIns, config: Config) -> None:
    cloud.storage.faults(error_code="403", error_share=1.0, error_methods=["notifications.insert"])
    known = threading.Timer(1.5, cloud.storage.faults)
    known.start()
    applied = run("--apply", "--json")
    known.join()
    assert applied.exit_code == 0, applied.stderr
    assert told(applied)[-1] == f"notification to {config.topics.arrivals}"
    assert list(steps(config)) == []
