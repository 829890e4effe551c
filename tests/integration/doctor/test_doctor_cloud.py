"""The doctor's look at Google's side: one thing is broken with an official client, and only its check sees it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from cloud import DATASET, StandIn, StandIns
from google.cloud.storage import Bucket
from waiting import HANG_SECONDS

from genops_events.cli.diagnosis import run
from genops_events.config import Config, load_config
from genops_events.config.tables import AnalysisTables
from genops_events.doctor.cloud_checks import CloudChecks
from genops_events.doctor.findings import Finding, Status
from genops_events.doctor.remedies import Remedies
from genops_events.gcp import requirements
from genops_events.gcp.clients import bigquery_client, publisher_client, subscriber_client
from genops_events.gcp.record_store import RecordStore
from genops_events.money.ledger import Ledger, month_of
from genops_events.provisioning.provision import provision
from genops_events.record import paths as record_paths

ON_TIME = (
    """{"run_id": "r", "started_at": "%(now)s", "ended_at": "%(now)s", "next_due_at": "%(now)s", "sweep_minutes": 10}"""
)


@pytest.fixture
def bucket(config: Config, store: RecordStore) -> Bucket:
    """The bucket of a healthy deployment: input files are there, and a sweep has just ended."""
    for _, name in config.datasets[DATASET].inputs():
        store.bucket.blob(name).upload_from_string("{}\n")
    store.bucket.blob(record_paths.sweep_path()).upload_from_string(ON_TIME % {"now": datetime.now(UTC).isoformat()})
    return store.bucket


ENDS = "models' ends"


def look(config: Config, *, with_dead_letters: bool = False) -> dict[str, Finding]:
    """Return what each check finds; dead letters only if asked for: an empty subscription is waited at."""
    every = CloudChecks(Remedies(config, is_local=True, airflow="http://127.0.0.1:1")).all()
    checks = [one for one in every if with_dead_letters or one.name != "dead letters"]
    return {one.name: one.finding for one in run(checks, timeout_seconds=HANG_SECONDS)}


def wrong(found: dict[str, Finding]) -> dict[str, str]:
    """Return the checks that are neither well nor skipped, with their status; models end by the calendar, and by no fault."""
    fine = (Status.OK, Status.SKIPPED)
    return {name: str(one.status) for name, one in found.items() if one.status not in fine and name != ENDS}


def skipped(found: dict[str, Finding]) -> set[str]:
    return {name for name, one in found.items() if one.status is Status.SKIPPED}


def path(config: Config, name: str) -> str:
    return f"projects/{config.project}/subscriptions/{name}"


def change(config: Config, name: str, **settings: Any) -> None:
    with subscriber_client() as client:
        changed = {"name": path(config, name), **{key: value for key, value in settings.items() if value is not None}}
        client.update_subscription(request={"subscription": changed, "update_mask": {"paths": list(settings)}})


def delete_subscription(config: Config, name: str) -> None:
    with subscriber_client() as client:
        client.delete_subscription(subscription=path(config, name))


def create_subscription(config: Config, topic: str, **settings: Any) -> None:
    wanted = {"ack_deadline_seconds": 30, "expiration_policy": {}, **settings}
    letters = requirements.topic_name(config, requirements.dead_letter_topic(config))
    wanted["dead_letter_policy"] = {"dead_letter_topic": letters, "max_delivery_attempts": 5}
    with subscriber_client() as client:
        name = path(config, config.subscription)
        client.create_subscription(request={"name": name, "topic": requirements.topic_name(config, topic), **wanted})


def delete_topic(config: Config, name: str) -> None:
    client = publisher_client()
    client.delete_topic(topic=requirements.topic_name(config, name))
    client.stop()
    client.transport.close()


def letters(config: Config) -> str:
    return requirements.dead_letter_topic(config)


def test_a_provisioned_project_is_healthy_and_looking_changes_nothing(config: Config, bucket: Bucket) -> None:
    before = [(one.name, one.generation) for one in bucket.list_blobs()]
    found = look(config, with_dead_letters=True)
    assert wrong(found) == {}
    assert skipped(found) == set()
    assert [(one.name, one.generation) for one in bucket.list_blobs()] == before
    assert provision(config) == []


def filtered(config: Config) -> None:
    delete_subscription(config, config.subscription)
    create_subscription(config, config.topics.arrivals, filter='attributes.eventType = "OBJECT_DELETE"')


def elsewhere(config: Config) -> None:
    delete_subscription(config, config.subscription)
    create_subscription(config, config.topics.completions)


def detached(config: Config) -> None:
    client = publisher_client()
    client.detach_subscription(request={"subscription": path(config, config.subscription)})
    client.stop()
    client.transport.close()


BREAKAGES: dict[str, tuple[Callable[[Config], None], dict[str, str], str]] = {
    "subscription deleted": (
        lambda config: delete_subscription(config, config.subscription),
        {"subscription": "failed"},
        "There is no subscription",
    ),
    "short ack deadline": (
        lambda config: change(config, config.subscription, ack_deadline_seconds=10),
        {"subscription": "failed"},
        "its ack deadline is 10 s, not 30 s",
    ),
    "no dead-letter policy": (
        lambda config: change(config, config.subscription, dead_letter_policy=None),
        {"subscription": "failed"},
        "it has no dead-letter policy",
    ),
    "short retention": (
        lambda config: change(config, config.subscription, message_retention_duration={"seconds": 600}),
        {"subscription": "warning"},
        "it keeps messages for 10 min, not 7 d",
    ),
    "expiration": (
        lambda config: change(config, config.subscription, expiration_policy={"ttl": {"seconds": 31 * 86_400}}),
        {"subscription": "warning"},
        "it is removed after 31 d without use",
    ),
    "filter": (filtered, {"subscription": "failed"}, "its filter is"),
    "another topic": (elsewhere, {"subscription": "failed"}, "it is subscribed to"),
    "detached": (detached, {"subscription": "failed"}, "it is detached"),
    "arrivals topic deleted": (
        lambda config: delete_topic(config, config.topics.arrivals),
        {"arrivals topic": "failed"},
        "There is no topic",
    ),
    "completions topic deleted": (
        lambda config: delete_topic(config, config.topics.completions),
        {"completions topic": "failed"},
        "There is no topic",
    ),
    "dead-letter topic deleted": (
        lambda config: delete_topic(config, letters(config)),
        {"dead-letter topic": "failed"},
        "There is no topic",
    ),
    "dead-letter subscription deleted": (
        lambda config: delete_subscription(config, letters(config)),
        {"dead-letter subscription": "failed"},
        "There is no subscription",
    ),
}


@pytest.mark.parametrize("what", BREAKAGES)
def test_what_is_wrong_in_pubsub_is_seen_by_its_own_check_and_provisioning_mends_it(
    config: Config, bucket: Bucket, what: str
) -> None:
    break_it, expected, text = BREAKAGES[what]
    break_it(config)
    found = look(config)
    assert wrong(found) == expected
    finding = found[next(iter(expected))]
    assert text in finding.found
    assert finding.cause
    assert finding.remedy == ("genops up --detach",)
    assert provision(config) != []
    mended = look(config)
    assert wrong(mended) == {}
    assert skipped(mended) == set()


def test_a_subscription_of_a_deleted_topic_is_told_apart_when_the_topic_is_back(config: Config, bucket: Bucket) -> None:
    delete_topic(config, config.topics.arrivals)
    assert skipped(look(config)) == {"subscription"}
    client = publisher_client()
    client.create_topic(name=requirements.topic_name(config, config.topics.arrivals))
    client.stop()
    client.transport.close()
    found = look(config)
    assert wrong(found) == {"subscription": "failed"}
    assert "its topic was deleted" in found["subscription"].found


@pytest.mark.parametrize(
    "settings", [None, {"event_types": ["OBJECT_DELETE"]}, {"blob_name_prefix": "training/banking77/only/"}]
)
def test_a_notification_that_is_gone_or_too_narrow_is_seen_and_provisioning_adds_one(
    config: Config, bucket: Bucket, settings: dict[str, Any] | None
) -> None:
    for one in bucket.list_notifications():
        one.delete()
    if settings is not None:
        bucket.notification(topic_name=config.topics.arrivals, payload_format="JSON_API_V1", **settings).create()
    found = look(config)
    assert wrong(found) == {"notification": "failed"}
    assert "training/banking77/" in found["notification"].found
    assert provision(config) == [f"notification to {config.topics.arrivals}"]
    assert wrong(look(config)) == {}


def test_two_notifications_of_the_same_are_a_warning_that_names_the_surplus_one(config: Config, bucket: Bucket) -> None:
    bucket.notification(topic_name=config.topics.arrivals, payload_format="NONE").create()
    found = look(config)
    assert wrong(found) == {"notification": "warning"}
    assert "get_notification('2')" in found["notification"].remedy[1]


def test_without_the_bucket_only_what_does_not_need_it_is_judged(config: Config, bucket: Bucket) -> None:
    bucket.delete(force=True)
    found = look(config)
    assert wrong(found) == {"bucket": "failed"}
    assert "There is no bucket" in found["bucket"].found
    needs_it = {"bucket settings", "notification", "input files", "BigQuery", "shared documents", "sweep"}
    assert skipped(found) == needs_it


@pytest.mark.parametrize(
    ("faults", "text"),
    [
        ({"unavailable_seconds": 60}, "503"),
        ({"error_share": 1.0, "error_code": "429"}, "429"),
        ({"error_share": 1.0, "error_code": "403", "error_methods": ["objects.list"]}, "403"),
    ],
)
def test_storage_that_does_not_answer_or_refuses_is_a_failed_bucket(
    cloud: StandIns, config: Config, bucket: Bucket, faults: dict[str, Any], text: str
) -> None:
    cloud.storage.faults(**faults)
    found = look(config)
    assert wrong(found) == {"bucket": "failed"}
    assert text in found["bucket"].found
    assert found["bucket"].remedy == ("genops status",)
    cloud.storage.faults()
    assert wrong(look(config)) == {}


def test_what_the_cascade_does_not_need_to_see_is_a_warning_where_it_is_forbidden(
    cloud: StandIns, config: Config, bucket: Bucket
) -> None:
    cloud.storage.faults(error_share=1.0, error_code="403", error_methods=["buckets.get", "notifications.list"])
    found = look(config)
    assert wrong(found) == {"bucket settings": "warning", "notification": "warning"}
    assert "legacyBucketReader" in found["notification"].cause


def test_pubsub_that_does_not_answer_is_seen_by_every_check_that_asks_it(
    cloud: StandIns, config: Config, bucket: Bucket
) -> None:
    cloud.pubsub.faults(unavailable_seconds=60)
    topics = {"arrivals topic", "dead-letter topic", "completions topic"}
    found = look(config)
    assert wrong(found) == dict.fromkeys(topics, "failed")
    assert skipped(found) == {"subscription", "dead-letter subscription"}


def test_vertex_ai_that_does_not_answer_is_one_failed_check(cloud: StandIns, config: Config, bucket: Bucket) -> None:
    cloud.vertex.faults(unavailable_seconds=60)
    found = look(config)
    assert wrong(found) == {"Vertex AI": "failed"}
    assert skipped(found) == {"source models"}


def test_a_source_model_that_vertex_ai_does_not_know_is_named(config: Config, bucket: Bucket) -> None:
    model = f"projects/{config.project}/locations/{config.location}/models/404"
    dataset = config.datasets[DATASET].model_copy(update={"source_model": model})
    found = look(config.model_copy(update={"datasets": {DATASET: dataset}}))
    assert wrong(found) == {"source models": "failed"}
    assert model in found["source models"].found


def test_a_missing_input_file_is_named_with_the_command_that_uploads_it(config: Config, bucket: Bucket) -> None:
    prompts = config.datasets[DATASET].inference.prompts
    bucket.blob(prompts).delete()
    bucket.blob(config.datasets[DATASET].evaluation.file).upload_from_string("")
    found = look(config)
    assert wrong(found) == {"input files": "failed"}
    assert f"{prompts} (banking77: inference.prompts) is missing" in found["input files"].found
    assert "(banking77: evaluation.file) is empty" in found["input files"].found
    assert found["input files"].remedy == (
        "genops upload FILE --dataset banking77 --as evaluation",
        "genops upload FILE --dataset banking77 --as prompts",
    )


def test_an_unreadable_champion_is_seen_and_left_as_it_is(config: Config, bucket: Bucket) -> None:
    champion = record_paths.champion_path(DATASET)
    bucket.blob(champion).upload_from_string("not a champion")
    found = look(config)
    assert wrong(found) == {"shared documents": "failed"}
    assert champion in found["shared documents"].found
    assert bucket.blob(champion).download_as_bytes() == b"not a champion"


def test_where_one_object_of_the_ledger_cannot_be_read_all_are_put_aside(config: Config, bucket: Bucket) -> None:
    now = datetime.now(UTC)
    objects = {
        month: record_paths.ledger_paths(month)[:2] for month in (month_of(now), month_of(now + timedelta(hours=1)))
    }
    for month, (whole, broken) in objects.items():
        bucket.blob(whole).upload_from_string(Ledger(month=month).to_json())
        bucket.blob(broken).upload_from_string("not a ledger")
    found = look(config)
    assert wrong(found) == {"shared documents": "failed"}
    told = found["shared documents"]
    ((whole, broken),) = [both for both in objects.values() if both[1] in told.found]
    assert whole not in told.found
    assert [f"{whole}.unreadable" in one for one in told.remedy].count(True) == 1
    assert [f"{broken}.unreadable" in one for one in told.remedy].count(True) == 1


def test_a_dead_letter_is_counted_and_stays(config: Config, bucket: Bucket) -> None:
    client = publisher_client()
    client.publish(requirements.topic_name(config, letters(config)), b"?").result(timeout=HANG_SECONDS)
    client.stop()
    client.transport.close()
    for _ in range(2):
        found = look(config, with_dead_letters=True)
        assert wrong(found) == {"dead letters": "warning"}
        assert found["dead letters"].found == "1 dead letter waits for a person."


def test_a_late_sweep_fails_and_one_that_cannot_be_read_as_well(config: Config, bucket: Bucket) -> None:
    sweep = bucket.blob(record_paths.sweep_path())
    sweep.upload_from_string(ON_TIME % {"now": (datetime.now(UTC) - timedelta(hours=3)).isoformat()})
    found = look(config)
    assert wrong(found) == {"sweep": "failed"}
    assert "ended 3 h ago" in found["sweep"].found
    sweep.upload_from_string("?")
    assert wrong(look(config)) == {"sweep": "failed"}
    sweep.delete()
    assert wrong(look(config)) == {"sweep": "warning"}


def test_a_lifecycle_rule_that_deletes_records_is_a_warning(config: Config, bucket: Bucket) -> None:
    bucket.add_lifecycle_delete_rule(age=30)
    bucket.patch()
    assert wrong(look(config)) == {"bucket settings": "warning"}


class LateClock(BaseHTTPRequestHandler):
    """Answers with yesterday's date."""

    def do_GET(self) -> None:
        self.send_response_only(404)
        self.send_header("Date", "Thu, 01 Jan 2026 00:00:00 GMT")
        self.send_header("Content-Length", "0")
        self.end_headers()


