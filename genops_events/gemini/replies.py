"""Read what a model answers: text, function calls, sources, tokens, and whether it is an answer at all, and why not."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from decimal import Decimal
from typing import Any, Self

import msgspec

from genops_events.catalogue.prices import Rates
from genops_events.catalogue.tokens import estimated_tokens
from genops_events.record.endings import Ending, State, ending

_MOST_SOURCES = 20
_TITLE_CHARACTERS = 100
_UNTOLD_BLOCK = "BLOCKED_REASON_UNSPECIFIED"


@dataclass(frozen=True, slots=True)
class Reply:
    """A model's answer to one prompt, with the tokens that it is billed by."""

    text: str
    state: State
    finish_reason: str
    reason: str | None = None
    """Why it is not complete, in words."""
    function_calls: tuple[dict[str, Any], ...] = ()
    sources: tuple[dict[str, str], ...] = ()
    """What the answer is grounded in: `uri` and `title`."""
    citations: tuple[dict[str, str], ...] = ()
    """What the answer repeats from elsewhere: `uri`, `title`, `license`, as far as they are told."""
    thoughts: str = ""
    others: tuple[str, ...] = ()
    """Further answers, where several were asked for."""
    input_tokens: int = 0
    output_tokens: int = 0
    """With the tokens of thinking."""
    cached_tokens: int = 0
    """How many of the input tokens came from a cache."""
    thinking_tokens: int = 0
    """How many of the output tokens are thinking."""
    seconds: float | None = None
    """From the request to this answer; None where nobody measured it, as in a batch job."""

    @property
    def scored_text(self) -> str:
        """What is scored: the text; where functions are called, the JSON that Vertex AI's tool metrics read."""
        if not self.function_calls:
            return self.text
        return json.dumps({"content": self.text, "tool_calls": list(self.function_calls)}, ensure_ascii=False)

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> Self:
        """Return an answer as it was kept; lines of before have neither state nor reason, and not all the figures."""
        end = ending(row["finish_reason"], says=bool(row["answer"].strip()))
        return cls(
            text=row["answer"],
            state=row.get("state", end.state),
            finish_reason=row["finish_reason"],
            reason=row.get("reason", end.reason),
            function_calls=tuple(row.get("function_calls", ())),
            sources=tuple(row.get("sources", ())),
            citations=tuple(row.get("citations", ())),
            thoughts=row.get("thoughts", ""),
            others=tuple(row.get("other_answers", ())),
            input_tokens=row["input_tokens"],
            output_tokens=row["output_tokens"],
            cached_tokens=row.get("cached_tokens", 0),
            thinking_tokens=row.get("thinking_tokens", 0),
            seconds=row.get("seconds"),
        )

    def to_json(self) -> dict[str, Any]:
        """Return the answer as it is kept; what there is not is left out."""
        row: dict[str, Any] = {"answer": self.text, "state": self.state, "finish_reason": self.finish_reason}
        beside = {
            "reason": self.reason,
            "function_calls": list(self.function_calls),
            "sources": list(self.sources),
            "citations": list(self.citations),
            "thoughts": self.thoughts,
            "other_answers": list(self.others),
        }
        row |= {name: value for name, value in beside.items() if value}
        return row | {
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            "cached_tokens": self.cached_tokens,
            "thinking_tokens": self.thinking_tokens,
            **({} if self.seconds is None else {"seconds": self.seconds}),
        }


# Names are those of the REST API.
# ruff: noqa: N815


class _FunctionCall(msgspec.Struct):
    name: str | None = None
    args: dict[str, Any] | None = None


class _Part(msgspec.Struct):
    text: str | None = None
    thought: bool | None = None
    functionCall: _FunctionCall | None = None


class _Content(msgspec.Struct):
    parts: list[_Part] | None = None


class _Rating(msgspec.Struct):
    category: str | None = None
    probability: str | None = None
    blocked: bool | None = None


class _Source(msgspec.Struct):
    uri: str | None = None
    title: str | None = None
    documentName: str | None = None
    text: str | None = None
    """Of a document of one's own, which may have neither name nor address."""


class _Chunk(msgspec.Struct):
    web: _Source | None = None
    retrievedContext: _Source | None = None
    maps: _Source | None = None


class _Citation(msgspec.Struct):
    uri: str | None = None
    title: str | None = None
    license: str | None = None


class _Citations(msgspec.Struct):
    citations: list[_Citation] | None = None


class _Grounding(msgspec.Struct):
    groundingChunks: list[_Chunk] | None = None


class _Candidate(msgspec.Struct):
    content: _Content | None = None
    finishReason: str | None = None
    finishMessage: str | None = None
    safetyRatings: list[_Rating] | None = None
    groundingMetadata: _Grounding | None = None
    citationMetadata: _Citations | None = None


class _Feedback(msgspec.Struct):
    blockReason: str | None = None
    blockReasonMessage: str | None = None
    safetyRatings: list[_Rating] | None = None


class _Usage(msgspec.Struct):
    promptTokenCount: int | None = None
    candidatesTokenCount: int | None = None
    thoughtsTokenCount: int | None = None
    cachedContentTokenCount: int | None = None
    toolUsePromptTokenCount: int | None = None
    totalTokenCount: int | None = None


class _Response(msgspec.Struct):
    # Every field may be null: `parts: null` and `candidates: null` were seen.
    candidates: list[_Candidate] | None = None
    promptFeedback: _Feedback | None = None
    usageMetadata: _Usage | None = None


_decode = msgspec.json.Decoder(_Response, strict=False).decode


