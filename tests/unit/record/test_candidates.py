from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.table import Table

from genops_events.cli.candidates import shown as candidates_table
from genops_events.cli.watch import shown as watch_table
from genops_events.record.candidates import Candidate
from genops_events.record.holds import Intent
from genops_events.record.intake import Arrival
from genops_events.record.stages import STAGES, Outcome, Stage
from genops_events.record.tuning import Cancellation, TuningProgress
from genops_events.record.verdicts import VERDICTS
from genops_events.tables.rows import candidate_row

NOW = datetime(2026, 11, 23, 1, 2, 3, tzinfo=UTC)
CANDIDATE = "banking77-0123456789abcdef"
ARRIVAL = Arrival(
    candidate=CANDIDATE,
    written_at=NOW,
    dataset="banking77",
    bucket="bucket",
    object="training/banking77/a b.jsonl",
    generation=1700000000000001,
    arrived_at=NOW,
    found_by="notification",
)
TUNED = {Stage.TUNING: Outcome.SUCCEEDED}
JUDGED = TUNED | {Stage.EVALUATION: Outcome.PASSED, Stage.BUDGET: Outcome.APPROVED}
PROMOTED = JUDGED | {Stage.PROMOTION: Outcome.PROMOTED}


def candidate(
    outcomes: Mapping[Stage, Outcome],
    *,
    under_way: tuple[Stage, ...] = (),
    champion: str | None = None,
    figures: Mapping[Stage, Mapping[str, Any]] | None = None,
) -> Candidate:
    def given(stage: Stage, outcome: Outcome) -> dict[str, Any]:
        return {
            "candidate": CANDIDATE,
            "written_at": NOW,
            "dataset": "banking77",
            "outcome": outcome,
            "reason": f"because of {stage}",
            "started_at": NOW,
            "ended_at": NOW + timedelta(seconds=2),
            **(figures or {}).get(stage, {}),
        }

    return Candidate(
        arrival=ARRIVAL,
        intents={
            stage: Intent(candidate=CANDIDATE, written_at=NOW, stage=stage, run_id="run", started_at=NOW)
            for stage in under_way
        },
        verdicts={stage: VERDICTS[stage].model_validate(given(stage, outcome)) for stage, outcome in outcomes.items()},
        champion=champion,
    )


def states(one: Candidate) -> list[str]:
    return [stage["state"] for stage in one.to_json()["stages"].values()]


def test_a_candidate_prints_all_that_the_record_says() -> None:
    figures: dict[Stage, dict[str, Any]] = {
        Stage.TUNING: {"cost_usd": Decimal("1.50"), "job": "projects/p/locations/l/tuningJobs/1", "examples": 770},
        Stage.EVALUATION: {"cost_usd": Decimal("0.0012"), "scores": {"exact_match": 0.5}},
    }
    judged = TUNED | {Stage.EVALUATION: Outcome.REFUSED}
    whole = candidate(judged, under_way=(Stage.BUDGET,), champion="banking77-fedcba9876543210", figures=figures)
    assert whole.to_json() == {
        "candidate": CANDIDATE,
        "dataset": "banking77",
        "state": "under_way",
        "object": "gs://bucket/training/banking77/a b.jsonl",
        "generation": 1700000000000001,
        "arrived_at": "2026-11-23T01:02:03+00:00",
        "cost_usd": "1.5012",
        "cost_unknown": [],
        "stages": {
            "tuning": {
                "state": "succeeded",
                "started_at": "2026-11-23T01:02:03+00:00",
                "ended_at": "2026-11-23T01:02:05+00:00",
                "reason": "because of tuning",
                "cost_usd": "1.50",
                "job": "projects/p/locations/l/tuningJobs/1",
                "examples": 770,
            },
            "evaluation": {
                "state": "refused",
                "started_at": "2026-11-23T01:02:03+00:00",
                "ended_at": "2026-11-23T01:02:05+00:00",
                "reason": "because of evaluation",
                "cost_usd": "0.0012",
                "scores": {"exact_match": 0.5},
            },
            "budget": {"state": "running", "started_at": "2026-11-23T01:02:03+00:00", "ended_at": None},
            "promotion": {"state": "waiting", "started_at": None, "ended_at": None},
            "inference": {"state": "waiting", "started_at": None, "ended_at": None},
        },
        "champion": "banking77-fedcba9876543210",
    }


