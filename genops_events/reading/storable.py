"""What Airflow can store: one check for every payload that leaves a trigger.

A payload goes as msgpack from the trigger's process to its supervisor, and as JSON into the database. What either cannot
take raises there, after the trigger has yielded it and out of its reach: an integer of 64 bits or more ended every trigger
of the process (airflow/jobs/triggerer_job_runner.py, `sync_state_to_supervisor`, 3.3.2). So it is refused before.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from genops_events.errors import PermanentError

MOST_INTEGER = 2**63 - 1
"""Of a signed integer of 64 bits: what databases, Parquet and BigQuery hold. Cloud Storage's generations and sizes are such."""
MOST_TEXT_BYTES = 16 * 1024
MOST_BYTES = 64 * 1024
"""Of all texts and keys together, with 16 bytes for every other value: our payloads have some hundred."""
DEEPEST = 16

_VALUE_BYTES = 16


class NotStorable(PermanentError):
    """Airflow cannot store a payload."""


def check_storable(payload: Any) -> None:
    """Raise NotStorable, with the place and the reason, if Airflow cannot store `payload`."""
    _check(payload, "the payload", 0, _Room(MOST_BYTES))


class _Room:
    """How many bytes are left."""

    def __init__(self, count: int) -> None:
        self._left = count

    def take(self, count: int) -> None:
        self._left -= count
        if self._left < 0:
            raise _refusal("the payload", f"has more than {MOST_BYTES:,} bytes")


def _check(value: Any, where: str, depth: int, room: _Room) -> None:
    if isinstance(value, str):
        _check_text(value, where, room)
        return
    room.take(_VALUE_BYTES)
    if value is None or isinstance(value, (bool, int, float)):
        _check_number(value or 0, where)
    elif depth >= DEEPEST:
        raise _refusal(where, f"is nested deeper than {DEEPEST} levels")
    elif isinstance(value, Mapping):
        for key, one in value.items():
            if not isinstance(key, str):
                raise _refusal(where, "has a key that is no text")
            _check_text(key, f"a key of {where}", room)
            _check(one, f"`{key[:40]}`", depth + 1, room)
    elif isinstance(value, Sequence) and not isinstance(value, (bytes, bytearray)):
        for one in value:
            _check(one, where, depth + 1, room)
    else:
        raise _refusal(where, f"is of a type that JSON does not have ({type(value).__name__})")


def _check_number(value: float, where: str) -> None:
    if isinstance(value, int) and not -MOST_INTEGER - 1 <= value <= MOST_INTEGER:
        raise _refusal(where, "is an integer of more than 64 bits")
    if isinstance(value, float) and not math.isfinite(value):
        raise _refusal(where, "is no finite number")


def _check_text(text: str, where: str, room: _Room) -> None:
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise _refusal(where, "has half of a surrogate pair, which is no character") from None
    if size > MOST_TEXT_BYTES:
        raise _refusal(where, f"is a text of more than {MOST_TEXT_BYTES:,} bytes")
    if "\0" in text:
        raise _refusal(where, "has a NUL character")
    room.take(size + _VALUE_BYTES)


def _refusal(where: str, why: str) -> NotStorable:
    return NotStorable(f"Airflow cannot store it: {where} {why}.", "Only this is refused; everything else goes on.")
