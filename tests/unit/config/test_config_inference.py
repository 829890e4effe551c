from __future__ import annotations

import copy
from decimal import Decimal
from typing import Any

import pytest
import yaml
from config_texts import example

from genops_events.config import Config, parse_config
from genops_events.config.answers import RowSettings, merged
from genops_events.config.inference import Inference
from genops_events.errors import ConfigError, ConfigProblem
from genops_events.inference.choice import choose

EXAMPLE = example()
FUNCTION = {"name": "block_card", "description": "Blocks a card."}


def config(**inference: Any) -> Config:
    data = copy.deepcopy(EXAMPLE)
    data["datasets"]["banking77"]["inference"] = {"prompts": "prompts/p.jsonl", **inference}
    return parse_config(yaml.safe_dump(data))


def made(**inference: Any) -> Inference:
    return config(**inference).dataset("banking77").inference


def problems(**inference: Any) -> dict[str, ConfigProblem]:
    with pytest.raises(ConfigError) as caught:
        config(**inference)
    assert all(one.line is not None for one in caught.value.problems)
    return {one.key.removeprefix("datasets.banking77.inference."): one for one in caught.value.problems}


def test_what_is_not_given_is_the_likeliest_answer_of_256_tokens() -> None:
    found = made()
    assert (found.temperature, found.max_output_tokens, found.mode) == (0.0, 256, "auto")
    assert made(temperature=None).temperature is None


def test_everything_that_the_model_takes_can_be_written() -> None:
    found = made(
        temperature=1,
        top_p=0.9,
        top_k=40,
        candidate_count=2,
        stop_sequences=["END"],
        seed=7,
        presence_penalty=0.5,
        frequency_penalty=-0.5,
        response_json_schema={"type": "object", "properties": {"a": {"type": ["string", "null"]}}, "required": ["a"]},
        thinking={"budget_tokens": -1, "include_thoughts": True},
        media_resolution="low",
        safety={"harassment": "block_none", "dangerous_content": "off"},
        functions=[FUNCTION | {"parameters": {"type": "object", "properties": {"why": {"type": "string"}}}}],
        function_calling={"mode": "any", "allowed": ["block_card"]},
        requests_per_minute=60,
        tokens_per_minute=100_000,
        cache={"text": "a book", "files": ["gs://bucket/book.pdf"], "ttl_minutes": 30},
    )
    assert found.functions is not None
    assert found.functions[0].name == "block_card"
    store = "projects/p/locations/global/collections/default_collection/dataStores/d"
    assert made(grounding={"data_store": store}).grounding is not None
    assert made(grounding="google_search").grounding is not None


