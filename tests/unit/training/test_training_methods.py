"""Lines for preference tuning and for distillation: what they hold, what is wrong with them, and whose they are."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from training_lines import ENOUGH, FLASH, GOOD, example, turn

from genops_events.training.methods import MEASURES
from genops_events.training.preferences import measure_preference
from genops_events.training.reasons import BadExample
from genops_events.training.validator import Method, ModelLimits, Problem, Reason, ValidationReport, validate
from genops_events.training.validator import validate_validation_file as validate_other

QUESTION = turn("user", "What is my favourite fruit?")
BETTER, WORSE = turn("model", "Apple! Apple! Apple!"), turn("model", "It is the apple.")


def answer(score: Any, completion: Any) -> dict[str, Any]:
    return {"score": score, "completion": completion}


PAIR = [answer(1, BETTER), answer(0, WORSE)]


def preference(*turns: dict[str, Any], completions: Any = PAIR, **more: Any) -> bytes:
    return json.dumps({"contents": list(turns) or [QUESTION], "completions": completions, **more}).encode()


PAIRS = [preference(turn("user", f"Which of the {number}?")) for number in range(16)]
PROMPTS = [example(turn("user", f"Where is card {number}?")) for number in range(16)]
LINES: dict[Method, list[bytes]] = {"supervised": ENOUGH, "preference": PAIRS, "distillation": PROMPTS}


def report_of(*lines: bytes, method: Method, limits: ModelLimits = FLASH, **more: Any) -> ValidationReport:
    return validate([b"\n".join([*lines, *LINES[method]])], limits=limits, method=method, **more)


def only_problem(*lines: bytes, method: Method, limits: ModelLimits = FLASH) -> Problem:
    report = report_of(*lines, method=method, limits=limits)
    assert not report.valid
    (problem,) = report.problems
    return problem


@pytest.mark.parametrize(
    "line",
    [
        preference(),
        preference(QUESTION, BETTER, turn("user", "And now?")),
        preference(completions=list(reversed(PAIR))),
        preference(completions=[answer(0.0, WORSE), answer(1.0, {"parts": [{"text": "Apple"}]})]),
        preference(systemInstruction=turn("system", "You are a chat bot.")),
        preference(system_instruction={"parts": [{"text": "You are a chat bot."}]}),
    ],
)
def test_a_prompt_with_a_preferred_and_another_answer_is_good(line: bytes) -> None:
    assert report_of(line, method="preference").valid


IMAGE = {"fileData": {"fileUri": "gs://bucket/o.png", "mimeType": "image/png"}}


@pytest.mark.parametrize(
    ("line", "reason", "column_of", "said"),
    [
        (
            preference(completions=[]),
            Reason.WRONG_COMPLETIONS,
            '"completions"',
            "is missing or empty; there must be two",
        ),
        (preference(completions=PAIR[:1]), Reason.WRONG_COMPLETIONS, '"completions"', "has 1 answers"),
        (preference(completions=[*PAIR, PAIR[0]]), Reason.WRONG_COMPLETIONS, '"completions"', "has 3 answers"),
        (
            preference(completions=[answer(1, BETTER), answer(1, WORSE)]),
            Reason.WRONG_COMPLETIONS,
            None,
            "Both answers have the score 1; one must be preferred",
        ),
        (
            preference(completions=[answer(0.9, BETTER), PAIR[1]]),
            Reason.WRONG_COMPLETIONS,
            '"score": 0.9',
            "is 0.9; it",
        ),
        (
            preference(completions=[answer(None, BETTER), PAIR[1]]),
            Reason.WRONG_COMPLETIONS,
            '"score": null',
            "is missing",
        ),
        (preference(completions=[answer(True, BETTER), PAIR[1]]), Reason.WRONG_TYPE, '"score": true', "of type number"),
        (
            preference(completions=[PAIR[0], {"score": 0}]),
            Reason.WRONG_COMPLETIONS,
            '{"score": 0}',
            "the answer itself",
        ),
        (
            preference(completions=[answer(1, turn("user", "mine")), PAIR[1]]),
            Reason.WRONG_ROLE,
            '"role": "user", "parts": [{"text": "mine',
            "'user'",
        ),
        (
            preference(completions=[answer(1, turn("model")), PAIR[1]]),
            Reason.EMPTY_PART,
            '"parts": []',
            "is missing or empty",
        ),
        (
            preference(completions=[answer(1, turn("model", " ")), PAIR[1]]),
            Reason.EMPTY_TEXT,
            '"text": " "',
            "is empty",
        ),
        (
            preference(completions=[answer(1, turn("model", IMAGE)), PAIR[1]]),
            Reason.WRONG_PART,
            None,
            "may hold text only",
        ),
        (preference(turn("user", IMAGE, "What is it?")), Reason.WRONG_PART, None, "The user's side may hold text only"),
        (
            preference(QUESTION, BETTER),
            Reason.WRONG_ORDER,
            '{"role": "model"',
            "must be the user's, and the answers belong",
        ),
        (preference(QUESTION, QUESTION), Reason.WRONG_ORDER, None, "must alternate"),
        (preference(turn("assistant", "x")), Reason.WRONG_ROLE, '"role": "assistant"', "`model`"),
        (json.dumps({"completions": PAIR}).encode(), Reason.MISSING_CONTENTS, None, "an example reads"),
        (preference(tools=[]), Reason.UNKNOWN_KEY, '"tools"', "`tools` in the example is not known"),
        (b'{"contents": [}', Reason.NOT_JSON, None, "not one JSON value"),
    ],
)
def test_what_is_wrong_with_a_pair_is_said_with_its_place(
    line: bytes, reason: Reason, column_of: str | None, said: str
) -> None:
    # Not the first line: that one could be told that it is for another method.
    report = report_of(PAIRS[0], line, method="preference")
    (problem,) = report.problems
    assert (problem.line, problem.reason) == (2, reason)
    assert said in problem.message
    if column_of is not None:
        assert problem.column == line.index(column_of.encode()) + 1


def test_a_prompt_is_billed_twice_and_each_answer_once() -> None:
    line = preference(
        turn("user", "a" * 400), completions=[answer(1, turn("model", "b" * 40)), answer(0, turn("model", "c" * 80))]
    )
    measure = measure_preference(line)
    assert (measure.tokens, measure.billed_on_top) == (134 + 27, 134 + 14)
    report = validate([line], limits=dataclasses.replace(FLASH, min_examples=1), method="preference")
    assert report.tokens_estimate == 2 * 134 + 14 + 27


def test_the_limit_of_an_example_counts_the_prompt_and_the_longer_answer_once() -> None:
    long = preference(
        turn("user", "a" * 400), completions=[answer(1, turn("model", "b" * 40)), answer(0, turn("model", "c" * 80))]
    )
    limits = dataclasses.replace(FLASH, max_tokens_per_example=134 + 27)
    assert report_of(long, method="preference", limits=limits).warnings == ()
    # Of 16 characters a token: 25 of the prompt, 5 of the longer answer. Whether it is more, only Vertex AI knows.
    limits = dataclasses.replace(FLASH, max_tokens_per_example=30)
    assert "may have more than 30 tokens" in report_of(long, method="preference", limits=limits).warnings[0]
    problem = only_problem(long, method="preference", limits=dataclasses.replace(FLASH, max_tokens_per_example=29))
    assert problem.reason is Reason.TOO_MANY_TOKENS


@pytest.mark.parametrize("method", ["supervised", "preference", "distillation"])
def test_repeated_lines_and_those_of_the_validation_file_are_found_whatever_the_method(method: Method) -> None:
    lines = LINES[method]
    _, known = validate_other([lines[3]], limits=FLASH, method=method)
    report = report_of(
        json.dumps(json.loads(lines[5]), indent=None, sort_keys=True).encode(), method=method, validation=known
    )
    assert (report.duplicates, report.leaked) == (1, 1)


@pytest.mark.parametrize(
    ("lines", "method", "said"),
    [
        (
            ENOUGH,
            "preference",
            "an example with its answer, as for supervised tuning; the file is checked for preference tuning.",
        ),
        (PROMPTS, "preference", "a prompt without an answer, as for distillation"),
        (PAIRS, "supervised", "a prompt with two answers to choose from, as for preference tuning"),
        (PAIRS, "distillation", "a prompt with two answers to choose from, as for preference tuning"),
    ],
)
@pytest.mark.parametrize("policy", ["reject", "quarantine"])
def test_a_file_for_another_method_is_told_so_once(lines: list[bytes], method: Method, said: str, policy: Any) -> None:
    report = validate([b"\n".join([b"", *lines])], limits=FLASH, method=method, invalid_lines=policy)
    assert not report.valid
    (problem,) = report.problems
    assert (problem.line, problem.reason) == (2, Reason.WRONG_METHOD)
    assert said in problem.message
    assert "Set `tuning.method: " in problem.message
    assert report.lines == 17


def test_one_pair_among_examples_is_a_problem_of_its_line() -> None:
    report = validate([b"\n".join([*ENOUGH, PAIRS[0]])], limits=FLASH, invalid_lines="quarantine")
    assert report.valid
    (problem,) = report.problems
    assert (problem.line, problem.reason) == (17, Reason.UNKNOWN_KEY)


def test_a_prompt_needs_no_answer_for_distillation_and_may_have_one() -> None:
    report = report_of(GOOD, example(turn("user", IMAGE, "What is it?")), method="distillation")
    assert report.valid, report.summary
    assert "ready for distillation of gemini-2.5-flash" in report.summary
    assert only_problem(PROMPTS[0].replace(b"user", b"model"), method="distillation").reason is Reason.WRONG_ORDER
    assert not validate([b"\n".join(PROMPTS)], limits=FLASH, method="supervised").valid


def test_an_estimate_for_distillation_says_that_the_teachers_answers_are_missing() -> None:
    assert any("The teacher's answers" in one for one in report_of(method="distillation").warnings)
    assert not any("teacher" in one for one in report_of(method="preference").warnings)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["contents", "completions", "score", "completion", "role", "parts", "text"]), inner
        )
    ),
    max_leaves=12,
)


@settings(deadline=None)
@given(st.binary(max_size=60) | JSON.map(lambda value: json.dumps(value).encode()), st.sampled_from(sorted(MEASURES)))
def test_any_line_is_measured_or_told_what_is_wrong(line: bytes, method: Method) -> None:
    try:
        measure = MEASURES[method](line)
    except BadExample:
        return
    assert measure.tokens > 0
