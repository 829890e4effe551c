"""The stages of the cascade, how each can end, and what that makes of the candidate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from genops_events.money.ledger import Purpose


class Stage(StrEnum):
    """One Dag's share of the work on a candidate, in the order of the cascade."""

    TUNING = "tuning"
    EVALUATION = "evaluation"
    BUDGET = "budget"
    PROMOTION = "promotion"
    INFERENCE = "inference"


class Outcome(StrEnum):
    """How a stage ended, as its verdict says."""

    SUCCEEDED = "succeeded"
    """Tuning: a model is there."""
    REJECTED = "rejected"
    """Tuning: the data is not valid, or a person cancelled it before there was a job; nothing was spent."""
    PASSED = "passed"
    """Evaluation: every score reaches its gate."""
    APPROVED = "approved"
    """Budget: what the candidate costs is within the limits."""
    REFUSED = "refused"
    """Evaluation: below the gate."""
    PROMOTED = "promoted"
    """Promotion: the candidate is the champion now."""
    HELD = "held"
    """Promotion: the champion stays. As a word of an event, of other stages: it waits for money, and has no verdict yet."""
    COMPLETED = "completed"
    """Inference: every prompt is answered."""
    FAILED = "failed"
    """Any stage: its retries are used up, or the job that it waited for failed."""


class CandidateState(StrEnum):
    """Where a candidate stands as a whole; all but the first are ends."""

    UNDER_WAY = "under_way"
    ANSWERED = "answered"
    """Promoted, and the dataset's prompts are answered."""
    HELD = "held"
    REJECTED = "rejected"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class StageFacts:
    """What tells one stage from the others, for all that treats them alike; how each one ends is in its own modules."""

    outcomes: tuple[Outcome, ...]
    """The outcomes that its verdict can have."""
    waits_for: tuple[Stage, ...] = ()
    """The stages whose verdicts must be in before it can begin."""
    reserves: Purpose | None = None
    """What the money is for that it reserves. A stage that reserves money can be held; one that does not never is."""
    spends: Purpose | None = None
    """What the money is for that it spends, and that its verdict settles."""
    priority: int = 1
    """Airflow's `priority_weight` of its task, the greater first. Who has come furthest goes first, so that of many
    candidates the first ends early, instead of all at the end; but what takes a second before what may take an hour.
    Small, since other Dags of the same Airflow are not to wait for these."""


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
    # It reserves only what its answers may cost more than budget has checked and reserved.
    Stage.INFERENCE: StageFacts(
        outcomes=(Outcome.COMPLETED, Outcome.FAILED),
        waits_for=(Stage.PROMOTION,),
        reserves="inference",
        spends="inference",
        priority=3,
    ),
}
"""The facts of every stage, in the order of the cascade."""

_GOES_ON = {Outcome.SUCCEEDED, Outcome.PASSED, Outcome.APPROVED, Outcome.REFUSED, Outcome.PROMOTED}
_ENDS = {
    Outcome.REJECTED: CandidateState.REJECTED,
    Outcome.HELD: CandidateState.HELD,
    Outcome.COMPLETED: CandidateState.ANSWERED,
    Outcome.FAILED: CandidateState.FAILED,
}


def candidate_state(outcomes: Mapping[Stage, Outcome]) -> CandidateState:
    """Return where a candidate stands whose stages ended with `outcomes`.

    A refusal by evaluation is not an end: promotion weighs it and holds the candidate.
    One failed stage fails the candidate, whatever its siblings did.
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
    """Return whether the stages that `stage` waits for have ended so that it has something to do."""
    return all(outcomes.get(before) in _GOES_ON for before in STAGES[stage].waits_for)
