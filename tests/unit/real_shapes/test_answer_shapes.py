"""What a model answers, as the real service words it: text, thoughts, calls, sources, how it ended, and what is billed."""

from __future__ import annotations

import pytest
from shapes import Shape, shapes_of

from genops_events.gemini.replies import read_reply


@pytest.mark.parametrize("shape", shapes_of("answers", "usages"), ids=str)
def test_an_answer_is_kept_for_what_it_is(shape: Shape) -> None:
    kept = read_reply(shape.content).to_json()
    assert {name: kept.get(name) for name in shape.expect} == shape.expect, shape.told["otherwise"]


@pytest.mark.parametrize("shape", shapes_of("answers", "usages"), ids=str)
def test_all_tokens_of_the_total_are_counted_as_input_or_output(shape: Shape) -> None:
    total = (shape.document.get("usageMetadata") or {}).get("totalTokenCount")
    if total is not None:
        reply = read_reply(shape.content)
        assert reply.input_tokens + reply.output_tokens == total
