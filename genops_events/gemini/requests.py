"""Put a prompt and its settings into the JSON of Gemini's REST API: online calls and the rows of a batch job are the same.

https://cloud.google.com/vertex-ai/generative-ai/docs/model-reference/inference. google-genai builds the same JSON from
types of its own, for online calls only; a test compares each field with what google-genai sends (docs/adr/0012).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from genops_events.catalogue.facts import Model
from genops_events.catalogue.tokens import estimated_tokens, json_tokens
from genops_events.config.answers import AnswerSettings, Safety, Thinking, merged
from genops_events.config.media import mime_type_of
from genops_events.config.model_settings import wrong_for
from genops_events.config.thinking import NOT_KNOWN, ThinkingModel
from genops_events.config.tools import tools_json
from genops_events.gemini.prompts import PromptRow

ROW_LABEL = "genops-row"
"""Label of a batch request that names its line: a batch job answers in any order, and repeats the request."""
_LINE = "line-"
_LINE_DIGITS = 18

_GENERATION = {
    "temperature": "temperature",
    "top_p": "topP",
    "top_k": "topK",
    "candidate_count": "candidateCount",
    "max_output_tokens": "maxOutputTokens",
    "seed": "seed",
    "presence_penalty": "presencePenalty",
    "frequency_penalty": "frequencyPenalty",
    "response_mime_type": "responseMimeType",
    "response_json_schema": "responseJsonSchema",
}
_HARMS = {
    "harassment": "HARM_CATEGORY_HARASSMENT",
    "hate_speech": "HARM_CATEGORY_HATE_SPEECH",
    "sexually_explicit": "HARM_CATEGORY_SEXUALLY_EXPLICIT",
    "dangerous_content": "HARM_CATEGORY_DANGEROUS_CONTENT",
}


class CannotAsk(Exception):
    """A row's own settings conflict with those of the dataset."""


class Requests:
    """Makes the requests of one run.

    Args:
        settings: of the dataset's answers.
        system_instruction: sent with every prompt, unless its row has one of its own.
        cache: resource name of the context cache; it holds the system instruction and the tools. None for no cache.
        thinker: the model's rules about thinking.
        model: name and figures of the published model that is asked, or that the asked one was tuned from: settings that
            it would refuse raise before any call. None where the catalogue does not have it.
        before: contents that are sent before every prompt, in place of a cache.
    """

    def __init__(
        self,
        settings: AnswerSettings,
        *,
        system_instruction: str | None = None,
        cache: str | None = None,
        thinker: ThinkingModel = NOT_KNOWN,
        model: tuple[str, Model] | None = None,
        before: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        self._model = model
        self.before = tuple(before)
        self._settings = AnswerSettings.model_validate(
            {name: getattr(settings, name) for name in AnswerSettings.model_fields}
        )
        self._system_instruction = system_instruction
        self.cache = cache
        self._thinker = thinker
        self._common = request_json(self._settings, system_instruction=system_instruction, cache=cache, thinker=thinker)
        self._declared_tokens = _declared_tokens(self._common)

    def body(self, row: PromptRow) -> dict[str, Any]:
        """Return the request of one row.

        Raises:
            CannotAsk: its settings conflict with the dataset's, or the model does not take them.
        """
        own = row.settings
        if own is None or not own.model_fields_set:
            return {**self._common, "contents": [*self.before, *row.contents]}
        if self.cache is not None and (kept := sorted(own.model_fields_set & IN_CACHE)):
            raise CannotAsk(f"`{kept[0]}` cannot be a row's own where the dataset has a cache: it is part of the cache")
        try:
            settings = merged(self._settings, own)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            place = ".".join(map(str, first["loc"]))
            raise CannotAsk(f"`{place}`, with the dataset's settings: {first['msg']}") from None
        if self._model is not None:
            name, model = self._model
            for one in wrong_for(settings, model, name):
                place, reason = ".".join(map(str, one["loc"])), str(one["type"])
                raise CannotAsk(f"`{place}` is {one['input']!r}: {reason[:1].lower()}{reason[1:]}")
        has_own = "system_instruction" in own.model_fields_set
        instruction = own.system_instruction if has_own else self._system_instruction
        common = request_json(settings, system_instruction=instruction, cache=self.cache, thinker=self._thinker)
        return {**common, "contents": [*self.before, *row.contents]}

    def common(self) -> dict[str, Any]:
        """Return the request of a prompt without settings of its own, without `contents` (`before`, then the prompt)."""
        return {**self._common}

    @property
    def asked_as(self) -> str:
        """Fingerprint of all settings of these requests: answers with the same one were asked for in the same way."""
        settings = self._common | ({"contents": self.before} if self.before else {})
        return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:24]

    def longest_answer(self, row: PromptRow) -> int:
        """Return the most output tokens that a row can be billed, thoughts included."""
        own = row.settings
        names = ("max_output_tokens", "thinking", "candidate_count")
        given = {} if own is None else {name: getattr(own, name) for name in names if name in own.model_fields_set}
        settings = self._settings.model_copy(update=given)  # not checked: a conflict fails when the row is asked
        return self._thinker.most_output(settings) * (settings.candidate_count or 1)

    @property
    def usual_longest_answer(self) -> int:
        """The most output tokens, thoughts included, that a prompt without settings of its own can be billed."""
        return self._thinker.most_output(self._settings) * (self._settings.candidate_count or 1)

    @property
    def usual_judged_tokens(self) -> int:
        """The most tokens of one such answer, without its thoughts: a judge does not see those."""
        return self._settings.max_output_tokens or self._thinker.most_output(self._settings)

    @property
    def usual_tokens(self) -> int:
        """Estimated tokens that are sent with such a prompt: system instruction, functions, response schema, texts before it.

        Files before it are not included: the service counts those.
        """
        texts = (part.get("text", "") for turn in self.before for part in turn["parts"])
        return (
            estimated_tokens(self._system_instruction or "") + self._declared_tokens + sum(map(estimated_tokens, texts))
        )

    @property
    def shows_files_before(self) -> bool:
        """Whether a file comes before every prompt."""
        return any("fileData" in part for turn in self.before for part in turn["parts"])

    def declared_tokens(self, row: PromptRow) -> int:
        """Return the estimated tokens of its functions and response schema: billed as input, and not part of a count."""
        if row.settings is None or not row.settings.model_fields_set:
            return self._declared_tokens
        try:
            return _declared_tokens(Requests.body(self, row))  # not `self.body`, which in a subclass draws on a budget
        except CannotAsk:
            return 0

    def media_resolution(self, row: PromptRow) -> str | None:
        """Return the resolution at which the row's files are read; None for the model's default."""
        own = row.settings
        if own is not None and "media_resolution" in own.model_fields_set:
            return own.media_resolution
        return self._settings.media_resolution

    def system_instruction(self, row: PromptRow) -> str:
        """Return the system instruction that is sent with the row; empty for none."""
        own = row.settings
        if own is not None and "system_instruction" in own.model_fields_set:
            return own.system_instruction or ""
        return self._system_instruction or ""


