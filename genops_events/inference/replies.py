"""Read what a model answers: text, function calls, sources, tokens, and whether it was blocked or cut, and why."""

from __future__ import annotations

from dataclasses import dataclass, fields
from decimal import Decimal
from typing import Any, Literal

import msgspec

from genops_events.money.pricing import Rates

State = Literal["complete", "cut", "blocked"]
_CUT = "MAX_TOKENS"
_MOST_SOURCES = 20


@dataclass(frozen=True, slots=True)
class Reply:
    """A model's answer to one prompt, with the tokens that it is billed by."""

    text: str
    state: State
    """`cut` at the longest answer; `blocked` by a filter, or ended for another reason than its own."""
    finish_reason: str
    reason: str | None = None
    """Why it is not complete, in words."""
    function_calls: tuple[dict[str, Any], ...] = ()
    sources: tuple[dict[str, str], ...] = ()
    """What the answer is grounded in."""
    thoughts: str = ""
    others: tuple[str, ...] = ()
    """Further answers, where several were asked for."""
    input_tokens: int = 0
    output_tokens: int = 0
    """With the tokens of thinking."""
    cached_tokens: int = 0
    thinking_tokens: int = 0

    def to_json(self) -> dict[str, Any]:
        """Return the answer as it is kept; what there is not is left out."""
        row: dict[str, Any] = {"answer": self.text, "state": self.state, "finish_reason": self.finish_reason}
        beside = {
            "reason": self.reason,
            "function_calls": list(self.function_calls),
            "sources": list(self.sources),
            "thoughts": self.thoughts,
            "other_answers": list(self.others),
        }
        row |= {name: value for name, value in beside.items() if value}
        return row | {
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            "cached_tokens": self.cached_tokens,
            "thinking_tokens": self.thinking_tokens,
        }


# Names are those of the REST API.
# ruff: noqa: N815


class _FunctionCall(msgspec.Struct):
    name: str = ""
    args: dict[str, Any] | None = None


class _Part(msgspec.Struct):
    text: str | None = None
    thought: bool = False
    functionCall: _FunctionCall | None = None


class _Content(msgspec.Struct):
    parts: list[_Part] = []


class _Rating(msgspec.Struct):
    category: str = ""
    probability: str = ""
    blocked: bool = False


class _Source(msgspec.Struct):
    uri: str = ""
    title: str = ""


class _Chunk(msgspec.Struct):
    web: _Source | None = None
    retrievedContext: _Source | None = None


class _Grounding(msgspec.Struct):
    groundingChunks: list[_Chunk] = []


class _Candidate(msgspec.Struct):
    content: _Content | None = None
    finishReason: str = ""
    finishMessage: str = ""
    safetyRatings: list[_Rating] = []
    groundingMetadata: _Grounding | None = None


class _Feedback(msgspec.Struct):
    blockReason: str = ""
    blockReasonMessage: str = ""
    safetyRatings: list[_Rating] = []


class _Usage(msgspec.Struct):
    promptTokenCount: int = 0
    candidatesTokenCount: int = 0
    thoughtsTokenCount: int = 0
    cachedContentTokenCount: int = 0
    toolUsePromptTokenCount: int = 0


class _Response(msgspec.Struct):
    candidates: list[_Candidate] = []
    promptFeedback: _Feedback | None = None
    usageMetadata: _Usage | None = None


_decode = msgspec.json.Decoder(_Response, strict=False).decode


class UnreadableReply(Exception):
    """What came is no GenerateContentResponse."""


