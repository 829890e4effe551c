"""Count what prompts would be billed by, without asking a model."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from genops_events.gcp.clients import CALL_TIMEOUT_SECONDS, idempotent_retry, llm_utility_client
from genops_events.gcp.errors import CloudRefused, google_call

if TYPE_CHECKING:
    from genops_events.config import Config

COUNTED_PROMPTS_PER_CALL = 100
COUNTED_BYTES_PER_CALL = 8 * 1024 * 1024
"""Of prompts in one call, by their characters; a longer one goes alone. Vertex AI takes requests of at most 20 MB."""
_REFUSED_FOR_A_PROMPT = (400, 403, 404, 413)


@dataclass(frozen=True, slots=True)
class TokenCount:
    """What a set of prompts would be billed by."""

    tokens: int
    billable_characters: int


def _contents(prompt: str | Sequence[Mapping[str, Any]]) -> list[Any]:
    from google.cloud import aiplatform_v1

    if isinstance(prompt, str):
        return [aiplatform_v1.Content(role="user", parts=[aiplatform_v1.Part(text=prompt)])] if prompt else []
    return [aiplatform_v1.Content.from_json(json.dumps(turn), ignore_unknown_fields=True) for turn in prompt]


def count_tokens(
    config: Config,
    *,
    model: str,
    prompts: Sequence[str | Sequence[Mapping[str, Any]]],
    system_instruction: str | None,
    media_resolution: str | None = None,
) -> TokenCount:
    """Count what `prompts` would be billed by, without asking the model; counting costs nothing.

    What Vertex AI cannot count it does not answer, either: such turns (a file that is not there, a field of a wrong type)
    count nothing, and hide none of the others. Whoever asks the model gets the same refusal, for that prompt alone.

    Args:
        config: project and location.
        model: a publisher's model id: tokens are those of the source model.
        prompts: texts, one user turn each, or contents as the REST API takes them.
        system_instruction: sent, and billed, with every prompt.
        media_resolution: `low`, `medium` or `high`, by which files are read; the model's own choice for None.

    Raises:
        CloudRefused: no prompt can be counted, or a text cannot.
        CloudUnavailable: Vertex AI does not answer.
    """
    from google.cloud import aiplatform_v1

    place = config.places.of(model)
    client = llm_utility_client(config, place)
    name = f"projects/{config.project}/locations/{place}/publishers/google/models/{model}"
    endpoint = model if model.startswith("projects/") else name
    instruction = _contents(system_instruction or "")
    resolutions = aiplatform_v1.GenerationConfig.MediaResolution

    def count(some: Sequence[_Counted]) -> TokenCount:
        contents = [content for one in some for both in (instruction, one.contents) for content in both]
        request = aiplatform_v1.CountTokensRequest(endpoint=endpoint, model=endpoint, contents=contents)
        if media_resolution is not None:
            request.generation_config.media_resolution = resolutions[f"MEDIA_RESOLUTION_{media_resolution.upper()}"]
        with google_call("count tokens"):
            response = client.count_tokens(request=request, timeout=CALL_TIMEOUT_SECONDS, retry=idempotent_retry())
        return TokenCount(tokens=response.total_tokens, billable_characters=response.total_billable_characters)

    def count_what_can_be(some: Sequence[_Counted]) -> list[TokenCount]:
        try:
            return [count(some)]
        except CloudRefused as error:
            if error.status not in _REFUSED_FOR_A_PROMPT or all(one.is_text for one in some):
                raise
            refused.append(error)
        if len(some) == 1:
            return []
        middle = len(some) // 2
        return count_what_can_be(some[:middle]) + count_what_can_be(some[middle:])

    tokens = characters = 0
    for some in _calls(prompts):
        refused: list[CloudRefused] = []
        found = count_what_can_be(some)
        if not found and not tokens:  # the model is to blame, and no prompt
            raise refused[0]
        tokens += sum(one.tokens for one in found)
        characters += sum(one.billable_characters for one in found)
    return TokenCount(tokens=tokens, billable_characters=characters)


@dataclass(frozen=True, slots=True)
class _Counted:
    """A prompt as it is counted."""

    contents: list[Any]
    is_text: bool


def _calls(prompts: Sequence[str | Sequence[Mapping[str, Any]]]) -> Iterator[list[_Counted]]:
    """Yield the prompts of one call after the other; turns that cannot be sent are left out."""
    from google.protobuf.json_format import ParseError

    some: list[_Counted] = []
    held = 0
    for prompt in prompts:
        encoded = [prompt] if isinstance(prompt, str) else [json.dumps(turn) for turn in prompt]
        size = sum(map(len, encoded))
        if some and (len(some) == COUNTED_PROMPTS_PER_CALL or held + size > COUNTED_BYTES_PER_CALL):
            yield some
            some, held = [], 0
        try:
            contents = _contents(prompt)
        except ParseError:
            continue
        texts = isinstance(prompt, str) or all("text" in part for turn in prompt for part in turn["parts"])
        some.append(_Counted(contents, texts))
        held += size
    if some:
        yield some