def test_the_clock_is_compared_with_cloud_storages(
    config: Config, monkeypatch: pytest.MonkeyPatch, connections_closed: None
) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), LateClock) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{server.server_port}")
        finding = CloudChecks(Remedies(config, is_local=True, airflow="")).clock()
        server.shutdown()
    assert finding.status is Status.WARNING
    assert "ahead of Cloud Storage's" in finding.found


def test_a_model_that_ends_soon_is_a_warning_with_what_replaces_it(config: Config, tmp_path: Path) -> None:
    soon = datetime.now(UTC).date() + timedelta(days=30)
    life = f'[models."gemini-2.5-flash".life]\nretires = {soon}\nreplaced_by = ["gemini-9"]\n'
    (tmp_path / "models.toml").write_text(f'as_of = 2026-11-30\nsource = "a test"\n{life}', encoding="utf-8")
    file = tmp_path / "genops.yaml"
    file.write_text(f"{file.read_text(encoding='utf-8')}models: models.toml\n", encoding="utf-8")
    finding = look(load_config(file))[ENDS]
    assert finding.status is Status.WARNING
    assert f"gemini-2.5-flash retires on {soon}, in 30 days" in finding.found
    assert "Google names gemini-9 in its place." in finding.found


def test_a_dataset_that_is_not_there_yet_is_no_fault_and_looking_does_not_create_it(
    config: Config, bucket: Bucket, bigquery: StandIn
) -> None:
    fresh = config.model_copy(update={"tables": AnalysisTables(bigquery="never_made")})
    bigquery.faults(permissions=list(requirements.TABLES_PROJECT_ROLES))
    for _ in range(2):
        found = look(fresh)
        assert wrong(found) == {}
        assert found["BigQuery"].found == (
            f"the next run of genops_tables creates the dataset {config.project}.never_made; jobs may be run"
        )
    client = bigquery_client(config)
    client.create_dataset("never_made")
    client.close()
    assert look(fresh)["BigQuery"].found == f"the dataset {config.project}.never_made is there, and jobs may be run"