def read_reply(content: bytes | msgspec.Raw) -> Reply:
    """Return the answer in a GenerateContentResponse.

    Raises:
        UnreadableReply: it is none.
    """
    try:
        response = _decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UnreadableReply(f"the answer cannot be read: {error}") from None
    usage = response.usageMetadata or _Usage()
    candidate = response.candidates[0] if response.candidates else _Candidate()
    parts = candidate.content.parts if candidate.content is not None else []
    state, finish, reason = _end(response, candidate)
    return Reply(
        text=_said(parts),
        state=state,
        finish_reason=finish,
        reason=reason,
        function_calls=tuple(
            {"name": one.functionCall.name, "arguments": one.functionCall.args or {}}
            for one in parts
            if one.functionCall is not None
        ),
        sources=_sources(candidate),
        thoughts="".join(one.text for one in parts if one.thought and one.text),
        others=tuple(_said(one.content.parts) for one in response.candidates[1:] if one.content is not None),
        # What tools brought in is billed as input, and is not part of the prompt's own count.
        input_tokens=usage.promptTokenCount + usage.toolUsePromptTokenCount,
        output_tokens=usage.candidatesTokenCount + usage.thoughtsTokenCount,
        cached_tokens=usage.cachedContentTokenCount,
        thinking_tokens=usage.thoughtsTokenCount,
    )


def _said(parts: list[_Part]) -> str:
    return "".join(one.text for one in parts if one.text and not one.thought)


def _end(response: _Response, candidate: _Candidate) -> tuple[State, str, str | None]:
    feedback = response.promptFeedback
    if feedback is not None and feedback.blockReason:
        told = feedback.blockReasonMessage or _harms(feedback.safetyRatings)
        return "blocked", "NO_CANDIDATE", _why("the prompt was blocked", feedback.blockReason, told)
    if not response.candidates:
        return "blocked", "NO_CANDIDATE", "the model gave no answer, and no reason"
    finish = candidate.finishReason or "FINISH_REASON_UNSPECIFIED"
    if finish == "STOP":
        return "complete", finish, None
    if finish == _CUT:
        return "cut", finish, "the answer reached max_output_tokens"
    told = candidate.finishMessage or _harms(candidate.safetyRatings)
    return "blocked", finish, _why("the answer was stopped", finish, told)


def _why(what: str, code: str, told: str) -> str:
    return f"{what}: {code}" + (f" ({told})" if told else "")


def _harms(ratings: list[_Rating]) -> str:
    found = [one for one in ratings if one.blocked]
    return ", ".join(f"{one.category.removeprefix('HARM_CATEGORY_')} {one.probability}" for one in found)


def _sources(candidate: _Candidate) -> tuple[dict[str, str], ...]:
    chunks = candidate.groundingMetadata.groundingChunks if candidate.groundingMetadata is not None else []
    found = [one.web or one.retrievedContext for one in chunks[:_MOST_SOURCES]]
    return tuple({"uri": one.uri, "title": one.title} for one in found if one is not None)


@dataclass(slots=True)
class Totals:
    """What has come of the rows so far."""

    rows: int = 0
    answered: int = 0
    blocked: int = 0
    cut: int = 0
    failed: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    thinking_tokens: int = 0

    def add(self, row: dict[str, Any]) -> None:
        """Count one kept row: an answer, or a failure."""
        self.rows += 1
        if "answer" not in row:
            self.failed += 1
            return
        self.answered += 1
        self.blocked += row["state"] == "blocked"
        self.cut += row["state"] == "cut"
        self.input_tokens += row["input_tokens"]
        self.output_tokens += row["output_tokens"]
        self.cached_tokens += row["cached_tokens"]
        self.thinking_tokens += row["thinking_tokens"]

    def __add__(self, other: Totals) -> Totals:
        """Return both together."""
        return Totals(**{one.name: getattr(self, one.name) + getattr(other, one.name) for one in fields(Totals)})

    def cost_usd(self, rates: Rates, *, batch: bool) -> Decimal:
        """Return what the answers cost, by what the service says was used."""
        return rates.generation_cost(
            self.input_tokens,
            self.output_tokens - self.thinking_tokens,
            cached_tokens=self.cached_tokens,
            thinking_tokens=self.thinking_tokens,
            batch=batch,
        )
