"""How many tokens a text is held to have: an estimate, the same at every call and in every part of this stand-in."""

from __future__ import annotations

import base64
import json
import math
import re
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from gcp_stand_ins.vertex.errors import invalid, not_implemented

TOKENS_PER_IMAGE = 258
TOKENS_PER_PAGE = 258
TOKENS_PER_SECOND_OF_VIDEO = 290
TOKENS_PER_SECOND_OF_AUDIO = 32
"""Of Gemini 2.5: https://ai.google.dev/gemini-api/docs/tokens (read 2026-11-30). This stand-in does not look into files."""
SECONDS = 60
"""A video without `videoMetadata`, and a sound, are taken for as long."""
TOKENS_PER_TEXT = 258
TOKENS_PER_SECOND_OF_VIDEO_AT_LOW = 98
_RESOLUTIONS = {1: "LOW", 2: "MEDIUM", 3: "HIGH"}
"""As google-cloud-aiplatform writes them: enums may be numbers in the JSON of Google's APIs."""
_AT_RESOLUTION = {"IMAGE": {"LOW": 66, "HIGH": 2_304}, "DOCUMENT": {"LOW": 66}}
"""What differs with `mediaResolution`: https://ai.google.dev/gemini-api/docs/media-resolution (read 2026-11-30)."""
_MODALITIES = {
    "image/": "IMAGE",
    "audio/": "AUDIO",
    "video/": "VIDEO",
    "application/pdf": "DOCUMENT",
    "text/plain": "TEXT",
}
_REFUSED = frozenset({"image/gif", "image/bmp", "image/tiff", "image/svg+xml"})
"""Images that models do not take: users report image/gif, https://github.com/microsoft/vscode/issues/286628."""
_CALLS = frozenset({"functionCall", "functionResponse"})
_FILES = frozenset({"fileData", "inlineData"})
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)s")
_BESIDE = frozenset(
    {"text", "fileData", "inlineData", "videoMetadata", "mediaResolution", "thought", "thoughtSignature"}
)
"""What a part may hold beside calls: https://cloud.google.com/vertex-ai/generative-ai/docs/model-reference/inference#part"""
_LIGHT, _PLAIN, _DIGIT = 1, 3, 4
"""Thirds of a token: of a lower-case letter or a space, of most other characters, of a digit, which cuts a word in two."""
_LETTERS = (
    ("\u0370", "\u045f"),
    ("\u0530", "\u06ff"),
    ("\u0900", "\u10ff"),
    ("\u1200", "\u139f"),
    ("\u1780", "\u17ff"),
    ("\u2000", "\u206f"),
    ("\u3000", "\u30ff"),
    ("\u4e00", "\u9fff"),
    ("\uac00", "\ud7a3"),
    ("\uff01", "\uff5e"),
)
"""Characters of other scripts than Latin that are a token each; what is not here has one for each byte of its UTF-8."""


