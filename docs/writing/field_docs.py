"""What the code says about the fields of a document: the text that stands beneath each of them."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any, get_args

from pydantic import BaseModel

from genops_events.reading.field_texts import field_texts


def field_docs(model: type[BaseModel]) -> dict[str, str]:
    """Return field name and text for each field of `model` that has one, those of its base classes included."""
    return {name: " ".join(text.split()) for name, text in field_texts(model).items()}


def models_below(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    """Yield the models that the fields of `model` hold, and those that these hold."""
    for field in model.model_fields.values():
        for one in _classes(field.annotation):
            yield one
            yield from models_below(one)


def first_sentence(text: str | None) -> str:
    """Return the first sentence of a docstring."""
    return " ".join(inspect.cleandoc(text or "").split("\n\n", maxsplit=1)[0].split())


def _classes(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for one in get_args(annotation):
        yield from _classes(one)
