from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genops_events.intake.traces import (
    LINGER,
    SILENCE,
    Activity,
    CandidateRepairs,
    Traces,
    Waking,
    is_settled,
    rest_after,
    waking,
    way_to,
)
from genops_events.intake.traces import candidate_repairs as remedies_within
from genops_events.record.events import announcement_path
from genops_events.record.paths import arrival_path, intent_path, submission_path, training_path, verdict_path
from genops_events.record.stages import STAGES, CandidateState, Outcome, Stage, candidate_state, ready_stages

NOW = datetime(2026, 11, 23, 1, 2, 3, tzinfo=UTC)
LONG_AGO = NOW - timedelta(hours=3)
PATIENCE = timedelta(minutes=5)
CANDIDATE = "banking77-0123456789abcdef"

TUNED = {Stage.TUNING: Outcome.SUCCEEDED}
JUDGED = TUNED | {Stage.EVALUATION: Outcome.PASSED, Stage.BUDGET: Outcome.APPROVED}
PROMOTED = JUDGED | {Stage.PROMOTION: Outcome.PROMOTED}


def remedies(found: Traces, *, now: datetime) -> CandidateRepairs:
    return remedies_within(found, now=now, patience=PATIENCE)


def traces(
    outcomes: Mapping[Stage, Outcome],
    *,
    under_way: Collection[Stage] = (),
    unpublished: Collection[Stage] = (),
    unwritten: Collection[Stage] = (),
    moved_at: datetime = LONG_AGO,
) -> Traces:
    """Return what a candidate leaves whose stages ended with `outcomes`.

    `unpublished` are stages whose event waits in the outbox, `unwritten` those whose event did not even get there.
    """
    found = Traces(CANDIDATE)
    names = {arrival_path(CANDIDATE): False, training_path(CANDIDATE): False, submission_path(CANDIDATE): False}
    for stage in (*outcomes, *under_way):
        names[intent_path(CANDIDATE, stage)] = False
    for stage, outcome in outcomes.items():
        names[verdict_path(CANDIDATE, stage)] = False
        if stage not in unwritten:
            names[announcement_path(CANDIDATE, stage, outcome)] = stage not in unpublished
    for name, published in names.items():
        found.add(name, written_at=moved_at, published=published)
    return found


def test_an_arrival_that_nobody_woke_is_woken() -> None:
    assert remedies(traces({}), now=NOW) == CandidateRepairs(wake=(Stage.TUNING,))


def test_a_stage_that_became_ready_and_never_began_is_woken() -> None:
    assert remedies(traces(TUNED), now=NOW) == CandidateRepairs(wake=(Stage.EVALUATION, Stage.BUDGET))
    assert remedies(traces(JUDGED), now=NOW) == CandidateRepairs(wake=(Stage.PROMOTION,))
    assert remedies(traces(PROMOTED), now=NOW) == CandidateRepairs(wake=(Stage.INFERENCE,))


def test_a_stage_with_an_intent_and_no_verdict_is_to_be_closed_and_never_woken() -> None:
    for stage, before in ((Stage.TUNING, {}), (Stage.PROMOTION, JUDGED), (Stage.INFERENCE, PROMOTED)):
        assert remedies(traces(before, under_way=[stage]), now=NOW) == CandidateRepairs(close=(stage,))


def test_of_two_siblings_one_is_closed_and_the_other_woken() -> None:
    found = traces(TUNED, under_way=[Stage.BUDGET])
    assert remedies(found, now=NOW) == CandidateRepairs(close=(Stage.BUDGET,), wake=(Stage.EVALUATION,))


def test_an_event_that_was_written_and_never_published_is_announced_before_anything_else() -> None:
    found = traces(TUNED, unpublished=[Stage.TUNING], under_way=[Stage.BUDGET])
    assert remedies(found, now=NOW) == CandidateRepairs(announce=(Stage.TUNING,))


def test_a_verdict_whose_event_was_never_written_is_announced() -> None:
    assert remedies(traces(TUNED, unwritten=[Stage.TUNING]), now=NOW) == CandidateRepairs(announce=(Stage.TUNING,))
    rejected = {Stage.TUNING: Outcome.REJECTED}
    assert remedies(traces(rejected, unwritten=[Stage.TUNING]), now=NOW) == CandidateRepairs(announce=(Stage.TUNING,))


