from __future__ import annotations

import json
import math

import pytest

from genops_events.catalogue import metrics
from genops_events.catalogue.rubrics import Rubric
from genops_events.evaluation.held_out import in_training
from genops_events.evaluation.rows import Row, Score, causes, failed_rows, summarise, worst

EXACT = metrics.computed("exact_match")
JUDGE = metrics.JudgeCalls("", 4)
WINS = metrics.pairwise({"Criteria": "better"}, show_reference=False, judge=JUDGE)


def row(number: int, **more: object) -> Row:
    return Row(id=f"line-{number}", prompt=f"prompt {number}", **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (math.nan, "gave nan, which is no score from 0 to 1"),
        (math.inf, "gave inf, which is no score"),
        (1.5, "gave 1.5, which is no score from 0 to 1"),
        (None, "gave no score"),
    ],
)
def test_what_is_no_score_is_a_failure_with_its_reason_and_never_a_zero(value: float | None, why: str) -> None:
    score = Score.of(EXACT, value, "words")
    assert score.score is None
    assert score.failure is not None
    assert why in score.failure
    unbounded = Score.of(metrics.python_metric("mine", "m:f"), value)
    assert (unbounded.score, bool(unbounded.failure)) == ((1.5, False) if value == 1.5 else (None, True))


def test_rows_without_a_score_are_counted_and_in_no_mean() -> None:
    rows = [
        row(1, scores={"exact_match": 1.0}),
        row(2, failures={"exact_match": "refused"}),
        row(3, scores={"exact_match": 0.0}),
        row(4, left_out="is in the training file", scores={"exact_match": 1.0}),
    ]
    found = summarise(rows, [EXACT, WINS], {})
    assert set(found) == {"exact_match"}, "what was never asked has no figures"
    assert (found["exact_match"].mean, found["exact_match"].count, found["exact_match"].failed) == (0.5, 2, 1)
    assert failed_rows(rows) == 1
    assert causes(rows) == {"refused": 1}


def test_a_metric_that_failed_on_every_row_has_no_mean() -> None:
    found = summarise([row(1, failures={"exact_match": "refused"})], [EXACT], {"exact_match": 0.4})["exact_match"]
    assert (found.count, found.failed, found.mean, found.champion_mean) == (0, 1, None, None)


def test_candidate_and_champion_are_compared_on_the_rows_that_both_have() -> None:
    rows = [
        row(1, scores={"exact_match": 1.0}, champion_scores={"exact_match": 0.0}),
        row(2, scores={"exact_match": 0.0}, champion_scores={"exact_match": 1.0}),
        row(3, scores={"exact_match": 1.0}),
    ]
    found = summarise(rows, [EXACT], {"exact_match": 0.9})["exact_match"]
    assert (found.common_rows, found.common_mean, found.champion_mean) == (2, 0.5, 0.5)
    alone = summarise(rows[2:], [EXACT], {"exact_match": 0.9})["exact_match"]
    assert (alone.common_rows, alone.champion_mean) == (None, 0.9)


def test_a_row_is_read_as_it_was_written_and_fields_of_a_later_version_are_passed_over() -> None:
    made = row(1, reference="", answer="x", scores={"exact_match": 0.0}, explanations={"fluency": "grün"})
    line = json.loads(made.to_json_line())
    assert Row.from_json({**line, "later": 1}) == made
    assert line["scores"] == {"exact_match": 0.0}


def test_the_worst_rows_come_first() -> None:
    rows = [row(number, scores={"exact_match": score}) for number, score in enumerate([1.0, 0.0, 0.5, 0.0])]
    assert [one.id for one in worst(rows, "exact_match", 3)] == ["line-1", "line-3", "line-2"]


def test_a_metric_of_the_same_name_that_asks_for_something_else_is_another_one() -> None:
    kind = metrics.pointwise("tone", Rubric({"Tone": "polite"}, {5: "yes", 1: "no"}), JUDGE)
    strict = metrics.pointwise("tone", Rubric({"Tone": "very polite"}, {5: "yes", 1: "no"}), JUDGE)
    once = metrics.pointwise("tone", Rubric({"Tone": "polite"}, {5: "yes", 1: "no"}), metrics.JudgeCalls("", 1))
    assert len({kind.fingerprint, strict.fingerprint, once.fingerprint}) == 3
    assert (kind.low, kind.high) == (1.0, 5.0)


def test_braces_in_criteria_are_no_fields_of_the_template() -> None:
    kind = metrics.pointwise("tone", Rubric({"Tone": "no {placeholder}"}, {1: "yes {x}", 0: "no"}), JUDGE)
    assert "{placeholder}" not in kind.template
    assert "{x}" not in kind.template
    assert kind.template.count("{") == 2, "prompt and response"


def turn(text: str, role: str = "user") -> dict[str, object]:
    return {"role": role, "parts": [{"text": text[:3]}, {"text": text[3:]}]}


def test_rows_that_a_user_asks_in_the_training_file_are_found_with_their_line() -> None:
    lines = [
        b"not json",
        json.dumps({"contents": [turn("Where is my CARD?"), turn("card_arrival", "model")]}).encode(),
        b'{"contents": 3}',
        json.dumps({"contents": [turn("hello"), turn("there", "model"), turn("second turn")]}).encode(),
        json.dumps({"contents": [turn("Where is my card?")]}).encode(),
    ]
    prompts = ["where is  my card?", "card_arrival", "second turn", "where is", "Where is my card?"]
    assert in_training(prompts, lines) == {0: 2, 2: 4, 4: 2}
