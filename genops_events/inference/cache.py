"""The context caches of a candidate: what all prompts share is sent once, kept by Vertex AI during the run, and then removed."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

from genops_events.budget.sizes import common_tokens
from genops_events.config.tools import tools_json
from genops_events.errors import GenopsError, PermanentError, TransientError
from genops_events.gcp.clients import genai_client
from genops_events.gcp.errors import CloudRefused, google_call
from genops_events.gemini.calls import CacheLost, is_cache_lost
from genops_events.gemini.requests import cache_contents
from genops_events.record.inference import InferenceCaches, KeptCache, caches_path

if TYPE_CHECKING:
    from google import genai
    from google.genai.types import CachedContent

    from genops_events.catalogue.prices import Rates
    from genops_events.config import Config, Dataset
    from genops_events.gcp.record_store import RecordStore

log = logging.getLogger(__name__)

NAME_PREFIX = "genops-"
MOST_CACHES = 2
"""So many are made for one candidate: one that is lost costs what it cost to make, and another is paid for once."""
LEAST_LEFT_SECONDS = 30.0
"""A cache with less time left is not taken over from an earlier try."""


class CacheRefused(PermanentError):
    """Vertex AI refuses to make the context cache."""


class CandidateCaches:
    """The context caches of one candidate, each in its record as soon as it is made: another try finds it there and pays for it.

    Args:
        config: project and location.
        store: the record.
        candidate: whose.
        dataset: says what is cached, and for how long.
        model: the model that is asked; a cache belongs to one model.
        minutes: for how long keeping each of them is reserved.
        before_another: called with the number of caches before the second one is made, to reserve what that costs.
    """

    def __init__(
        self,
        config: Config,
        store: RecordStore,
        candidate: str,
        dataset: Dataset,
        *,
        model: str,
        minutes: float,
        before_another: Callable[[int], None],
    ) -> None:
        self._config = config
        self._store = store
        self._candidate = candidate
        self._dataset = dataset
        self._model = model
        self._reserved = timedelta(minutes=minutes)
        self._before_another = before_another
        self._lost: set[str] = set()

    @property
    def made(self) -> tuple[KeptCache, ...]:
        """All that were made, those of earlier tries included, the oldest first."""
        return made_for(self._store, self._candidate)

    @contextmanager
    def one(self) -> Iterator[ContextCache]:
        """Make a cache, or find that of an earlier try; remove it at the end.

        A task that dies, or that is retried, leaves the cache: the next try finds it by its display name, since a new one would
        be billed again. Vertex AI removes it when it expires.

        Raises:
            CacheRefused: Vertex AI refuses the cache; the prompts can be asked without it.
            CacheLost: the last of `MOST_CACHES` is gone, before or while it is used; the prompts can be asked without it.
            StepAside: another cache would go over a limit.
        """
        cache = ContextCache(self, self._found() or self._create())
        is_over = True
        try:
            yield cache
        except TransientError:
            is_over = False
            raise
        except CacheLost:
            self._lost.add(cache.name)
            raise
        finally:
            if is_over:
                _remove(self._config, cache.name)

    def note(self, cache: KeptCache) -> None:
        """Write into the record that there is a cache, or until when."""

        def with_it(known: InferenceCaches | None) -> InferenceCaches:
            others = () if known is None else tuple(one for one in known.caches if one.name != cache.name)
            return InferenceCaches(candidate=self._candidate, written_at=datetime.now(UTC), caches=(*others, cache))

        self._store.update(caches_path(self._candidate), InferenceCaches, with_it)

    def extend(self, cache: KeptCache) -> KeptCache:
        """Have Vertex AI keep a cache for another `ttl_minutes` once half of them are over, but no longer than is reserved.

        Raises:
            CacheLost: it is not there any more.
        """
        from google.genai import types

        now = datetime.now(UTC)
        until = min(now + self._ttl, cache.made_at + self._reserved)
        if until <= cache.until or cache.until - now > self._ttl / 2:
            return cache
        # Noted first: where this process dies between the two, the record has rather too much.
        longer = cache.model_copy(update={"until": until})
        self.note(longer)
        try:
            with google_call(f"extend {cache.name}"), _client(self._config, cache.name) as client:
                client.caches.update(name=cache.name, config=types.UpdateCachedContentConfig(expire_time=until))
        except CloudRefused as error:
            if is_cache_lost(error):
                raise CacheLost(error.message, error.hint) from error
            log.warning("The context cache is not kept for longer. %s", error)  # it will be lost, and the run goes on
        return longer

    @property
    def _ttl(self) -> timedelta:
        assert self._dataset.inference.cache is not None
        return timedelta(minutes=self._dataset.inference.cache.ttl_minutes)

    def _found(self) -> KeptCache | None:
        known = {one.name: one for one in self.made}
        for one in find_all(self._config, self._candidate):
            if one.name in self._lost:
                continue  # removed, and still listed
            if (one.model or self._model).rpartition("/")[2] != self._model.rpartition("/")[2]:
                continue  # of a try before the model was tuned anew
            noted = self._noted(one, known.get(one.name or ""))
            if (noted.until - datetime.now(UTC)).total_seconds() > LEAST_LEFT_SECONDS:
                return noted
        return None

    def _create(self) -> KeptCache:
        from google.genai import types

        if number := len(self.made):
            if number >= MOST_CACHES:
                raise CacheLost(f"All {number} context caches of this candidate are gone.")
            self._before_another(number + 1)
        inference = self._dataset.inference
        assert inference.cache is not None
        tools = tools_json(inference)
        settings = types.CreateCachedContentConfig.model_validate(
            {
                "display_name": f"{NAME_PREFIX}{self._candidate}",
                "ttl": f"{round(self._ttl.total_seconds())}s",
                "contents": cache_contents(inference.cache.text, inference.cache.files),
                "system_instruction": self._dataset.system_instruction,
                "tools": tools.get("tools"),
                "tool_config": tools.get("toolConfig"),
            }
        )
        # One attempt: two caches of one run would both be billed. A cache whose answer was lost is found by its display name.
        try:
            with google_call("create the cache"), _client(self._config, self._model, attempts=1) as client:
                return self._noted(client.caches.create(model=self._model, config=settings), None)
        except CloudRefused as error:
            raise CacheRefused(error.message, error.hint) from error

    def _noted(self, found: CachedContent, known: KeptCache | None) -> KeptCache:
        """Return a cache of Vertex AI's as it is in the record; written there where it was not."""
        if known is not None:
            return known if found.expire_time is None else known.model_copy(update={"until": found.expire_time})
        assert found.name is not None
        reported = found.usage_metadata and found.usage_metadata.total_token_count
        made_at = found.create_time or datetime.now(UTC)
        cache = KeptCache(
            name=found.name,
            tokens=reported or common_tokens(self._config, self._dataset),
            made_at=made_at,
            until=found.expire_time or made_at + self._ttl,
        )
        self.note(cache)
        return cache


