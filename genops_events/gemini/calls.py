"""Call Gemini online: the documented REST API over aiohttp, with a fraction of google-genai's CPU time (docs/adr/0012)."""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from genops_events.back_off import back_off_seconds
from genops_events.errors import PermanentError
from genops_events.gcp.clients import CALL_TIMEOUT_SECONDS, tls_context, vertex_credentials, vertex_endpoint
from genops_events.gcp.errors import CloudBusy, CloudRefused, CloudUnavailable, google_call, http_error

if TYPE_CHECKING:
    import aiohttp
    from google.auth.credentials import Credentials

    from genops_events.config import Config

TRIES = 8
"""Tries of one call: with back-off, they bridge about three minutes of trouble; then the task itself is retried."""
FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 60.0
LONGEST_ASKED_SECONDS = 300.0
"""Longest pause in seconds for which a worker waits; where the service asks for a longer one, the task is retried."""
ANSWER_TIMEOUT_SECONDS = 5 * CALL_TIMEOUT_SECONDS
"""Timeout of one try in seconds: a long answer with thinking takes minutes."""


class Connection:
    """The connections of one run to Vertex AI, with their credentials.

    Args:
        config: project and location.
        at_once: the most connections.
    """

    def __init__(self, config: Config, *, at_once: int) -> None:
        self._config = config
        self._at_once = at_once
        self._session: aiohttp.ClientSession | None = None
        self._credentials: Credentials | None = None
        self._base = ""
        self._headers: dict[str, str] = {}
        self._refreshing = asyncio.Lock()

    async def __aenter__(self) -> Self:
        import aiohttp

        self._credentials, self._base = await asyncio.to_thread(vertex_credentials, self._config.location)
        trusted = await asyncio.to_thread(_trusted)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=self._at_once, ssl=trusted),
            timeout=aiohttp.ClientTimeout(total=ANSWER_TIMEOUT_SECONDS, sock_connect=CALL_TIMEOUT_SECONDS),
            # Not `trust_env`: that looks the proxy up in two threads, for each call.
            proxy=await asyncio.to_thread(_proxy_for, self._base),
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._session is not None
        await self._session.close()

    def url_of(self, model: str, method: str) -> str:
        """Return the address of a method of a model: `model` is a published model's id, or a resource name."""
        place = self._config.places.of(model)
        name = model if model.startswith("projects/") else f"{self._where(place)}/publishers/google/models/{model}"
        return f"{vertex_endpoint(place)}/v1beta1/{name}:{method}"

    def url_in(self, place: str, method: str) -> str:
        """Return the address of a method of a location."""
        return f"{vertex_endpoint(place)}/v1beta1/{self._where(place)}:{method}"

    def _where(self, place: str) -> str:
        return f"projects/{self._config.project}/locations/{place}"

    async def post(self, url: str, body: bytes, *, what: str) -> bytes:
        """Return the answer to one try of a call.

        Raises:
            CloudUnavailable: no answer came, or one that asks for a later call.
            CloudRefused: the call can never succeed as it is.
        """
        assert self._session is not None
        with google_call(what):
            headers = self._headers if self._is_fresh() else await self._refreshed()
            async with self._session.post(url, data=body, headers=headers) as answer:
                content = await answer.read()
                if answer.status >= 400:  # noqa: PLR2004 - HTTP
                    raise http_error(answer.status, content, answer.headers)
                return content

    def _is_fresh(self) -> bool:
        credentials: Any = self._credentials
        return bool(self._headers) and credentials.token_state.name == "FRESH"

    async def _refreshed(self) -> dict[str, str]:
        from google.auth.transport.requests import Request

        credentials: Any = self._credentials
        async with self._refreshing:
            if not self._is_fresh():
                headers = {"Content-Type": "application/json"}
                # This refreshes the token where needed, and adds the header of the quota project.
                await asyncio.to_thread(credentials.before_request, Request(), "POST", self._base, headers)
                self._headers = headers
            return self._headers


def _trusted() -> ssl.SSLContext | bool:
    return tls_context() or True


