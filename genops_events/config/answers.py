"""What a model can be told about how to answer: the same keys in genops.yaml and in a row of a prompt file.

Names and bounds are those of Gemini's GenerateContentRequest:
https://cloud.google.com/vertex-ai/generative-ai/docs/model-reference/inference
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator
from pydantic_core import InitErrorDetails

from genops_events.config.values import ConfigPart, MaxOutputTokens, refuse_bool, unique_items
from genops_events.reading.problems import raise_wrongs, wrong, wrong_value

_FUNCTION = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}")
_DATA_STORE = re.compile(r"projects/[^/]+/locations/[^/]+/collections/[^/]+/(dataStores|engines)/[^/]+")
_JSON = "application/json"
SCHEMA_TYPES = ("string", "number", "integer", "boolean", "array", "object", "null")

Number = Annotated[float, BeforeValidator(refuse_bool)]
Penalty = Annotated[Number, Field(ge=-2, lt=2)]
Threshold = Literal["off", "block_none", "block_only_high", "block_medium_and_above", "block_low_and_above"]


def _function_name(value: str) -> str:
    if _FUNCTION.fullmatch(value) is None:
        raise wrong_value("Input should be a name of letters, digits, `_`, `.` and `-`, at most 64, not a digit first")
    return value


def _data_store(value: str) -> str:
    if _DATA_STORE.fullmatch(value) is None:
        raise wrong_value("Input should be projects/…/locations/…/collections/…/dataStores/… (or …/engines/…)")
    return value


def _grounding(value: Any) -> Any:
    """Accept `google_search` in place of keys."""
    return {"google_search": True} if value == "google_search" else value


class Thinking(ConfigPart):
    """How long the model thinks before it answers; thinking is billed as output."""

    budget_tokens: Annotated[int, Field(strict=True, ge=-1, le=32_768)] | None = None
    """Most tokens of thinking: 0 for none, -1 for as many as the model likes."""
    level: Literal["minimal", "low", "medium", "high"] | None = None
    """The same in words, for models that take a level and no budget."""
    include_thoughts: bool = False
    """Whether summaries of the thoughts are kept beside the answer."""

    @model_validator(mode="after")
    def _check_one(self) -> Thinking:
        if self.budget_tokens is not None and self.level is not None:
            raise_wrongs([wrong(("level",), self.level, "Input should be left out where there is a budget_tokens")])
        if self.include_thoughts and self.budget_tokens == 0:
            text = "Input should be left out with `budget_tokens: 0`: without thinking, there are no thoughts"
            raise_wrongs([wrong(("include_thoughts",), True, text)])
        return self


class Safety(ConfigPart):
    """From which probability of harm on an answer is blocked; the model's own default where not given."""

    harassment: Threshold | None = None
    """Insults, threats, bullying."""
    hate_speech: Threshold | None = None
    """Hate against people for what they are."""
    sexually_explicit: Threshold | None = None
    """Sexual content."""
    dangerous_content: Threshold | None = None
    """Help with what harms."""


class Function(ConfigPart):
    """A function that the model may ask to be called; nothing calls it, the answer says what was asked."""

    name: Annotated[str, AfterValidator(_function_name)]
    """How the model calls it."""
    description: Annotated[str, Field(min_length=1)]
    """What it does and when to call it: the model decides by this."""
    parameters: dict[str, Any] | None = None
    """JSON Schema of its arguments, of type object; none if not given."""

    @model_validator(mode="after")
    def _check_parameters(self) -> Function:
        if self.parameters is not None:
            wrongs = list(wrong_schema(self.parameters, ("parameters",)))
            if not wrongs and self.parameters.get("type", "object") != "object":
                wrongs = [wrong(("parameters", "type"), self.parameters["type"], "Input should be object")]
            raise_wrongs(wrongs)
        return self


class FunctionCalling(ConfigPart):
    """Whether the model calls functions."""

    mode: Literal["auto", "any", "none", "validated"] = "auto"
    """`auto`: the model decides; `any`: always; `none`: never; `validated`: decides, and keeps to the schema."""
    allowed: Annotated[tuple[str, ...], AfterValidator(unique_items)] | None = None
    """With `any`: only these of `functions`."""


class Grounding(ConfigPart):
    """What the answer is grounded in: exactly one of the two."""

    google_search: bool = False
    """Google Search; billed by query, which the price table does not have."""
    data_store: Annotated[str, AfterValidator(_data_store)] | None = None
    """A data store (or engine) of Vertex AI Search."""

    @model_validator(mode="after")
    def _check_one(self) -> Grounding:
        if self.google_search is (self.data_store is not None):
            raise_wrongs([wrong((), None, "Input should have exactly one of google_search: true and data_store")])
        return self