@pytest.mark.parametrize("outcomes", [{}, TUNED, JUDGED, PROMOTED])
@pytest.mark.parametrize("under_way", [[], [Stage.TUNING], [Stage.EVALUATION]])
@pytest.mark.parametrize("unpublished", [[], list(Stage)])
def test_nothing_is_done_while_anything_moved_within_patience(
    outcomes: dict[Stage, Outcome], under_way: list[Stage], unpublished: list[Stage]
) -> None:
    found = traces(outcomes, under_way=under_way, unpublished=unpublished)
    found.add(f"{arrival_path(CANDIDATE)}.anything", written_at=NOW - PATIENCE + timedelta(seconds=1), published=False)
    assert remedies(found, now=NOW) == CandidateRepairs()


def test_patience_ends_when_it_says() -> None:
    assert remedies(traces({}, moved_at=NOW - PATIENCE), now=NOW) != CandidateRepairs()
    assert remedies(traces({}, moved_at=NOW - PATIENCE + timedelta(milliseconds=1)), now=NOW) == CandidateRepairs()
    assert remedies_within(traces({}, moved_at=NOW), now=NOW, patience=timedelta(0)) != CandidateRepairs()


@pytest.mark.parametrize(
    "outcomes",
    [
        {Stage.TUNING: Outcome.REJECTED},
        {Stage.TUNING: Outcome.FAILED},
        TUNED | {Stage.EVALUATION: Outcome.FAILED},
        TUNED | {Stage.BUDGET: Outcome.FAILED, Stage.EVALUATION: Outcome.REFUSED},
        JUDGED | {Stage.PROMOTION: Outcome.HELD},
        JUDGED | {Stage.EVALUATION: Outcome.REFUSED, Stage.PROMOTION: Outcome.HELD},
        JUDGED | {Stage.PROMOTION: Outcome.FAILED},
        PROMOTED | {Stage.INFERENCE: Outcome.FAILED},
        PROMOTED | {Stage.INFERENCE: Outcome.COMPLETED},
    ],
)
def test_a_candidate_that_has_ended_and_was_announced_needs_nothing(outcomes: dict[Stage, Outcome]) -> None:
    assert remedies(traces(outcomes), now=NOW) == CandidateRepairs()
    # A sibling that was cut short by the failure is left as it is: the candidate has its end.
    assert remedies(traces(outcomes, under_way=[Stage.BUDGET]), now=NOW) == CandidateRepairs()


def test_a_refused_candidate_still_needs_its_promotion() -> None:
    assert remedies(traces(JUDGED | {Stage.EVALUATION: Outcome.REFUSED}), now=NOW) == CandidateRepairs(
        wake=(Stage.PROMOTION,)
    )


def test_what_never_arrived_is_left_alone() -> None:
    found = traces(TUNED, unpublished=[Stage.TUNING])
    found.names.remove(arrival_path(CANDIDATE))
    assert remedies(found, now=NOW) == CandidateRepairs()
    assert remedies(Traces(CANDIDATE), now=NOW) == CandidateRepairs()


@st.composite
def reachable(draw: st.DrawFn) -> dict[Stage, Outcome]:
    """Draw outcomes as the cascade can leave them: no stage has ended that could not begin."""
    outcomes: dict[Stage, Outcome] = {}
    while ready := [stage for stage in ready_stages(outcomes) if draw(st.booleans())]:
        # Siblings end side by side: one may succeed although the other has just failed.
        outcomes |= {stage: draw(st.sampled_from(STAGES[stage].outcomes)) for stage in ready}
    return outcomes


MANY_STAGES = st.sets(st.sampled_from(list(Stage)))


