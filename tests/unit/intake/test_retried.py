"""A stage that goes on after its Dag run, or its failed verdict: rounds, names, events and money, from names alone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from test_sweep import CANDIDATE, JUDGED, LONG_AGO, NOW, TUNED, remedies, traces

from genops_events.intake.traces import CandidateRepairs, Traces
from genops_events.money.ledger import Ledger, Refusal, committed, reserve, settle
from genops_events.record.events import announcement, announcement_path
from genops_events.record.holds import StageRounds, stage_rounds
from genops_events.record.inference import cancellation_path as batch_cancellation_path
from genops_events.record.paths import (
    approval_path,
    cancellation_path,
    hold_path,
    intent_path,
    retry_path,
    return_path,
    verdict_path,
)
from genops_events.record.stages import CandidateState, Outcome, Stage, candidate_state
from genops_events.record.verdicts import VERDICTS, Verdict

FAILED = {**TUNED, Stage.BUDGET: Outcome.APPROVED, Stage.EVALUATION: Outcome.FAILED}


def retried(*names: str, age: timedelta | None = None) -> Traces:
    """Return what a candidate leaves whose evaluation failed and was set aside, and what else is in its folder."""
    moved_at = LONG_AGO if age is None else NOW - age
    found = traces(FAILED, moved_at=moved_at)
    for name in (retry_path(CANDIDATE, Stage.EVALUATION, 1), *names):
        found.add(name, written_at=moved_at, published=False)
    return found


def test_each_release_return_and_retry_begins_a_round_of_its_own() -> None:
    names = {
        hold_path(CANDIDATE, Stage.BUDGET, 1),
        approval_path(CANDIDATE, Stage.BUDGET, 1),
        return_path(CANDIDATE, Stage.BUDGET, 1),
        return_path(CANDIDATE, Stage.BUDGET, 2),
        retry_path(CANDIDATE, Stage.BUDGET, 1),
        retry_path(CANDIDATE, Stage.EVALUATION, 1),
    }
    found = stage_rounds(names, CANDIDATE, Stage.BUDGET)
    assert found == StageRounds(holds=1, released=1, returns=2, retries=1)
    assert (found.round, found.is_held) == (4, False)
    assert stage_rounds(names, CANDIDATE, Stage.EVALUATION).round == 1
    assert stage_rounds(names, CANDIDATE, Stage.PROMOTION).round == 0


def test_a_cancellation_releases_a_hold_and_takes_no_round_back() -> None:
    names = {
        hold_path(CANDIDATE, Stage.TUNING, 1),
        return_path(CANDIDATE, Stage.TUNING, 1),
        cancellation_path(CANDIDATE),
    }
    assert stage_rounds(names, CANDIDATE, Stage.TUNING) == StageRounds(holds=1, released=1, returns=1)


def test_a_failed_verdict_that_is_set_aside_ends_nothing_any_more() -> None:
    assert candidate_state(traces(FAILED).outcomes) is CandidateState.FAILED
    found = retried()
    assert candidate_state(found.outcomes) is CandidateState.UNDER_WAY
    assert Stage.EVALUATION not in found.ended | found.taken_on
    assert found.unannounced == ()


@pytest.mark.parametrize("age", [None, timedelta(seconds=1)])
def test_who_is_tried_again_is_woken_with_patience_and_without(age: timedelta | None) -> None:
    assert remedies(retried(age=age), now=NOW) == CandidateRepairs(wake=(Stage.EVALUATION,))


def test_who_took_the_retry_on_is_neither_woken_nor_left_for_good() -> None:
    found = retried(intent_path(CANDIDATE, Stage.EVALUATION, 1))
    assert remedies(found, now=NOW) == CandidateRepairs(close=(Stage.EVALUATION,))


def test_the_verdict_of_a_retry_is_announced_beside_the_first() -> None:
    found = retried(verdict_path(CANDIDATE, Stage.EVALUATION, 1))
    assert found.unannounced == (Stage.EVALUATION,)
    event = announcement_path(CANDIDATE, Stage.EVALUATION, Outcome.FAILED, 1)
    found.add(event, written_at=LONG_AGO, published=True)
    assert found.unannounced == ()
    assert candidate_state(found.outcomes) is CandidateState.FAILED


def test_a_candidate_that_is_tried_again_is_not_settled() -> None:
    from genops_events.intake.traces import is_settled

    year = NOW + timedelta(days=365)
    assert is_settled(traces({Stage.TUNING: Outcome.FAILED}), now=year, patience=timedelta(minutes=5))
    found = traces({Stage.TUNING: Outcome.FAILED})
    found.add(retry_path(CANDIDATE, Stage.TUNING, 1), written_at=LONG_AGO, published=False)
    assert not is_settled(found, now=year, patience=timedelta(minutes=5))


def test_only_a_job_that_somebody_wants_cancelled_is_unwanted() -> None:
    found = traces(JUDGED)
    assert not any(found.is_unwanted(stage) for stage in Stage)
    found.add(cancellation_path(CANDIDATE), written_at=LONG_AGO, published=False)
    found.add(batch_cancellation_path(CANDIDATE), written_at=LONG_AGO, published=False)
    assert [stage for stage in Stage if found.is_unwanted(stage)] == [Stage.TUNING, Stage.INFERENCE]


# The event


def verdict(*, retries: int | None = None) -> Verdict:
    given = {"outcome": "failed", "reason": "no", "dataset": "banking77", "started_at": NOW, "ended_at": NOW}
    values = {"candidate": CANDIDATE, "written_at": NOW, "retries": retries, **given}
    return VERDICTS[Stage.BUDGET].model_validate(values)


def test_a_second_failure_is_another_event_and_says_so() -> None:
    first, second = (announcement(verdict(retries=one), bucket="b", now=NOW) for one in (None, 1))
    assert first.attributes["ce-id"] == f"{CANDIDATE}/genops.budget.failed.v1"
    assert second.attributes["ce-id"] == f"{CANDIDATE}/genops.budget.failed.v1/1"
    assert ("retries" in first.data, second.data["retries"]) == (False, 1)
    paths = [announcement_path(CANDIDATE, Stage.BUDGET, Outcome.FAILED, number) for number in (0, 1)]
    assert len(set(paths)) == 2


# The money


THEN = datetime(2026, 3, 15, 12, tzinfo=UTC)


def reserved(ledger: Ledger, usd: str, *, limit: str = "20", again: bool = False) -> Ledger | Refusal:
    given = {"purpose": "inference", "again": again}
    return reserve(ledger, "a-1", "banking77", Decimal(usd), Decimal(limit), THEN, **given)  # type: ignore[arg-type]


@pytest.fixture
def released() -> Ledger:
    """A ledger in which three dollars of ten were spent, and the others released."""
    made = reserved(Ledger(month="2026-03"), "10")
    assert isinstance(made, Ledger)
    return settle(made, "a-1", "inference", Decimal(3))


def test_what_was_released_is_reserved_again_and_what_was_spent_counts_once(released: Ledger) -> None:
    assert reserved(released, "10") == released, "an ordinary try reserves nothing more"
    again = reserved(released, "10", again=True)
    assert isinstance(again, Ledger)
    posting = again.entries["a-1"].purposes["inference"]
    assert (posting.settled, posting.reserved_usd, posting.spent_usd) == (False, 10, 0)
    assert committed(again) == 10
    assert reserved(again, "10", again=True) == again
    assert Ledger.model_validate_json(again.to_json()) == again


def test_never_less_is_reserved_again_than_was_spent(released: Ledger) -> None:
    again = reserved(released, "1", again=True)
    assert isinstance(again, Ledger)
    assert committed(again) == 3


def test_a_reservation_that_is_made_again_must_be_within_the_limits(released: Ledger) -> None:
    refused = reserved(released, "10", limit="9", again=True)
    assert isinstance(refused, Refusal)
    assert (refused.committed_usd, refused.missing_usd) == (0, 1)


def test_a_second_settlement_raises_what_was_spent_only_after_a_retry_and_never_lowers_it(released: Ledger) -> None:
    assert settle(released, "a-1", "inference", Decimal(5)) == released
    assert committed(settle(released, "a-1", "inference", Decimal(5), again=True)) == 5
    assert settle(released, "a-1", "inference", Decimal(2), again=True) == released