@pytest.mark.parametrize(
    ("inference", "key", "allowed"),
    [
        ({"temprature": 1}, "temprature", "temperature, top_p"),
        ({"temperature": True}, "temperature", "a number"),
        ({"top_p": 1.5}, "top_p", "less than or equal to 1"),
        ({"requests_per_minute": 0}, "requests_per_minute", "greater than or equal to 1"),
        ({"tokens_per_minute": 0}, "tokens_per_minute", "greater than or equal to 1"),
        ({"mode": "offline"}, "mode", "auto, online, batch"),
        ({"safety": {"violence": "off"}}, "safety.violence", "harassment, hate_speech"),
        ({"safety": {"harassment": "none"}}, "safety.harassment", "off, block_none"),
        ({"thinking": {"budget": 1}}, "thinking.budget", "budget_tokens, level"),
        (
            {"thinking": {"budget_tokens": 1, "level": "low"}},
            "thinking.level",
            "left out where there is a budget_tokens",
        ),
        (
            {"functions": [{"nam": "x", "description": "d", "name": "y"}]},
            "functions.0.nam",
            "name, description, parameters",
        ),
        ({"functions": [FUNCTION | {"name": "7up"}]}, "functions.0.name", "not a digit first"),
        ({"functions": [FUNCTION, FUNCTION]}, "functions.1.name", "a name that no other function has"),
        (
            {"functions": [FUNCTION | {"parameters": {"properties": {"a": {"type": "text"}}}}]},
            "functions.0.parameters.properties.a.type",
            "one of string, number",
        ),
        (
            {"functions": [FUNCTION], "function_calling": {"mode": "any", "allowed": ["block"]}},
            "function_calling.allowed.0",
            "one of the functions: block_card",
        ),
        ({"function_calling": {"mode": "any"}}, "function_calling", "left out where there are no functions"),
        ({"functions": [FUNCTION], "grounding": "google_search"}, "grounding", "left out where there are functions"),
        ({"grounding": {}}, "grounding", "exactly one of google_search: true and data_store"),
        ({"grounding": {"data_store": "mine"}}, "grounding.data_store", "projects/…/locations/…"),
        ({"response_json_schema": {"type": "objct"}}, "response_json_schema.type", "one of string, number"),
        ({"response_json_schema": {}}, "response_json_schema", "a JSON Schema"),
        (
            {"response_json_schema": {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["b"]}},
            "response_json_schema.required.0",
            "one of the properties: a",
        ),
        (
            {"response_json_schema": {"type": "string"}, "response_mime_type": "text/plain"},
            "response_mime_type",
            "application/json where there is a response_json_schema",
        ),
        ({"cache": {"ttl_minutes": 5}}, "cache", "a text, or files, or both"),
        ({"cache": {"files": ["gs://bucket/book.docx"]}}, "cache.files.0", "models do not take book.docx"),
        ({"cache": {"text": "x"}, "mode": "batch"}, "cache", "only online calls use one"),
        ({"batch": {"from_row": 1}}, "batch.from_row", "from_rows, from_saved_usd"),
    ],
)
def test_what_is_mistyped_is_named_with_its_place(inference: dict[str, Any], key: str, allowed: str) -> None:
    found = problems(**inference)
    assert key in found, found
    assert allowed in found[key].allowed


def test_a_near_key_and_a_near_value_are_proposed() -> None:
    assert problems(temprature=1)["temprature"].did_you_mean == "temperature"
    assert problems(safety={"harasment": "off"})["safety.harasment"].did_you_mean == "harassment"
    schema = {"type": "strin"}
    assert problems(response_json_schema=schema)["response_json_schema.type"].did_you_mean == "string"


def test_a_row_replaces_what_it_gives_null_included() -> None:
    settings = made(top_k=3, stop_sequences=["END"], thinking={"budget_tokens": 5})
    own = RowSettings.model_validate({"top_k": 9, "stop_sequences": None, "system_instruction": "x"})
    both = merged(settings, own)
    assert (both.top_k, both.stop_sequences, both.thinking) == (9, None, settings.thinking)
    assert merged(settings, None) is settings


@pytest.mark.parametrize(
    ("inference", "rows", "online", "batch", "not_batch", "way", "why"),
    [
        ({}, 10, "1", "0.5", "", "online", "10 prompts are few, and a batch job would save 0.50 USD"),
        ({}, 2000, "1", "0.5", "", "batch", "2,000 prompts are at least `inference.batch.from_rows` (2,000)"),
        ({}, 10, "4", "2", "", "batch", "it saves 2.00 USD, at least `inference.batch.from_saved_usd`"),
        ({}, 9000, "4", "4", "", "online", "a batch job is no cheaper"),
        ({}, 9000, "4", "2", "it cannot", "online", "it cannot"),
        ({"cache": {"text": "word " * 2000}}, 9000, "4", "2", "", "online", "only online calls use `inference.cache`"),
        ({"mode": "batch"}, 1, "4", "4", "", "batch", "`inference.mode` is batch"),
        ({"mode": "online"}, 9000, "4", "2", "", "online", "`inference.mode` is online"),
    ],
)
def test_size_and_cost_decide_or_the_user_does(  # noqa: PLR0917
    inference: dict[str, Any], rows: int, online: str, batch: str, not_batch: str, way: str, why: str
) -> None:
    choice = choose(
        made(**inference), rows=rows, online_usd=Decimal(online), batch_usd=Decimal(batch), not_batch=not_batch
    )
    assert (choice.way, choice.why) == (way, why)
