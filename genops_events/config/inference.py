"""The part `inference` of a dataset in `genops.yaml`: what is answered, how, how fast, and in which way."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import InitErrorDetails

from genops_events.config.answers import AnswerSettings, Number
from genops_events.config.media import media_uri
from genops_events.config.values import (
    ConfigPart,
    MaxOutputTokens,
    ObjectName,
    PositiveFloat,
    PositiveInt,
    unique_items,
)
from genops_events.reading.problems import raise_wrongs, wrong

Mode = Literal["auto", "online", "batch"]


class Batch(ConfigPart):
    """When answers are made by a batch prediction job, and how it is waited for."""

    from_rows: PositiveInt = 2000
    """With `mode: auto`: a file of so many prompts goes to a batch job, which is cheaper and takes up to a day."""
    from_saved_usd: Annotated[Number, Field(gt=0, allow_inf_nan=False)] = 1.0
    """With `mode: auto`: so does one where the batch job would save as much, in US dollars."""
    poll_seconds: PositiveFloat = 60
    """Pause between two looks at the batch job."""
    timeout_hours: PositiveFloat = 72
    """A job that takes longer is cancelled; Vertex AI may keep one in its queue for three days."""


class Cache(ConfigPart):
    """What all prompts have in common, sent once and kept by Vertex AI for as long as a run takes."""

    text: Annotated[str, Field(min_length=1)] | None = None
    """A text that comes before every prompt."""
    files: Annotated[tuple[Annotated[str, AfterValidator(media_uri)], ...], AfterValidator(unique_items)] | None = None
    """Files that come before every prompt, by their gs:// addresses: images, audio, video, PDF, text."""
    ttl_minutes: Annotated[int, Field(strict=True, ge=1, le=10_080)] = 120
    """When Vertex AI removes it by itself, after the last time that a run has extended it."""

    def kept_minutes(self, rows: int, requests_per_minute: int) -> float:
        """Return for how many minutes Vertex AI keeps one cache at the most: twice the time at the whole quota, and `ttl_minutes`.

        A run that takes longer lets it go, so that keeping it never costs more than was reserved.

        Args:
            rows: that are asked.
            requests_per_minute: the quota.
        """
        return self.ttl_minutes + 2 * rows / requests_per_minute

    @model_validator(mode="after")
    def _check_some(self) -> Cache:
        if self.text is None and self.files is None:
            raise_wrongs([wrong((), None, "Input should have a text, or files, or both")])
        return self


class Inference(AnswerSettings):
    """What a promoted model answers, and how."""

    prompts: ObjectName
    """Prompts as JSONL: an object in the bucket, outside every watched prefix."""
    temperature: Annotated[Number, Field(ge=0, le=2)] | None = 0.0
    """0 for the likeliest answer, up to 2 for variety; empty (null) for the model's own default."""
    max_output_tokens: MaxOutputTokens = 256
    """Longest answer to a prompt; thoughts are not counted."""
    mode: Mode = "auto"
    """`online`: asked one by one, at once; `batch`: by a batch prediction job, cheaper and later; `auto`: by size and cost."""
    requests_per_minute: PositiveInt | None = None
    """Quota of online calls of the dataset's model where it is served, of all runs together; the configuration's if not given."""
    tokens_per_minute: PositiveInt | None = None
    """Quota of its tokens, asked and answered, of all runs together; no limit if not given."""
    batch: Batch = Batch()
    """When answers are made by a batch prediction job, and how it is waited for."""
    cache: Cache | None = None
    """What all prompts have in common, kept by Vertex AI for as long as a run takes."""

    @model_validator(mode="after")
    def _check_together(self) -> Inference:
        raise_wrongs(list(self._wrong_together()))
        return self

    def _wrong_together(self) -> Iterator[InitErrorDetails]:
        if self.function_calling is not None and self.functions is None:
            yield wrong(
                ("function_calling",), self.function_calling, "Input should be left out where there are no functions"
            )
        if self.cache is not None and self.mode == "batch":
            yield wrong(
                ("cache",), self.cache, "Input should be left out with `mode: batch`: only online calls use one"
            )