class UnreadableReply(Exception):
    """What came is no GenerateContentResponse."""


def read_reply(content: bytes | msgspec.Raw, *, seconds: float | None = None) -> Reply:
    """Return the answer in a GenerateContentResponse.

    Args:
        content: the response.
        seconds: that it took.

    Raises:
        UnreadableReply: it is none.
    """
    try:
        response = _decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UnreadableReply(f"the answer cannot be read: {error}") from None
    usage = response.usageMetadata or _Usage()
    candidates = response.candidates or []
    candidate = candidates[0] if candidates else _Candidate()
    parts = _parts(candidate)
    thinking = usage.thoughtsTokenCount or 0
    end = _end(response, candidate, thinking)
    # What tools brought in is billed as input, and is not part of the prompt's own count.
    asked = (usage.promptTokenCount or 0) + (usage.toolUsePromptTokenCount or 0)
    answered = usage.candidatesTokenCount
    if answered is None:
        answered = _not_counted(usage.totalTokenCount, asked + thinking, candidates)
    return Reply(
        text=_said(parts),
        state=end.state,
        finish_reason=end.finish_reason,
        reason=end.reason,
        function_calls=tuple(
            {"name": one.functionCall.name or "", "arguments": one.functionCall.args or {}}
            for one in parts
            if one.functionCall is not None
        ),
        sources=_sources(candidate),
        citations=_citations(candidate),
        thoughts="".join(one.text for one in parts if one.thought and one.text),
        others=tuple(_said(_parts(one)) for one in candidates[1:] if one.content is not None),
        input_tokens=asked,
        output_tokens=answered + thinking,
        cached_tokens=usage.cachedContentTokenCount or 0,
        thinking_tokens=thinking,
        seconds=seconds,
    )


def _not_counted(total: int | None, others: int, candidates: list[_Candidate]) -> int:
    """Return how many tokens the answers have where their own count is missing: by the total, else by the rule of estimates."""
    if total is not None:
        return max(0, total - others)
    said = [
        one.text or json.dumps((one.functionCall.name, one.functionCall.args) if one.functionCall is not None else "")
        for candidate in candidates
        for one in _parts(candidate)
        if (one.text and not one.thought) or one.functionCall is not None
    ]
    return sum(map(estimated_tokens, said))


def _parts(candidate: _Candidate) -> list[_Part]:
    return (candidate.content.parts if candidate.content is not None else None) or []


def _said(parts: list[_Part]) -> str:
    return "".join(one.text for one in parts if one.text and not one.thought)


def _end(response: _Response, candidate: _Candidate, thinking: int) -> Ending:
    feedback = response.promptFeedback
    if feedback is not None and (feedback.blockReason or (feedback.blockReasonMessage and not response.candidates)):
        told = feedback.blockReasonMessage or _harms(feedback.safetyRatings)
        return ending(None, says=False, told=told, block_reason=feedback.blockReason or _UNTOLD_BLOCK)
    parts = _parts(candidate)
    return ending(
        (candidate.finishReason or "") if response.candidates else None,
        says=bool(_said(parts).strip()) or any(one.functionCall is not None for one in parts),
        told=candidate.finishMessage or _harms(candidate.safetyRatings),
        thinking_tokens=thinking,
    )


def _harms(ratings: list[_Rating] | None) -> str:
    found = [one for one in ratings or () if one.blocked]
    return ", ".join(f"{(one.category or '').removeprefix('HARM_CATEGORY_')} {one.probability or ''}" for one in found)


def _sources(candidate: _Candidate) -> tuple[dict[str, str], ...]:
    chunks = (candidate.groundingMetadata.groundingChunks if candidate.groundingMetadata is not None else None) or []
    found = [one.web or one.retrievedContext or one.maps for one in chunks[:_MOST_SOURCES]]
    named = [(one.uri or "", one.title or one.documentName or "", one.text or "") for one in found if one is not None]
    return tuple(
        {"uri": uri, "title": title or ("" if uri else text[:_TITLE_CHARACTERS])}
        for uri, title, text in named
        if uri or title or text
    )


def _citations(candidate: _Candidate) -> tuple[dict[str, str], ...]:
    cited = (candidate.citationMetadata.citations if candidate.citationMetadata is not None else None) or []
    told = ({"uri": one.uri, "title": one.title, "license": one.license} for one in cited[:_MOST_SOURCES])
    return tuple(found for one in told if (found := {name: value for name, value in one.items() if value}))


@dataclass(slots=True)
class Totals:
    """What has come of the rows so far."""

    rows: int = 0
    answered: int = 0
    blocked: int = 0
    cut: int = 0
    empty: int = 0
    failed: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    thinking_tokens: int = 0

    @classmethod
    def of(cls, replies: Iterable[Reply]) -> Self:
        """Return what these answers are together."""
        totals = cls()
        for reply in replies:
            totals.add(reply.to_json())
        return totals

    def add(self, row: Mapping[str, Any]) -> None:
        """Count one kept row: an answer, or a failure."""
        self.rows += 1
        if "answer" not in row:
            self.failed += 1
            return
        self.answered += 1
        self.blocked += row["state"] == "blocked"
        self.cut += row["state"] == "cut"
        self.empty += row["state"] == "empty"
        self.input_tokens += row["input_tokens"]
        self.output_tokens += row["output_tokens"]
        self.cached_tokens += row["cached_tokens"]
        self.thinking_tokens += row["thinking_tokens"]

    @property
    def unusable(self) -> dict[State, int]:
        """How many answers are none, by state."""
        return {"blocked": self.blocked, "cut": self.cut, "empty": self.empty}

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
