"""The invariants themselves: each notices what it is there for. Needs no stack."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from burst import Uploaded
from invariants import count, in_order
from report import Kill, Report, Row
from seen import Folder, Seen

pytestmark = pytest.mark.chaos

NOW = datetime(2026, 1, 1, tzinfo=UTC)
HELD = ["tuning.succeeded", "evaluation.refused", "budget.approved", "promotion.held"]
REJECTED = ["candidate.rejected"]


def folder(*kinds: str, published: bool = True) -> Folder:
    events = {f"events/{number}0-genops.{kind}.v1.json": NOW for number, kind in enumerate(kinds, start=1)}
    return Folder(
        written={"arrival.json": NOW - timedelta(hours=1), **events}, published=set(events) if published else set()
    )


def events(candidate: str, *kinds: str) -> list[tuple[str, str]]:
    return [(f"genops.{kind}.v1", f"{candidate}/genops.{kind}.v1") for kind in kinds]


def good() -> Seen:
    """Return what is seen after a run in which all went well: one file held, one rejected."""
    uploads = [
        Uploaded(candidate=name, object=f"{name}.jsonl", generation=1, full=name == "full", at=NOW)
        for name in ("full", "short")
    ]
    return Seen(
        uploaded={one.candidate: one for one in uploads},
        folders={"full": folder(*HELD), "short": folder(*REJECTED)},
        found_by={"full": "notification", "short": "sweep"},
        jobs={"full": 1},
        events={"full": events("full", *HELD), "short": events("short", *REJECTED)},
    )


def test_a_good_run_has_nothing_wrong_and_an_end() -> None:
    counted = count(good())
    assert counted.wrong() == {}
    assert counted.ended_at == NOW
    assert counted.healed == 1


def test_a_model_that_no_verdict_names_is_forgotten() -> None:
    seen = replace(good(), models={"full": {"models/1", "models/2"}}, known_models={"full": {"models/1"}})
    assert count(seen).wrong() == {"full": ["forgotten: models/2 is in no verdict"]}


def test_an_arrival_that_was_acked_and_never_recorded_is_lost() -> None:
    seen = good()
    counted = count(replace(seen, folders={"short": seen.folders["short"]}))
    assert counted.lost == {"full": "no arrival is recorded, and its message is acked"}
    assert counted.ended_at is None


def test_a_candidate_without_an_end_is_lost_and_one_that_never_moved_is_stranded() -> None:
    seen = good()
    counted = count(replace(seen, folders={"full": folder(*HELD[:2]), "short": folder()}))
    assert counted.lost.keys() == {"full", "short"}
    assert counted.stranded == {"short": "recorded, and nothing moved"}


def test_an_end_that_was_never_published_is_none() -> None:
    seen = good()
    assert count(replace(seen, folders={**seen.folders, "full": folder(*HELD, published=False)})).lost.keys() == {
        "full"
    }


def test_a_partition_row_without_a_run_is_stranded() -> None:
    counted = count(replace(good(), pending=[("full", "genops_budget")]))
    assert counted.stranded == {"full": "a partition row of genops_budget that no run came of"}


@pytest.mark.parametrize("jobs", [{"full": 2}, {"full": 1, "short": 1}], ids=["a second job", "a job for a bad file"])
def test_a_job_too_many_counts_as_twice(jobs: dict[str, int]) -> None:
    assert len(count(replace(good(), jobs=jobs)).twice) == 1


def test_two_verdicts_of_one_stage_count_as_twice() -> None:
    seen = good()
    both = folder(*HELD, "promotion.failed")
    assert count(replace(seen, folders={**seen.folders, "full": both})).twice.keys() == {"full"}


def test_a_candidate_that_no_upload_made_counts_as_twice() -> None:
    seen = good()
    counted = count(replace(seen, folders={**seen.folders, "other": folder(*REJECTED)}))
    assert counted.twice == {"other": "a candidate that no upload made"}


def test_a_good_file_that_is_rejected_failed_unless_it_was_overwritten() -> None:
    seen = good()
    seen = replace(
        seen,
        folders={**seen.folders, "full": folder(*REJECTED)},
        events={**seen.events, "full": events("full", *REJECTED)},
    )
    assert count(seen).failed == {"full": "ended as genops.candidate.rejected.v1"}
    newer = Uploaded(candidate="newer", object="full.jsonl", generation=2, full=True, at=NOW)
    overwritten = replace(
        seen,
        uploaded={**seen.uploaded, "newer": newer},
        folders={**seen.folders, "newer": folder(*HELD)},
        events={**seen.events, "newer": events("newer", *HELD)},
    )
    assert count(overwritten).wrong() == {}


@pytest.mark.parametrize(
    "came",
    [
        events("full", *HELD[:3]),
        events("full", *HELD[:2], HELD[3], HELD[2]),
        [*events("full", *HELD), ("genops.promotion.held.v1", "another id")],
    ],
    ids=["one is missing", "promotion before budget", "two ids"],
)
def test_events_missing_out_of_order_or_with_two_ids_are_noticed(came: list[tuple[str, str]]) -> None:
    seen = good()
    assert count(replace(seen, events={**seen.events, "full": came})).disordered.keys() == {"full"}


def test_repeated_events_and_budget_before_evaluation_are_in_order() -> None:
    seen = good()
    came = events("full", HELD[0], HELD[2], HELD[1], HELD[0], HELD[2], HELD[3])
    assert count(replace(seen, events={**seen.events, "full": came})).wrong() == {}
    assert not in_order(["genops.evaluation.passed.v1"])


def test_the_table_is_in_its_file_after_each_scenario(tmp_path: Path) -> None:
    report = Report(seed=7, file=tmp_path / "chaos.json")
    for number in (1, 2):
        report.add(Row("a fault", 100, 0, 0, 0, 0, 0, 0, 3, 12.4, notes=("what was done",)))
        assert len(json.loads(report.file.read_text())["rows"]) == number
    assert "| a fault |     100 |" in report.markdown()


def test_the_report_shows_each_kill_and_what_it_left(tmp_path: Path) -> None:
    report = Report(seed=7, file=tmp_path / "chaos.md")
    report.kills = [Kill("deferred", "triggerer", 1, "succeeded", 31.6), Kill("recorded", "task", 2, "none", None)]
    assert report.markdown().splitlines()[:4] == [
        "| point    | killed    | jobs created | end       | seconds |",
        "|----------|-----------|-------------:|-----------|--------:|",
        "| deferred | triggerer |            1 | succeeded |      32 |",
        "| recorded | task      |            2 | none      |       - |",
    ]
