"""How many tokens a text is taken for, by its script: an estimate must not be too low where a token holds one character."""

from __future__ import annotations

import pytest

from genops_events.pricing import estimated_tokens


@pytest.mark.parametrize(
    ("text", "tokens"),
    [("", 0), ("a", 1), ("four", 1), ("five5", 2), ("你好世界", 4), ("ab你", 2), ("naïve", 2), ("😀", 1)],
)
def test_a_token_holds_four_ascii_characters_or_one_other(text: str, tokens: int) -> None:
    assert estimated_tokens(text) == tokens
