from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from genops_events.catalogue.models import shipped
from genops_events.catalogue.prices import rates_of
from genops_events.gemini.calls import FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS, pause_seconds
from genops_events.gemini.replies import Reply, Totals, UnreadableReply, read_reply

SAFETY = [
    {"category": "HARM_CATEGORY_HARASSMENT", "probability": "LOW"},
    {"category": "HARM_CATEGORY_HATE_SPEECH", "probability": "HIGH", "blocked": True},
]
NO_REASON = "the model gave no answer, and no reason"
EMPTY = "the answer is empty: the model ended and said nothing"
THOUGHT = {"promptTokenCount": 4, "candidatesTokenCount": None, "thoughtsTokenCount": 60}


def reply(**response: Any) -> Reply:
    return read_reply(json.dumps(response).encode())


def candidate(**fields: Any) -> dict[str, Any]:
    return {"content": {"role": "model", "parts": [{"text": "yes"}]}, "finishReason": "STOP", **fields}


def test_text_thoughts_calls_sources_and_further_answers_are_told_apart() -> None:
    parts = [
        {"text": "hm", "thought": True},
        {"text": "It "},
        {"text": "is."},
        {"functionCall": {"name": "f", "args": {"a": 1}}},
        {"functionCall": {"name": "g"}},
    ]
    chunks = [{"web": {"uri": "u", "title": "t"}}, {"retrievedContext": {"uri": "v"}}, {"maps": {}}]
    found = reply(
        candidates=[
            candidate(content={"parts": parts}, groundingMetadata={"groundingChunks": chunks}),
            candidate(),
        ]
    )
    assert (found.text, found.thoughts, found.others) == ("It is.", "hm", ("yes",))
    assert found.function_calls == ({"name": "f", "arguments": {"a": 1}}, {"name": "g", "arguments": {}})
    assert found.sources == ({"uri": "u", "title": "t"}, {"uri": "v", "title": ""})
    assert found.to_json()["other_answers"] == ["yes"]


@pytest.mark.parametrize(
    ("response", "state", "finish", "reason"),
    [
        ({"candidates": [candidate()]}, "complete", "STOP", None),
        (
            {"candidates": [candidate(finishReason="MAX_TOKENS")]},
            "cut",
            "MAX_TOKENS",
            "the answer reached max_output_tokens",
        ),
        (
            {"candidates": [candidate(finishReason="SAFETY", safetyRatings=SAFETY)]},
            "blocked",
            "SAFETY",
            "the answer was stopped: SAFETY (HATE_SPEECH HIGH)",
        ),
        (
            {"candidates": [candidate(finishReason="RECITATION", finishMessage="a book")]},
            "blocked",
            "RECITATION",
            "the answer was stopped: RECITATION (a book)",
        ),
        (
            {"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}},
            "blocked",
            "NO_CANDIDATE",
            "the prompt was blocked: PROHIBITED_CONTENT",
        ),
        (
            {"candidates": [candidate(finishReason="OF_2031")]},
            "blocked",
            "OF_2031",
            "the answer was stopped: OF_2031",
        ),
        ({}, "empty", "NO_CANDIDATE", "the model gave no answer, and no reason"),
        ({"candidates": None, "promptFeedback": None}, "empty", "NO_CANDIDATE", NO_REASON),
        ({"candidates": [{}]}, "empty", "FINISH_REASON_UNSPECIFIED", NO_REASON),
        ({"candidates": [candidate(content=None)]}, "empty", "STOP", EMPTY),
        ({"candidates": [candidate(content={"parts": None})]}, "empty", "STOP", EMPTY),
        ({"candidates": [candidate(content={"parts": [{"text": " \n"}]})]}, "empty", "STOP", EMPTY),
        (
            {"candidates": [candidate(content={"parts": [{"text": "hm", "thought": True}]})], "usageMetadata": THOUGHT},
            "empty",
            "STOP",
            f"{EMPTY}, but thoughts",
        ),
        (
            {"candidates": [candidate(content={}, finishReason="MAX_TOKENS")], "usageMetadata": THOUGHT},
            "cut",
            "MAX_TOKENS",
            "the answer reached max_output_tokens before it began: thinking took them",
        ),
        (
            {"candidates": [candidate(content={"parts": [{"functionCall": {"name": "f", "args": None}}]})]},
            "complete",
            "STOP",
            None,
        ),
    ],
)
def test_an_answer_that_is_not_complete_says_why(
    response: dict[str, Any], state: str, finish: str, reason: str | None
) -> None:
    found = reply(**response)
    assert (found.state, found.finish_reason, found.reason) == (state, finish, reason)


def test_tokens_are_those_that_are_billed() -> None:
    usage = {
        "promptTokenCount": 100,
        "toolUsePromptTokenCount": 7,
        "cachedContentTokenCount": 60,
        "candidatesTokenCount": 10,
        "thoughtsTokenCount": 5,
    }
    found = reply(candidates=[candidate()], usageMetadata=usage)
    assert (found.input_tokens, found.output_tokens, found.cached_tokens, found.thinking_tokens) == (107, 15, 60, 5)
    totals = Totals()
    totals.add(found.to_json())
    totals.add(replace(found, state="cut").to_json())
    totals.add({"number": 1, "reason": "no"})
    assert (totals.rows, totals.answered, totals.cut, totals.failed) == (3, 2, 1, 1)
    rates = rates_of(shipped(), "gemini-2.5-flash")
    assert totals.unusable == {"blocked": 0, "cut": 1, "empty": 0}
    expected = rates.generation_cost(214, 20, cached_tokens=120, thinking_tokens=10)
    assert totals.cost_usd(rates, batch=False) == expected
    # Half of 94 x 0.30 and 30 x 2.50, and 120 x 0.03 whole: the two discounts do not add up.
    assert totals.cost_usd(rates, batch=True) == Decimal("0.000056")
    assert (totals + totals).rows == 6


@pytest.mark.parametrize("content", [b"", b"[]", b'{"candidates": 7}', b"\xff"])
def test_what_is_no_answer_is_told_as_such(content: bytes) -> None:
    with pytest.raises(UnreadableReply, match="cannot be read"):
        read_reply(content)


def test_pauses_double_are_bounded_and_never_less_than_was_asked_for() -> None:
    assert [pause_seconds(number, drawn=1.0) for number in (1, 2, 3)] == [1.0, 2.0, 4.0]
    assert pause_seconds(50, drawn=1.0) == LONGEST_PAUSE_SECONDS
    assert pause_seconds(1, drawn=0.0) == FIRST_PAUSE_SECONDS / 4
    assert all(pause_seconds(1, asked_for=7.0) >= 7.0 for _ in range(20))
