from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from genops_events.config import load_config
from genops_events.intake.admission import (
    Admitted,
    ForeignArrival,
    NoCandidateId,
    Refused,
    admission,
    check_arrival,
    check_candidate_id,
)
from genops_events.intake.notifications import Notice, arrival
from genops_events.record.intake import Arrival

CONFIG = load_config(Path(__file__).resolve().parents[3] / "examples" / "genops.yaml")
PREFIX = CONFIG.datasets["banking77"].prefix
NOW = datetime(2026, 11, 23, tzinfo=UTC)


def made(**changed: object) -> Arrival:
    notice = Notice(bucket=CONFIG.bucket, object=f"{PREFIX}a.jsonl", generation=1)
    return arrival(notice, dataset="banking77", found_by="sweep", now=NOW).model_copy(update=changed)


def test_an_object_under_a_watched_prefix_of_the_bucket_comes_in() -> None:
    assert admission(CONFIG, CONFIG.bucket, f"{PREFIX}a.jsonl") == Admitted("banking77")


@pytest.mark.parametrize(
    ("bucket", "name", "reason"),
    [
        ("somebody-elses", f"{PREFIX}a.jsonl", "another bucket"),
        (f"{CONFIG.bucket}/../somebody-elses", f"{PREFIX}a.jsonl", "no name that Cloud Storage gives"),
        (CONFIG.bucket, "elsewhere/a.jsonl", "no watched prefix"),
        (CONFIG.bucket, f"genops/../{PREFIX}a.jsonl", "own records"),
        (CONFIG.bucket, f"{PREFIX}_temporary/0/a.jsonl", "an upload tool"),
        (CONFIG.bucket, f"{PREFIX}a\0.jsonl", "NUL"),
        (CONFIG.bucket, f"{PREFIX}\ud800.jsonl", "surrogate"),
        (CONFIG.bucket, PREFIX + "a" * 1024, "longer than"),
        (CONFIG.bucket, f"{PREFIX}a\n.jsonl", "not one that Cloud Storage allows"),
    ],
)
def test_everything_else_stays_out_with_its_reason(bucket: str, name: str, reason: str) -> None:
    found = admission(CONFIG, bucket, name)
    assert isinstance(found, Refused)
    assert reason in found.reason


@pytest.mark.parametrize(
    "text",
    [
        *("", "x", "../x", "banking77-2cdbbb2a21d6eddc/../y", "banking77-2cdbbb2a21d6edd", "x" * 250, "\x1b[2J"),
        *("banking77-2CDBBB2A21D6EDDC", "banking77-2cdbbb2a21d6eddc\n", "Banking77-2cdbbb2a21d6eddc"),
        *("-2cdbbb2a21d6eddc", "a" * 47 + "-2cdbbb2a21d6eddc"),
    ],
)
def test_a_partition_key_of_another_form_leads_nowhere(text: str) -> None:
    with pytest.raises(NoCandidateId) as refused:
        check_candidate_id(text)
    assert "\x1b" not in refused.value.message
    assert len(refused.value.message) < 250


@pytest.mark.parametrize("dataset", ["a", "banking77", "a-b-", "a" * 46])
def test_every_id_that_is_given_has_the_form(dataset: str) -> None:
    found = arrival(Notice(bucket="bucket", object="a", generation=1), dataset=dataset, found_by="sweep", now=NOW)
    assert check_candidate_id(found.candidate) == found.candidate


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"bucket": "somebody-elses"}, "another bucket"),
        ({"object": f"{PREFIX}b.jsonl"}, "does not name the object"),
        ({"generation": 2}, "does not name the object"),
        ({"candidate": "banking77-0000000000000000"}, "does not name the object"),
    ],
)
def test_an_arrival_that_somebody_wrote_into_the_record_is_not_believed(
    changed: dict[str, object], reason: str
) -> None:
    with pytest.raises(ForeignArrival, match=reason):
        check_arrival(CONFIG, made().candidate, made(**changed))
    assert check_arrival(CONFIG, made().candidate, made()) == made()


def test_an_arrival_of_the_year_9999_that_is_recorded_already_is_read_as_of_when_it_was_recorded() -> None:
    poisoned = made().model_copy(update={"arrived_at": datetime(9999, 12, 31, 23, 59, tzinfo=UTC)})
    assert Arrival.model_validate_json(poisoned.to_json()).arrived_at == NOW
    earlier = made().model_copy(update={"arrived_at": NOW - timedelta(days=1)})
    assert Arrival.model_validate_json(earlier.to_json()) == earlier
