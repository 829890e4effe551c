"""Training files made up line by line."""

from __future__ import annotations

import json
from typing import Any

from genops_events.training.validator import ModelLimits, Problem, ValidationReport, load_limits, validate

FLASH = load_limits("gemini-2.5-flash")


def turn(role: str, *parts: Any) -> dict[str, Any]:
    return {"role": role, "parts": [{"text": part} if isinstance(part, str) else part for part in parts]}


def example(*turns: dict[str, Any], **more: Any) -> bytes:
    contents = list(turns) or [turn("user", "Where is my card?"), turn("model", "card_arrival")]
    return json.dumps({"contents": contents, **more}).encode()


GOOD = example()
TURNS = (turn("model", "b"), turn("user", "c"), turn("model", "d"))
ENOUGH = [example(turn("user", f"Where is card {number}?"), turn("model", "card_arrival")) for number in range(16)]


def report_of(*lines: bytes, limits: ModelLimits = FLASH, fill: bool = True) -> ValidationReport:
    """Validate these lines, followed by enough good ones."""
    return validate([b"\n".join([*lines, *(ENOUGH[: limits.min_examples] if fill else [])])], limits=limits)


def only_problem(*lines: bytes, limits: ModelLimits = FLASH, fill: bool = True) -> Problem:
    report = report_of(*lines, limits=limits, fill=fill)
    assert not report.valid
    (problem,) = report.problems
    assert problem.message in report.summary
    assert report.problems_by_reason == {problem.reason.value: 1}
    return problem
