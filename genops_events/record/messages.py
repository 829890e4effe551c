"""What Pub/Sub takes in one message, and how what is longer is made to fit: what it leaves out lies in the record.

https://cloud.google.com/pubsub/quotas#resource_limits (read 2026-12-01): a request has at most 10,000,000 bytes, a message 100
attributes, an attribute a name of 256 bytes and a value of 1,024.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

MOST_ATTRIBUTES = 100
MOST_VALUE_BYTES = 1_024
MOST_MESSAGE_BYTES = 9_990_000
"""Of a request's 10,000,000, beside the topic's name."""
_BESIDE_AN_ATTRIBUTE_BYTES = 16
"""What holds an attribute together in a request, at most."""
_ATTRIBUTES_BYTES = 10_000
"""What the attributes of a completion event take at most: none is longer than a bucket's name and a candidate's id."""
_SHORTER_TEXTS = (100_000, 10_000, 1_000)


def payload(data: Mapping[str, Any]) -> bytes:
    """Return the data of a completion event as it is published, JSON in UTF-8 that Pub/Sub takes.

    Where the whole would be too large, its longest texts are cut and end with `…`.
    """
    whole = _written(data)
    for most in _SHORTER_TEXTS:
        if len(whole) <= MOST_MESSAGE_BYTES - _ATTRIBUTES_BYTES:
            break
        whole = _written(_cut(data, most))
    return whole


def with_room(attributes: Mapping[str, str], added: Mapping[str, str], *, data_bytes: int) -> dict[str, str]:
    """Return `attributes`, which came with a message, and as many of `added` as Pub/Sub takes beside them, the first ones first.

    Args:
        attributes: of a message that was published once, and so fits.
        added: by name; a value that is too long is cut.
        data_bytes: size of the message's data.
    """
    found = dict(attributes)
    size = data_bytes + sum(_size(name, value) for name, value in found.items())
    for name, value in added.items():
        short = value.encode()[:MOST_VALUE_BYTES].decode(errors="ignore")
        has_place = name in found or len(found) < MOST_ATTRIBUTES
        if has_place and size + _size(name, short) <= MOST_MESSAGE_BYTES:
            found[name] = short
            size += _size(name, short)
    return found


def _written(data: Any) -> bytes:
    return json.dumps(data, ensure_ascii=False).encode()


def _cut(value: Any, most: int) -> Any:
    """Return a JSON value without texts of more than `most` characters."""
    match value:
        case str() if len(value) > most:
            return f"{value[: most - 1]}…"
        case Mapping():
            return {name: _cut(one, most) for name, one in value.items()}
        case list() | tuple():
            return [_cut(one, most) for one in value]
        case _:
            return value


def _size(name: str, value: str) -> int:
    return len(name.encode()) + len(value.encode()) + _BESIDE_AN_ATTRIBUTE_BYTES
