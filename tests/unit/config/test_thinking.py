"""Thinking off or at its least for tuned models, and room for thoughts: what is sent, and what is reserved, is one figure."""

from __future__ import annotations

from typing import Any

import pytest

from genops_events.catalogue.models import shipped
from genops_events.config.answers import AnswerSettings, RowSettings, Thinking, served_with
from genops_events.config.thinking import MOST_OUTPUT_TOKENS, NOT_KNOWN, ROOM_FOR_LEVEL, ThinkingModel, thinker_of
from genops_events.gemini.prompts import PromptRow
from genops_events.gemini.requests import Requests


def thinker(model: str, *, is_tuned: bool = True) -> ThinkingModel:
    return thinker_of(shipped(), model, is_tuned=is_tuned)


def sent(model: str, *, is_tuned: bool = True, **settings: Any) -> dict[str, Any]:
    """Return the generation config of a request with an answer of at most 100 tokens."""
    told = AnswerSettings.model_validate({"max_output_tokens": 100, **settings})
    config: dict[str, Any] = Requests(told, thinker=thinker(model, is_tuned=is_tuned)).common()["generationConfig"]
    return config


@pytest.mark.parametrize(
    ("model", "thinking", "room"),
    [
        ("gemini-2.5-flash", {"thinkingBudget": 0}, 0),
        ("gemini-2.5-flash-lite", {"thinkingBudget": 0}, 0),
        ("gemini-2.5-pro", {"thinkingBudget": 128}, 128),
        ("gemini-3.5-flash", {"thinkingLevel": "MINIMAL"}, ROOM_FOR_LEVEL["minimal"]),
        ("gemini-3.8-flash", {"thinkingLevel": "LOW"}, ROOM_FOR_LEVEL["low"]),
    ],
)
def test_a_tuned_model_thinks_as_little_as_it_can(model: str, thinking: dict[str, Any], room: int) -> None:
    assert sent(model) == {"thinkingConfig": thinking, "maxOutputTokens": 100 + room}


@pytest.mark.parametrize(
    ("thinking", "room"),
    [
        ({"budget_tokens": 2_000}, 2_000),
        ({"budget_tokens": -1}, 24_576),
        ({"include_thoughts": True}, 8_192),
    ],
)
def test_what_genops_yaml_says_of_thinking_counts_and_has_room(thinking: dict[str, Any], room: int) -> None:
    found = sent("gemini-2.5-flash", thinking=thinking)
    assert found["maxOutputTokens"] == 100 + room
    assert found["thinkingConfig"].get("thinkingBudget") == thinking.get("budget_tokens")


def test_a_published_model_that_is_told_nothing_thinks_as_it_does_and_has_room_for_it() -> None:
    assert sent("gemini-2.5-flash", is_tuned=False) == {"maxOutputTokens": 100 + 8_192}
    assert sent("gemini-2.5-flash-lite", is_tuned=False) == {"maxOutputTokens": 100}
    assert sent("gemini-3.5-flash", is_tuned=False) == {"maxOutputTokens": 100 + ROOM_FOR_LEVEL["medium"]}


def test_a_request_never_asks_for_more_than_the_model_gives_nor_for_less_than_was_said() -> None:
    assert (
        sent("gemini-2.5-flash", max_output_tokens=60_000, thinking={"budget_tokens": -1})["maxOutputTokens"] == 65_535
    )
    assert sent("gemini-2.5-flash", max_output_tokens=65_536)["maxOutputTokens"] == 65_536


def test_a_model_that_nobody_knows_is_asked_as_the_settings_say() -> None:
    assert thinker("model-of-tomorrow") == NOT_KNOWN
    assert sent("model-of-tomorrow") == {"maxOutputTokens": 100}
    assert "maxOutputTokens" not in Requests(AnswerSettings()).common().get("generationConfig", {})
    assert NOT_KNOWN.most_output(AnswerSettings()) == MOST_OUTPUT_TOKENS


def row(**own: Any) -> PromptRow:
    contents = [{"role": "user", "parts": [{"text": "x"}]}]
    return PromptRow(1, 1, "a", contents, 1, prompt="x", settings=RowSettings.model_validate(own) if own else None)


@pytest.mark.parametrize(
    "own",
    [{}, {"max_output_tokens": 7}, {"thinking": {"budget_tokens": 500}}, {"thinking": None}, {"candidate_count": 2}],
)
@pytest.mark.parametrize("model", ["gemini-2.5-flash", "gemini-2.5-pro"])
def test_what_is_reserved_for_a_row_is_what_it_asks_for(own: dict[str, Any], model: str) -> None:
    told = AnswerSettings.model_validate({"max_output_tokens": 100, "thinking": {"budget_tokens": 1_000}})
    requests = Requests(told, thinker=thinker(model))
    config = requests.body(row(**own))["generationConfig"]
    assert requests.longest_answer(row(**own)) == config["maxOutputTokens"] * config.get("candidateCount", 1)


def test_a_contestant_takes_only_the_thinking_that_its_model_answers() -> None:
    budget, none, level = (
        Thinking.model_validate(one) for one in ({"budget_tokens": 500}, {"budget_tokens": 0}, {"level": "low"})
    )
    assert [thinker("gemini-2.5-flash").takes(one) for one in (budget, none, level)] == [True, True, False]
    assert [thinker("gemini-2.5-pro").takes(one) for one in (budget, none, level)] == [True, False, False]
    assert [thinker("gemini-3.5-flash").takes(one) for one in (budget, none, level)] == [False, False, True]


def test_an_evaluation_asks_with_all_that_inference_says_but_for_further_answers() -> None:
    told = {
        "temperature": 0.7,
        "top_k": 3,
        "candidate_count": 4,
        "max_output_tokens": 900,
        "safety": {"harassment": "block_none"},
        "functions": [{"name": "f", "description": "d"}],
        "thinking": {"budget_tokens": 10},
    }
    inference = AnswerSettings.model_validate(told)
    served = served_with(inference)
    assert served == inference.model_copy(update={"candidate_count": None})
    assert served_with(inference, max_output_tokens=20).max_output_tokens == 20