@pytest.mark.parametrize(
    ("outcomes", "under_way", "expected"),
    [
        ({}, (), "queued waiting waiting waiting waiting"),
        ({}, (Stage.TUNING,), "running waiting waiting waiting waiting"),
        (TUNED, (), "succeeded queued queued waiting waiting"),
        (TUNED, (Stage.BUDGET,), "succeeded queued running waiting waiting"),
        (JUDGED, (), "succeeded passed approved queued waiting"),
        (JUDGED | {Stage.EVALUATION: Outcome.REFUSED}, (), "succeeded refused approved queued waiting"),
        (PROMOTED, (Stage.INFERENCE,), "succeeded passed approved promoted running"),
        (PROMOTED | {Stage.INFERENCE: Outcome.COMPLETED}, (), "succeeded passed approved promoted completed"),
        (JUDGED | {Stage.PROMOTION: Outcome.HELD}, (), "succeeded passed approved held skipped"),
        ({Stage.TUNING: Outcome.REJECTED}, (), "rejected skipped skipped skipped skipped"),
        (TUNED | {Stage.BUDGET: Outcome.FAILED}, (), "succeeded skipped failed skipped skipped"),
    ],
)
def test_a_stage_waits_is_queued_runs_or_is_skipped(
    outcomes: dict[Stage, Outcome], under_way: tuple[Stage, ...], expected: str
) -> None:
    assert states(candidate(outcomes, under_way=under_way)) == expected.split()


def test_a_stage_that_was_under_way_when_its_sibling_failed_is_skipped_and_shows_when_it_began() -> None:
    cut_short = candidate(TUNED | {Stage.EVALUATION: Outcome.FAILED}, under_way=(Stage.BUDGET,))
    assert cut_short.to_json()["state"] == "failed"
    assert cut_short.stage_json(Stage.BUDGET) == {"state": "skipped", "started_at": NOW.isoformat(), "ended_at": None}


def test_a_candidate_without_verdicts_has_cost_nothing() -> None:
    assert candidate({}).to_json()["cost_usd"] == "0"
    assert candidate({}).to_json()["champion"] is None


@pytest.mark.parametrize(
    ("tuning", "evaluation", "usd", "unknown", "told"),
    [
        ("1.5", "0.25", "1.75", [], "$1.7500"),
        ("1.5", None, "1.5", ["evaluation"], "at least $1.5000"),
        (None, None, None, ["tuning", "evaluation"], "unknown"),
        (None, "0", None, ["tuning"], "unknown"),
        ("0", "0", "0", [], "$0.0000"),
    ],
)
def test_a_cost_that_nobody_knows_is_said_to_be_unknown_and_never_taken_for_nothing(
    tuning: str | None, evaluation: str | None, usd: str | None, unknown: list[str], told: str
) -> None:
    figures = {Stage.TUNING: {"cost_usd": tuning}, Stage.EVALUATION: {"cost_usd": evaluation}}
    one = candidate(TUNED | {Stage.EVALUATION: Outcome.FAILED}, figures=figures)
    document = one.to_json()
    assert (document["cost_usd"], document["cost_unknown"], one.cost_text) == (usd, unknown, told)
    assert [document["stages"][name]["cost_usd"] for name in ("tuning", "evaluation")] == [tuning, evaluation]
    row = candidate_row(one)
    assert (row["cost_usd"], row["cost_unknown"]) == (None if usd is None else Decimal(usd), ", ".join(unknown) or None)
    assert row["evaluation_usd"] == (None if evaluation is None else Decimal(evaluation))


