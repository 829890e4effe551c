"""How an answer ended, decided in one place for every way to ask: whole, cut, blocked or empty; why; and what to do about it.

Only a complete answer is scored. What a model had said when it was cut is not what it would have said: an exact match of it
says nothing, and an overlap of words misleads.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

State = Literal["complete", "cut", "blocked", "empty"]
"""`cut` at the longest answer; `blocked` by a filter, or ended for another reason than its own, also for one that is newer
than this program; `empty` where the model says that it is done and has said nothing: no candidate, no parts, only thoughts."""
UNUSABLE: tuple[State, ...] = ("blocked", "cut", "empty")
"""The states of an answer that is none."""

NO_CANDIDATE = "NO_CANDIDATE"
"""In place of a finish reason where there is no candidate."""
_WHOLE, _CUT, _UNTOLD = "STOP", "MAX_TOKENS", "FINISH_REASON_UNSPECIFIED"

REMEDIES: Mapping[State, str] = {
    "cut": "raise `max_output_tokens`, or turn `inference.thinking` off or lower",
    "blocked": "look at the prompts, and let `inference.safety` block less where they do no harm",
    "empty": "look at the prompts, and turn `inference.thinking` off or lower",
}
"""What to do about answers of a state."""


@dataclass(frozen=True, slots=True)
class Ending:
    """How one answer ended."""

    state: State
    finish_reason: str
    """As the service calls it."""
    reason: str | None = None
    """Why it is not complete, in words."""


def ending(
    finish_reason: str | None, *, says: bool, told: str = "", block_reason: str = "", thinking_tokens: int = 0
) -> Ending:
    """Return how an answer ended.

    Args:
        finish_reason: of the candidate; empty where it tells none, None where there is no candidate.
        says: whether it holds a text or the call of a function.
        told: the service's own words about it.
        block_reason: of the prompt's feedback; empty where the prompt was let pass.
        thinking_tokens: that went into thoughts.
    """
    if block_reason:
        return Ending("blocked", finish_reason or NO_CANDIDATE, _why("the prompt was blocked", block_reason, told))
    finish = finish_reason or (NO_CANDIDATE if finish_reason is None else _UNTOLD)
    if not says and finish in (NO_CANDIDATE, _UNTOLD):
        return Ending("empty", finish, "the model gave no answer, and no reason")
    if finish == _CUT:
        reason = "the answer reached max_output_tokens"
        if not says:
            thought = ": thinking took them" if thinking_tokens else ""
            reason += f" before it began{thought}"
        return Ending("cut", finish, reason)
    if finish != _WHOLE:
        return Ending("blocked", finish, _why("the answer was stopped", finish, told))
    if not says:
        thought = ", but thoughts" if thinking_tokens else ""
        return Ending("empty", finish, f"the answer is empty: the model ended and said nothing{thought}")
    return Ending("complete", finish)


def _why(what: str, code: str, told: str) -> str:
    return f"{what}: {code}" + (f" ({told})" if told else "")


def counted(states: Iterable[State]) -> dict[State, int]:
    """Return how many answers are none, by state; each state of `UNUSABLE` is there."""
    every = list(states)
    return {state: every.count(state) for state in UNUSABLE}


def in_words(counts: Mapping[State, int]) -> str:
    """Return counts such as `2 blocked, 1 cut and 1 empty`; empty where there are none."""
    told = [f"{counts[state]:,} {state}" for state in UNUSABLE if counts.get(state)]
    return " and ".join([", ".join(told[:-1]), told[-1]]) if len(told) > 1 else "".join(told)


def remedies(counts: Mapping[State, int]) -> str:
    """Return a sentence on what to do about the answers that are none; empty where there are none."""
    told = "; ".join(f"of {state} answers, {REMEDIES[state]}" for state in UNUSABLE if counts.get(state))
    return f"What to do: {told}." if told else ""
