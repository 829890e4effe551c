"""What the code says about the fields of a document: the text that stands beneath each of them."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, get_args

from pydantic import BaseModel


def field_docs(model: type[BaseModel]) -> dict[str, str]:
    """Return field name and text for each field of `model` that has one, those of its base classes included."""
    found: dict[str, str] = {}
    for one in reversed(model.__mro__):
        if issubclass(one, BaseModel) and one is not BaseModel:
            found |= dict(_texts_of(one))
    return found


def models_below(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    """Yield the models that the fields of `model` hold, and those that these hold."""
    for field in model.model_fields.values():
        for one in _classes(field.annotation):
            yield one
            yield from models_below(one)


def first_sentence(text: str | None) -> str:
    """Return the first sentence of a docstring."""
    return " ".join(inspect.cleandoc(text or "").split("\n\n", maxsplit=1)[0].split())


def _texts_of(model: type[BaseModel]) -> Iterator[tuple[str, str]]:
    [body] = [
        one.body for one in ast.parse(textwrap.dedent(inspect.getsource(model))).body if isinstance(one, ast.ClassDef)
    ]
    for field, text in pairwise(body):
        if (
            isinstance(field, ast.AnnAssign)
            and isinstance(field.target, ast.Name)
            and isinstance(text, ast.Expr)
            and isinstance(text.value, ast.Constant)
        ):
            yield field.target.id, " ".join(str(text.value.value).split())


def _classes(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for one in get_args(annotation):
        yield from _classes(one)
