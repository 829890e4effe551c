from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genops_events.evaluation.examples import (
    EvaluationDataError,
    EvaluationExample,
    read_evaluation_examples,
)
from genops_events.gemini.prompts import PromptRow, read_rows
from genops_events.reading.addresses import Readable

BUCKET = Path(__file__).parents[3] / "examples" / "bucket"
TEXTS = st.text(min_size=1).filter(str.strip)


def test_shipped_examples_are_good() -> None:
    with (BUCKET / "evaluation" / "banking77.jsonl").open(encoding="utf-8") as lines:
        examples = list(read_evaluation_examples(lines))
    with (BUCKET / "prompts" / "banking77.jsonl").open("rb") as rows:
        prompts = [row for row in read_rows(rows, readable=Readable("genops-data")) if isinstance(row, PromptRow)]
    assert (len(examples), len({example.reference for example in examples})) == (154, 77)
    assert len(prompts) == 20
    assert not {prompt.prompt for prompt in prompts} & {example.prompt for example in examples}


def test_blank_lines_and_a_byte_order_mark_are_skipped() -> None:
    lines = ['\ufeff{"prompt": "a", "reference": "b"}\r\n', "\n", '{"prompt": "c", "reference": "d"}']
    assert list(read_evaluation_examples(lines)) == [EvaluationExample("a", "b"), EvaluationExample("c", "d")]


def test_half_of_a_character_is_refused_before_anything_is_paid_for_it() -> None:
    whole, half = r'{"prompt": "\ud83d\ude00", "reference": "b"}', r'{"prompt": "a", "reference": "b \uD83D"}'
    assert [one.prompt for one in read_evaluation_examples([whole])] == ["\U0001f600"]
    with pytest.raises(EvaluationDataError, match=r"Line 2: .*half of a surrogate pair"):
        list(read_evaluation_examples([whole, half]))


@settings(deadline=None)
@given(st.lists(st.tuples(TEXTS, TEXTS), min_size=1))
def test_what_is_written_is_read(rows: list) -> None:
    lines = [json.dumps({"prompt": prompt, "reference": reference}) for prompt, reference in rows]
    assert [(example.prompt, example.reference) for example in read_evaluation_examples(lines)] == rows


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("{", "is not JSON (expecting property name"),
        ("[" * 100_000, "it is nested too deeply"),
        ('{"prompt": "a", "prompt": "b", "reference": "c"}', "the object has the key 'prompt' more than once"),
        ('{"prompt": "a", "reference": 1' + "1" * 5000 + "}", "a number has 5,001 characters"),
        ('["prompt"]', "is not a JSON object"),
        ('{"prompt": "a"}', "`reference` is missing"),
        ('{"reference": "a"}', "`prompt` is missing"),
        ('{"prompt": "a", "reference": ""}', "`reference` must be a text that is not empty"),
        ('{"prompt": 3, "reference": "a"}', "`prompt` must be a text"),
        (
            '{"prompt": "a", "reference": "b", "label": "c"}',
            "`label` is not known, allowed are prompt, reference and id",
        ),
    ],
)
def test_wrong_example_names_its_line_and_reason(line: str, expected: str) -> None:
    reading = read_evaluation_examples(['{"prompt": "a", "reference": "b"}', "", line])
    assert next(reading) == EvaluationExample("a", "b")
    with pytest.raises(EvaluationDataError) as caught:
        next(reading)
    assert caught.value.line == 3
    assert caught.value.message.startswith("Line 3: ")
    assert expected in caught.value.message
    assert len(caught.value.hint) < 220


@pytest.mark.parametrize("lines", [[], ["\n", "  "]])
def test_file_without_content_is_an_error(lines: list[str]) -> None:
    with pytest.raises(EvaluationDataError, match="no example"):
        list(read_evaluation_examples(lines))