@given(outcomes=reachable(), taken_on=MANY_STAGES, unpublished=MANY_STAGES, unwritten=MANY_STAGES, data=st.data())
def test_whatever_was_lost_something_is_done_about_it_and_nothing_else(
    outcomes: dict[Stage, Outcome],
    taken_on: set[Stage],
    unpublished: set[Stage],
    unwritten: set[Stage],
    data: st.DataObject,
) -> None:
    under_way = [stage for stage in ready_stages(outcomes) if stage in taken_on]
    found = traces(outcomes, under_way=under_way, unpublished=unpublished, unwritten=unwritten)
    needed = remedies(found, now=NOW)
    silent = [stage for stage in Stage if stage in outcomes and stage in unpublished | unwritten]
    assert list(needed.announce) == silent
    if silent or candidate_state(outcomes) is not CandidateState.UNDER_WAY:
        assert (needed.close, needed.wake) == ((), ())
    else:
        # Everything that could go on is seen to, each stage in one way.
        assert sorted((*needed.close, *needed.wake)) == sorted(ready_stages(outcomes)) != []
        assert list(needed.close) == under_way
    shuffled = Traces(CANDIDATE)
    for name in data.draw(st.permutations(sorted(found.names))):
        shuffled.add(name, written_at=LONG_AGO, published=name in found.published)
    assert remedies(shuffled, now=NOW) == needed


@given(moments=st.lists(st.datetimes(timezones=st.just(UTC)), min_size=1))
def test_the_newest_object_says_when_the_candidate_moved(moments: list[datetime]) -> None:
    found = Traces(CANDIDATE)
    for number, moment in enumerate(moments):
        found.add(str(number), written_at=moment, published=False)
    assert found.moved_at == max(moments)


# When a candidate is settled

ENDS: list[dict[Stage, Outcome]] = [
    {Stage.TUNING: Outcome.REJECTED},
    {Stage.TUNING: Outcome.FAILED},
    JUDGED | {Stage.PROMOTION: Outcome.HELD},
    PROMOTED | {Stage.INFERENCE: Outcome.COMPLETED},
    PROMOTED | {Stage.INFERENCE: Outcome.FAILED},
    TUNED | {Stage.EVALUATION: Outcome.FAILED, Stage.BUDGET: Outcome.APPROVED},
]


def settled(found: Traces, *, now: datetime = NOW) -> bool:
    return is_settled(found, now=now, patience=PATIENCE)


@pytest.mark.parametrize("outcomes", ENDS)
def test_a_candidate_is_settled_once_it_has_ended_every_verdict_is_announced_and_nothing_moves(
    outcomes: dict[Stage, Outcome],
) -> None:
    assert settled(traces(outcomes))
    assert not settled(traces(outcomes, moved_at=NOW - PATIENCE + timedelta(seconds=1)))
    for stage in outcomes:
        assert not settled(traces(outcomes, unpublished=[stage]))
        assert not settled(traces(outcomes, unwritten=[stage]))


@pytest.mark.parametrize("outcomes", [{}, TUNED, JUDGED, PROMOTED])
def test_a_candidate_under_way_is_never_settled(outcomes: dict[Stage, Outcome]) -> None:
    assert not settled(traces(outcomes), now=NOW + timedelta(days=400))


def test_a_marker_without_an_arrival_is_never_settled() -> None:
    found = traces({Stage.TUNING: Outcome.REJECTED})
    found.names.remove(arrival_path(CANDIDATE))
    assert not settled(found)


@pytest.mark.parametrize("under_way", [[], [Stage.BUDGET]])
def test_a_failed_candidate_is_watched_while_the_sibling_of_the_failed_stage_may_still_end(
    under_way: list[Stage],
) -> None:
    found = traces(TUNED | {Stage.EVALUATION: Outcome.FAILED}, under_way=under_way, moved_at=NOW)
    assert not settled(found, now=NOW + LINGER - timedelta(seconds=1))
    assert settled(found, now=NOW + LINGER)


@given(outcomes=reachable(), taken_on=MANY_STAGES, unpublished=MANY_STAGES, unwritten=MANY_STAGES)
def test_what_is_settled_needs_nothing_now_and_never_will(
    outcomes: dict[Stage, Outcome], taken_on: set[Stage], unpublished: set[Stage], unwritten: set[Stage]
) -> None:
    under_way = [stage for stage in ready_stages(outcomes) if stage in taken_on]
    found = traces(outcomes, under_way=under_way, unpublished=unpublished, unwritten=unwritten)
    if settled(found):
        assert remedies(found, now=NOW + timedelta(days=400)) == CandidateRepairs()
    elif remedies(found, now=NOW) == CandidateRepairs():
        # Nothing to do and yet not settled: only where a failed stage's sibling may still come to its verdict.
        assert candidate_state(outcomes) is CandidateState.FAILED
        assert is_settled(found, now=LONG_AGO + LINGER, patience=PATIENCE)


