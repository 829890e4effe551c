"""The state of an answer, the same for all ways to ask: complete, cut, blocked or empty; with the reason and a remedy.

Only a complete answer is scored. A cut answer is only the beginning of one: its exact match means nothing, and an overlap of
words misleads.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

State = Literal["complete", "cut", "blocked", "empty"]
"""`cut` at the longest answer; `blocked` by a filter, or ended for a reason other than its own end, unknown reasons included;
`empty` where the model has ended without any text: no candidate, no parts, or thoughts alone."""
UNUSABLE: tuple[State, ...] = ("blocked", "cut", "empty")
"""The states of an answer that cannot be used."""

NO_CANDIDATE = "NO_CANDIDATE"
"""In place of a finish reason where there is no candidate."""
_WHOLE, _CUT, _UNTOLD = "STOP", "MAX_TOKENS", "FINISH_REASON_UNSPECIFIED"

REMEDIES: Mapping[State, str] = {
    "cut": "raise `max_output_tokens`, or turn `inference.thinking` off or lower",
    "blocked": "look at the prompts and at why each was stopped: let `inference.safety` block less where they do no harm, "
    "and declare a tool's function more simply where its call is malformed",
    "empty": "look at the prompts, and turn `inference.thinking` off or lower",
}
"""What to do about answers in a state."""


@dataclass(frozen=True, slots=True)
class Ending:
    """How one answer ended."""

    state: State
    finish_reason: str
    """In the words of the service, such as `STOP`."""
    reason: str | None = None
    """Why the answer is not complete; None where it is."""


def ending(
    finish_reason: str | None, *, says: bool, told: str = "", block_reason: str = "", thinking_tokens: int = 0
) -> Ending:
    """Return how an answer ended.

    Args:
        finish_reason: of the candidate; empty where it has none, None where there is no candidate.
        says: whether it has text or a function call.
        told: the service's message about it.
        block_reason: of the prompt's feedback; empty where the prompt was not blocked.
        thinking_tokens: tokens of thoughts.
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
    """Return the number of unusable answers, by each state of `UNUSABLE`."""
    every = list(states)
    return {state: every.count(state) for state in UNUSABLE}


def in_words(counts: Mapping[State, int]) -> str:
    """Return counts such as `2 blocked, 1 cut and 1 empty`; empty where there are none."""
    parts = [f"{counts[state]:,} {state}" for state in UNUSABLE if counts.get(state)]
    return " and ".join([", ".join(parts[:-1]), parts[-1]]) if len(parts) > 1 else "".join(parts)


def remedies(counts: Mapping[State, int]) -> str:
    """Return a sentence on what to do about unusable answers; empty where there are none."""
    parts = "; ".join(f"of {state} answers, {REMEDIES[state]}" for state in UNUSABLE if counts.get(state))
    return f"What to do: {parts}." if parts else ""
