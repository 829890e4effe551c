from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from genops_events.record.stages import STAGES, CandidateState, Outcome, Stage, candidate_state, ready_stages

GOOD = {
    Stage.TUNING: Outcome.SUCCEEDED,
    Stage.EVALUATION: Outcome.PASSED,
    Stage.BUDGET: Outcome.APPROVED,
    Stage.PROMOTION: Outcome.PROMOTED,
    Stage.INFERENCE: Outcome.COMPLETED,
}


def upto(*stages: Stage, **changed: Outcome) -> dict[Stage, Outcome]:
    return {stage: GOOD[stage] for stage in stages} | {Stage(name): outcome for name, outcome in changed.items()}


def test_a_candidate_is_answered_when_all_five_stages_are_good():
    assert candidate_state(GOOD) is CandidateState.ANSWERED


def test_rejected_data_ends_the_candidate_before_any_other_stage_begins():
    outcomes = {Stage.TUNING: Outcome.REJECTED}
    assert candidate_state(outcomes) is CandidateState.REJECTED
    assert ready_stages(outcomes) == []


def test_a_refusal_is_no_end_since_promotion_decides():
    outcomes = upto(Stage.TUNING, Stage.EVALUATION, Stage.BUDGET, evaluation=Outcome.REFUSED)
    assert candidate_state(outcomes) is CandidateState.UNDER_WAY
    assert ready_stages(outcomes) == [Stage.PROMOTION]


def test_evaluation_and_budget_begin_side_by_side_and_promotion_waits_for_both():
    assert ready_stages(upto(Stage.TUNING)) == [Stage.EVALUATION, Stage.BUDGET]
    assert ready_stages(upto(Stage.TUNING, Stage.BUDGET)) == [Stage.EVALUATION]


def test_a_held_candidate_is_never_asked_to_answer():
    outcomes = upto(Stage.TUNING, Stage.EVALUATION, Stage.BUDGET, promotion=Outcome.HELD)
    assert candidate_state(outcomes) is CandidateState.HELD
    assert ready_stages(outcomes) == []


@given(st.fixed_dictionaries({}, optional={stage: st.sampled_from(STAGES[stage].outcomes) for stage in Stage}))
def test_whatever_has_ended_nothing_more_is_ready(outcomes):
    ended = candidate_state(outcomes) is not CandidateState.UNDER_WAY
    assert not (ended and ready_stages(outcomes))
    if Outcome.FAILED in outcomes.values():
        assert candidate_state(outcomes) is CandidateState.FAILED
