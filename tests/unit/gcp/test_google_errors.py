"""Which of Google's errors pass by themselves, and so are worth a retry of the task."""

from __future__ import annotations

import pytest
from google.api_core.exceptions import NotFound
from google.auth.exceptions import DefaultCredentialsError, RefreshError, TransportError

from genops_events.gcp.errors import CloudRefused, CloudUnavailable, google_call, http_error


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (RefreshError("metadata server: 503"), CloudUnavailable),
        (TransportError("connection reset"), CloudUnavailable),
        (DefaultCredentialsError("none found"), CloudRefused),
    ],
)
def test_a_token_that_cannot_be_had_just_now_is_retried_and_missing_credentials_are_not(
    error: Exception, expected: type[Exception]
) -> None:
    with pytest.raises(expected), google_call("read something"):
        raise error


@pytest.mark.parametrize("said", ["The endpoint is not found", "The endpoint is not found."])
def test_a_sentence_of_googles_ends_once(said: str) -> None:
    with pytest.raises(CloudRefused, match=r"is not found\.(\s|$)"), google_call("ask it"):
        raise NotFound(said)


def test_a_page_that_never_closes_its_tags_is_read_as_far_as_its_words_are_looked_for() -> None:
    page = "<html>" + "<style" * 2_000_000  # looked through whole, it would keep a core busy for hours
    with pytest.raises(CloudRefused) as caught, google_call("look"):
        raise http_error(404, page.encode(), {})
    assert len(caught.value.message) < 1_000