def _proxy_for(address: str) -> str | None:
    """Return the proxy that the environment names for an address; None for none."""
    parts = urlsplit(address)
    if parts.hostname is None or proxy_bypass(parts.hostname):
        return None
    return getproxies().get(parts.scheme)


class Retries:
    """Repeats a call after errors that may pass, after the pause that the service asked for.

    Args:
        hold_back: called with the seconds for which no call should begin, after each 429.
    """

    def __init__(self, hold_back: Callable[[float], None] = lambda _: None) -> None:
        self._hold_back = hold_back
        self.again = 0
        """Tries that were not the first."""
        self.refused_for_quota = 0

    async def call(self, make: Callable[[], Awaitable[bytes]], *, before_again: Callable[[], Awaitable[None]]) -> bytes:
        """Return what `make` returns in one of `TRIES` tries.

        Args:
            make: makes one try.
            before_again: awaited before each further try, which counts against the quota, too.

        Raises:
            CloudBusy: the service asked for a longer pause than `LONGEST_ASKED_SECONDS`.
            CloudUnavailable: no try was answered.
            CloudRefused: the call can never succeed as it is.
        """
        for number in range(1, TRIES + 1):
            try:
                return await make()
            except CloudUnavailable as error:
                if (pause := error.retry_after_seconds or 0.0) > LONGEST_ASKED_SECONDS:
                    help_ = f"Google asks to be called again in {pause:,.0f} s. Tasks in Airflow try again every ten minutes."
                    raise CloudBusy(error.message, help_) from error
                if number == TRIES:
                    raise
                pause = pause_seconds(number, asked_for=error.retry_after_seconds)
                if error.status == 429:  # noqa: PLR2004 - HTTP
                    self.refused_for_quota += 1
                    self._hold_back(error.retry_after_seconds or FIRST_PAUSE_SECONDS)
                self.again += 1
                await asyncio.sleep(pause)
                await before_again()
        raise AssertionError("the last try returns or raises")


def pause_seconds(number: int, *, asked_for: float | None = None, drawn: float | None = None) -> float:
    """Return the pause in seconds after a try: the one that the service asked for, plus 25 to 100 % of a bound that doubles.

    Args:
        number: of the try; 1 for the first.
        asked_for: seconds by `Retry-After` or `RetryInfo`.
        drawn: 0 to 1, the place within the range; random where None.
    """
    own = back_off_seconds(
        number, first=FIRST_PAUSE_SECONDS, longest=LONGEST_PAUSE_SECONDS, least_share=0.25, drawn=drawn
    )
    return (asked_for or 0.0) + own


_ABOUT_A_FILE = re.compile(r"(?i)\b(?:files?|objects?|buckets?|storage|URLs?|URIs?)\b|gs://")


class AllRefused(PermanentError):
    """Vertex AI refuses all prompts: a setting is wrong, and not a row."""


class CacheLost(PermanentError):
    """The context cache that the calls name cannot be used any more: another must be made, or the prompts asked without it."""


_ABOUT_A_CACHE = re.compile(r"(?i)\bcached?[ _]?contents?\b")


def is_cache_lost(error: CloudRefused) -> bool:
    """Return whether a call was refused because its context cache cannot be used, so that no row is at fault.

    One that was removed gives 404 or 400, one whose time is over 400, "Cache content … is expired"
    (https://github.com/clawvisor/clawvisor/pull/360, https://github.com/BerriAI/litellm/pull/32411, read 2026-12-01).

    Args:
        error: the refusal of a call that names a cache.
    """
    return error.status in (400, 403, 404) and _ABOUT_A_CACHE.search(error.message) is not None


def is_the_rows_fault(error: CloudRefused, *, has_files: bool = False) -> bool:
    """Return whether the row caused the refusal, so that other rows may be answered.

    A missing file gives 404, and one that Vertex AI may not read 403
    (https://cloud.google.com/vertex-ai/generative-ai/docs/model-reference/api-errors). A model gives the same two; the
    message says which of them it is about.

    Args:
        error: the refusal.
        has_files: whether the row names files.
    """
    if error.status in (400, 413):
        return True
    return has_files and error.status in (403, 404) and _ABOUT_A_FILE.search(error.message) is not None
