"""What the doctor makes of what it reads: no client, no clock."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import yaml
from config_texts import example

from genops_events.config import Config, parse_config
from genops_events.doctor import rules
from genops_events.doctor.findings import Status
from genops_events.doctor.remedies import Remedies
from genops_events.gcp import requirements
from genops_events.gcp.requirements import Notification, Subscription
from genops_events.record.intake import Sweep

TOPIC = "projects/genops-local/topics/genops-arrivals"
NOW = datetime(2026, 1, 2, 12, tzinfo=UTC)


def two_datasets() -> Config:
    document = example()
    document["datasets"]["support"] = {**document["datasets"]["banking77"], "prefix": "training/support/"}
    return parse_config(yaml.safe_dump(document))


CONFIG = two_datasets()
REMEDIES = Remedies(CONFIG, is_local=False, airflow="http://airflow")
WANTED = requirements.wanted_subscriptions(CONFIG)[CONFIG.subscription]


def sweep(**changes: Any) -> Sweep:
    base = {"run_id": "r", "started_at": NOW, "ended_at": NOW, "next_due_at": NOW, "sweep_minutes": 10}
    return Sweep(**{**base, **changes})


@pytest.mark.parametrize(
    ("changes", "setting", "mending", "status"),
    [
        ({"topic": "_deleted-topic_"}, "topic", "recreate", Status.FAILED),
        ({"topic": "projects/other/topics/t"}, "topic", "recreate", Status.FAILED),
        ({"detached": True}, "detached", "recreate", Status.FAILED),
        ({"filter": 'attributes.eventType = "OBJECT_DELETE"'}, "filter", "recreate", Status.FAILED),
        ({"destination": "https://example.com/push"}, "push_config", "update", Status.FAILED),
        ({"destination": "BigQuery"}, "push_config", "recreate", Status.FAILED),
        ({"ack_deadline_seconds": 10}, "ack_deadline_seconds", "update", Status.FAILED),
        ({"ack_deadline_seconds": 29}, "ack_deadline_seconds", "update", Status.FAILED),
        ({"dead_letter_topic": None}, "dead_letter_policy", "update", Status.FAILED),
        ({"dead_letter_topic": "projects/p/topics/t"}, "dead_letter_policy", "update", Status.FAILED),
        ({"retention_seconds": 600}, "message_retention_duration", "update", Status.WARNING),
        ({"expires_after_seconds": 86_400}, "expiration_policy", "update", Status.WARNING),
    ],
)
def test_each_wrong_setting_of_the_subscription_is_found_alone(
    changes: dict[str, Any], setting: str, mending: str, status: Status
) -> None:
    found = replace(WANTED, **changes)
    faults = list(requirements.subscription_faults(found, WANTED, CONFIG))
    assert [(one.setting, one.mending) for one in faults] == [(setting, mending)]
    finding = rules.judge_subscription(CONFIG.subscription, found, REMEDIES)
    assert finding.status is status
    assert faults[0].found in finding.found
    assert finding.cause
    assert finding.remedy


def test_what_is_wanted_and_what_is_more_generous_is_good() -> None:
    for changes in ({}, {"ack_deadline_seconds": 600}, {"retention_seconds": 31 * 86_400}):
        found = replace(WANTED, **changes)
        assert list(requirements.subscription_faults(found, WANTED, CONFIG)) == []
        assert rules.judge_subscription(CONFIG.subscription, found, REMEDIES).status is Status.OK


def test_the_dead_letter_subscription_needs_no_dead_letters_of_its_own() -> None:
    name = requirements.dead_letter_topic(CONFIG)
    found = Subscription(topic=f"projects/genops-local/topics/{name}")
    assert rules.judge_subscription(name, found, REMEDIES).status is Status.OK
    gone = rules.judge_subscription(name, None, REMEDIES)
    assert gone.status is Status.FAILED
    assert "gone for good" in gone.cause


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ('attributes.eventType = "OBJECT_FINALIZE"', True),
        ('attributes.eventType="OBJECT_FINALIZE"', True),
        ('attributes.bucketId = "genops-data"', True),
        ('hasPrefix(attributes.objectId, "training/")', True),
        ('(hasPrefix(attributes.objectId, "training/")) AND attributes.bucketId = "genops-data"', True),
        ('hasPrefix(attributes.objectId, "training/banking77/")', False),  # and not those of the other dataset
        ('attributes.bucketId = "another"', False),
        ('NOT attributes.eventType = "OBJECT_FINALIZE"', False),
        ("attributes:overwroteGeneration", False),
        ('attributes.eventType = "OBJECT_FINALIZE" AND attributes:team', False),
    ],
)
def test_a_filter_is_harmless_only_where_it_is_seen_to_let_all_arrivals_through(
    *, expression: str, expected: bool
) -> None:
    assert requirements.is_harmless(expression, CONFIG) is expected


def notification(**changes: Any) -> Notification:
    return replace(Notification(id="1", topic=TOPIC, event_types=("OBJECT_FINALIZE",), prefix="training/"), **changes)


@pytest.mark.parametrize(
    ("found", "status", "text"),
    [
        ([notification()], Status.OK, "genops-arrivals"),
        ([notification(event_types=(), prefix="")], Status.OK, "genops-arrivals"),
        ([notification(prefix="training/banking77/"), notification(prefix="training/support/")], Status.OK, "support"),
        ([], Status.FAILED, "training/banking77/, training/support/"),
        ([notification(prefix="training/banking77/")], Status.FAILED, "under training/support/"),
        ([notification(event_types=("OBJECT_DELETE",))], Status.FAILED, "training/banking77/, training/support/"),
        ([notification(topic="projects/p/topics/t")], Status.FAILED, "training/banking77/, training/support/"),
        ([notification(), notification(id="2", prefix="")], Status.WARNING, "1, 2"),
    ],
)
def test_every_watched_prefix_has_to_be_announced_once(found: list[Notification], status: Status, text: str) -> None:
    finding = rules.judge_notifications(found, REMEDIES)
    assert finding.status is status
    assert text in finding.found


@pytest.mark.parametrize(
    ("condition", "status"),
    [
        ({"age": 30}, Status.WARNING),
        ({"age": 30, "matchesPrefix": ["genops/candidates/"]}, Status.WARNING),
        ({"age": 30, "matchesPrefix": ["training/"]}, Status.OK),
        ({"age": 1, "matchesPrefix": ["genops/quotas/"]}, Status.OK),
        ({"age": 1, "matchesPrefix": ["genops/quotas/", "genops/"]}, Status.WARNING),
        ({"age": 30, "isLive": False}, Status.OK),
        ({"numNewerVersions": 3}, Status.OK),
    ],
)
def test_a_lifecycle_rule_is_a_trap_where_it_deletes_records(condition: dict[str, Any], status: Status) -> None:
    bucket = rules.Bucket(lifecycle=[{"action": {"type": "Delete"}, "condition": condition}])
    assert rules.judge_bucket_settings(bucket, REMEDIES).status is status
    colder = rules.Bucket(lifecycle=[{"action": {"type": "SetStorageClass"}, "condition": condition}])
    assert rules.judge_bucket_settings(colder, REMEDIES).status is Status.OK


def test_what_keeps_shared_documents_from_changing_has_to_be_mended() -> None:
    held = rules.judge_bucket_settings(rules.Bucket(holds_new_objects=True), REMEDIES)
    kept = rules.judge_bucket_settings(rules.Bucket(retention_seconds=60), REMEDIES)
    assert (held.status, kept.status) == (Status.FAILED, Status.FAILED)
    assert "--clear-retention-period" in kept.remedy[0]


def test_a_missing_permission_is_named_with_the_role_that_grants_it() -> None:
    granted = [one for one in requirements.OBJECT_PERMISSIONS if not one.endswith("delete")]
    finding = rules.judge_permissions(granted, REMEDIES)
    assert finding.status is Status.FAILED
    assert "lacks storage.objects.delete." in finding.found
    assert "roles/storage.objectUser" in finding.remedy[0]
    assert rules.judge_permissions(requirements.OBJECT_PERMISSIONS, REMEDIES).status is Status.OK


def test_the_sweep_is_late_after_twice_its_interval_and_patience() -> None:
    intake = CONFIG.intake  # every 10 minutes, patience 5
    ended = sweep()

    def judged(**after: float) -> Status:
        return rules.judge_sweep(ended, intake, REMEDIES, now=NOW + timedelta(**after)).status

    assert judged(minutes=25) is Status.OK
    assert judged(minutes=25, seconds=1) is Status.FAILED
    never = rules.judge_sweep(None, intake, REMEDIES, now=NOW)
    assert never.status is Status.WARNING
    broken = rules.judge_sweep(sweep(error="no answer"), intake, REMEDIES, now=NOW)
    assert broken.status is Status.WARNING
    assert "no answer" in broken.found


@pytest.mark.parametrize(("seconds", "status"), [(0, "ok"), (30, "ok"), (-30, "ok"), (31, "warning"), (-31, "warning")])
def test_a_clock_that_is_off_by_more_than_half_a_minute_is_a_warning(seconds: int, status: str) -> None:
    finding = rules.judge_clock(NOW, NOW + timedelta(seconds=seconds))
    assert finding.status == status
    if status == "warning":
        assert ("ahead of" if seconds > 0 else "behind") in finding.found


def test_dead_letters_are_counted_as_far_as_anybody_looked() -> None:
    assert rules.judge_dead_letters(0, 100).status is Status.OK
    assert rules.judge_dead_letters(1, 100).found.startswith("1 dead letter waits")
    assert rules.judge_dead_letters(100, 100).found.startswith("100 or more")