class ContextCache:
    """The cache of one run; call `extend` regularly while it is used.

    Args:
        caches: of the candidate.
        kept: this one.
    """

    def __init__(self, caches: CandidateCaches, kept: KeptCache) -> None:
        self._caches = caches
        self._kept = kept
        self.name = kept.name

    def extend(self) -> None:
        """Extend it, as `CandidateCaches.extend` does."""
        self._kept = self._caches.extend(self._kept)


def made_for(store: RecordStore, candidate: str) -> tuple[KeptCache, ...]:
    """Return the caches that were made for a candidate, the oldest first."""
    known = store.read(caches_path(candidate), InferenceCaches)
    return () if known is None else known.caches


def caches_usd(store: RecordStore, candidate: str, rates: Rates) -> Decimal:
    """Return what making and keeping all caches of a candidate costs; reading them is billed with each answer."""
    return sum((one.cost_usd(rates) for one in made_for(store, candidate)), Decimal(0))


def remove_all(config: Config, candidate: str) -> None:
    """Remove the caches of a candidate that is not retried; any that cannot be removed expire by themselves."""
    with suppress(GenopsError):
        for one in find_all(config, candidate):
            assert one.name is not None
            _remove(config, one.name)


def _remove(config: Config, name: str) -> None:
    with suppress(GenopsError), google_call(f"remove {name}"), _client(config, name) as client:
        client.caches.delete(name=name)


def find_all(config: Config, candidate: str) -> list[CachedContent]:
    """Return the existing caches of a candidate."""
    where = config.serving_location_of(candidate)
    with google_call("list the caches"), genai_client(config.project, where) as client:
        return [one for one in client.caches.list() if one.display_name == f"{NAME_PREFIX}{candidate}"]


def _client(config: Config, name: str, *, attempts: int = 4) -> genai.Client:
    """Return a client for the location of a model or a cache."""
    return genai_client(config.project, config.places.of(name), attempts=attempts)
