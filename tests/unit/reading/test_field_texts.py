"""The text beneath a field: read from the source when somebody asks, and never as a class is made."""

from __future__ import annotations

import pytest
from pydantic import BaseModel

from genops_events.catalogue.facts import Prices, Sourced
from genops_events.config import Config
from genops_events.reading.field_texts import WithFieldTexts, field_texts


class Base(BaseModel):
    kept: int = 1
    """Of the base."""
    changed: int = 1
    """Of the base."""


class Derived(Base):
    """No text of a field."""

    changed: int = 2
    """Of the one
    that declares it anew."""
    bare: int = 3
    own: int = 4
    """Its own."""

    def last(self) -> int:
        """Belong to no field."""
        return self.own


def test_each_field_has_the_text_of_where_it_was_declared_last() -> None:
    assert field_texts(Derived) == {
        "kept": "Of the base.",
        "changed": "Of the one\nthat declares it anew.",
        "own": "Its own.",
    }


def test_a_schema_describes_fields_by_their_texts_and_none_that_has_no_text() -> None:
    properties = Derived.model_json_schema(schema_generator=WithFieldTexts)["properties"]
    assert {name: one.get("description") for name, one in properties.items()} == {
        "kept": "Of the base.",
        "changed": "Of the one\nthat declares it anew.",
        "bare": None,
        "own": "Its own.",
    }


def test_a_class_without_source_has_no_texts() -> None:
    made = type("Made", (BaseModel,), {"__module__": "nowhere", "__annotations__": {"one": int}})
    assert field_texts(made) == {}


@pytest.mark.parametrize("model", [Config, Sourced, Prices])
def test_no_text_is_read_as_the_settings_and_the_catalogue_are_imported(model: type[BaseModel]) -> None:
    assert not any(field.description for field in model.model_fields.values())
    assert field_texts(model)