def _declared_tokens(body: Mapping[str, Any]) -> int:
    functions = [one for tool in body.get("tools", ()) for one in tool.get("functionDeclarations", ())]
    schema = body.get("generationConfig", {}).get("responseJsonSchema")
    return sum(json_tokens(one) for one in (*functions, schema) if one is not None)


IN_CACHE = frozenset({"system_instruction", "functions", "function_calling", "grounding"})
"""Settings that are part of a cache: a call that uses a cache must not have them."""


def request_json(
    settings: AnswerSettings,
    *,
    system_instruction: str | None = None,
    cache: str | None = None,
    thinker: ThinkingModel = NOT_KNOWN,
) -> dict[str, Any]:
    """Return a request without its contents; thinking and output tokens are those that the model takes."""
    longest = thinker.output_tokens(settings)
    settings = thinker.settled(settings).model_copy(update={"max_output_tokens": longest})
    body: dict[str, Any] = {}
    if system_instruction and cache is None:
        body["systemInstruction"] = {"parts": [{"text": system_instruction}]}
    if config := _generation_config(settings):
        body["generationConfig"] = config
    if settings.safety is not None and (safety := _safety(settings.safety)):
        body["safetySettings"] = safety
    if cache is not None:
        return body | {"cachedContent": cache}
    return body | tools_json(settings)


def batch_row(body: Mapping[str, Any], row: PromptRow) -> dict[str, Any]:
    """Return the line of a batch job's input that asks one row.

    Its label is not a number in form: such a label may come back as a number (reported: googleapis/python-genai 2123).
    """
    return {"request": {**body, "labels": {ROW_LABEL: f"{_LINE}{row.line}"}}}


def line_of_label(label: object) -> int | None:
    """Return the line number in the label of a prediction; None where it has none.

    Labels of 0.2.0 and before are the number alone.
    """
    digits = str(label).removeprefix(_LINE) if isinstance(label, str | int | float) else ""
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) <= _LINE_DIGITS else None


def cache_contents(text: str | None, files: Sequence[str] | None) -> list[dict[str, Any]]:
    """Return the text and the files that all prompts share as the contents of a cache."""
    parts: list[dict[str, Any]] = [{"fileData": {"fileUri": uri, "mimeType": mime_type_of(uri)}} for uri in files or ()]
    if text is not None:
        parts.append({"text": text})
    return [{"role": "user", "parts": parts}]


def _generation_config(settings: AnswerSettings) -> dict[str, Any]:
    config = {name: value for key, name in _GENERATION.items() if (value := getattr(settings, key)) is not None}
    if settings.stop_sequences:
        config["stopSequences"] = list(settings.stop_sequences)
    if settings.response_json_schema is not None:
        config.setdefault("responseMimeType", "application/json")
    if settings.thinking is not None:
        config["thinkingConfig"] = _thinking(settings.thinking)
    if settings.media_resolution is not None:
        config["mediaResolution"] = f"MEDIA_RESOLUTION_{settings.media_resolution.upper()}"
    return config


def _thinking(thinking: Thinking) -> dict[str, Any]:
    config: dict[str, Any] = {}
    if thinking.budget_tokens is not None:
        config["thinkingBudget"] = thinking.budget_tokens
    if thinking.level is not None:
        config["thinkingLevel"] = thinking.level.upper()
    if thinking.include_thoughts:
        config["includeThoughts"] = True
    return config


def _safety(safety: Safety) -> list[dict[str, str]]:
    return [
        {"category": category, "threshold": value.upper()}
        for name, category in _HARMS.items()
        if (value := getattr(safety, name)) is not None
    ]
