"""The state of an answer, the same for all ways to ask: complete, cut, blocked or empty; with the reason and a remedy.

Only a complete answer is scored. A cut answer is only the beginning of one: its exact match means nothing, and an overlap of
words misleads.
"""

from __future__ import annotations

import re
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

_REMEDIES: Mapping[State, str] = {
    "cut": "raise `max_output_tokens`, or turn `inference.thinking` off or lower",
    "blocked": "look at the prompts and at why each was stopped",
    "empty": "look at the prompts, and turn `inference.thinking` off or lower",
}
"""What to do about answers in a state."""

_NO_SETTING = "no setting lets it pass: leave out what the prompt has of it"
_FUNCTIONS = "declare the tool's functions more simply, and see that `function_calling` allows those that are called"
_BY_CODE: Mapping[str, str] = {
    "SAFETY": "let `inference.safety` block less where the prompts do no harm",
    "RECITATION": "ask for an answer in the model's own words, or raise `inference.temperature`",
    "LANGUAGE": "ask in a language that the model knows, and say in which one it shall answer",
    "BLOCKLIST": _NO_SETTING,
    "PROHIBITED_CONTENT": _NO_SETTING,
    "SPII": "leave personal data out of the prompts, and out of the training file",
    "MODEL_ARMOR": "look at the Model Armor template of the project",
    "JAILBREAK": "take out of the prompt what tells the model to ignore its instructions",
    "MALFORMED_FUNCTION_CALL": _FUNCTIONS,
    "UNEXPECTED_TOOL_CALL": _FUNCTIONS,
    "TOO_MANY_TOOL_CALLS": _FUNCTIONS,
    "MALFORMED_RESPONSE": "ask again; where it stays, simplify `inference.response_json_schema`",
    "CONTINUATION": "raise `max_output_tokens`, or ask for a shorter answer",
    "OTHER": "ask again; where it stays, say it in other words, or in another language",
}
"""What to do about a finish reason or block reason. What each means: `FinishReason` and `BlockedReason` of Vertex AI's discovery
document, revision 20261106; LANGUAGE is in google-genai alone."""
_CODE = re.compile(r"(?:was stopped|was blocked): ([A-Z][A-Z_]{2,60})\b")


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


def remedy(state: State, reasons: Iterable[str] = ()) -> str:
    """Return what to do about answers in a state of `UNUSABLE`, without a full stop.

    Args:
        state: of the answers.
        reasons: why each is not complete, as `ending` says it; may be texts about other answers, too.
    """
    codes = dict.fromkeys(code for one in reasons for code in _CODE.findall(one)) if state == "blocked" else {}
    known = {code: _BY_CODE[code] for code in codes if code in _BY_CODE}
    if not known:
        return _REMEDIES[state]
    by_remedy: dict[str, list[str]] = {}
    for code, text in known.items():
        by_remedy.setdefault(text, []).append(code)
    return ", ".join(f"{text} ({' and '.join(found)})" for text, found in by_remedy.items())


def remedies(counts: Mapping[State, int], reasons: Iterable[str] = ()) -> str:
    """Return a sentence on what to do about unusable answers; empty where there are none.

    Args:
        counts: number of answers by state.
        reasons: as `remedy` takes them.
    """
    said = list(reasons)
    parts = "; ".join(f"of {state} answers, {remedy(state, said)}" for state in UNUSABLE if counts.get(state))
    return f"What to do: {parts}." if parts else ""
