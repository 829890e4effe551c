"""The commands that mend: real names, real options, one line each."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from genops_events import cloud_setup
from genops_events.cloud_setup import Fault
from genops_events.config import load_config
from genops_events.health.remedies import Remedies

CONFIG = load_config(Path(__file__).parents[2] / "examples" / "genops.yaml")
CLOUD = Remedies(CONFIG, is_local=False, airflow="https://airflow.example")
LOCAL = Remedies(CONFIG, is_local=True, airflow="http://127.0.0.1:1")
LETTERS = cloud_setup.dead_letter_topic(CONFIG)


def fault(setting: str, mending: str = "update") -> Fault:
    return Fault(setting, "found", "cause", mending)  # type: ignore[arg-type]


ALL: dict[str, Callable[[Remedies], tuple[str, ...]]] = {
    "no answer": lambda one: one.no_answer(),
    "credentials": lambda one: one.refused(None, ""),
    "forbidden bucket": lambda one: one.refused(403, "read gs://genops-data/x"),
    "forbidden subscription": lambda one: one.refused(403, "look at subscription s"),
    "forbidden model": lambda one: one.refused(403, "look at the model m"),
    "bucket": lambda one: one.bucket(),
    "bucket setting": lambda one: one.bucket_setting("--clear-lifecycle", "b.lifecycle_rules = []"),
    "notification": lambda one: one.notification(),
    "surplus notification": lambda one: one.surplus_notifications(["2"]),
    "arrivals topic": lambda one: one.topic(CONFIG.topics.arrivals),
    "completions topic": lambda one: one.topic(CONFIG.topics.completions),
    "dead-letter topic": lambda one: one.topic(LETTERS),
    "subscription": lambda one: one.subscription(CONFIG.subscription),
    "dead-letter subscription": lambda one: one.subscription(LETTERS),
    "settings": lambda one: one.subscription_settings(CONFIG.subscription, [fault("ack_deadline_seconds")]),
    "filter": lambda one: one.subscription_settings(CONFIG.subscription, [fault("filter", "recreate")]),
    "evaluation": lambda one: one.input_file("banking77", ("evaluation", "file"), "evaluation/x.jsonl"),
    "validation": lambda one: one.input_file("banking77", ("tuning", "validation_file"), "validation/x.jsonl"),
    "document": lambda one: one.unreadable_document("genops/ledger/2026-01.json"),
    "sweep": lambda one: one.sweep_now(),
    "vertex": lambda one: one.vertex(),
    "airflow": lambda one: one.airflow_down(),
    "airflow url": lambda one: one.airflow_url(),
    "airflow access": lambda one: one.airflow_access(),
    "database": lambda one: one.airflow_database(),
    "triggerer": lambda one: one.airflow_job("triggerer"),
    "missing Dags": lambda one: one.missing_dags(),
    "paused Dag": lambda one: one.paused_dag("genops_tuning"),
    "watcher": lambda one: one.missing_watcher(),
    "pool": lambda one: one.pool("genops_tuning_jobs", "Tuning jobs at a time", slots=4),
    "installation": lambda one: one.broken_installation(),
}


@pytest.mark.parametrize("remedies", [CLOUD, LOCAL], ids=["cloud", "local"])
@pytest.mark.parametrize("what", ALL)
def test_a_remedy_is_commands_that_a_shell_can_read(what: str, remedies: Remedies) -> None:
    commands = ALL[what](remedies)
    assert commands
    for command in commands:
        assert "\n" not in command
        assert shlex.split(command)[0].split("=")[0] in {
            *("genops", "gcloud", "airflow", "curl", "python", "pip", "eval", "export GENOPS_AIRFLOW_URL"),
            "export",
        }


@pytest.mark.parametrize(
    "what", sorted(set(ALL) - {"forbidden bucket", "forbidden model", "forbidden subscription", "vertex"})
)
def test_the_local_stack_is_never_mended_with_google_clouds_command(what: str) -> None:
    assert [one for one in ALL[what](LOCAL) if one.startswith(("gcloud", "airflow"))] == []


def test_a_subscription_is_created_as_provisioning_would() -> None:
    create, grant = CLOUD.subscription(CONFIG.subscription)
    assert shlex.split(create) == [
        *("gcloud", "pubsub", "subscriptions", "create", "genops-arrivals-intake", "--project=genops-local"),
        *("--topic=projects/genops-local/topics/genops-arrivals", "--ack-deadline=30"),
        *("--message-retention-duration=7d", "--expiration-period=never"),
        *("--min-retry-delay=1s", "--max-retry-delay=60s"),
        "--dead-letter-topic=projects/genops-local/topics/genops-arrivals-dead-letters",
        "--max-delivery-attempts=5",
    ]
    assert "gcp-sa-pubsub" in grant  # without it, Pub/Sub may not move a dead letter


def test_only_the_settings_that_are_wrong_are_changed() -> None:
    faults = [fault("ack_deadline_seconds"), fault("expiration_policy")]
    assert CLOUD.subscription_settings(CONFIG.subscription, faults) == (
        (
            "gcloud pubsub subscriptions update genops-arrivals-intake --project=genops-local"
            " --ack-deadline=30 --expiration-period=never"
        ),
    )


def test_what_cannot_be_changed_is_created_anew() -> None:
    commands = CLOUD.subscription_settings(CONFIG.subscription, [fault("filter", "recreate"), fault("push_config")])
    assert commands[0] == "gcloud pubsub subscriptions delete genops-arrivals-intake --project=genops-local"
    assert commands[1:] == CLOUD.subscription(CONFIG.subscription)


def test_dead_letters_are_copied_before_their_subscription_is_deleted() -> None:
    copy, delete, *create = CLOUD.subscription_settings(LETTERS, [fault("topic", "recreate")])
    assert copy == "genops dead-letters --json --limit=10000 > dead-letters.json"
    assert delete == f"gcloud pubsub subscriptions delete {LETTERS} --project=genops-local"
    assert tuple(create) == CLOUD.subscription(LETTERS)


def test_the_notification_is_that_of_the_watched_prefixes() -> None:
    assert CLOUD.notification() == (
        (
            "gcloud storage buckets notifications create gs://genops-data"
            " --topic=projects/genops-local/topics/genops-arrivals"
            " --event-types=OBJECT_FINALIZE --payload-format=json --object-prefix=training/banking77/"
        ),
    )