def test_the_commands_say_unknown_where_a_cost_is() -> None:
    figures = {Stage.TUNING: {"cost_usd": "1.5"}, Stage.EVALUATION: {"cost_usd": None}}
    one = candidate(TUNED | {Stage.EVALUATION: Outcome.FAILED}, figures=figures)
    watched, listed = (cells(shown) for shown in (watch_table(one.id, one), candidates_table([one])))
    assert watched["cost"] == ["$1.5000", "unknown", "", "", ""]
    assert listed["cost"] == ["at least $1.5000"]
    assert str(watch_table(one.id, one).title) == f"{CANDIDATE}: failed, at least $1.5000"


def cells(shown: Table) -> dict[str, list[str]]:
    return {str(column.header): [str(cell) for cell in column.cells] for column in shown.columns}


@given(st.fixed_dictionaries({}, optional={stage: st.sampled_from(STAGES[stage].outcomes) for stage in Stage}))
def test_every_candidate_is_plain_json_with_all_five_stages(outcomes: dict[Stage, Outcome]) -> None:
    told = candidate(outcomes).to_json()
    assert json.loads(json.dumps(told)) == told
    assert list(told["stages"]) == [str(stage) for stage in Stage]
    for stage, outcome in outcomes.items():
        assert told["stages"][str(stage)]["state"] == str(outcome)
    assert ("waiting" in states(candidate(outcomes))) <= (told["state"] == "under_way")


PROGRESS = TuningProgress(
    candidate=CANDIDATE,
    written_at=NOW,
    job="projects/p/locations/l/tuningJobs/1",
    state="tuning",
    epochs=1,
    epochs_total=3,
    steps=96,
    steps_total=144,
    expected_end_at=NOW + timedelta(minutes=5),
)
WISH = Cancellation(candidate=CANDIDATE, written_at=NOW, by="ada@laptop", reason="Wrong file.")
BEGUN = {"started_at": NOW.isoformat(), "ended_at": None}


@pytest.mark.parametrize(
    ("known", "row"),
    [
        ({}, {"state": "running"}),
        ({"queued_behind": 3}, {"state": "queued", "reason": "queued behind 3", "queued_behind": 3}),
        ({"queued_behind": 0}, {"state": "queued", "reason": "next in the queue", "queued_behind": 0}),
        (
            {"progress": PROGRESS},
            {
                "state": "running",
                "reason": "tuning, epoch 2 of 3, step 96 of 144, ends about 01:07:03 UTC",
                "progress": {
                    "written_at": "2026-11-23T01:02:03Z",
                    "job": "projects/p/locations/l/tuningJobs/1",
                    "state": "tuning",
                    "epochs": 1,
                    "epochs_total": 3,
                    "steps": 96,
                    "steps_total": 144,
                    "expected_end_at": "2026-11-23T01:07:03Z",
                },
            },
        ),
        ({"cancellation": WISH}, {"state": "running", "reason": "ada@laptop asked to cancel it"}),
        (
            {"queued_behind": 1, "cancellation": WISH},
            {"state": "queued", "reason": "queued behind 1; ada@laptop asked to cancel it", "queued_behind": 1},
        ),
    ],
)
def test_tuning_tells_whom_it_waits_for_how_far_it_is_and_who_wants_it_to_end(
    known: dict[str, Any], row: dict[str, Any]
) -> None:
    tuning = dataclasses.replace(candidate({}, under_way=(Stage.TUNING,)), **known)
    assert tuning.stage_json(Stage.TUNING) == BEGUN | row
    assert tuning.explained(Stage.TUNING) == row.get("reason", "")
    assert json.loads(json.dumps(tuning.to_json())) == tuning.to_json()


def test_a_failed_verdict_is_explained_with_what_to_do_about_it() -> None:
    figures = {"end": "failed", "error_code": "INVALID_ARGUMENT", "help": "Check the file."}
    failed = candidate({Stage.TUNING: Outcome.FAILED}, figures={Stage.TUNING: figures})
    assert failed.explained(Stage.TUNING) == "because of tuning Check the file."
    assert figures.items() <= failed.stage_json(Stage.TUNING).items()
    assert failed.explained(Stage.EVALUATION) == ""
