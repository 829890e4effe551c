"""Faults that a test or a curious user can switch on at a stand-in, and the admin route that sets them."""

from __future__ import annotations

import asyncio
import json
import os
import random
import time
from collections import Counter
from pathlib import Path
from typing import Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route


class Faults(BaseModel):
    """What every stand-in can be told to do wrong; all off by default."""

    model_config = ConfigDict(extra="forbid")

    delay_seconds: float = Field(default=0.0, ge=0)
    """Added before each answer."""
    error_code: str = "503"
    """HTTP status (`"429"`) or, at Pub/Sub, gRPC status name (`"UNAVAILABLE"`) of an injected error."""
    error_share: float = Field(default=0.0, ge=0, le=1)
    """Share of calls that fail with `error_code`."""
    pass_calls: int = Field(default=0, ge=0)
    """So many calls pass, from the moment it is set, before `delay_seconds` and `error_share` begin: to interrupt between any two."""
    error_methods: list[str] = Field(default_factory=list)
    """Methods that `delay_seconds` and `error_share` apply to; empty means all."""
    unavailable_seconds: float = Field(default=0.0, ge=0)
    """From the moment it is set, every call fails as unavailable for this long."""


FaultsT = TypeVar("FaultsT", bound=Faults)


class InjectedError(Exception):
    """The fault settings say that this call fails.

    Args:
        code: HTTP status or gRPC status name, as set; `"unavailable"` while the stand-in plays dead.
    """

    def __init__(self, code: str) -> None:
        super().__init__(f"injected fault: {code}")
        self.code = code


class Delays:
    """The calls that a fault setting holds back at this moment: whoever set it can see them, and let them go."""

    def __init__(self) -> None:
        self.held: Counter[str] = Counter()
        """How many calls of each method are held back."""
        self._let_go = asyncio.Event()

    async def hold(self, method: str, seconds: float) -> None:
        """Hold a call of `method` back for so long, or until all are let go."""
        if not seconds:
            return
        self.held[method] += 1
        try:
            async with asyncio.timeout(seconds):
                await self._let_go.wait()
        except TimeoutError:
            pass
        finally:
            self.held[method] -= 1

    def let_go(self) -> None:
        """Let all go that are held back now."""
        self._let_go.set()
        self._let_go = asyncio.Event()


class FaultSwitch(Generic[FaultsT]):
    """The faults in force at one stand-in, kept in a file so that they survive its death.

    Args:
        path: JSON file that holds them.
        kind: the stand-in's own settings, a subclass of `Faults`.
    """

    def __init__(self, path: Path, kind: type[FaultsT]) -> None:
        self._path = path
        self._kind = kind
        self.current: FaultsT = kind()
        self.delays = Delays()
        self._unavailable_until = 0.0
        self._passed = 0
        if path.exists():
            kept = json.loads(path.read_text())
            self.current = kind.model_validate(kept["faults"])
            # Wall clock: the moment survives a restart of the process.
            self._unavailable_until = kept["unavailable_until"]

    def set(self, faults: FaultsT) -> None:
        """Put `faults` in force, in place of what was."""
        self.current = faults
        self._passed = 0
        self._unavailable_until = time.time() + faults.unavailable_seconds if faults.unavailable_seconds else 0.0
        whole = {"faults": self.in_force(), "unavailable_until": self._unavailable_until}
        self._path.parent.mkdir(parents=True, exist_ok=True)
        draft = self._path.with_suffix(".draft")
        draft.write_text(json.dumps(whole))
        os.replace(draft, self._path)  # noqa: PTH105 - atomic on POSIX, and says so

    def in_force(self) -> dict[str, object]:
        """Return what differs from the default."""
        return self.current.model_dump(exclude_defaults=True)

    async def before(self, method: str) -> None:
        """Delay or fail the call of `method` as the settings say.

        Raises:
            InjectedError: the call has to fail.
        """
        if time.time() < self._unavailable_until:
            raise InjectedError("unavailable")
        faults = self.current
        if faults.error_methods and method not in faults.error_methods:
            return
        if self._passed < faults.pass_calls:
            self._passed += 1
            return
        await self.delays.hold(method, faults.delay_seconds)
        if faults.error_share and random.random() < faults.error_share:  # noqa: S311 - not a secret
            raise InjectedError(faults.error_code)


def admin_app(switch: FaultSwitch[FaultsT], kind: type[FaultsT]) -> Starlette:
    """Return the admin application: `/health`, `/faults` to read, replace and reset, `/delayed` to see and let go."""

    async def health(_: Request) -> JSONResponse:
        return JSONResponse({"status": "ok"})

    async def faults(request: Request) -> JSONResponse:
        if request.method == "DELETE":
            switch.set(kind())
        elif request.method == "PUT":
            try:
                switch.set(kind.model_validate_json(await request.body()))
            except ValidationError as error:
                problems = [f"{'.'.join(map(str, one['loc'])) or 'body'}: {one['msg']}" for one in error.errors()]
                return JSONResponse({"error": problems, "allowed": sorted(kind.model_fields)}, status_code=400)
        return JSONResponse(switch.in_force())

    async def delayed(request: Request) -> JSONResponse:
        held = {method: calls for method, calls in switch.delays.held.items() if calls}
        if request.method == "DELETE":
            switch.delays.let_go()
        return JSONResponse(held)

    return Starlette(
        routes=[
            Route("/health", health),
            Route("/delayed", delayed, methods=["GET", "DELETE"]),
            Route("/faults", faults, methods=["GET", "PUT", "DELETE"]),
        ]
    )
