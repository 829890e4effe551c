"""The stages of the cascade, their outcomes, and the state of a candidate that follows from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from genops_events.money.ledger import Purpose


class Stage(StrEnum):
    """The part of the work on a candidate that one Dag does; in the order of the cascade."""

    TUNING = "tuning"
    EVALUATION = "evaluation"
    BUDGET = "budget"
    PROMOTION = "promotion"
    INFERENCE = "inference"


class Outcome(StrEnum):
    """The outcome of a stage in its verdict."""

    SUCCEEDED = "succeeded"
    """Tuning: the model is tuned."""
    REJECTED = "rejected"
    """Tuning: the data is not valid, or a person cancelled it before there was a job; nothing was spent."""
    PASSED = "passed"
    """Evaluation: the scores pass the gate."""
    APPROVED = "approved"
    """Budget: the cost of the answers is within the limits."""
    REFUSED = "refused"
    """Evaluation: the scores do not pass the gate."""
    PROMOTED = "promoted"
    """Promotion: the candidate is the champion now."""
    HELD = "held"
    """Promotion: the champion stays. In events of other stages: the stage waits for an approval, and has no verdict yet."""
    COMPLETED = "completed"
    """Inference: every prompt is answered."""
    FAILED = "failed"
    """Any stage: its retries are used up, or the job that it waited for failed."""


class CandidateState(StrEnum):
    """State of a candidate as a whole; all but the first are final."""

    UNDER_WAY = "under_way"
    ANSWERED = "answered"
    """Promoted, and the dataset's prompts are answered."""
    HELD = "held"
    REJECTED = "rejected"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class StageFacts:
    """The differences between stages, for code that treats all of them alike; the end of each is in its own modules."""

    outcomes: tuple[Outcome, ...]
    """The outcomes that its verdict can have."""
    waits_for: tuple[Stage, ...] = ()
    """The stages that must have verdicts before it can begin."""
    reserves: Purpose | None = None
    """Purpose of the money that it reserves. Only a stage that reserves money can be held."""
    spends: Purpose | None = None
    """Purpose of the money that it spends, and that its verdict settles."""
    priority: int = 1
    """Airflow's `priority_weight` of its task, the greater first. Later stages come first, so that of many candidates some
    end early, instead of all at the end; but tasks of a second come before those that may take an hour. The weights are
    small, so that other Dags of the same Airflow do not wait for these."""


STAGES: Mapping[Stage, StageFacts] = {
    Stage.TUNING: StageFacts(
        outcomes=(Outcome.SUCCEEDED, Outcome.REJECTED, Outcome.FAILED), reserves="tuning", spends="tuning"
    ),
    Stage.EVALUATION: StageFacts(
        outcomes=(Outcome.PASSED, Outcome.REFUSED, Outcome.FAILED),
        waits_for=(Stage.TUNING,),
        reserves="evaluation",
        spends="evaluation",
        priority=2,
    ),
    Stage.BUDGET: StageFacts(
        outcomes=(Outcome.APPROVED, Outcome.FAILED),
        waits_for=(Stage.TUNING,),
        reserves="inference",
        priority=4,
    ),
    Stage.PROMOTION: StageFacts(
        outcomes=(Outcome.PROMOTED, Outcome.HELD, Outcome.FAILED),
        waits_for=(Stage.EVALUATION, Stage.BUDGET),
        priority=5,
    ),
    # It reserves only the cost on top of what budget has reserved.
    Stage.INFERENCE: StageFacts(
        outcomes=(Outcome.COMPLETED, Outcome.FAILED),
        waits_for=(Stage.PROMOTION,),
        reserves="inference",
        spends="inference",
        priority=3,
    ),
}
"""The facts of every stage, in the order of the cascade."""

_CONTINUES = {Outcome.SUCCEEDED, Outcome.PASSED, Outcome.APPROVED, Outcome.REFUSED, Outcome.PROMOTED}
_ENDS = {
    Outcome.REJECTED: CandidateState.REJECTED,
    Outcome.HELD: CandidateState.HELD,
    Outcome.COMPLETED: CandidateState.ANSWERED,
    Outcome.FAILED: CandidateState.FAILED,
}


def candidate_state(outcomes: Mapping[Stage, Outcome]) -> CandidateState:
    """Return the state of a candidate whose stages ended with `outcomes`.

    A refusal by evaluation is not final: promotion reads it and holds the candidate.
    One failed stage fails the candidate, regardless of the others.
    """
    if Outcome.FAILED in outcomes.values():
        return CandidateState.FAILED
    for stage in reversed(Stage):
        outcome = outcomes.get(stage)
        if outcome in _ENDS:
            return _ENDS[outcome]
    return CandidateState.UNDER_WAY


def ready_stages(outcomes: Mapping[Stage, Outcome]) -> list[Stage]:
    """Return the stages that have no verdict yet and could begin now, in the order of the cascade."""
    if candidate_state(outcomes) is not CandidateState.UNDER_WAY:
        return []
    return [stage for stage in Stage if stage not in outcomes and can_begin(stage, outcomes)]


def can_begin(stage: Stage, outcomes: Mapping[Stage, Outcome]) -> bool:
    """Return whether all stages that `stage` waits for have ended with an outcome after which the cascade continues."""
    return all(outcomes.get(before) in _CONTINUES for before in STAGES[stage].waits_for)
