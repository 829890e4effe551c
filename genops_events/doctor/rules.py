"""Judge what was read of the cloud: no I/O, `now` passed in."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from genops_events.config import Config, Intake
from genops_events.doctor.findings import Finding, failed, ok, warning
from genops_events.doctor.remedies import Remedies
from genops_events.gcp import requirements
from genops_events.gcp.requirements import Notification, Subscription
from genops_events.reading.object_names import ROOT
from genops_events.record.intake import Sweep
from genops_events.record.paths import QUOTAS

CLOCK_SKEW = timedelta(seconds=30)
"""How far this machine's clock may be from Cloud Storage's: patience is minutes, its `Date` header whole seconds."""


@dataclass(frozen=True, slots=True)
class Bucket:
    """What of a bucket's settings can be in the way."""

    retention_seconds: int | None = None
    holds_new_objects: bool = False
    lifecycle: Sequence[Mapping[str, Any]] = field(default_factory=tuple)


def judge_permissions(granted: Collection[str], remedies: Remedies) -> Finding:
    """Judge what this account may do with objects."""
    name = f"gs://{remedies.config.bucket}"
    missing = [one for one in requirements.OBJECT_PERMISSIONS if one not in granted]
    if not missing:
        return ok(f"{name} is there; objects may be listed, read, created and replaced")
    return failed(
        f"{name} is there, but this account lacks {', '.join(missing)}.",
        "The record of every candidate is kept in the bucket. MEMBER is the account that genops runs as.",
        *remedies.bucket_role("roles/storage.objectUser"),
    )


def judge_bucket_settings(bucket: Bucket, remedies: Remedies) -> Finding:
    """Judge settings that would keep the record from being written, or remove it."""
    name = f"gs://{remedies.config.bucket}"
    if bucket.retention_seconds:
        return failed(
            f"{name} keeps every object for {bucket.retention_seconds} s before it may be replaced.",
            "Ledger and champion are documents that change in place: the second change would be refused.",
            *remedies.bucket_setting("--clear-retention-period", "b.retention_period = None"),
        )
    if bucket.holds_new_objects:
        return failed(
            f"{name} puts an event-based hold on new objects.",
            "Ledger and champion are documents that change in place: the second change would be refused.",
            *remedies.bucket_setting("--no-default-event-based-hold", "b.default_event_based_hold = False"),
        )
    rules = [rule for rule in bucket.lifecycle if _removes_records(rule)]
    if rules:
        return warning(
            f"A lifecycle rule of {name} deletes objects below {ROOT}: {dict(rules[0]['condition'])}.",
            "An upload that outlives its record is found by the sweep, and tuned and paid for again. Limit the rule to "
            "other prefixes (matchesPrefix); the command removes all rules.",
            *remedies.bucket_setting("--clear-lifecycle", "b.lifecycle_rules = []"),
        )
    return ok("nothing is held back or deleted")


def _removes_records(rule: Mapping[str, Any]) -> bool:
    if (rule.get("action") or {}).get("type") != "Delete":
        return False
    condition = rule.get("condition") or {}
    is_about_old_generations = condition.get("isLive") is False or any(
        name in condition for name in ("numNewerVersions", "daysSinceNoncurrentTime", "noncurrentTimeBefore")
    )
    if is_about_old_generations:
        return False
    prefixes = condition.get("matchesPrefix")
    return not prefixes or any(
        ROOT.startswith(one) or (one.startswith(ROOT) and not one.startswith(QUOTAS)) for one in prefixes
    )


def judge_notifications(found: Sequence[Notification], remedies: Remedies) -> Finding:
    """Judge whether every watched prefix is announced on the arrivals topic."""
    config = remedies.config
    topic = config.topics.arrivals
    silent = requirements.unannounced(found, config)
    if silent:
        ours = [one for one in found if one.topic == requirements.topic_name(config, topic)]
        prefixes = ", ".join(silent)
        if not found:
            cause = "The notification was never created, or it was deleted."
        elif not ours:
            cause = f"Its notifications go elsewhere: {', '.join(one.topic for one in found)}."
        else:
            cause = "; ".join(
                f"Notification {one.id} sends {', '.join(one.event_types) or 'all events'} of `{one.prefix}` only"
                for one in ours
            )
            cause += "."
        return failed(
            f"No notification announces new objects under {prefixes} on the topic {topic}.",
            f"{cause} Until it is there, arrivals wait for the sweep, up to {config.intake.sweep_minutes} minutes.",
            *remedies.provision(),
        )
    twice = requirements.announced_twice(found, config)
    if twice:
        topic_name = requirements.topic_name(config, topic)
        both = [one for one in found if one.announces(twice[0], topic_name)]
        others = [one.id for one in sorted(both, key=lambda one: _worth(one, config, topic_name))[1:]]
        return warning(
            f"Notifications {', '.join(one.id for one in both)} announce the same objects under {', '.join(twice)}.",
            "Each arrival comes more than once. No candidate is made twice, but the messages are paid for.",
            *(remedies.provision() if requirements.surplus(found, config) else remedies.surplus_notifications(others)),
        )
    return ok(f"new objects under {', '.join(sorted(one.prefix for one in config.datasets.values()))} go to {topic}")