# Whether a candidate is woken


def test_what_no_wake_up_helps_is_woken_ever_more_rarely_but_never_given_up() -> None:
    rests = [rest_after(wakings, patience=PATIENCE) for wakings in range(12)]
    assert rests[:5] == [PATIENCE, PATIENCE, 2 * PATIENCE, 4 * PATIENCE, 8 * PATIENCE]
    assert rests == sorted(rests)
    assert rests[-1] < timedelta(hours=6)


IDLE = dict.fromkeys(Stage, Activity.IDLE)
SHORT = timedelta(minutes=6)


def test_a_wake_up_comes_through_every_stage_before() -> None:
    assert way_to(Stage.TUNING) == (Stage.TUNING,)
    assert way_to(Stage.BUDGET) == (Stage.TUNING, Stage.BUDGET)
    assert way_to(Stage.PROMOTION) == (Stage.TUNING, Stage.EVALUATION, Stage.BUDGET, Stage.PROMOTION)
    assert way_to(Stage.INFERENCE) == tuple(Stage)


@pytest.mark.parametrize("stage", list(Stage))
def test_a_candidate_is_woken_when_nothing_on_its_way_is_under_way(stage: Stage) -> None:
    assert waking([stage], IDLE, silent_for=SHORT) is Waking.WAKE


def test_a_stage_whose_run_is_queued_or_running_is_never_woken() -> None:
    for stage in Stage:
        for passed in way_to(stage):
            activity = IDLE | {passed: Activity.UNDER_WAY}
            assert waking([stage], activity, silent_for=timedelta(days=9)) is Waking.UNDER_WAY


def test_what_lies_behind_the_stage_does_not_matter() -> None:
    activity = IDLE | {Stage.PROMOTION: Activity.UNDER_WAY, Stage.INFERENCE: Activity.PAUSED}
    assert waking([Stage.EVALUATION], activity, silent_for=SHORT) is Waking.WAKE


def test_a_paused_dag_anywhere_on_the_way_makes_waking_useless() -> None:
    for passed in way_to(Stage.PROMOTION):
        activity = IDLE | {passed: Activity.PAUSED}
        assert waking([Stage.PROMOTION], activity, silent_for=timedelta(days=9)) is Waking.PAUSED


def test_of_two_siblings_one_may_be_paused_and_the_other_woken_unless_a_run_of_either_is_under_way() -> None:
    siblings = [Stage.EVALUATION, Stage.BUDGET]
    assert waking(siblings, IDLE | {Stage.EVALUATION: Activity.PAUSED}, silent_for=SHORT) is Waking.WAKE
    assert waking(siblings, IDLE | {Stage.EVALUATION: Activity.UNDER_WAY}, silent_for=SHORT) is Waking.UNDER_WAY


def test_where_airflow_cannot_be_asked_an_hour_of_silence_is_waited_for() -> None:
    activity = IDLE | {Stage.BUDGET: Activity.UNKNOWN}
    assert waking([Stage.PROMOTION], activity, silent_for=SILENCE - timedelta(seconds=1)) is Waking.UNKNOWN
    assert waking([Stage.PROMOTION], activity, silent_for=SILENCE) is Waking.WAKE
    assert waking([Stage.EVALUATION], activity, silent_for=SHORT) is Waking.WAKE


@given(
    stages=st.sets(st.sampled_from(list(Stage)), min_size=1),
    activity=st.fixed_dictionaries({stage: st.sampled_from(Activity) for stage in Stage}),
    minutes=st.integers(min_value=0, max_value=10_000),
)
def test_a_wake_up_always_gets_through_and_never_meets_a_run_that_is_under_way(
    stages: set[Stage], activity: dict[Stage, Activity], minutes: int
) -> None:
    silent_for = timedelta(minutes=minutes)
    decided = waking(stages, activity, silent_for=silent_for)
    free = [way for way in map(way_to, stages) if all(activity[one] is not Activity.PAUSED for one in way)]
    met = {activity[one] for way in free for one in way}
    assert (decided is Waking.PAUSED) == (free == [])
    if decided is Waking.WAKE:
        assert Activity.UNDER_WAY not in met
        assert Activity.UNKNOWN not in met or silent_for >= SILENCE
