"""Read the JSON of a request as Google's services do."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from gcp_stand_ins.vertex.errors import invalid

_SNAKE = re.compile(r"(?<=[a-z0-9])_([a-z0-9])")
_USERS_KEYS = frozenset(
    {
        "labels",
        "values",
        "responseJsonSchema",
        "response_json_schema",
        "parametersJsonSchema",
        "parameters_json_schema",
        "args",
    }
)


def read_json(body: bytes) -> dict[str, Any]:
    """Return the object in a body.

    Raises:
        ApiError: it is none.
    """
    try:
        read = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise invalid(f"Invalid JSON payload received: {error}.") from None
    if not isinstance(read, dict):
        raise invalid("Invalid JSON payload received: it must be an object.")
    camel: dict[str, Any] = _camel_keys(read)
    return camel


def _camel_keys(value: Any) -> Any:
    """Return JSON with the names of fields as Google writes them.

    Proto JSON takes snake case as well, and google-genai sends it in places; names that users choose stay.
    """
    if isinstance(value, list):
        return [_camel_keys(one) for one in value]
    if not isinstance(value, dict):
        return value
    return {
        _SNAKE.sub(lambda match: match[1].upper(), key): one if key in _USERS_KEYS else _camel_keys(one)
        for key, one in value.items()
    }
