"""Pub/Sub's own faults, and how injected errors become gRPC statuses."""

from __future__ import annotations

import asyncio
from pathlib import Path

import grpc
from pydantic import Field, field_validator

from gcp_stand_ins.faults import Faults, FaultSwitch

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


class PubSubFaults(Faults):
    """What the Pub/Sub stand-in can be told to do wrong; all off by default."""

    drop_acks: float = Field(default=0.0, ge=0, le=1)
    """Share of acknowledgements that are answered and then forgotten."""
    duplicate: float = Field(default=0.0, ge=0, le=1)
    """Share of messages that are delivered twice."""
    reorder: bool = False
    """Deliver messages in random order; those of one ordering key stay in theirs."""

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
