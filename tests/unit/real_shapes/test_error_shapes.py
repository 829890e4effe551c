"""What Google's services answer in place of an answer: whether it passes by itself, when, and what a user does about it."""

from __future__ import annotations

import pytest
from shapes import Shape, shapes_of

from genops_events.errors import GenopsError
from genops_events.gcp.errors import CloudUnavailable, google_call, http_error


@pytest.mark.parametrize("shape", shapes_of("errors"), ids=str)
def test_an_error_says_whether_it_passes_and_what_to_do(shape: Shape) -> None:
    with pytest.raises(GenopsError) as caught, google_call("ask it"):
        raise http_error(shape.told["status"], shape.content, {})
    assert_is_as_expected(shape, caught.value)


def assert_is_as_expected(shape: Shape, error: GenopsError) -> None:
    expected = shape.expect
    assert type(error).__name__ == expected["class"], shape.told["otherwise"]
    assert expected["says"] in error.message
    assert expected["hint"] in error.hint
    assert shape.told["without"] not in error.message
    if isinstance(error, CloudUnavailable):
        assert error.retry_after_seconds == expected.get("retry_after_seconds")
