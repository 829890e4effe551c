"""generateContent: what is asked, what is answered, and what it counts as. No I/O."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from genops_events.local.vertex.errors import as_object, invalid, not_implemented
from genops_events.local.vertex.job import timestamp
from genops_events.local.vertex.tokens import count_tokens, split_tokens, texts_of_request

_KNOWN = frozenset({"contents", "systemInstruction", "generationConfig", "safetySettings", "labels", "model"})
_NOT_HERE = ("tools", "toolConfig", "cachedContent", "modelArmorConfig")
_SCHEMAS = ("responseSchema", "responseJsonSchema")
_ROLES = ("user", "model")
_MAX_TEMPERATURE = 2.0
_MAX_CANDIDATES = 8
_STREAM_WORDS = 8


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a generate request asks.

    Args:
        question: the last text of the user.
        tokens: of everything in the request, the system instruction too.
        max_output_tokens: None for no limit.
        candidates: how many answers are wanted.
    """

    question: str
    tokens: int
    max_output_tokens: int | None
    candidates: int


def read_prompt(body: Mapping[str, Any]) -> Prompt:
    """Return what a generateContent request asks.

    Raises:
        ApiError: it is not valid, or asks for what this model cannot do.
    """
    config = _config(body)
    texts = list(texts_of_request(body))
    for role, _ in texts:
        if role not in (*_ROLES, "system"):
            raise invalid(f"Please use a valid role: user, model. Found {role!r}.")
    turns = [text for role, text in texts if role == "user"]
    if not turns:
        raise invalid("Unable to submit request because it has no content of the user.")
    _number(config, "temperature", low=0.0, high=_MAX_TEMPERATURE)
    _number(config, "topP", low=0.0, high=1.0)
    limit = _number(config, "maxOutputTokens", low=1, high=65_536)
    return Prompt(
        question=turns[-1],
        tokens=sum(count_tokens(text) for _, text in texts),
        max_output_tokens=None if limit is None else int(limit),
        candidates=int(_number(config, "candidateCount", low=1, high=_MAX_CANDIDATES) or 1),
    )


def _config(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the generation config of a request that holds nothing unknown."""
    for field in body:
        if field in _NOT_HERE:
            raise not_implemented(f"generateContent with {field}")
        if field not in _KNOWN:
            raise invalid(f'Invalid JSON payload received. Unknown name "{field}": Cannot find field.')
    config = as_object(body.get("generationConfig"), "generationConfig")
    for field in _SCHEMAS:
        if field in config:
            raise not_implemented(f"generateContent with generationConfig.{field}")
    if config.get("responseMimeType", "text/plain") != "text/plain":
        raise not_implemented(f"generateContent with responseMimeType {config['responseMimeType']}")
    return config


def _number(config: Mapping[str, Any], field: str, *, low: float, high: float) -> float | None:
    value = config.get(field)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise invalid(f"Unable to submit request because {field} must be from {low} to {high}; found {value!r}.")
    return float(value)


def respond(prompt: Prompt, answer: str, *, model: str, now: float) -> dict[str, Any]:
    """Return the `GenerateContentResponse` that says `answer`, cut to the limit of output tokens."""
    tokens = split_tokens(answer)
    finish = "STOP"
    if prompt.max_output_tokens is not None and len(tokens) > prompt.max_output_tokens:
        tokens = tokens[: prompt.max_output_tokens]
        finish = "MAX_TOKENS"
    text = "".join(tokens)
    answered = len(tokens) * prompt.candidates
    return {
        "candidates": [
            {
                "index": index,
                "content": {"role": "model", "parts": [{"text": text}]},
                "finishReason": finish,
            }
            for index in range(prompt.candidates)
        ],
        "usageMetadata": {
            "promptTokenCount": prompt.tokens,
            "candidatesTokenCount": answered,
            "totalTokenCount": prompt.tokens + answered,
            "trafficType": "ON_DEMAND",
            "promptTokensDetails": [{"modality": "TEXT", "tokenCount": prompt.tokens}],
            "candidatesTokensDetails": [{"modality": "TEXT", "tokenCount": answered}],
        },
        "modelVersion": model,
        "createTime": timestamp(now),
        "responseId": uuid.uuid4().hex,
    }


def stream(response: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the parts of a response as streamGenerateContent sends them: the usage comes with the last one."""
    words = response["candidates"][0]["content"]["parts"][0]["text"].split(" ")
    pieces = [" ".join(words[at : at + _STREAM_WORDS]) for at in range(0, len(words), _STREAM_WORDS)]
    pieces = [piece if at == 0 else f" {piece}" for at, piece in enumerate(pieces)]
    common = {field: response[field] for field in ("modelVersion", "createTime", "responseId")}
    for piece in pieces[:-1]:
        yield {"candidates": [{"index": 0, "content": {"role": "model", "parts": [{"text": piece}]}}], **common}
    last = {**response["candidates"][0], "content": {"role": "model", "parts": [{"text": pieces[-1]}]}}
    yield {"candidates": [last], "usageMetadata": response["usageMetadata"], **common}
