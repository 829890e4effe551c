"""Ask Airflow's REST, from outside Airflow and without importing it."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from genops_events.config.environment import Settings
from genops_events.errors import PermanentError, TransientError

if TYPE_CHECKING:
    from requests import Response

_REFUSED = (401, 403)
_NOT_THERE = 404
_CONFLICTS = (404, 409)
_SERVER_ERROR = 500


class AirflowNotConfigured(PermanentError):
    """GENOPS_AIRFLOW_URL does not say where Airflow's REST API is."""


class AirflowUnavailable(TransientError):
    """Airflow's API server does not answer, or not as one."""


class AirflowRefused(PermanentError):
    """Airflow asks for a login, or does not let this user see it (401, 403)."""


class AirflowNotFound(PermanentError):
    """Airflow has not got what it was asked for (404)."""


class AirflowConflict(PermanentError):
    """What was to be changed has changed already, or is not there to be changed any more (409, 404)."""


@dataclass(frozen=True, slots=True)
class AirflowRest:
    """One Airflow's REST."""

    url: str
    """Scheme and host, and the path that it is served under, if any."""
    token: str | None = field(default=None, repr=False)
    username: str | None = None
    """With `password`, exchanged for a token where there is none."""
    password: str | None = field(default=None, repr=False)
    timeout_seconds: float = 8.0

    def public(self, path: str) -> Any:
        """Return the JSON of a page that everybody may see.

        Args:
            path: below the url, with its slash.

        Raises:
            AirflowUnavailable: no answer, or none of an Airflow.
            AirflowRefused: a user is asked for all the same.
        """
        return self._json("GET", path)

    def get(self, path: str, params: Mapping[str, str | int] | None = None) -> Any:
        """Return the JSON that this user sees; errors as `public`."""
        return self._json("GET", path, params=params, headers=self._headers())

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """Make something as this user, and return what Airflow says to it; errors as `public`."""
        return self._json("POST", path, json=body, headers=self._headers())

    def patch(self, path: str, body: Mapping[str, Any]) -> Any:
        """Change something as this user, and return what Airflow says to it; errors as `public`."""
        return self._json("PATCH", path, json=body, headers=self._headers())

    def last_lines(self, path: str, *, count: int) -> list[Any]:
        """Return the last documents of an answer in JSON Lines, such as a task's log, however long it is; errors as `public`."""
        import requests

        url = self.url.rstrip("/") + path
        headers = {**self._headers(), "Accept": "application/x-ndjson"}
        try:
            with requests.get(
                url, headers=headers, timeout=self.timeout_seconds, stream=True, allow_redirects=False
            ) as answer:
                _check(url, answer)
                lines = deque((one for one in answer.iter_lines() if one.strip()), maxlen=count)
            return [json.loads(one) for one in lines]
        except (requests.RequestException, ValueError) as error:
            raise AirflowUnavailable(f"{url} breaks off: {_short(error)}") from error

    def _headers(self) -> dict[str, str]:
        token = self.bearer()
        return {} if token is None else {"Authorization": f"Bearer {token}"}

    def bearer(self) -> str | None:
        """Return the token to show; None where nothing is set: an Airflow whose users are all admins wants none."""
        if self.token is not None or self.username is None:
            return self.token
        body = {"username": self.username, "password": self.password or ""}
        return str(self._json("POST", "/auth/token", json=body)["access_token"])

    def _json(self, method: str, path: str, **request: Any) -> Any:
        import requests

        url = self.url.rstrip("/") + path
        try:
            answer = requests.request(method, url, timeout=self.timeout_seconds, allow_redirects=False, **request)
        except requests.RequestException as error:
            raise AirflowUnavailable(f"{url} does not answer: {_short(error)}") from error
        if method == "PATCH" and answer.status_code in _CONFLICTS:
            raise AirflowConflict(f"{url} answers {answer.status_code}: {answer.text[:200]}")
        _check(url, answer)
        try:
            return answer.json()
        except requests.RequestException as error:
            raise PermanentError(f"{url} answers no JSON, which no Airflow 3 does: {answer.text[:200]}") from error


def known_airflow() -> AirflowRest | None:
    """Return the Airflow that GENOPS_AIRFLOW_URL names, with its user; None where it is not set."""
    settings = Settings()
    if settings.airflow_url is None:
        return None
    token, password = settings.airflow_token, settings.airflow_password
    return AirflowRest(
        url=settings.airflow_url,
        token=None if token is None else token.get_secret_value(),
        username=settings.airflow_username,
        password=None if password is None else password.get_secret_value(),
    )


def _check(url: str, answer: Response) -> None:
    """Raise what an answer that is none means."""
    if answer.status_code in _REFUSED:
        raise AirflowRefused(f"{url} answers {answer.status_code}: {answer.text[:200]}")
    if not answer.ok:
        kind: type[PermanentError | TransientError] = PermanentError
        if answer.status_code == _NOT_THERE:
            kind = AirflowNotFound
        elif answer.status_code >= _SERVER_ERROR:
            kind = AirflowUnavailable
        raise kind(f"{url} answers {answer.status_code}, which no Airflow 3 does: {answer.text[:200]}")


def _short(error: Exception) -> str:
    """Return the reason alone: requests wraps it in two more exceptions, with the url again."""
    reason = getattr(error.args[0], "reason", error.args[0]) if error.args else error
    return f"{type(error).__name__}: {str(reason).rpartition('>: ')[2] or reason}"