def count_tokens(text: str) -> int:
    """Return the estimate for `text`, by the rule that docs/adr/0020 gives with its reasons."""
    found = Counter(text)
    thirds = sum(_thirds(character) * times for character, times in found.items())
    return min(-(-thirds // 3), sum(_bytes(character) * times for character, times in found.items()))


@cache
def _thirds(character: str) -> int:
    if character == " " or "a" <= character <= "z":
        return _LIGHT
    if "0" <= character <= "9":
        return _DIGIT
    if any(first <= character <= last for first, last in _LETTERS):
        return _PLAIN
    if "\u1e00" <= character <= "\u1eff":  # Latin letters with two marks
        return 2 * _PLAIN
    return _PLAIN * _bytes(character)


def _bytes(character: str) -> int:
    return len(character.encode("utf-8", "surrogatepass"))


def billable_characters(text: str) -> int:
    """Return the number of characters that are not white space, which is what Vertex AI bills by character."""
    return sum(not character.isspace() for character in text)


def split_tokens(text: str) -> list[str]:
    """Return the tokens that `count_tokens` counts; of a character that has several, all but the first are empty."""
    pieces = [""] * count_tokens(text)
    weight = sum(map(_thirds, text))
    before = 0
    for character in text:
        pieces[before * len(pieces) // weight] += character
        before += _thirds(character)
    return pieces


def text_of(content: Any, *, where: str) -> str:
    """Return the text of one `Content`.

    Args:
        content: `{"role": …, "parts": [{"text": …}, …]}`.
        where: the place of it in the request, for the error.

    Raises:
        ApiError: it has no parts, or a part that is not text.
    """
    parts = content.get("parts") if isinstance(content, Mapping) else None
    if isinstance(parts, Mapping):  # Proto JSON forbids it, the service accepts it.
        parts = [parts]
    if not isinstance(parts, list) or not parts:
        raise invalid(f"Unable to submit request because {where} must include at least one parts field.")
    texts = []
    for given in parts:
        if not isinstance(given, Mapping):
            raise invalid(f"{where}.parts must be objects with a text; found {type(given).__name__}.")
        part = {name: value for name, value in given.items() if value is not None}  # null is no value in proto JSON
        if others := {_camel(name) for name in part} - _CALLS - _BESIDE:
            raise not_implemented(f"parts with {', '.join(sorted(others))} ({where})")
        _refuse_wrong_types({_camel(name): value for name, value in part.items()}, where)
        if isinstance(part.get("text"), str):
            texts.append(part["text"])
        elif not media_of(part) and not _CALLS.intersection(part):
            raise not_implemented(f"parts that are not text ({where}: {', '.join(sorted(part)) or 'an empty part'})")
    return "".join(texts)


def refuse_wrong_types(body: Mapping[str, Any]) -> None:
    """Refuse a prompt whose parts hold what proto JSON cannot read.

    Raises:
        ApiError: 400, and which field it is.
    """
    contents = body.get("contents")
    for index, content in enumerate(contents if isinstance(contents, list) else ()):
        parts = content.get("parts") if isinstance(content, Mapping) else None
        for part in parts if isinstance(parts, list) else ():
            if isinstance(part, Mapping):
                _refuse_wrong_types(part, f"contents[{index}]")


def _refuse_wrong_types(part: Mapping[str, Any], where: str) -> None:
    """Refuse what proto JSON cannot read, as the service does before it looks at anything else."""
    if not isinstance(part.get("thought", False), bool):
        raise invalid(f"Invalid value at '{where}.parts.thought' (TYPE_BOOL), {part['thought']!r}")
    resolution = part.get("mediaResolution") or {}
    if not isinstance(resolution, Mapping) or set(map(_camel, resolution)) - {"level"}:
        raise invalid(
            f"Invalid JSON payload received. Unknown name in {resolution!r} at '{where}.parts.mediaResolution'."
        )
    for call, field in (("functionCall", "args"), ("functionResponse", "response")):
        value = (part.get(call) or {}).get(field)
        if value is not None and not isinstance(value, Mapping):
            raise invalid(
                f"Invalid value at '{where}.parts.{call}.{field}' (type.googleapis.com/google.protobuf.Struct)"
            )
    data = (part.get("inlineData") or {}).get("data", "")
    try:
        base64.b64decode(data.replace("-", "+").replace("_", "/") + "=" * (-len(data) % 4), validate=True)
    except (ValueError, AttributeError):
        raise invalid(
            f"Invalid value at '{where}.parts.inlineData.data' (TYPE_BYTES), Base64 decoding failed"
        ) from None


def _camel(name: str) -> str:
    """Return a field's name as the API writes it; it also reads file_data for fileData."""
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


def media_of(part: Mapping[str, Any]) -> str | None:
    """Return the modality of a part that shows a file, None where it shows none.

    Raises:
        ApiError: it is of a type that no model takes, or nowhere.
    """
    data = next((value for name, value in part.items() if _camel(name) in _FILES), None)
    if not isinstance(data, Mapping):
        return None
    data = {_camel(name): value for name, value in data.items()}
    kind = str(data.get("mimeType", ""))
    modality = next((one for prefix, one in _MODALITIES.items() if kind.startswith(prefix)), None)
    if modality is None or kind in _REFUSED:
        raise invalid(
            f"Unable to submit request because it has a mimeType parameter with value {kind}, which is not supported."
        )
    uri = data.get("fileUri", "gs://")
    if not isinstance(uri, str) or not uri.startswith(("gs://", "https://")):
        raise invalid(f"Unable to submit request because it must have a valid fileUri; found {uri!r}.")
    return modality


def media_files(contents: Any) -> Counter[str]:
    """Return how many files some contents show, by modality."""
    return Counter(modality for part in _parts(contents) if (modality := media_of(part)))


def media_tokens(contents: Any, config: Any = None) -> Counter[str]:
    """Return how many tokens the files in some contents are held to have, by modality.

    Args:
        contents: of a request.
        config: its `generationConfig`, which may say in what resolution they are read.
    """
    resolution = config.get("mediaResolution", "") if isinstance(config, Mapping) else ""
    resolution = _RESOLUTIONS[resolution] if resolution in _RESOLUTIONS else str(resolution)
    found: Counter[str] = Counter()
    for part in _parts(contents):
        if modality := media_of(part):
            found[modality] += _tokens_of_file(modality, part, resolution.rpartition("_")[2])
    return found


def call_tokens(contents: Any) -> int:
    """Return how many tokens the function calls in some contents, and what functions answered, have."""
    calls = (value for part in _parts(contents) for name, value in part.items() if _camel(name) in _CALLS)
    return sum(count_tokens(json.dumps(one, ensure_ascii=False, separators=(",", ":"))) for one in calls)


def _parts(contents: Any) -> Iterator[Mapping[str, Any]]:
    for content in [contents] if isinstance(contents, Mapping) else contents or ():
        parts = content.get("parts") if isinstance(content, Mapping) else None
        for part in [parts] if isinstance(parts, Mapping) else parts or ():
            if isinstance(part, Mapping):
                yield part


def _tokens_of_file(modality: str, part: Mapping[str, Any], resolution: str) -> int:
    if modality == "VIDEO":
        second = TOKENS_PER_SECOND_OF_VIDEO_AT_LOW if resolution == "LOW" else TOKENS_PER_SECOND_OF_VIDEO
        return math.ceil(_seconds(part) * second)
    if modality in _AT_RESOLUTION and resolution in _AT_RESOLUTION[modality]:
        return _AT_RESOLUTION[modality][resolution]
    if modality == "AUDIO":
        return SECONDS * TOKENS_PER_SECOND_OF_AUDIO
    return {"IMAGE": TOKENS_PER_IMAGE, "DOCUMENT": TOKENS_PER_PAGE}.get(modality, TOKENS_PER_TEXT)


def _seconds(part: Mapping[str, Any]) -> float:
    """Return how long the part of a video is that is shown: what `videoMetadata` says, or SECONDS."""
    shown = part.get("videoMetadata") or part.get("video_metadata")
    shown = {_camel(name): value for name, value in shown.items()} if isinstance(shown, Mapping) else {}
    begin, end = (_DURATION.fullmatch(str(shown.get(name, ""))) for name in ("startOffset", "endOffset"))
    if end is None:
        return SECONDS
    return max(0.0, float(end[1]) - (0.0 if begin is None else float(begin[1])))


def texts_of_request(body: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield role and text of all that a count or generate request holds, the system instruction first.

    Raises:
        ApiError: there is no content, or one that cannot be read.
    """
    system = body.get("systemInstruction")
    if system:
        yield "system", text_of(system, where="systemInstruction")
    contents = body.get("contents")
    if isinstance(contents, Mapping):
        contents = [contents]
    instances = body.get("instances")
    if not contents and isinstance(instances, list) and instances:
        for index, instance in enumerate(instances):
            yield "user", _text_of_instance(instance, index)
        return
    if not isinstance(contents, list) or not contents:
        raise invalid("Unable to submit request because at least one contents field is required.")
    for index, content in enumerate(contents):
        role = content.get("role", "user") if isinstance(content, Mapping) else "user"
        yield str(role), text_of(content, where=f"contents[{index}]")


def _text_of_instance(instance: Any, index: int) -> str:
    """Return the prompt of one instance of the older request shape, `{"prompt": …}` or `{"content": …}`."""
    if isinstance(instance, str):
        return instance
    for field in ("prompt", "content"):
        if isinstance(instance, Mapping) and isinstance(instance.get(field), str):
            return str(instance[field])
    raise invalid(f"instances[{index}] must have a text in `prompt` or `content`.")


def count_request(body: Mapping[str, Any]) -> dict[str, object]:
    """Return the `CountTokensResponse` of a request."""
    texts = [text for _, text in texts_of_request(body)]
    total = sum(map(count_tokens, texts)) + call_tokens(body.get("contents"))
    media = media_tokens(body.get("contents"), body.get("generationConfig"))
    return {
        "totalTokens": total + media.total(),
        "totalBillableCharacters": sum(map(billable_characters, texts)),
        "promptTokensDetails": token_details(total, media),
    }


def token_details(text: int, media: Counter[str]) -> list[dict[str, object]]:
    """Return tokens by modality, as the API lists them."""
    details = [{"modality": "TEXT", "tokenCount": text}]
    return [*details, *({"modality": one, "tokenCount": count} for one, count in media.items())]


def compute_request(body: Mapping[str, Any]) -> dict[str, object]:
    """Return the `ComputeTokensResponse` of a request: the tokens themselves, with ids made up from their text."""
    return {
        "tokensInfo": [
            {
                "role": role,
                "tokens": [base64.b64encode(token.encode()).decode() for token in split_tokens(text)],
                "tokenIds": [str(zlib.crc32(token.encode())) for token in split_tokens(text)],
            }
            for role, text in texts_of_request(body)
        ]
    }
