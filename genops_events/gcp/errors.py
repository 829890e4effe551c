"""Turn what Google's clients raise into the two kinds of error that retries are decided by."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from genops_events.errors import PermanentError, TransientError

_PASSING_STATUS = {408, 429, 500, 502, 503, 504}
_REMEDIES = {
    400: "The request is wrong: check genops.yaml and the files that it names.",
    401: "Check the Application Default Credentials (`gcloud auth application-default login`).",
    403: "Grant the service account the role that the message names.",
    404: "Check that what the message names exists, in this project and location.",
}


class CloudUnavailable(TransientError):
    """Google Cloud did not answer, or asked to be called later."""


class CloudRefused(PermanentError):
    """Google Cloud answered that this call can never succeed as it is."""


@contextmanager
def google_call(what: str) -> Iterator[None]:
    """Run one call of a Google client under this project's errors.

    Args:
        what: the call in words for the error text, such as `submit the tuning job`.

    Raises:
        CloudUnavailable: time-outs, lost connections, HTTP 408, 429 and 5xx. Airflow retries the task.
        CloudRefused: everything else that the service answered. Retrying is of no use.
    """
    import httpx
    import requests
    from google.api_core import exceptions as api
    from google.auth import exceptions as auth
    from google.genai import errors as genai

    try:
        yield
    except api.RetryError as error:
        raise CloudUnavailable(f"Could not {what}: {error}.", "It is retried with back-off.") from error
    except api.GoogleAPICallError as error:
        raise _by_status(what, error.code, str(error)) from error
    except genai.APIError as error:
        raise _by_status(what, error.code, f"{error.status}: {error.message}") from error
    except (
        httpx.TransportError,
        requests.RequestException,
        auth.TransportError,
        ConnectionError,
        TimeoutError,
    ) as error:
        raise CloudUnavailable(
            f"Could not {what}: no answer ({type(error).__name__}: {error}).", "It is retried with back-off."
        ) from error
    except auth.GoogleAuthError as error:
        raise CloudRefused(f"Could not {what}: {error}.", _REMEDIES[401]) from error


def _by_status(what: str, code: int | None, text: str) -> CloudUnavailable | CloudRefused:
    if code is None or int(code) in _PASSING_STATUS:
        return CloudUnavailable(f"Could not {what}: {text}.", "It is retried with back-off.")
    return CloudRefused(f"Could not {what}: {text}.", _REMEDIES.get(int(code), ""))