@pytest.mark.parametrize("missing", ["bigquery.datasets.get", "bigquery.jobs.create", "bigquery.tables.updateData"])
def test_a_right_of_bigquery_that_is_missing_is_a_warning_with_the_commands_that_grant_it(
    config: Config, bucket: Bucket, bigquery: StandIn, missing: str
) -> None:
    have = {"bigquery.datasets.get", "bigquery.jobs.create", "bigquery.tables.updateData", "bigquery.tables.getData"}
    client = bigquery_client(config)
    client.create_dataset(str(config.tables.dataset), exists_ok=True)
    client.close()
    bigquery.faults(permissions=sorted(have - {missing}))
    remedies = Remedies(config, is_local=False, airflow="")
    found = look(config)
    assert wrong(found) == {"BigQuery": "warning"}
    assert missing in found["BigQuery"].found
    assert "No row is lost" in found["BigQuery"].cause
    for role in ("roles/bigquery.dataEditor", "roles/bigquery.jobUser", "roles/storage.legacyBucketReader"):
        assert any(command.endswith(f"--member=MEMBER --role={role}") for command in remedies.tables())


def test_who_does_not_see_where_the_bucket_is_cannot_create_the_dataset(
    config: Config, bucket: Bucket, cloud: StandIns
) -> None:
    fresh = config.model_copy(update={"tables": AnalysisTables(bigquery="nowhere")})
    seen = {"kind": "storage#testIamPermissionsResponse", "permissions": [*requirements.OBJECT_PERMISSIONS]}
    method = "buckets.testIamPermissions"
    cloud.storage.faults(
        answers=[
            {"method": method, "document": seen, "times": 1},
            {"method": method, "document": {"kind": seen["kind"]}, "times": 1},
        ]
    )
    found = look(fresh)
    assert wrong(found) == {"BigQuery": "warning"}
    assert "without storage.buckets.get" in found["BigQuery"].found


def test_bigquery_is_not_looked_at_where_no_tables_go_there(config: Config, bucket: Bucket, bigquery: StandIn) -> None:
    bigquery.faults(error_share=1, error_code="403")
    assert "BigQuery" not in look(config.model_copy(update={"tables": AnalysisTables()}))
