"""Read objects from Cloud Storage's JSON API, for load jobs."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

import httpx

from gcp_stand_ins.bigquery.errors import ApiError, invalid, not_found

_AT_ONCE = 8
_MOST_FILES = 10_000


class CloudStorage:
    """The objects behind `gs://` addresses.

    Args:
        address: of the storage API, for instance `http://127.0.0.1:9000`.
    """

    def __init__(self, address: str) -> None:
        self._client = httpx.AsyncClient(base_url=address, timeout=httpx.Timeout(30.0, connect=5.0), trust_env=False)
        self._gate = asyncio.Semaphore(_AT_ONCE)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.aclose()

    async def fetch(self, uris: Sequence[str], folder: Path) -> list[Path]:
        """Download what `uris` name, each with at most one `*`, into new files of `folder`; return these.

        Raises:
            ApiError: an address is none, nothing is there, or it may not be read.
        """
        if not uris:
            raise invalid("A load job needs sourceUris, or an upload.")
        names = [name for uri in uris for name in await self._names(uri)]
        if len(names) > _MOST_FILES:
            raise invalid(f"Too many sources provided: {len(names)}. Limit is {_MOST_FILES}.")
        return list(await asyncio.gather(*(self._download(bucket, name, folder) for bucket, name in names)))

    async def _names(self, uri: str) -> list[tuple[str, str]]:
        bucket, _, name = str(uri).removeprefix("gs://").partition("/")
        if not str(uri).startswith("gs://") or not bucket or not name:
            raise invalid(f"Source URI must be a Google Cloud Storage location: {uri!r}.")
        if "*" not in name:
            return [(bucket, name)]
        if name.count("*") > 1:
            raise invalid(f"Source URI may have one * only: {uri!r}.")
        found: list[tuple[str, str]] = []
        token = ""
        while True:
            params = {"prefix": name.partition("*")[0], "fields": "items(name),nextPageToken"}
            params |= {"pageToken": token} if token else {}
            page = (await self._get(f"/storage/v1/b/{quote(bucket, safe='')}/o", params, uri)).json()
            items = page.get("items", [])
            found += [(bucket, one["name"]) for one in items if fnmatchcase(one["name"], name.replace("[", "[[]"))]
            token = page.get("nextPageToken", "")
            if not token:
                break
        if not found:
            raise not_found("URI", uri)
        return found

    async def _download(self, bucket: str, name: str, folder: Path) -> Path:
        path = f"/storage/v1/b/{quote(bucket, safe='')}/o/{quote(name, safe='')}"
        file = folder / f"{uuid.uuid4().hex}.data"
        async with self._gate:
            answer = await self._get(path, {"alt": "media"}, f"gs://{bucket}/{name}")
        file.write_bytes(answer.content)
        return file

    async def _get(self, path: str, params: dict[str, str], uri: str) -> httpx.Response:
        try:
            answer = await self._client.get(path, params=params)
        except httpx.HTTPError as error:
            raise ApiError("backendError", f"Cloud Storage could not be asked for {uri}: {error}") from error
        if answer.status_code == httpx.codes.NOT_FOUND:
            raise not_found("URI", uri)
        if answer.status_code == httpx.codes.FORBIDDEN:
            # https://github.com/GoogleCloudPlatform/data-science-on-gcp/issues/170, read 2026-12-01
            raise ApiError("accessDenied", f"Access Denied: File {uri}: Access Denied")
        if not answer.is_success:
            raise ApiError("backendError", f"Cloud Storage answered {answer.status_code} for {uri}.")
        return answer
