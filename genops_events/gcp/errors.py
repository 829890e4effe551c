"""Turn what Google's clients raise into the two kinds of error that retries are decided by."""

from __future__ import annotations

import html
import json
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

from genops_events.errors import PermanentError, TransientError

_PASSING_STATUS = {408, 410, 429, 499, 500, 502, 503, 504}
"""410 ends a resumable upload: begun anew, it succeeds.

https://cloud.google.com/storage/docs/json_api/v1/status-codes (read 2026-11-30)
"""
_PASSING_WORDS = {409: "ABORTED", 400: "Service agents are being provisioned"}
"""Refusals that pass by themselves, by their words: somebody else was at it at the same moment; in a new project, Vertex AI's own
accounts are being made for some minutes (https://github.com/GoogleCloudPlatform/generative-ai/issues/1308, read 2026-11-30)."""
_REMEDIES = {
    400: "The request is wrong: check genops.yaml and the files that it names.",
    401: "Log in with `gcloud auth application-default login`, or start the local stack with `genops up`.",
    403: "Grant the service account the role that the message names.",
    404: "Check that what the message names exists, in this project and location.",
}
_DISABLED = (
    "Enable the API that the message names: "
    "`gcloud services enable storage.googleapis.com pubsub.googleapis.com aiplatform.googleapis.com bigquery.googleapis.com`, "
    "and wait a minute."
)
_BY_REASON = {
    "SERVICE_DISABLED": _DISABLED,
    "BILLING_DISABLED": "Link a billing account to the project that the message names, and wait a minute.",
    "CONSUMER_INVALID": "Check `project` in genops.yaml: it is the project's id, not its name.",
    "SECURITY_POLICY_VIOLATED": (
        "VPC Service Controls keep this machine out: ask who administers the perimeter, and name the identifier in the message."
    ),
}
"""What to do by the `reason` of a `google.rpc.ErrorInfo`, which says more than the status."""
_TOO_MANY = 429
_NO_QUOTA = "This quota is 0 here, so that no time passes it: ask Google for a higher quota, or use another location."
_PAGE = re.compile(r"(?is)<!doctype html|<html")
_NOT_TEXT = re.compile(r"(?is)<(style|script)\b.*?</\1>|<[^>]*>")
_PAGE_CHARACTERS = 500
_MOST_OF_PAGE = 16 * 1024
"""Characters of a page that are looked through for its words: to look for the end of each tag takes long in a long one."""
_LOST_CONNECTIONS = (
    ("httpx", "TransportError"),
    ("aiohttp", "ClientError"),
    ("requests", "RequestException"),
    ("google.auth.exceptions", "TransportError"),
    ("google.genai.errors", "UnknownApiResponseError"),  # 200 and no JSON, as of a proxy's log-in page
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
        CloudUnavailable: time-outs, lost connections, HTTP 408, 410, 429, 499 and 5xx, ABORTED, no token, Vertex AI's own accounts
            still being made. Airflow retries the task.
        CloudRefused: everything else that the service answered, a quota of 0 among it. Retrying is of no use.
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
        return _by_status(what, error.code, f"{error.code or ''} {error.message}".strip(), error)
    genai = sys.modules.get("google.genai.errors")
    if genai is not None and isinstance(error, genai.APIError):
        return _by_status(what, error.code, _told(error.details), error)
    if isinstance(error, OSError) or _is_lost_connection(error):
        return CloudUnavailable(f"Could not {what}: no answer ({type(error).__name__}: {error}).", later)
    if isinstance(error, auth.GoogleAuthError):
        # A metadata server or an IAM service that is down for a moment shows so, too: every task asks it for a token.
        kind = CloudUnavailable if isinstance(error, auth.RefreshError) else CloudRefused
        return kind(f"Could not {what}: {error}", _REMEDIES[401])
    return None


def http_error(status: int, content: bytes, headers: Any) -> Exception:
    """Return what google-api-core would raise for an answer of HTTP, which `google_call` reads.

    Args:
        status: of HTTP, 400 or more.
        content: an error of Google's as JSON, alone or in an array; a page of HTML; nothing.
        headers: of the answer.
    """
    from google.api_core import exceptions

    try:
        body = json.loads(content)
    except (ValueError, RecursionError):
        body = content.decode("utf-8", "replace")
    response = SimpleNamespace(headers=headers)
    found = _inner(body)
    details = found.get("details") if isinstance(found, Mapping) else None
    raised: Exception = exceptions.from_http_status(status, _told(body), details=details or [], response=response)
    return raised


def _inner(body: Any) -> Any:
    """Return what an error says of itself: `error` of an object, or of the first object in an array."""
    if isinstance(body, list):
        body = next((one for one in body if isinstance(one, Mapping)), None)
    return body.get("error", body) if isinstance(body, Mapping) else body


def _told(body: Any) -> str:
    """Return status and message of an error; of OAuth's errors the word and its description; of anything else, all of it."""
    found = _inner(body)
    if isinstance(found, Mapping) and (found.get("message") or found.get("status")):
        return f"{found.get('status') or ''}: {found.get('message') or ''}".removeprefix(": ")
    if isinstance(body, Mapping) and isinstance(found, str):
        return f"{found}: {body.get('error_description') or ''}".removesuffix(": ")
    text = body if isinstance(body, str) else json.dumps(body)
    return text if _PAGE.search(text) else text[:_PAGE_CHARACTERS]


def in_words(text: str) -> str:
    """Return a text in which an error stands as JSON, with that error in words: `Bad Request: INVALID_ARGUMENT: …`."""
    before, brace, after = text.partition("{")
    try:
        body = json.loads(brace + after)
    except (ValueError, RecursionError):
        return _readable(text)
    return before + _told(body) if isinstance(body, Mapping) and "error" in body else text


def _details(error: Any) -> Iterator[Mapping[str, Any]]:
    """Yield the details of an error of google-genai, of api_core (HTTP and gRPC), or of `http_error`."""
    details = getattr(error, "details", None)
    if isinstance(details, list) and any(hasattr(one, "DESCRIPTOR") for one in details):
        yield from (one if isinstance(one, Mapping) else _as_json(one) for one in details)
        return
    found = _inner(details) if isinstance(details, Mapping) else details
    if isinstance(found, list) and not any(isinstance(one, Mapping) and "@type" in one for one in found):
        found = _inner(found)  # google-genai unpacks an array of one error alone
    if isinstance(found, Mapping):
        found = found.get("details")
    for one in found if isinstance(found, (list, tuple)) else ():
        if isinstance(one, Mapping):
            yield one


def _as_json(detail: Any) -> Mapping[str, Any]:
    """Return a detail of an error of gRPC as JSON tells it."""
    from google.protobuf.json_format import MessageToDict

    return {"@type": f"type.googleapis.com/{detail.DESCRIPTOR.full_name}", **MessageToDict(detail)}


def _status_word(error: Any) -> str:
    """Return the canonical status of an error of api_core, which keeps only the number of it; empty where nobody knows."""
    try:
        found = _inner(error.response.json())
    except (AttributeError, TypeError, ValueError):
        return ""
    return str(found.get("status", "")) if isinstance(found, Mapping) else ""


def _info(error: Any) -> Mapping[str, Any]:
    """Return the `google.rpc.ErrorInfo` of an error; an empty one where it has none."""
    named = (one for one in _details(error) if str(one.get("@type", "")).endswith("google.rpc.ErrorInfo"))
    return next(named, {})


def _violations(text: str, error: Any) -> str:
    """Return what an error finds wrong, field by field, and does not say in its text; empty where there is nothing."""
    found = [
        f"{one.get('field') or one.get('subject') or ''}: {said}".removeprefix(": ")
        for detail in _details(error)
        for one in [*(detail.get("fieldViolations") or ()), *(detail.get("violations") or ())]
        if isinstance(one, Mapping)
        and (said := str(one.get("description") or "").removesuffix("."))
        and said not in text
    ]
    return f" ({'; '.join(found)})" if found else ""


def _retry_after(error: Any) -> float | None:
    """Return how long an error of google-genai or of api_core says to wait, in seconds."""
    header = getattr(getattr(error, "response", None), "headers", {}).get("Retry-After", "")
    if header.isdigit():
        return float(header)  # its other form, a date, is not used by Google's APIs
    for detail in _details(error):
        if str(detail.get("@type", "")).endswith("google.rpc.RetryInfo"):
            seconds = str(detail.get("retryDelay", "")).removesuffix("s")
            return float(seconds) if seconds.replace(".", "", 1).isdigit() else None
    return None


def _readable(text: str) -> str:
    """Return a text without the tags and styles of a page of HTML that stands in it, such as a gateway's."""
    page = _PAGE.search(text)
    if page is None:
        return text
    words = html.unescape(_NOT_TEXT.sub(" ", text[page.start() : page.start() + _MOST_OF_PAGE])).split()
    plain = " ".join(words)
    if len(plain) > _PAGE_CHARACTERS:
        plain = plain[:_PAGE_CHARACTERS] + "…"
    return f"{text[: page.start()]}{plain}"


def _is_lost_connection(error: Exception) -> bool:
    return any(
        isinstance(error, getattr(sys.modules[module], name))
        for module, name in _LOST_CONNECTIONS
        if module in sys.modules
    )


def _by_status(what: str, code: int | None, text: str, error: Any) -> CloudUnavailable | CloudRefused:
    status = None if code is None else int(code)
    text = _readable(text).removesuffix(".")  # Google ends some of its sentences, and not others
    told = f"Could not {what}: {text}{_violations(text, error)}."
    info = _info(error)
    has_no_quota = status == _TOO_MANY and (info.get("metadata") or {}).get("quota_limit_value") == "0"
    word = _PASSING_WORDS.get(status or 0)
    passes = status is None or status in _PASSING_STATUS
    passes = passes or (word is not None and (word in text or word == _status_word(error)))
    if has_no_quota or not passes:
        assert status is not None
        remedy = _NO_QUOTA if has_no_quota else _BY_REASON.get(str(info.get("reason"))) or _REMEDIES.get(status, "")
        if "has not been used in project" in text:
            remedy = _DISABLED
        refused = CloudRefused(told, remedy)
        refused.status = status
        return refused
    unavailable = CloudUnavailable(told, "It is retried with back-off.")
    unavailable.status = status
    unavailable.retry_after_seconds = _retry_after(error)
    return unavailable
