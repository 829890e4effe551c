# ruff: noqa: F401, F811 - fixtures are imported by name, and come back as arguments
"""Answers, token counts and scores: many calls at once, in order, through passing faults."""

from __future__ import annotations

import pytest
from cloud import StandIns, cloud, config, connections_closed, stand_ins

from genops_events.config import Config
from genops_events.gcp import evaluation
from genops_events.gcp.errors import CloudRefused, CloudUnavailable
from genops_events.gcp.evaluation import Scored, mean_scores
from genops_events.gcp.generation import Answer, answer_all, count_tokens

MODEL = "gemini-2.5-flash"
PROMPTS = [f"question number {number} about my card" for number in range(24)]


def ask(config: Config, prompts: list[str], *, model: str = MODEL, system_instruction: str | None = None) -> list[Answer]:
    return answer_all(
        config, model=model, prompts=prompts, max_output_tokens=64, system_instruction=system_instruction
    )


def test_answers_come_in_the_order_of_their_prompts(config: Config) -> None:
    one_by_one = [ask(config, [prompt])[0] for prompt in PROMPTS[:6]]
    print(one_by_one)
    assert ask(config, PROMPTS[:6]) == one_by_one
