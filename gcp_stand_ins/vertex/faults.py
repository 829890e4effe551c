"""What this stand-in can be told to do wrong."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, NonNegativeFloat

from gcp_stand_ins.faults import Delays, HttpFaults
from gcp_stand_ins.vertex.errors import ApiError, invalid, not_found

Outcome = Literal["succeeded", "partially_succeeded", "failed", "cancelled", "expired", "paused"]


class VertexFaults(HttpFaults):
    """The common faults, and the fate of the jobs created from now on: tuning jobs and batch prediction jobs alike.

    A job keeps the settings under which it was created. `error_methods` applies to `lose_answers` and
    `delay_answers_seconds`, too.
    """

    lose_answers: float = Field(default=0.0, ge=0, le=1)
    """Share of changes that are applied and then answered with 503, as when the connection breaks at the wrong moment.

    A client that repeats such a create call has made two jobs.
    """
    delay_answers_seconds: float = Field(default=0.0, ge=0)
    """Between the moment that a call is applied and its answer; `delay_seconds` comes before the call is applied."""
    delay_methods_seconds: dict[str, NonNegativeFloat] = Field(default_factory=dict)
    """Added before the calls of single methods, for instance `{"tuningJobs.list": 0.5}`, whatever `error_methods` says."""
    retry_after_seconds: float | None = Field(default=None, ge=0)
    """When an injected 429 or 503 tells the client to come back, in the `Retry-After` header (rounded up) and as `RetryInfo`.

    None lets a 429 say one second and a 503 nothing; with 0 neither says anything.
    """
    refused_text: str = ""
    """A call that holds this text is answered with INVALID_ARGUMENT, as Vertex AI does with a prompt that it cannot take.

    `error_methods` applies.
    """
    missing_text: str = ""
    """A call that holds this text, the name of a file for instance, is answered with NOT_FOUND: there is no such object.

    `error_methods` applies.
    """
    breaking_text: str = ""
    """A call that holds this text is answered with INTERNAL, however often it is made. `error_methods` applies."""
    blocked_text: str = ""
    """A prompt that holds this text is blocked by the safety filters, whatever its settings."""
    harmful_text: str = ""
    """The answer to a prompt that holds this text is stopped as dangerous, unless its safety settings let that pass."""
    finish_reasons: dict[str, str] = Field(default_factory=dict)
    """The answer to a prompt that holds one of these texts has no parts, and this finish reason: `{"a song": "RECITATION"}`.

    Any word will do, as the service may tell one that is newer than its clients.
    """
    cache_uses: int | None = Field(default=None, ge=0)
    """After so many calls that name it, a cached content is over, as if its time were. None for no bound."""
    empty_text: str = ""
    """The answer to a prompt that holds this text ends with STOP, and says nothing: its content has no parts."""
    context_window_tokens: int = Field(default=1_048_576, ge=1)
    """A prompt with more tokens is refused."""
    quota_requests_per_minute: int | None = Field(default=None, ge=0)
    """Calls of generateContent in any 60 seconds; what is over is answered with 429. None for no bound."""
    quota_tokens_per_minute: int | None = Field(default=None, ge=0)
    """Tokens of these calls, asked and answered, in any 60 seconds."""
    nan_text: str = ""
    """A judge's rating of an instance that holds this text is no number."""
    job_seconds: float = Field(default=3.0, gt=0)
    """From creation to the end of a job."""
    job_outcome: Outcome = "succeeded"
    """How a job ends whose data is in order; a paused one waits half-way until it is cancelled or resumed."""
    job_error_code: int | None = Field(default=None, ge=1, le=16)
    """Canonical code (8: RESOURCE_EXHAUSTED) of the error of a job whose outcome has one; None for the usual one."""
    job_error_message: str | None = None
    """Its message; None for the usual one."""
    batch_rows: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """Fields of the output row of a batch whose request holds one of these texts: `{"a song": {"status": null}}`.

    They take the place of the row's own; those of `request` are put into the request that the row repeats.
    """
    job_vanishes: bool = False
    """The job is created, and then no call finds it."""
    listed_after_seconds: float | None = Field(default=None, ge=0)
    """So long after its creation, a job is in no listing.

    Without it, what `--listed-after-seconds` says is in force: some seconds, since Vertex AI's lists are right in the end alone.
    """
    refuse_filters: bool = False
    """Listings of jobs with a filter are answered with INVALID_ARGUMENT."""
    job_hangs: bool = False
    """The job stays in JOB_STATE_RUNNING until it is cancelled."""

    async def before_method(self, method: str, delays: Delays) -> None:
        """Wait as long as the calls of this one method are to be delayed."""
        await delays.hold(method, self.delay_methods_seconds.get(method, 0.0))

    def check_text(self, method: str, body: Mapping[str, Any]) -> None:
        """Refuse a call that holds a text that is to be refused.

        Raises:
            ApiError: it does.
        """
        if not (self.refused_text or self.missing_text or self.breaking_text) or not self._applies_to(method):
            return
        text = json.dumps(body, ensure_ascii=False)
        if self.refused_text and self.refused_text in text:
            raise invalid(f"Injected fault: the request holds {self.refused_text!r}.")
        if self.missing_text and self.missing_text in text:
            raise not_found(f"Injected fault: no such object: {self.missing_text}.")
        if self.breaking_text and self.breaking_text in text:
            raise ApiError("INTERNAL", f"Injected fault: the request holds {self.breaking_text!r}.")

    def row(self, prediction: dict[str, Any]) -> dict[str, Any]:
        """Return the output row of a batch, with the fields that the text in its request asks for."""
        if not self.batch_rows:
            return prediction
        text = json.dumps(prediction["request"], ensure_ascii=False)
        told = next((fields for held, fields in self.batch_rows.items() if held in text), {})
        return {**prediction, **told, "request": {**prediction["request"], **(told.get("request") or {})}}

    def unrated(self, answer: dict[str, Any], body: Mapping[str, Any]) -> dict[str, Any]:
        """Return a judge's answer, its rating no number where the instance holds the text that asks for it."""
        rated = answer.get("pointwiseMetricResult")
        if not self.nan_text or rated is None or self.nan_text not in json.dumps(body, ensure_ascii=False):
            return answer
        return {"pointwiseMetricResult": {**rated, "score": "NaN"}}

    async def before_answer(self, method: str, delays: Delays) -> None:
        """Wait as long as the answer to an applied call of `method` is to be delayed."""
        if self._applies_to(method):
            await delays.hold(method, self.delay_answers_seconds)

    def loses_answer(self, method: str) -> bool:
        """Tell whether the answer to an applied call of `method` is to be lost."""
        return self._applies_to(method) and random.random() < self.lose_answers  # noqa: S311 - not a secret

    def _applies_to(self, method: str) -> bool:
        return not self.error_methods or method in self.error_methods
