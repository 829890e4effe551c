from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from importlib.resources import files

import jsonschema
import pytest

from genops_events.record.document import Announcement
from genops_events.record.events import (
    COMPARISON_TYPES,
    EVENT_TYPES,
    HOLD_TYPES,
    ROLLED_BACK,
    announcement,
    announcement_path,
    data_schema,
    event_type,
    hold_announcement,
    hold_announcement_path,
    rollback_announcement,
    rollback_announcement_path,
)
from genops_events.record.holds import Hold
from genops_events.record.promotion import Rollback
from genops_events.record.stages import STAGES, Outcome, Stage
from genops_events.record.verdicts import VERDICTS, EvaluationVerdict

NOW = datetime(2026, 11, 23, 1, 2, 3, 456789, tzinfo=UTC)
CANDIDATE = "banking77-0123456789abcdef"

EVERY_VERDICT = [(stage, outcome) for stage in Stage for outcome in STAGES[stage].outcomes]


def verdict(stage: Stage, outcome: Outcome, **figures):
    return VERDICTS[stage].model_validate(
        {
            "candidate": CANDIDATE,
            "written_at": NOW,
            "dataset": "banking77",
            "outcome": outcome,
            "reason": "because 1 € ≠ 2 €",
            "cost_usd": Decimal("0.0012"),
            "started_at": NOW,
            "ended_at": NOW,
            **figures,
        }
    )


def test_the_types_that_subscribers_were_promised_are_there():
    assert {
        "genops.tuning.succeeded.v1",
        "genops.evaluation.passed.v1",
        "genops.budget.approved.v1",
        "genops.promotion.promoted.v1",
        "genops.promotion.held.v1",
        "genops.inference.completed.v1",
        "genops.candidate.rejected.v1",
        *(f"genops.{stage}.failed.v1" for stage in Stage),
    } <= set(EVENT_TYPES)


@pytest.mark.parametrize(("stage", "outcome"), EVERY_VERDICT)
def test_an_event_is_a_cloudevent_in_binary_mode_whose_id_follows_from_the_verdict(stage, outcome):
    first = announcement(verdict(stage, outcome), bucket="b", now=NOW)
    again = announcement(verdict(stage, outcome), bucket="b", now=NOW)
    attributes = first.attributes
    assert attributes == again.attributes
    assert attributes["ce-specversion"] == "1.0"
    assert attributes["ce-id"] == f"{CANDIDATE}/{event_type(stage, outcome)}"
    assert attributes["ce-subject"] == CANDIDATE
    assert attributes["ce-time"] == "2026-11-23T01:02:03.456789Z"
    assert attributes["content-type"] == "application/json"
    assert all(isinstance(value, str) for value in attributes.values())


@pytest.mark.parametrize(("stage", "outcome"), EVERY_VERDICT)
def test_the_data_of_an_event_fits_the_schema_that_ships(stage, outcome):
    kind = event_type(stage, outcome)
    shipped = json.loads(files("genops_events").joinpath("schemas", f"{kind}.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(shipped)
    data = announcement(verdict(stage, outcome), bucket="b", now=NOW).data
    jsonschema.validate(json.loads(json.dumps(data)), shipped)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**data, "outcome": "something else"}, shipped)


@pytest.mark.parametrize(("stage", "outcome"), EVERY_VERDICT)
def test_an_unknown_cost_is_told_as_null_and_the_schema_knows_that(stage, outcome):
    data = announcement(verdict(stage, outcome, cost_usd=None), bucket="b", now=NOW).data
    assert data["cost_usd"] is None
    jsonschema.validate(data, data_schema(event_type(stage, outcome)))


