"""Turn what pydantic refuses into problems that a person can mend: key, line, what was found, what is allowed."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from types import UnionType
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails, InitErrorDetails, PydanticCustomError

from genops_events.errors import ConfigProblem
from genops_events.reading.field_texts import field_texts
from genops_events.reading.yaml_lines import YamlDocument

_FOUND_CHARACTERS = 200
_WORDS = {
    # What pydantic says in the words of Python, in the words of YAML.
    "string_type": "a text (in quotes, if it looks like a number, a date or yes/no)",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "int_parsing": "a whole number",
    "float_type": "a number",
    "decimal_type": "a number",
    "decimal_parsing": "a number",
    "finite_number": "a finite number",
    "dict_type": "keys and values, indented below this key",
    "model_type": "keys and values, indented below this key",
    "tuple_type": "a list, e.g. [one, two]",
    "invalid_key": "keys that are texts",
}


def close_match(value: object, known: Iterable[str]) -> str | None:
    """Return the known word that was probably meant, if any is near."""
    lower = {word.lower(): word for word in known}
    near = difflib.get_close_matches(str(value).lower(), lower, n=1, cutoff=0.6)
    return lower[near[0]] if near else None


def wrong_value(text: str, known: Sequence[str] = ()) -> PydanticCustomError:
    """Build the error of one value. `text` begins with "Input should"; `known` feeds "did you mean"."""
    # The text goes through the context: braces in a message template would be read as fields.
    return PydanticCustomError("wrong_value", "{text}", {"text": text, "known": tuple(known)})


def wrong(place: tuple[str | int, ...], found: object, text: str, known: Sequence[str] = ()) -> InitErrorDetails:
    """Build the error of a value somewhere below the model that is being checked."""
    return InitErrorDetails(type=wrong_value(text, known), loc=place, input=found)


def below(place: tuple[str | int, ...], one: InitErrorDetails) -> InitErrorDetails:
    """Return the error of a value with its place seen from further up."""
    return InitErrorDetails(type=one["type"], loc=(*place, *one.get("loc", ())), input=one["input"])


def raise_wrongs(wrongs: list[InitErrorDetails]) -> None:
    """Raise these errors together, if there are any; each keeps its own key."""
    # Pydantic keeps the places of a ValidationError that a validator raises: each problem points at its own key.
    if wrongs:
        raise ValidationError.from_exception_data("genops.yaml", wrongs)


def describe_problems(
    error: ValidationError, model: type[BaseModel], document: YamlDocument
) -> tuple[ConfigProblem, ...]:
    """Return one problem per mistake, in the order of the file."""
    problems = [
        _describe(detail, model, document)
        for detail in error.errors(include_url=False)
        if detail["type"] != "default_factory_not_called"  # follows from a mistake that is listed anyway
    ]
    return tuple(sorted(problems, key=lambda problem: problem.line or 0))


def _describe(detail: ErrorDetails, model: type[BaseModel], document: YamlDocument) -> ConfigProblem:
    kind, context = detail["type"], detail.get("ctx", {})
    place = tuple(part for part in detail["loc"] if part != "[key]")
    problem, found, allowed, near = "cannot be used", _show(detail["input"]), _allowed(detail), None
    if kind == "extra_forbidden":
        known = _keys_at(model, place[:-1])
        problem, allowed, near = "unknown key", ", ".join(known), _near_key(str(place[-1]), model, place[:-1])
        if (moved := getattr(_model_at(model, place[:-1]), "MOVED", {}).get(place[-1])) is not None:
            problem, allowed, near = "this key is gone", moved, None
    elif kind == "missing":
        problem, found = "this key is missing", "nothing"
        allowed = _description(model, place)
    elif kind == "literal_error":
        known = tuple(re.findall(r"'([^']*)'", str(context.get("expected", ""))))
        problem, allowed, near = "unknown value", ", ".join(known), close_match(detail["input"], known)
    elif kind == "string_pattern_mismatch":
        problem, allowed = "not of the right form", _description(model, place) or str(context.get("pattern", ""))
        if detail["loc"][-1] == "[key]":
            allowed = _description(model, place[:-1])
    elif kind == "wrong_value":
        near = close_match(detail["input"], context.get("known", ()))
    return ConfigProblem(".".join(map(str, place)), document.line_of(place), problem, found, allowed, near)


def _allowed(detail: ErrorDetails) -> str:
    if (words := _WORDS.get(detail["type"])) is not None:
        return words
    text = detail["msg"].removeprefix("Input should ").removeprefix("be ").strip()
    return text[:1].lower() + text[1:]


def _show(value: object) -> str:
    """Show what was found, never more than a line of it."""
    if value is None:
        return "nothing"
    if isinstance(value, Mapping):
        text = "the keys " + ", ".join(map(str, value)) if value else "an empty mapping"
    elif isinstance(value, (list, tuple)):
        text = f"a list of {len(value)}"
    elif isinstance(value, bool):
        text = "true" if value else "false"
    else:
        text = repr(value)
    return text if len(text) <= _FOUND_CHARACTERS else text[:_FOUND_CHARACTERS] + "…"


def _model_at(model: type[BaseModel], place: tuple[str | int, ...]) -> type[BaseModel] | None:
    """Walk from a model down its fields, through dicts of models, to the model at this place."""
    here: Any = model
    for part in place:
        if isinstance(here, type) and issubclass(here, BaseModel):
            field = here.model_fields.get(str(part))
            here = None if field is None else field.annotation
        else:
            arguments = get_args(here)  # dict[name, model] at the name, tuple[model, ...] at the number
            here = next((one for one in reversed(arguments) if one not in (Ellipsis, type(None))), None)
        here = _one_model(here)
    return here if isinstance(here, type) and issubclass(here, BaseModel) else None


def _one_model(annotation: Any) -> Any:
    """Return the model of `Model | None`, and what stands under `Annotated`; everything else as it is."""
    arguments = [one for one in get_args(annotation) if one is not type(None)]
    if hasattr(annotation, "__metadata__") or (get_origin(annotation) in (Union, UnionType) and len(arguments) == 1):
        return _one_model(arguments[0])
    return annotation


def _keys_at(model: type[BaseModel], place: tuple[str | int, ...]) -> tuple[str, ...]:
    here = _model_at(model, place)
    return () if here is None else tuple(here.model_fields)


def _near_key(key: str, model: type[BaseModel], place: tuple[str | int, ...]) -> str | None:
    """Return the key that was meant: a near one here, or the same key one level further down."""
    known = _keys_at(model, place)
    below = (f"{name}.{key}" for name in known if key in _keys_at(model, (*place, name)))
    return next(below, None) or close_match(key, known)


def _description(model: type[BaseModel], place: tuple[str | int, ...]) -> str:
    here = _model_at(model, place[:-1])
    return "" if here is None else field_texts(here).get(str(place[-1]), "")