def _worth(one: Notification, config: Config, topic: str) -> tuple[bool, bool, tuple[int, int, str]]:
    """Return what orders notifications: first those that announce all that is watched, and of them those made as ours are."""
    announces_all = all(one.announces(dataset.prefix, topic) for dataset in config.datasets.values())
    return not announces_all, not requirements.is_as_ours(one), requirements.breadth(one)


def judge_subscription(name: str, found: Subscription | None, remedies: Remedies) -> Finding:
    """Judge one of the two subscriptions."""
    wanted = requirements.wanted_subscriptions(remedies.config)[name]
    if found is None:
        return failed(
            f"There is no subscription {name}.",
            f"The subscription was never created, or it was deleted. What is published to {wanted.topic} meanwhile is lost to it; "
            + (
                "the sweep finds the arrivals later."
                if name == remedies.config.subscription
                else "dead letters are gone for good."
            ),
            *remedies.provision(),
        )
    faults = list(requirements.subscription_faults(found, wanted, remedies.config))
    if faults:
        judge = failed if any(one.grave for one in faults) else warning
        return judge(
            f"Subscription {name}: {'; '.join(one.found for one in faults)}.",
            " ".join(one.cause for one in faults),
            *remedies.provision(),
        )
    letters = "" if found.dead_letter_topic is None else f", dead letters to {found.dead_letter_topic.split('/')[-1]}"
    return ok(f"{name} keeps every message; ack deadline {found.ack_deadline_seconds} s{letters}")


def judge_sweep(last: Sweep | None, intake: Intake, remedies: Remedies, *, now: datetime) -> Finding:
    """Judge whether the sweep is on time: the last one ended within twice its interval and patience.

    Args:
        last: what the last sweep wrote; None where none ever ended.
        intake: interval and patience.
        remedies: what is looked at.
        now: the moment.
    """
    if last is None:
        return warning(
            "No sweep has ended yet.",
            f"One is due every {intake.sweep_minutes} minutes: the deployment is young, or genops_intake does not run.",
            *remedies.sweep_now(),
        )
    late = timedelta(minutes=2 * intake.sweep_minutes) + intake.patience
    ago = now - last.ended_at
    if ago > late:
        return failed(
            f"The last sweep ended {_ago(ago)} ago, and one is due every {intake.sweep_minutes} minutes.",
            "genops_intake does not run by the clock, fails, or waits for a free worker: what was lost is not healed.",
            *remedies.sweep_now(),
        )
    if last.error is not None:
        return warning(
            f"The last sweep, {_ago(ago)} ago, ended early: {last.error}",
            "What it did not get to is left to the next one.",
            *remedies.sweep_now(),
        )
    return ok(f"the last one ended {_ago(ago)} ago; one is due every {intake.sweep_minutes} minutes")


def judge_clock(theirs: datetime, ours: datetime) -> Finding:
    """Judge this machine's clock by the one of Cloud Storage."""
    skew = ours - theirs
    if abs(skew) <= CLOCK_SKEW:
        return ok(f"within {CLOCK_SKEW.total_seconds():.0f} s of Cloud Storage's")
    direction = "ahead of" if skew > timedelta(0) else "behind"
    return warning(
        f"The clock of this machine is {abs(skew).total_seconds():.0f} s {direction} Cloud Storage's.",
        "What is young or late is judged by the clock, and Google refuses tokens that are minutes off.",
        "sudo timedatectl set-ntp true",
    )


def judge_dead_letters(count: int, most: int) -> Finding:
    """Judge how many dead letters wait for a person; `most` is where counting stopped."""
    if not count:
        return ok("none waits")
    number = f"{count} or more" if count >= most else str(count)
    return warning(
        f"{number} dead letter{'s wait' if count != 1 else ' waits'} for a person.",
        "A message could not be read, or not be stored in five tries. If it was an upload, the sweep has found it.",
        "genops dead-letters",
        "genops dead-letters --replay",
    )


def _ago(span: timedelta) -> str:
    seconds = max(0, round(span.total_seconds()))
    if seconds < 120:  # noqa: PLR2004 - two minutes: below, people count seconds
        return f"{seconds} s"
    minutes = seconds // 60
    return f"{minutes} min" if minutes < 180 else f"{minutes // 60} h"  # noqa: PLR2004 - likewise
