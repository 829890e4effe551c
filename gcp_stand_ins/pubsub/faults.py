"""Pub/Sub's own faults, and how injected errors become gRPC statuses."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import grpc
from google.protobuf.json_format import ParseDict, ParseError
from google.rpc import error_details_pb2  # noqa: F401 - so that details are known by their names
from google.rpc.status_pb2 import Status
from pydantic import Field, field_validator

from gcp_stand_ins.faults import Faults, FaultSwitch, GivenAnswer
from gcp_stand_ins.pubsub.errors import DETAILS, ApiError

_FROM_HTTP = {
    "400": "INVALID_ARGUMENT",
    "401": "UNAUTHENTICATED",
    "403": "PERMISSION_DENIED",
    "404": "NOT_FOUND",
    "409": "ALREADY_EXISTS",
    "412": "FAILED_PRECONDITION",
    "429": "RESOURCE_EXHAUSTED",
    "499": "CANCELLED",
    "500": "INTERNAL",
    "501": "UNIMPLEMENTED",
    "503": "UNAVAILABLE",
    "504": "DEADLINE_EXCEEDED",
}


def status_of(code: str) -> grpc.StatusCode:
    """Return the gRPC status that `code`, an HTTP status or a status name, stands for.

    Raises:
        ValueError: it stands for none.
    """
    name = _FROM_HTTP.get(code, code.upper())
    names = [status.name for status in grpc.StatusCode if status is not grpc.StatusCode.OK]
    if name not in names:
        raise ValueError(f"{code!r} is neither one of {', '.join(_FROM_HTTP)} nor one of {', '.join(names)}")
    return grpc.StatusCode[name]


def error_given(answer: GivenAnswer) -> ApiError:
    """Return the error that an answer says in JSON, details and all, as gRPC tells it.

    Raises:
        ValueError: it is none, or has a detail that nobody knows.
    """
    error = answer.document.get("error") if isinstance(answer.document, Mapping) else None
    if answer.headers or not isinstance(error, Mapping):
        raise ValueError('an answer of Pub/Sub is an error as JSON, without headers: {"error": {"status": …, …}}')
    status = status_of(str(error.get("status") or answer.status))
    told: dict[str, Any] = {"code": status.value[0], "message": error.get("message", "")}
    try:
        packed = ParseDict({**told, "details": error.get("details", [])}, Status())
    except (ParseError, TypeError) as problem:
        raise ValueError(f"the details are none that gRPC knows: {problem}") from problem
    return ApiError(status, packed.message, ((DETAILS, packed.SerializeToString()),))


class PubSubFaults(Faults):
    """What the Pub/Sub stand-in can be told to do wrong; all off by default."""

    drop_acks: float = Field(default=0.0, ge=0, le=1)
    """Share of acknowledgements that are answered and then forgotten."""
    duplicate: float = Field(default=0.0, ge=0, le=1)
    """Share of messages that are delivered twice."""
    reorder: bool = False
    """Deliver messages in random order; those of one ordering key stay in theirs."""
    answers: list[GivenAnswer] = Field(default_factory=list)
    """Calls that are answered with an error word for word, as JSON tells it: `[{"method": "Pull", "status": 403, "document": {…}}]`."""

    @property
    def given_answers(self) -> Sequence[GivenAnswer]:
        """What single calls are answered with, whatever the stand-in would say."""
        return self.answers

    @field_validator("answers")
    @classmethod
    def _are_errors(cls, answers: list[GivenAnswer]) -> list[GivenAnswer]:
        for answer in answers:
            error_given(answer)
        return answers

    @field_validator("error_code")
    @classmethod
    def _is_a_status(cls, code: str) -> str:
        status_of(code)
        return code


class PubSubFaultSwitch(FaultSwitch[PubSubFaults]):
    """The faults in force, which also end streams that are open when they are set."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, PubSubFaults)
        self._changed = asyncio.Event()

    def set(self, faults: PubSubFaults) -> None:
        """Put `faults` in force, in place of what was."""
        super().set(faults)
        self._changed.set()
        self._changed = asyncio.Event()

    async def until_faulty(self, method: str) -> None:
        """Return never: raise when a new setting says that an open call of `method` fails.

        Raises:
            InjectedError: the call has to fail.
        """
        while True:
            await self._changed.wait()
            await self.before(method)
