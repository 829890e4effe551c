"""Reads the data of jobs from Cloud Storage's JSON API, and writes what they answer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar
from urllib.parse import quote

import httpx

from gcp_stand_ins.vertex.errors import invalid

STORAGE_PATIENCE_SECONDS = 120.0
"""How long a job goes on asking for its data while Cloud Storage is away."""
_RETRY_SECONDS = 0.5
_MAX_BUCKET_CHARACTERS = 222
_MAX_CALLS = 32
_GATHER_SECONDS = 0.002
_LATELY_SECONDS = 1.0
_MAX_READABLE = 1000


T = TypeVar("T")


class Unreadable(Exception):
    """The object is not there, or may not be read; asking again will not help."""


class StorageAway(Exception):
    """Cloud Storage could not be asked; asking again may help."""


def split_uri(uri: object, *, field: str) -> tuple[str, str]:
    """Return bucket and object of a `gs://` URI.

    Raises:
        ApiError: it is not one; `field` names its place in the request.
    """
    if not isinstance(uri, str) or not uri:
        raise invalid(f"{field} is required: the Cloud Storage URI of a JSONL file, gs://BUCKET/OBJECT.")
    bucket, _, name = uri.removeprefix("gs://").partition("/")
    if not uri.startswith("gs://") or not bucket or not name or len(bucket) > _MAX_BUCKET_CHARACTERS:
        raise invalid(f"{field} must be a Cloud Storage URI, gs://BUCKET/OBJECT; found {uri!r}.")
    return bucket, name


class TrainingData:
    """The objects that jobs learn from, answer, and write.

    Args:
        storage: address of the storage API, for instance `http://127.0.0.1:9000`.
    """

    def __init__(self, storage: str) -> None:
        self._client = httpx.AsyncClient(base_url=storage, timeout=httpx.Timeout(30.0, connect=5.0), trust_env=False)
        self._readable: dict[tuple[str, str], float] = {}
        self._asking: dict[tuple[str, str], asyncio.Task[str | None]] = {}
        # Thousands of jobs may come due at once: beyond the client's pool they would time out waiting for a connection.
        self._gate = asyncio.Semaphore(_MAX_CALLS)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._client.aclose()

    async def check(self, bucket: str, name: str) -> str | None:
        """Return the generation of an object that can be read, None where storage does not tell it.

        Those who ask for the same object at the same moment share one call, which begins after all of them have asked.

        Raises:
            Unreadable: it cannot be read.
            StorageAway: nobody knows.
        """
        asking = self._asking.get((bucket, name))
        if asking is None:
            asking = asyncio.get_running_loop().create_task(self._check(bucket, name))
            self._asking[bucket, name] = asking
        return await asyncio.shield(asking)

    async def check_lately(self, bucket: str, name: str) -> None:
        """Return if the object can be read, or could within the last second: many jobs start on the same file.

        Raises:
            Unreadable: it cannot be read.
            StorageAway: nobody knows.
        """
        if time.monotonic() - self._readable.get((bucket, name), -_LATELY_SECONDS) < _LATELY_SECONDS:
            return
        await self.check(bucket, name)
        if len(self._readable) >= _MAX_READABLE:
            self._readable.clear()
        self._readable[bucket, name] = time.monotonic()

    async def _check(self, bucket: str, name: str) -> str | None:
        await asyncio.sleep(_GATHER_SECONDS)
        del self._asking[bucket, name]
        async with self._gate:
            try:
                answer = await self._client.get(_path(bucket, name))
            except httpx.HTTPError as error:
                raise StorageAway(f"{type(error).__name__}: {error}") from error
        _judge(answer, bucket, name)
        try:
            return str(answer.json()["generation"])
        except (ValueError, LookupError, TypeError):
            return None

    async def download(self, bucket: str, name: str, to: Path) -> str | None:
        """Write the object's bytes to the file `to`, as they come in, and return its generation where storage tells it.

        Raises:
            Unreadable: it is not there.
            StorageAway: it could not be read to its end.
        """
        async with self._gate:
            try:
                async with self._client.stream("GET", _path(bucket, name), params={"alt": "media"}) as answer:
                    _judge(answer, bucket, name)
                    with to.open("wb") as file:
                        async for chunk in answer.aiter_bytes():
                            file.write(chunk)
                    generation: str | None = answer.headers.get("x-goog-generation")
                    return generation
            except httpx.HTTPError as error:
                raise StorageAway(f"{type(error).__name__}: {error}") from error

    async def write(self, bucket: str, name: str, content: bytes) -> None:
        """Write an object, in place of what was there.

        Raises:
            Unreadable: the bucket is not there, or may not be written to.
            StorageAway: it could not be written.
        """
        path = f"/upload/storage/v1/b/{quote(bucket, safe='')}/o"
        params = {"uploadType": "media", "name": name}
        async with self._gate:
            try:
                answer = await self._client.post(
                    path, params=params, content=content, headers={"content-type": "application/jsonl"}
                )
            except httpx.HTTPError as error:
                raise StorageAway(f"{type(error).__name__}: {error}") from error
        _judge(answer, bucket, name)


def _path(bucket: str, name: str) -> str:
    return f"/storage/v1/b/{quote(bucket, safe='')}/o/{quote(name, safe='')}"


def _judge(answer: httpx.Response, bucket: str, name: str) -> None:
    if answer.status_code in (httpx.codes.TOO_MANY_REQUESTS, httpx.codes.REQUEST_TIMEOUT) or answer.is_server_error:
        raise StorageAway(f"Cloud Storage answered {answer.status_code} for gs://{bucket}/{name}")
    if not answer.is_success:
        raise Unreadable(f"gs://{bucket}/{name} cannot be read: Cloud Storage answered {answer.status_code}.")


async def patiently(call: Callable[[], Awaitable[T]]) -> T:
    """Call until Cloud Storage answers, for as long as a job is patient.

    Raises:
        Unreadable: it refuses.
        StorageAway: it stayed away.
    """
    patience = time.monotonic() + STORAGE_PATIENCE_SECONDS
    while True:
        try:
            return await call()
        except StorageAway:
            if time.monotonic() > patience:
                raise
            await asyncio.sleep(_RETRY_SECONDS)
