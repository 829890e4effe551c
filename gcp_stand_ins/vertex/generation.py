"""generateContent: what is asked, and what it counts as. No I/O."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gcp_stand_ins.vertex.errors import as_object, invalid, not_implemented
from gcp_stand_ins.vertex.shaping import check_schema
from gcp_stand_ins.vertex.thinking import Thoughts, thoughts
from gcp_stand_ins.vertex.tokens import call_tokens, count_tokens, media_files, media_tokens, texts_of_request

_KNOWN = frozenset(
    {
        "contents",
        "systemInstruction",
        "generationConfig",
        "safetySettings",
        "labels",
        "model",
        "tools",
        "toolConfig",
        "cachedContent",
    }
)
_NOT_HERE = ("modelArmorConfig",)
_CONFIG = frozenset(
    {
        "temperature",
        "topP",
        "topK",
        "candidateCount",
        "maxOutputTokens",
        "stopSequences",
        "seed",
        "presencePenalty",
        "frequencyPenalty",
        "responseMimeType",
        "responseSchema",
        "responseJsonSchema",
        "thinkingConfig",
        "mediaResolution",
    }
)
_CONFIG_NOT_HERE = frozenset(
    {
        "responseLogprobs",
        "logprobs",
        "responseModalities",
        "speechConfig",
        "routingConfig",
        "modelSelectionConfig",
        "audioTimestamp",
        "imageConfig",
    }
)
_ROLES = ("user", "model")
_MIME_TYPES = ("text/plain", "application/json", "text/x.enum")
_THRESHOLDS = (
    "OFF",
    "BLOCK_NONE",
    "BLOCK_ONLY_HIGH",
    "BLOCK_MEDIUM_AND_ABOVE",
    "BLOCK_LOW_AND_ABOVE",
    "HARM_BLOCK_THRESHOLD_UNSPECIFIED",
)
HARM = "HARM_CATEGORY_DANGEROUS_CONTENT"
"""The only harm that this stand-in can be told to see."""
_LETS_PASS = ("OFF", "BLOCK_NONE")
_MAX_TEMPERATURE = 2.0
_MAX_CANDIDATES = 8
_MAX_STOPS = 5
_SEARCHES = {"googleSearch", "googleSearchRetrieval", "enterpriseWebSearch", "retrieval"}


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a generate request asks.

    Args:
        question: the last text of the user.
        tokens: of every text in the request, the system instruction too.
        max_output_tokens: None for no limit.
        candidates: how many answers are wanted.
        media: tokens of the files that it shows, by modality.
        files: how many files it shows, by modality.
        stops: texts before which an answer ends.
        mime_type: the form of the answer.
        schema: that the answer keeps to; None for free text.
        thoughts: what the model thinks before it answers.
        functions: declarations that may be called.
        must_call: whether one of them has to be.
        search: the tool that the answer is grounded by; None for none.
        harm_passes: whether the safety settings let harm pass.
        cache: name of the cached content that comes before; None for none.
    """

    question: str
    tokens: int
    max_output_tokens: int | None
    candidates: int
    media: Counter[str] = field(default_factory=Counter)
    files: Counter[str] = field(default_factory=Counter)
    stops: tuple[str, ...] = ()
    mime_type: str = "text/plain"
    schema: Mapping[str, Any] | None = None
    thoughts: Thoughts = field(default_factory=Thoughts)
    functions: tuple[Mapping[str, Any], ...] = ()
    must_call: bool = False
    search: Mapping[str, Any] | None = None
    harm_passes: bool = False
    cache: str | None = None

    @property
    def input_tokens(self) -> int:
        """All that the request holds; without what is in a cache."""
        return self.tokens + self.media.total()


