"""What the source says beneath each field of a model, read when somebody asks for it.

Pydantic reads it as a class is made, if told to (`use_attribute_docstrings`): for genops.yaml and the catalogue that is a third of what
importing them takes, in each command, Dag file and task, for texts that only errors and the JSON Schema show.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Mapping
from functools import cache
from itertools import pairwise
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema


def field_texts(model: type[BaseModel]) -> Mapping[str, str]:
    """Return the text of each field that has one, by name; a field that a class declares anew has the text of that place.

    Empty where the source is not there, as in an installation of bytecode alone.
    """
    found: dict[str, str] = {}
    for kind in reversed(model.__mro__):
        if issubclass(kind, BaseModel) and kind is not BaseModel:
            found |= _own_texts(kind)
    return found


@cache
def _own_texts(kind: type[BaseModel]) -> Mapping[str, str]:
    try:
        source = inspect.getsource(kind)
    except (OSError, TypeError):
        return {}
    [definition] = ast.parse(textwrap.dedent(source)).body
    assert isinstance(definition, ast.ClassDef)
    found = {}
    for field, text in pairwise(definition.body):
        match field, text:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(words))):
                found[name] = inspect.cleandoc(words)
    return found


class WithFieldTexts(GenerateJsonSchema):
    """Make a JSON Schema that describes each field by its text: `Model.model_json_schema(schema_generator=WithFieldTexts)`."""

    def model_schema(self, schema: Any) -> dict[str, Any]:
        """Return the schema of one model."""
        made = super().model_schema(schema)
        texts = field_texts(schema["cls"])
        for name, value in made.get("properties", {}).items():
            if name in texts:
                value.setdefault("description", texts[name])
        return made