class AnswerSettings(ConfigPart):
    """How the model answers; what is not given is the model's own default."""

    temperature: Annotated[Number, Field(ge=0, le=2)] | None = None
    """0 for the likeliest answer, up to 2 for variety."""
    top_p: Annotated[Number, Field(ge=0, le=1)] | None = None
    """Only the likeliest tokens that together have this probability are drawn from."""
    top_k: Annotated[int, Field(strict=True, ge=1, le=64)] | None = None
    """Only so many of the likeliest tokens are drawn from."""
    candidate_count: Annotated[int, Field(strict=True, ge=1, le=8)] | None = None
    """Answers to each prompt; each is billed."""
    max_output_tokens: MaxOutputTokens | None = None
    """Longest answer; thoughts are not counted."""
    stop_sequences: Annotated[tuple[str, ...], Field(min_length=1, max_length=5)] | None = None
    """Texts before which an answer ends, at most 5."""
    seed: Annotated[int, Field(strict=True, ge=-(2**31), lt=2**31)] | None = None
    """Makes repeated answers alike, as far as the model can."""
    presence_penalty: Penalty | None = None
    """Above 0: tokens that were used already become less likely."""
    frequency_penalty: Penalty | None = None
    """Above 0: the more often a token was used, the less likely it becomes."""
    response_mime_type: Literal["text/plain", "application/json", "text/x.enum"] | None = None
    """Form of the answer; `application/json` where there is a schema."""
    response_json_schema: dict[str, Any] | None = None
    """JSON Schema that the answer keeps to."""
    thinking: Thinking | None = None
    """How long the model thinks before it answers."""
    media_resolution: Literal["low", "medium", "high"] | None = None
    """How closely images, video and PDF are looked at; more costs more tokens."""
    safety: Safety | None = None
    """From which probability of harm on an answer is blocked."""
    functions: tuple[Function, ...] | None = None
    """Functions that the model may ask to be called."""
    function_calling: FunctionCalling | None = None
    """Whether the model calls functions."""
    grounding: Annotated[Grounding, BeforeValidator(_grounding)] | None = None
    """What answers are grounded in: `google_search`, or a data store of Vertex AI Search."""

    @model_validator(mode="after")
    def _check_settings(self) -> AnswerSettings:
        raise_wrongs(list(self._wrongs()))
        return self

    def _wrongs(self) -> Iterator[InitErrorDetails]:
        if self.response_json_schema is not None:
            yield from wrong_schema(self.response_json_schema, ("response_json_schema",))
            if self.response_mime_type == "text/plain":
                text = f"Input should be {_JSON} where there is a response_json_schema"
                yield wrong(("response_mime_type",), self.response_mime_type, text)
        names = [one.name for one in self.functions or ()]
        for number, name in enumerate(names):
            if name in names[:number]:
                yield wrong(("functions", number, "name"), name, "Input should have a name that no other function has")
        if self.functions and self.grounding is not None:
            text = "Input should be left out where there are functions: a call of Gemini takes either"
            yield wrong(("grounding",), self.grounding, text)
        if (calling := self.function_calling) is not None and self.functions is not None:
            for number, name in enumerate(calling.allowed or ()):
                if name not in names:
                    text = f"Input should be one of the functions: {', '.join(names)}"
                    yield wrong(("function_calling", "allowed", number), name, text, names)
            if calling.allowed and calling.mode != "any":
                text = "Input should be left out unless mode is any"
                yield wrong(("function_calling", "allowed"), calling.allowed, text)


class RowSettings(AnswerSettings):
    """What a row of a prompt file may say about its own answer."""

    system_instruction: str | None = None
    """In place of the dataset's; empty for none."""


def served_with(inference: AnswerSettings, *, max_output_tokens: int | None = None) -> AnswerSettings:
    """Return how a model is asked by the settings that its answers are served with: what is scored is what is served.

    Of several answers to a prompt (`candidate_count`), the first is the one that is served, and the only one that is scored.

    Args:
        inference: of the dataset.
        max_output_tokens: in place of theirs; None for theirs.
    """
    given = {name: getattr(inference, name) for name in AnswerSettings.model_fields}
    given |= {"candidate_count": None} | ({} if max_output_tokens is None else {"max_output_tokens": max_output_tokens})
    return AnswerSettings.model_validate(given)


def merged(settings: AnswerSettings, own: AnswerSettings | None) -> AnswerSettings:
    """Return `settings` with everything that `own` gives in place of theirs, null included: the model's default then.

    Raises:
        ValidationError: the two do not go together.
    """
    if own is None or not own.model_fields_set:
        return settings
    known = AnswerSettings.model_fields
    both = {name: getattr(settings, name) for name in known}
    both |= {name: getattr(own, name) for name in own.model_fields_set if name in known}
    return AnswerSettings.model_validate(both)


def wrong_schema(schema: Any, place: tuple[str | int, ...]) -> Iterator[InitErrorDetails]:
    """Yield what is no JSON Schema, as deep as the keys go that lead to further schemas."""
    if isinstance(schema, bool):
        return
    if not isinstance(schema, Mapping) or not schema:
        yield wrong(place, schema, "Input should be a JSON Schema: keys and values, such as {type: string}")
        return
    kinds = schema.get("type", [])
    for kind in kinds if isinstance(kinds, list) else [kinds]:
        if not isinstance(kind, str) or kind.lower() not in SCHEMA_TYPES:
            yield wrong((*place, "type"), kind, f"Input should be one of {', '.join(SCHEMA_TYPES)}", SCHEMA_TYPES)
    for below, one in _schemas_below(schema):
        yield from wrong_schema(one, (*place, *below))
    yield from _wrong_required(schema, place)


def _schemas_below(schema: Mapping[str, Any]) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    for key in ("properties", "$defs"):
        named = schema.get(key, {})
        if isinstance(named, Mapping):
            yield from (((key, str(name)), one) for name, one in named.items())
        else:
            yield (key,), named
    if "items" in schema:
        yield ("items",), schema["items"]
    for key in ("anyOf", "prefixItems"):
        listed = schema.get(key, [])
        yield from (((key, number), one) for number, one in enumerate(listed if isinstance(listed, list) else [listed]))


def _wrong_required(schema: Mapping[str, Any], place: tuple[str | int, ...]) -> Iterator[InitErrorDetails]:
    required, known = schema.get("required", []), schema.get("properties")
    if not isinstance(required, list):
        yield wrong((*place, "required"), required, "Input should be a list of names")
    elif isinstance(known, Mapping):
        names = [str(name) for name in known]
        for number, name in enumerate(required):
            if name not in known:
                text = f"Input should be one of the properties: {', '.join(names)}"
                yield wrong((*place, "required", number), name, text, names)