def read_prompt(body: Mapping[str, Any], *, model: str) -> Prompt:
    """Return what a generateContent request asks of a model: a published one, or the one beneath a tuned one.

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
    _number(config, "topK", low=1, high=64)
    _number(config, "presencePenalty", low=-2.0, high=2.0)
    _number(config, "frequencyPenalty", low=-2.0, high=2.0)
    limit = _number(config, "maxOutputTokens", low=1, high=65_536)
    functions, must_call, search = read_tools(body)
    cache = body.get("cachedContent")
    if cache and (search or functions or body.get("systemInstruction")):
        raise invalid(
            "Tool config, tools and system instruction should not be set in the request when using cached content."
        )
    return Prompt(
        question=turns[-1],
        tokens=sum(count_tokens(text) for _, text in texts) + call_tokens(body.get("contents")),
        max_output_tokens=None if limit is None else int(limit),
        candidates=int(_number(config, "candidateCount", low=1, high=_MAX_CANDIDATES) or 1),
        media=media_tokens(body.get("contents"), config),
        files=media_files(body.get("contents")),
        stops=_stops(config),
        mime_type=str(config.get("responseMimeType", "text/plain")),
        schema=_schema(config),
        thoughts=thoughts(config, turns[-1], model=model),
        functions=functions,
        must_call=must_call,
        search=search,
        harm_passes=_harm_passes(body),
        cache=cache or None,
    )


def without_eyes(prompt: Prompt, answer: str) -> str:
    """Return the answer to a prompt that shows files: it says that nobody has looked into them."""
    if not prompt.files:
        return answer
    shown = ", ".join(f"{count} {kind.lower()}" for kind, count in sorted(prompt.files.items()))
    return f"The stand-in cannot look into files ({shown}). It was asked: {answer}"


def _config(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the generation config of a request that holds nothing unknown."""
    for name in body:
        if name in _NOT_HERE:
            raise not_implemented(f"generateContent with {name}")
        if name not in _KNOWN:
            raise invalid(f'Invalid JSON payload received. Unknown name "{name}": Cannot find field.')
    config = as_object(body.get("generationConfig"), "generationConfig")
    for name in config:
        if name in _CONFIG_NOT_HERE:
            raise not_implemented(f"generateContent with generationConfig.{name}")
        if name not in _CONFIG:
            raise invalid(
                f"Invalid JSON payload received. Unknown name \"{name}\" at 'generation_config': Cannot find field."
            )
    if config.get("responseMimeType", "text/plain") not in _MIME_TYPES:
        raise invalid(f"Unable to submit request because responseMimeType must be one of {', '.join(_MIME_TYPES)}.")
    return config


def _schema(config: Mapping[str, Any]) -> Mapping[str, Any] | None:
    found = [config[name] for name in ("responseSchema", "responseJsonSchema") if config.get(name) is not None]
    if not found:
        return None
    if len(found) > 1:
        raise invalid("Unable to submit request because only one of responseSchema and responseJsonSchema may be set.")
    if config.get("responseMimeType", "text/plain") == "text/plain":
        raise invalid("Unable to submit request because a response schema needs the responseMimeType application/json.")
    return check_schema(found[0], "response schema")


def _stops(config: Mapping[str, Any]) -> tuple[str, ...]:
    stops = config.get("stopSequences", [])
    if not isinstance(stops, list) or len(stops) > _MAX_STOPS or not all(isinstance(one, str) and one for one in stops):
        raise invalid(f"Unable to submit request because stopSequences must be at most {_MAX_STOPS} texts.")
    return tuple(stops)


def read_tools(body: Mapping[str, Any]) -> tuple[tuple[Mapping[str, Any], ...], bool, Mapping[str, Any] | None]:
    """Return the functions that may be called, whether one must be, and the tool that grounds the answer.

    Raises:
        ApiError: a tool is not here, or the tools do not go together.
    """
    functions: list[Mapping[str, Any]] = []
    search: Mapping[str, Any] | None = None
    for tool in body.get("tools") or ():
        for name in as_object(tool, "tools"):
            if name == "functionDeclarations":
                functions += tool[name]
            elif name in _SEARCHES:
                search = tool
            else:
                raise not_implemented(f"generateContent with tools.{name}")
    if functions and search is not None:
        raise invalid("Multiple tools are supported only when they are all search tools.")
    for one in functions:
        if not isinstance(one.get("name"), str):
            raise invalid("Unable to submit request because a function declaration must have a name.")
        check_schema(one.get("parametersJsonSchema") or one.get("parameters") or {}, f"parameters of {one['name']}")
    calling = as_object(as_object(body.get("toolConfig"), "toolConfig").get("functionCallingConfig"), "toolConfig")
    mode, allowed = str(calling.get("mode", "AUTO")), calling.get("allowedFunctionNames")
    if allowed and mode != "ANY":
        raise invalid("Allowed function names should only be set when function calling mode is ANY.")
    if mode == "NONE":
        return (), False, search
    chosen = [one for one in functions if not allowed or one["name"] in allowed]
    return tuple(chosen), mode == "ANY", search


def _harm_passes(body: Mapping[str, Any]) -> bool:
    passes = False
    for one in body.get("safetySettings") or ():
        category, threshold = as_object(one, "safetySettings").get("category"), one.get("threshold")
        if not str(category).startswith("HARM_CATEGORY_") or threshold not in _THRESHOLDS:
            raise invalid(f"Invalid value at 'safety_settings': {category}, {threshold}.")
        passes = passes or (category == HARM and threshold in _LETS_PASS)
    return passes


def _number(config: Mapping[str, Any], name: str, *, low: float, high: float) -> float | None:
    value = config.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise invalid(f"Unable to submit request because {name} must be from {low} to {high}; found {value!r}.")
    return float(value)
