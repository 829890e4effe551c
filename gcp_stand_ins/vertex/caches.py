"""Cached content: what many prompts have in common, kept until its time is over."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from gcp_stand_ins.vertex.base_models import check_cache
from gcp_stand_ins.vertex.documents import Database, Shelf
from gcp_stand_ins.vertex.errors import invalid, not_found
from gcp_stand_ins.vertex.generation import read_tools
from gcp_stand_ins.vertex.job import timestamp
from gcp_stand_ins.vertex.jobs import new_id
from gcp_stand_ins.vertex.listing import fill_page, read_query
from gcp_stand_ins.vertex.tokens import call_tokens, count_tokens, media_tokens, texts_of_request

_FIELDS = frozenset(
    {
        "model",
        "displayName",
        "contents",
        "systemInstruction",
        "tools",
        "toolConfig",
        "ttl",
        "expireTime",
        "encryptionSpec",
    }
)
_TTL = re.compile(r"([0-9]+(\.[0-9]+)?)s")
_DEFAULT_TTL_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class CachedContent:
    """All that is kept of a cache; times are seconds since 1970."""

    parent: str
    id: str
    created: float
    updated: float
    expires: float
    request: dict[str, Any]
    text_tokens: int
    media: dict[str, int]

    @property
    def name(self) -> str:
        """Return the resource name."""
        return f"{self.parent}/cachedContents/{self.id}"

    @property
    def tokens(self) -> int:
        """Return how many tokens it has."""
        return self.text_tokens + sum(self.media.values())


class Caches:
    """All caches of this stand-in.

    Args:
        database: where they are kept.
        served: the job that made the model of a name, None for a base model, and the base model; raises where there is none.
    """

    def __init__(self, database: Database, served: Callable[[str], tuple[str | None, str]]) -> None:
        self._all = Shelf(database, "cache", CachedContent)
        self._served = served
        self._uses: Counter[str] = Counter()

    def create(self, parent: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Accept a new cache and return it.

        Raises:
            ApiError: the request is not valid, its model is not there, or it has fewer tokens than a cache must have.
        """
        if unknown := sorted(set(body) - _FIELDS):
            raise invalid(f"Invalid JSON payload received. Unknown name \"{unknown[0]}\" at 'cached_content'.")
        model = body.get("model")
        if not isinstance(model, str):
            raise invalid("CachedContent.model is required.")
        job_id, base_model = self._served(model)
        read_tools(body)
        texts = list(texts_of_request(body))
        now = time.time()
        made = CachedContent(
            parent=parent,
            id=new_id(),
            created=now,
            updated=now,
            expires=_expiry(body, now) or now + _DEFAULT_TTL_SECONDS,
            request={name: body[name] for name in body if name not in ("ttl", "expireTime")},
            text_tokens=sum(count_tokens(text) for _, text in texts) + call_tokens(body.get("contents")),
            media=dict(media_tokens(body.get("contents"))),
        )
        check_cache(base_model, is_tuned=job_id is not None, tokens=made.tokens)
        self._all.put(made.name, made)
        return _view(made)

    def get(self, name: str) -> dict[str, Any]:
        """Return a cache as the API shows it.

        Raises:
            ApiError: there is none of that name, or its time is over.
        """
        return _view(self.find(name))

    def find(self, name: str) -> CachedContent:
        """Return the cache of that name; raises as `get` does."""
        found = self._all.get(name)
        if found is None or found.expires <= time.time():
            raise not_found(f"Not found: cached content metadata for {name.rpartition('/')[2]}.")
        return found

    def used(self, name: str, model: str, *, most_uses: int | None = None) -> CachedContent:
        """Return the cache that a call of `model` uses.

        Args:
            name: of the cache.
            model: that is asked.
            most_uses: after so many calls, its time is over; None for no bound.

        Raises:
            ApiError: there is none, its time is over, or it belongs to another model.
        """
        found = self._all.get(name)
        if found is not None and most_uses is not None and self._uses[name] >= most_uses:
            found = self._all.put(name, replace(found, expires=min(found.expires, time.time())))
        if found is not None and found.expires <= time.time():
            # 400, and not 404: https://github.com/clawvisor/clawvisor/pull/360, read 2026-12-01
            raise invalid(f"Cache content {found.id} is expired.")
        found = self.find(name)
        self._uses[name] += 1
        if found.request["model"].rpartition("/")[2] != model.rpartition("/")[2]:
            wanted = found.request["model"]
            raise invalid(
                f"Model used by GenerateContent request ({model}) and CachedContent ({wanted}) has to be the same."
            )
        return found

    def list_caches(self, parent: str, query: Mapping[str, str]) -> dict[str, object]:
        """Return a page of the caches, newest first."""
        now, asked = time.time(), read_query(query, fields={})

        def there() -> Iterator[tuple[str, dict[str, Any]]]:
            for one in sorted(self._all, key=lambda cache: -cache.created):
                key = f"{10**12 - one.created:020.6f}"
                if one.parent == parent and one.expires > now and (asked.after is None or key > asked.after):
                    yield key, _view(one)

        return fill_page(there(), field="cachedContents", size=asked.size)

    def patch(self, name: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Change when a cache expires, which is all that can be changed; raises as `get` does."""
        now = time.time()
        expires = _expiry(body, now)
        if expires is None:
            raise invalid("Only the expiration of a cached content can be changed: ttl or expire_time.")
        return _view(self._all.put(name, replace(self.find(name), expires=expires, updated=now)))

    def delete(self, name: str) -> None:
        """Forget a cache; raises as `get` does."""
        self.find(name)
        self._all.drop(name)


def _expiry(body: Mapping[str, Any], now: float) -> float | None:
    if body.get("ttl") is not None:
        found = _TTL.fullmatch(str(body["ttl"]))
        if found is None:
            raise invalid(f"Invalid value at 'cached_content.ttl': {body['ttl']!r}; it must read 3600s.")
        return now + float(found[1])
    if body.get("expireTime") is not None:
        try:
            return datetime.fromisoformat(str(body["expireTime"])).timestamp()
        except ValueError:
            raise invalid("Invalid value at 'cached_content.expire_time'.") from None
    return None


def _view(cache: CachedContent) -> dict[str, Any]:
    return {
        "name": cache.name,
        "model": cache.request["model"],
        "displayName": cache.request.get("displayName", ""),
        "createTime": timestamp(cache.created),
        "updateTime": timestamp(cache.updated),
        "expireTime": timestamp(cache.expires),
        "usageMetadata": {
            "totalTokenCount": cache.tokens,
        },
    }
