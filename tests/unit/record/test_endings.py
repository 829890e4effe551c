"""Whether an answer is one, told the same way whoever asked; and what people are told about those that are none."""

from __future__ import annotations

from typing import get_args

import pytest

from genops_events.catalogue.metrics import computed
from genops_events.evaluation.gates import Gate, judge
from genops_events.evaluation.rows import Row, answers_in, failed_rows, summarise
from genops_events.record.endings import UNUSABLE, State, counted, ending, in_words, remedies, remedy


@pytest.mark.parametrize(
    "finish",
    ["SAFETY", "RECITATION", "PROHIBITED_CONTENT", "BLOCKLIST", "SPII", "LANGUAGE", "OTHER", "MALFORMED_FUNCTION_CALL"],
)
def test_what_a_filter_stopped_is_blocked_whatever_was_said_before(finish: str) -> None:
    for says in (True, False):
        found = ending(finish, says=says)
        assert found.state == "blocked"
        assert finish in (found.reason or "")


def test_a_blocked_prompt_is_blocked_though_there_is_a_candidate() -> None:
    found = ending("STOP", says=True, block_reason="JAILBREAK", told="no")
    assert (found.state, found.reason) == ("blocked", "the prompt was blocked: JAILBREAK (no)")


def test_every_state_that_is_none_has_a_remedy_and_is_counted() -> None:
    assert {*UNUSABLE, "complete"} == {*get_args(State)}
    assert all(remedy(state) for state in UNUSABLE)
    assert counted(["cut", "complete", "cut", "empty"]) == {"blocked": 0, "cut": 2, "empty": 1}


def test_counts_read_as_people_write_them() -> None:
    assert in_words({"blocked": 0, "cut": 0}) == ""
    assert in_words({"cut": 1_200}) == "1,200 cut"
    assert in_words({"blocked": 54, "cut": 12, "empty": 1}) == "54 blocked, 12 cut and 1 empty"
    assert remedies({"blocked": 0, "cut": 3}).startswith("What to do: of cut answers, raise `max_output_tokens`")
    assert remedies({"blocked": 0}) == ""


def row(name: str, state: State | None, **rest: object) -> Row:
    return Row.from_json({"id": name, "prompt": name, "answer": "a", "state": state, **rest})


def test_answers_are_counted_over_the_rows_that_were_asked_about() -> None:
    rows = [
        row("1", "complete", scores={"bleu": 1.0}),
        row("2", "cut", failures={"bleu": "cut"}),
        row("3", "blocked", failures={"bleu": "blocked"}),
        Row("4", "refused", failures={"bleu": "no answer: 400"}),
        Row("5", "known", left_out="is in the training file"),
    ]
    found = answers_in(rows)
    assert (found.asked, found.answered, found.usable) == (4, 3, 1)
    assert found.in_words == "Of 4 answers, 1 can be scored: 1 blocked and 1 cut, 1 refused."
    assert answers_in(rows[:1]).in_words == ""


def test_a_row_of_before_states_were_kept_has_the_state_of_its_finish_reason() -> None:
    old = {"id": "1", "prompt": "p", "answer": "half an", "finish_reason": "MAX_TOKENS"}
    assert Row.from_json(old).state == "cut"
    assert Row.from_json({**old, "finish_reason": "STOP"}).state == "complete"
    assert Row.from_json({"id": "1", "prompt": "p"}).state is None


def test_a_gate_that_lets_rows_fail_refuses_all_the_same_where_none_has_a_score() -> None:
    rows = [row(str(number), "cut", failures={"bleu": "the answer reached max_output_tokens"}) for number in range(3)]
    figures = summarise(rows, [computed("bleu")], {})
    judged = judge(figures, Gate(failed_rows=100), failed_rows=failed_rows(rows), champion=False)
    assert not judged.passed
    assert "no row has any score" in judged.reason
    rows.append(row("4", "complete", scores={"bleu": 0.5}))
    figures = summarise(rows, [computed("bleu")], {})
    assert judge(figures, Gate(failed_rows=3), failed_rows=failed_rows(rows), champion=False).passed
    assert not judge(figures, Gate(failed_rows=2), failed_rows=failed_rows(rows), champion=False).passed


def reasons(*codes: str) -> list[str]:
    found = [ending(code, says=False, told="a message").reason for code in codes]
    return [one for one in found if one is not None]


def test_each_reason_of_the_service_has_a_remedy_of_its_own_and_like_ones_are_said_once() -> None:
    said = remedies(
        {"blocked": 4, "cut": 1, "empty": 0}, reasons("RECITATION", "SPII", "BLOCKLIST", "PROHIBITED_CONTENT")
    )
    assert said == (
        "What to do: of blocked answers, ask for an answer in the model's own words, or raise `inference.temperature` (RECITATION), "
        "leave personal data out of the prompts, and out of the training file (SPII), "
        "no setting lets it pass: leave out what the prompt has of it (BLOCKLIST and PROHIBITED_CONTENT); "
        "of cut answers, raise `max_output_tokens`, or turn `inference.thinking` off or lower."
    )


@pytest.mark.parametrize("found", [[], reasons("A_REASON_OF_NEXT_YEAR"), ["the service refused it: SAFETY first"]])
def test_a_reason_that_nobody_knows_yet_sends_one_to_the_prompts(found: list[str]) -> None:
    assert remedy("blocked", found) == "look at the prompts and at why each was stopped"


def test_a_blocked_prompt_has_the_remedy_of_its_block_reason() -> None:
    blocked = ending("", says=False, block_reason="JAILBREAK").reason
    assert blocked is not None
    assert remedy("blocked", [blocked]).endswith("(JAILBREAK)")
