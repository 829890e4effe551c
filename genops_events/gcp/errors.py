"""Turn what Google's clients raise into the two kinds of error that retries are decided by."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from genops_events.errors import PermanentError, TransientError

_PASSING_STATUS = {408, 429, 499, 500, 502, 503, 504}
_REMEDIES = {
    400: "The request is wrong: check genops.yaml and the files that it names.",
    401: "Log in with `gcloud auth application-default login`, or start the local stack with `genops up`.",
    403: "Grant the service account the role that the message names.",
    404: "Check that what the message names exists, in this project and location.",
}
_DISABLED = (
    "Enable the API that the message names: "
    "`gcloud services enable storage.googleapis.com pubsub.googleapis.com aiplatform.googleapis.com`, and wait a minute."
)
_LOST_CONNECTIONS = (
    ("httpx", "TransportError"),
    ("aiohttp", "ClientError"),
    ("requests", "RequestException"),
    ("google.auth.exceptions", "TransportError"),
)
"""Exceptions by module: looked up only where somebody has imported the module, since some take a second to import."""


class CloudUnavailable(TransientError):
    """Google Cloud did not answer, or asked to be called later."""

    status: int | None = None
    """HTTP status of the answer; None where there was no answer."""
    retry_after_seconds: float | None = None
    """What the service itself asked for, by a `Retry-After` header or a `google.rpc.RetryInfo`."""


class CloudBusy(CloudUnavailable):
    """Google Cloud asked to be called much later: longer than a worker should wait."""


class CloudRefused(PermanentError):
    """Google Cloud answered that this call can never succeed as it is."""

    status: int | None = None
    """HTTP status of the answer; None where there was no answer."""


@contextmanager
def google_call(what: str) -> Iterator[None]:
    """Run one call of a Google client under this project's errors.

    Args:
        what: the call in words for the error text, such as `submit the tuning job`.

    Raises:
        CloudUnavailable: time-outs, lost connections, HTTP 408, 429, 499 and 5xx, ABORTED, no token. Airflow retries the task.
        CloudRefused: everything else that the service answered. Retrying is of no use.
    """
    try:
        yield
    except Exception as error:
        translated = _translate(what, error)
        if translated is None:
            raise
        raise translated from error


@contextmanager
def first_error() -> Iterator[None]:
    """Raise the first error of a group instead of the group: the others are its siblings, or were cancelled by it."""
    try:
        yield
    except BaseExceptionGroup as group:
        error: BaseException = group
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        raise error from group


def _translate(what: str, error: Exception) -> CloudUnavailable | CloudRefused | None:
    """Return `error` as one of ours; None where it is none of Google's, but ours already or a mistake in the code."""
    from google.api_core import exceptions as api
    from google.auth import exceptions as auth

    later = "It is retried with back-off."
    if isinstance(error, (api.Aborted, api.Cancelled, api.RetryError)):
        return CloudUnavailable(f"Could not {what}: {error}.", later)
    if isinstance(error, api.GoogleAPICallError):
        return _by_status(what, error.code, str(error), retry_after_seconds=_retry_after(error))
    genai = sys.modules.get("google.genai.errors")
    if genai is not None and isinstance(error, genai.APIError):
        text = f"{error.status}: {error.message}"
        return _by_status(what, error.code, text, retry_after_seconds=_retry_after(error))
    if isinstance(error, OSError) or _is_lost_connection(error):
        return CloudUnavailable(f"Could not {what}: no answer ({type(error).__name__}: {error}).", later)
    if isinstance(error, auth.GoogleAuthError):
        # A metadata server or an IAM service that is down for a moment shows so, too: every task asks it for a token.
        kind = CloudUnavailable if isinstance(error, auth.RefreshError) else CloudRefused
        return kind(f"Could not {what}: {error}", _REMEDIES[401])
    return None


def _retry_after(error: Any) -> float | None:
    """Return how long an error of google-genai or of api_core says to wait, in seconds."""
    header = getattr(getattr(error, "response", None), "headers", {}).get("Retry-After", "")
    if header.isdigit():
        return float(header)  # its other form, a date, is not used by Google's APIs
    details = getattr(error, "details", None)
    if isinstance(details, dict):
        details = details.get("error", details).get("details")
    for detail in details if isinstance(details, list) else ():
        if isinstance(detail, dict) and str(detail.get("@type", "")).endswith("google.rpc.RetryInfo"):
            seconds = str(detail.get("retryDelay", "")).removesuffix("s")
            return float(seconds) if seconds.replace(".", "", 1).isdigit() else None
    return None


def _is_lost_connection(error: Exception) -> bool:
    return any(
        isinstance(error, getattr(sys.modules[module], name))
        for module, name in _LOST_CONNECTIONS
        if module in sys.modules
    )


def _by_status(
    what: str, code: int | None, text: str, *, retry_after_seconds: float | None = None
) -> CloudUnavailable | CloudRefused:
    text = text.removesuffix(".")  # Google ends some of its sentences, and not others
    if code is not None and int(code) not in _PASSING_STATUS:
        is_disabled = "SERVICE_DISABLED" in text or "has not been used in project" in text
        refused = CloudRefused(f"Could not {what}: {text}.", _DISABLED if is_disabled else _REMEDIES.get(int(code), ""))
        refused.status = int(code)
        return refused
    unavailable = CloudUnavailable(f"Could not {what}: {text}.", "It is retried with back-off.")
    unavailable.status = None if code is None else int(code)
    unavailable.retry_after_seconds = retry_after_seconds
    return unavailable
