"""Measure a prompt file before anything is paid: rows, tokens, the longest answers, and prompts over a limit."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from genops_events.budget import prompt_sizes
from genops_events.config.cache_limits import refuse_small
from genops_events.config.quotas import quota_for
from genops_events.gemini.prompt_limits import PromptLimits, PromptOver
from genops_events.gemini.prompts import BadRow, PromptRow, in_chunks
from genops_events.gemini.requests import cache_contents
from genops_events.gemini.results import nothing_to_ask
from genops_events.gemini.served import served_requests
from genops_events.gemini.token_counts import count_tokens

if TYPE_CHECKING:
    from genops_events.config import Config, Dataset

MEASURED_AT_ONCE = 1000
"""Rows that are held in memory, where they are short."""


@dataclass(slots=True)
class Sizes:
    """What a prompt file holds."""

    rows: int = 0
    """That can be asked."""
    bad_rows: int = 0
    """That cannot."""
    tokens: int = 0
    """Of all prompts, system instruction included with each; without what is in the cache."""
    billable_characters: int = 0
    longest_answers: int = 0
    """Output tokens, if every answer is as long as it may be."""
    cache_tokens: int = 0
    """Of what all prompts have in common; it is billed with each, at the price of cached tokens."""
    over: list[PromptOver] = field(default_factory=list)

    @property
    def input_tokens(self) -> int:
        """All tokens that are sent, or read from the cache."""
        return self.tokens + self.cache_tokens * self.rows

    def cost_usd(
        self, config: Config, dataset: Dataset, *, batch: bool, caches: int = 1, is_cache_refused: bool = False
    ) -> Decimal:
        """Return the most that answering costs.

        Args:
            config: prices and quotas.
            dataset: whose prompts.
            batch: whether a batch job answers.
            caches: that are made and kept, where the dataset has one.
            is_cache_refused: whether the cache's contents are sent, and billed in full, with each prompt.
        """
        rates = config.rates_for(dataset)
        from_cache = 0 if is_cache_refused else self.cache_tokens * self.rows
        asked = rates.most_for(self.input_tokens, self.longest_answers, cached_tokens=from_cache, batch=batch)
        if dataset.inference.cache is None:
            return asked
        hours = kept_minutes(config, dataset, self.rows) / 60
        return asked + caches * (
            rates.generation_cost(self.cache_tokens, 0) + rates.keeping_cost(self.cache_tokens, hours)
        )


def kept_minutes(config: Config, dataset: Dataset, rows: int) -> float:
    """Return for how many minutes each context cache of a run over so many rows may be kept: so long it is reserved."""
    assert dataset.inference.cache is not None
    quota = quota_for(config, config.places.serving(dataset), dataset.billed_model)
    return dataset.inference.cache.kept_minutes(rows, quota.requests_per_minute)


def common_tokens(config: Config, dataset: Dataset) -> int:
    """Return how many tokens the dataset's context cache has, as Vertex AI counts them."""
    cache = dataset.inference.cache
    assert cache is not None
    return count_tokens(
        config,
        model=dataset.billed_model,
        prompts=[cache_contents(cache.text, cache.files)],
        system_instruction=dataset.system_instruction,
        media_resolution=dataset.inference.media_resolution if cache.files else None,
    ).tokens


def measure(
    config: Config,
    dataset: Dataset,
    rows: Iterable[PromptRow | BadRow],
    *,
    file: str,
    limits: PromptLimits | None = None,
) -> Sizes:
    """Count what the rows of a prompt file are billed by, without asking the model; counting costs nothing.

    Args:
        config: project, location, throttle.
        dataset: whose prompts.
        rows: of the file.
        file: its name, for the error.
        limits: of one prompt; None where nobody asks who is over one.

    Raises:
        PromptsMissing: it has no row that can be asked.
        CloudUnavailable: the tokens could not be counted.
    """
    sizes = Sizes()
    requests = served_requests(config, dataset)
    cache = dataset.inference.cache
    if cache is not None:
        sizes.cache_tokens = common_tokens(config, dataset)
        refuse_small(sizes.cache_tokens, config.catalogue.named(dataset.billed_model), dataset.billed_model)
    first_bad: BadRow | None = None
    for some in in_chunks(rows, most=MEASURED_AT_ONCE):
        alike: defaultdict[tuple[str, str | None], list[PromptRow]] = defaultdict(list)
        for row in some:
            if isinstance(row, BadRow):
                sizes.bad_rows += 1
                first_bad = first_bad or row
                continue
            sizes.rows += 1
            sizes.longest_answers += requests.longest_answer(row)
            sizes.tokens += requests.declared_tokens(row)
            instruction = "" if cache is not None else requests.system_instruction(row)
            alike[instruction, requests.media_resolution(row) if row.has_files else None].append(row)
        for (instruction, resolution), group in alike.items():
            _count(
                sizes,
                config,
                dataset,
                group,
                instruction=instruction or None,
                media_resolution=resolution,
                limits=limits,
            )
    if sizes.rows == 0:
        raise nothing_to_ask(file, first_bad)
    sizes.over.sort(key=lambda one: one.line)
    return sizes


def _count(
    sizes: Sizes,
    config: Config,
    dataset: Dataset,
    rows: Sequence[PromptRow],
    *,
    instruction: str | None,
    media_resolution: str | None,
    limits: PromptLimits | None,
) -> None:
    model = dataset.billed_model
    prompts: list[str | Sequence[dict[str, Any]]] = [row.contents if row.prompt is None else row.prompt for row in rows]
    found = count_tokens(
        config, model=model, prompts=prompts, system_instruction=instruction, media_resolution=media_resolution
    )
    sizes.tokens += found.tokens
    sizes.billable_characters += found.billable_characters
    if limits is None:
        return
    sizes.over += prompt_sizes.prompts_over(
        config,
        model=model,
        prompts=rows,
        system_instruction=instruction,
        media_resolution=media_resolution,
        limits=limits,
    )