@pytest.mark.parametrize("stage", HOLD_TYPES.values())
def test_a_hold_has_an_event_of_its_own_each_time_that_fits_the_schema_that_ships(stage):
    hold = Hold(
        candidate=CANDIDATE,
        written_at=NOW,
        stage=stage,
        number=2,
        dataset="banking77",
        reason="0.25 USD too much",
        help="`genops approve`",
        asked_usd=Decimal("1.25"),
        missing_usd=Decimal("0.25"),
        limits=("budget.candidate_usd",),
        held_at=NOW,
        run_id="run-1",
    )
    event = hold_announcement(hold, bucket="b", now=NOW)
    kind = event.attributes["ce-type"]
    assert event.attributes["ce-id"] == f"{CANDIDATE}/genops.{stage}.held.v1/2"
    assert (event.data["outcome"], event.data["missing_usd"]) == ("held", "0.25")
    shipped = json.loads(files("genops_events").joinpath("schemas", f"{kind}.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(shipped)
    jsonschema.validate(json.loads(json.dumps(event.data)), shipped)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**event.data, "outcome": "passed"}, shipped)
    assert hold_announcement_path(CANDIDATE, stage, 2) < announcement_path(CANDIDATE, stage, Outcome.FAILED)


def test_the_schemas_that_ship_are_those_of_the_code():
    folder = files("genops_events").joinpath("schemas")
    shipped = {path.name: json.loads(path.read_text(encoding="utf-8")) for path in folder.iterdir()}
    # `make schemas` writes them anew.
    assert shipped == {
        f"{kind}.json": data_schema(kind) for kind in (*EVENT_TYPES, *HOLD_TYPES, *COMPARISON_TYPES, ROLLED_BACK)
    }


def test_the_order_of_outbox_names_is_the_order_of_the_cascade():
    good = [Outcome.SUCCEEDED, Outcome.PASSED, Outcome.APPROVED, Outcome.PROMOTED, Outcome.COMPLETED]
    names = [announcement_path(CANDIDATE, stage, outcome) for stage, outcome in zip(Stage, good, strict=True)]
    assert names == sorted(names)


def test_an_outbox_document_survives_its_json():
    event = announcement(verdict(Stage.EVALUATION, Outcome.PASSED, scores={"rouge": 0.5}), bucket="b", now=NOW)
    assert Announcement.model_validate_json(event.to_json()) == event


def test_figures_are_what_only_this_stage_has():
    passed = verdict(Stage.EVALUATION, Outcome.PASSED, scores={"rouge": 0.5}, examples=3)
    assert isinstance(passed, EvaluationVerdict)
    assert passed.figures() == {"scores": {"rouge": 0.5}, "examples": 3}


def rollback(at: datetime = NOW) -> Rollback:
    return Rollback(
        candidate=CANDIDATE,
        written_at=at,
        dataset="banking77",
        champion="banking77-1",
        by="ada@laptop",
        reason="It swears.",
    )


def test_the_event_of_a_rollback_is_about_the_candidate_that_was_taken_back():
    event = rollback_announcement(rollback(), bucket="b", now=NOW)
    assert event.attributes["ce-type"] == "genops.promotion.rolled_back.v1"
    assert event.attributes["ce-subject"] == CANDIDATE
    assert event.attributes["ce-time"] == "2026-11-23T01:02:03.456789Z"
    shipped = files("genops_events").joinpath("schemas", f"{ROLLED_BACK}.json").read_text(encoding="utf-8")
    jsonschema.validate(event.data, json.loads(shipped))
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**event.data, "by": None}, json.loads(shipped))


def test_a_candidate_that_is_rolled_back_twice_has_two_events():
    first, second = rollback(), rollback(NOW.replace(minute=3))
    ids = {rollback_announcement(one, bucket="b", now=NOW).attributes["ce-id"] for one in (first, second)}
    assert len(ids) == len({rollback_announcement_path(one) for one in (first, second)}) == 2
    again = rollback_announcement(first, bucket="b", now=NOW.replace(hour=5))
    assert again.attributes["ce-id"] in ids


def test_the_event_of_a_rollback_comes_after_that_of_the_promotion():
    assert rollback_announcement_path(rollback()) > announcement_path(CANDIDATE, Stage.PROMOTION, Outcome.PROMOTED)
    assert rollback_announcement_path(rollback()) < announcement_path(CANDIDATE, Stage.INFERENCE, Outcome.COMPLETED)
