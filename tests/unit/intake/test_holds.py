"""A stage that waits for an approval, from the names in its candidate's folder: held, released, taken on again."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_sweep import CANDIDATE, JUDGED, LONG_AGO, NOW, TUNED, remedies, traces

from genops_events.intake.traces import CandidateRepairs, Traces
from genops_events.record.events import hold_announcement_path
from genops_events.record.holds import HOLDABLE, StageRounds, stage_rounds
from genops_events.record.paths import approval_path, cancellation_path, hold_path, intent_path
from genops_events.record.stages import Outcome, Stage

BEFORE = {
    Stage.TUNING: {},
    Stage.EVALUATION: TUNED,
    Stage.BUDGET: {**TUNED, Stage.EVALUATION: Outcome.PASSED},
    Stage.INFERENCE: {**JUDGED, Stage.PROMOTION: Outcome.PROMOTED},
}


def held(
    stage: Stage,
    *,
    holds: int,
    approvals: int = 0,
    rounds: int = 1,
    announced: bool = True,
    age: timedelta | None = None,
) -> Traces:
    """Return what a candidate leaves whose `stage` was held and approved so often, and taken on in so many rounds."""
    found = traces(BEFORE[stage])
    moved_at = LONG_AGO if age is None else NOW - age
    names = [intent_path(CANDIDATE, stage, number) for number in range(rounds)]
    names += [hold_path(CANDIDATE, stage, number + 1) for number in range(holds)]
    names += [approval_path(CANDIDATE, stage, number + 1) for number in range(approvals)]
    for name in names:
        found.add(name, written_at=moved_at, published=False)
    for number in range(1, holds + 1):
        path = hold_announcement_path(CANDIDATE, stage, number)
        found.add(path, written_at=moved_at, published=announced)
    return found


def others(stage: Stage) -> tuple[Stage, ...]:
    """Return what could begin beside a stage that is held."""
    return (Stage.BUDGET,) if stage is Stage.EVALUATION else ()


@pytest.mark.parametrize("stage", HOLDABLE)
def test_what_waits_for_a_person_is_neither_closed_nor_woken_however_long(stage: Stage) -> None:
    assert remedies(held(stage, holds=1), now=NOW + timedelta(days=90)) == CandidateRepairs(wake=others(stage))
    assert remedies(held(stage, holds=2, approvals=1, rounds=2), now=NOW) == CandidateRepairs(wake=others(stage))


@pytest.mark.parametrize("stage", HOLDABLE)
def test_what_was_approved_is_woken_at_once_and_later_too(stage: Stage) -> None:
    second = timedelta(seconds=1)
    assert remedies(held(stage, holds=1, approvals=1, age=second), now=NOW) == CandidateRepairs(wake=(stage,))
    assert remedies(held(stage, holds=1, approvals=1), now=NOW) == CandidateRepairs(wake=(stage, *others(stage)))


@pytest.mark.parametrize("stage", HOLDABLE)
def test_what_was_taken_on_after_its_approval_is_a_stage_like_any_other(stage: Stage) -> None:
    found = held(stage, holds=1, approvals=1, rounds=2)
    assert remedies(found, now=NOW) == CandidateRepairs(close=(stage,), wake=others(stage))
    fresh = held(stage, holds=1, approvals=1, rounds=2, age=timedelta(seconds=1))
    assert remedies(fresh, now=NOW) == CandidateRepairs()


def test_a_hold_that_nobody_was_told_of_is_announced_after_patience() -> None:
    found = held(Stage.TUNING, holds=2, approvals=1, rounds=2, announced=False)
    assert remedies(found, now=NOW) == CandidateRepairs(announce_holds=((Stage.TUNING, 1), (Stage.TUNING, 2)))


def test_a_cancelled_tuning_waits_for_no_money() -> None:
    found = held(Stage.TUNING, holds=1)
    found.add(cancellation_path(CANDIDATE), written_at=LONG_AGO, published=False)
    assert remedies(found, now=NOW) == CandidateRepairs(wake=(Stage.TUNING,))


def test_a_candidate_that_has_ended_is_not_woken_by_an_approval() -> None:
    found = held(Stage.BUDGET, holds=1, approvals=1, age=timedelta(seconds=1))
    failed = traces({**TUNED, Stage.EVALUATION: Outcome.FAILED})
    found.names = found.names - traces(BEFORE[Stage.BUDGET]).names | failed.names
    assert remedies(found, now=NOW) == CandidateRepairs()


def test_a_stage_with_a_verdict_is_not_woken_by_its_approval() -> None:
    found = held(Stage.BUDGET, holds=1, approvals=1, rounds=2, age=timedelta(seconds=1))
    found.names |= traces(JUDGED).names
    assert remedies(found, now=NOW) == CandidateRepairs()


@given(holds=st.integers(0, 5), approvals=st.integers(0, 5), rounds=st.integers(0, 6), is_cancelled=st.booleans())
def test_a_stage_is_held_released_or_taken_on_and_never_lost(
    *, holds: int, approvals: int, rounds: int, is_cancelled: bool
) -> None:
    approvals = min(approvals, holds)
    stage = Stage.TUNING
    found = held(stage, holds=holds, approvals=approvals, rounds=rounds)
    if is_cancelled:
        found.add(cancellation_path(CANDIDATE), written_at=LONG_AGO, published=False)
    one = found.rounds(stage)
    assert one == stage_rounds(found.names, CANDIDATE, stage)
    assert one.is_held is (holds > approvals and not is_cancelled)
    needed = remedies(found, now=NOW)
    taken_on = intent_path(CANDIDATE, stage, one.round) in found.names
    # Exactly one of three: somebody decides, a Dag run is at it or is closed, or it is woken.
    ways = [one.is_held, taken_on and not one.is_held, needed.wake == (stage,)]
    assert ways.count(True) == 1
    assert (needed.close == (stage,)) is (taken_on and not one.is_held)


def test_an_approval_without_a_hold_counts_for_nothing() -> None:
    names = {approval_path(CANDIDATE, Stage.BUDGET, 1)}
    assert stage_rounds(names, CANDIDATE, Stage.BUDGET) == StageRounds()
    names |= {hold_path(CANDIDATE, Stage.BUDGET, 1), hold_path(CANDIDATE, Stage.BUDGET, 2)}
    assert stage_rounds(names, CANDIDATE, Stage.BUDGET) == StageRounds(holds=2, released=1)
