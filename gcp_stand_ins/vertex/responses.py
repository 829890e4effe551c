"""generateContent: what is answered, whole, blocked or in pieces. No I/O."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from typing import Any

from gcp_stand_ins.vertex.generation import HARM, Prompt
from gcp_stand_ins.vertex.job import timestamp
from gcp_stand_ins.vertex.shaping import called, shaped
from gcp_stand_ins.vertex.tokens import count_tokens, split_tokens, token_details

_STREAM_WORDS = 8
_RATING = {"category": HARM, "probability": "HIGH", "blocked": True}


def respond(prompt: Prompt, answer: str, *, model: str, now: float, cached: int = 0) -> dict[str, Any]:
    """Return the `GenerateContentResponse` that says `answer`, in the form asked for, cut to the limit of output tokens.

    Args:
        prompt: what is asked.
        answer: what the model says to it.
        model: its name.
        now: seconds since 1970.
        cached: tokens of the cached content that comes before the prompt.
    """
    thought = prompt.thoughts.tokens
    limit = prompt.max_output_tokens
    if limit is not None and thought >= limit:
        # Thoughts count: they have used up the limit, and the answer never began.
        parts: list[dict[str, Any]] | None = None
        thought, tokens, finish = limit, 0, "MAX_TOKENS"
    elif (call := called(prompt.functions, prompt.question, must=prompt.must_call)) is not None:
        parts, tokens, finish = [{"functionCall": call}], count_tokens(str(call)), "STOP"
    else:
        text, finish = _ended(prompt, shaped(prompt.schema, answer, mime_type=prompt.mime_type), thought)
        parts, tokens = [{"text": text}], count_tokens(text)
    if prompt.thoughts.is_shown:
        parts = [{"text": f"They ask: {prompt.question}", "thought": True}, *(parts or ())]
    content = {"role": "model"} if parts is None else {"role": "model", "parts": parts}
    one = {"content": content, "finishReason": finish, **_grounded(prompt)}
    candidates = [{"index": index, **one} for index in range(prompt.candidates)]
    return {"candidates": candidates} | _about(
        prompt, model=model, now=now, cached=cached, answered=tokens * prompt.candidates, thought=thought
    )


def blocked_prompt(prompt: Prompt, *, model: str, now: float, cached: int = 0) -> dict[str, Any]:
    """Return the response to a prompt that the safety filters do not let pass."""
    feedback = {"blockReason": "SAFETY", "safetyRatings": [_RATING]}
    return {"promptFeedback": feedback} | _about(prompt, model=model, now=now, cached=cached)


def blocked_answer(prompt: Prompt, *, model: str, now: float, cached: int = 0) -> dict[str, Any]:
    """Return the response whose answer the safety filters stopped."""
    stopped = {"index": 0, "finishReason": "SAFETY", "safetyRatings": [_RATING]}
    return {"candidates": [stopped]} | _about(prompt, model=model, now=now, cached=cached)


def silent(prompt: Prompt, finish: str, *, model: str, now: float, cached: int = 0) -> dict[str, Any]:
    """Return the response that ends with a finish reason of one's choice, and whose content has no parts."""
    one = {"index": 0, "content": {"role": "model", "parts": None}, "finishReason": finish}
    return {"candidates": [one]} | _about(prompt, model=model, now=now, cached=cached)


def _about(
    prompt: Prompt, *, model: str, now: float, cached: int, answered: int = 0, thought: int = 0
) -> dict[str, Any]:
    asked = prompt.input_tokens + cached
    usage: dict[str, Any] = {
        "promptTokenCount": asked,
        "totalTokenCount": asked + answered + thought,
        "trafficType": "ON_DEMAND",
        "promptTokensDetails": token_details(prompt.tokens + cached, prompt.media),
    }
    if answered:
        usage["candidatesTokenCount"] = answered
        usage["candidatesTokensDetails"] = [{"modality": "TEXT", "tokenCount": answered}]
    if thought:
        usage["thoughtsTokenCount"] = thought
    if cached:
        usage["cachedContentTokenCount"] = cached
    return {
        "usageMetadata": usage,
        "modelVersion": model,
        "createTime": timestamp(now),
        "responseId": uuid.uuid4().hex,
    }


def _ended(prompt: Prompt, text: str, thought: int) -> tuple[str, str]:
    stops = [at for stop in prompt.stops if (at := text.find(stop)) >= 0]
    if stops:
        text = text[: min(stops)]
    tokens = split_tokens(text)
    if prompt.max_output_tokens is not None and len(tokens) > (left := max(0, prompt.max_output_tokens - thought)):
        return "".join(tokens[:left]), "MAX_TOKENS"
    return text, "STOP"


def _grounded(prompt: Prompt) -> dict[str, Any]:
    if prompt.search is None:
        return {}
    store = prompt.search.get("retrieval", {}).get("vertexAiSearch", {})
    name = store.get("datastore") or store.get("engine")
    if name:
        chunk = {"retrievedContext": {"uri": f"gs://stand-in/{name.rpartition('/')[2]}", "title": name}}
    else:
        chunk = {
            "web": {"uri": "https://example.com/stand-in", "title": "The stand-in found nothing: it cannot search"}
        }
    return {"groundingMetadata": {"webSearchQueries": [prompt.question], "groundingChunks": [chunk]}}


def stream(response: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the parts of a response as streamGenerateContent sends them: the usage comes with the last one."""
    common = {name: response[name] for name in ("modelVersion", "createTime", "responseId")}
    parts = response["candidates"][0].get("content", {}).get("parts", []) if response.get("candidates") else []
    if len(parts) != 1 or "text" not in parts[0]:
        yield dict(response)  # nothing to take apart
        return
    words = parts[0]["text"].split(" ")
    pieces = [" ".join(words[at : at + _STREAM_WORDS]) for at in range(0, len(words), _STREAM_WORDS)]
    pieces = [piece if at == 0 else f" {piece}" for at, piece in enumerate(pieces)]
    for piece in pieces[:-1]:
        yield {"candidates": [{"index": 0, "content": {"role": "model", "parts": [{"text": piece}]}}], **common}
    last = {**response["candidates"][0], "content": {"role": "model", "parts": [{"text": pieces[-1]}]}}
    yield {"candidates": [last], "usageMetadata": response["usageMetadata"], **common}
