"""What Google's services answer in place of an answer: whether it passes by itself, when, and what a user does about it."""

from __future__ import annotations

import pytest
from shapes import Shape, assert_is_as_expected, shapes_of

from genops_events.errors import GenopsError
from genops_events.gcp.errors import CloudRefused, google_call, http_error
from genops_events.gemini.calls import is_cache_lost


@pytest.mark.parametrize("shape", shapes_of("errors"), ids=str)
def test_an_error_says_whether_it_passes_and_what_to_do(shape: Shape) -> None:
    with pytest.raises(GenopsError) as caught, google_call("ask it"):
        raise http_error(shape.told["status"], shape.content, {})
    assert_is_as_expected(shape, caught.value)
    is_lost = isinstance(caught.value, CloudRefused) and is_cache_lost(caught.value)
    assert is_lost is shape.expect.get("is_cache_lost", False), "no other refusal ends a context cache"
