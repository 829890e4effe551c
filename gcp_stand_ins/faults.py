"""Faults that a test or a curious user can switch on at a stand-in, and the admin route that sets them."""

from __future__ import annotations

import asyncio
import json
import os
import random
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from gcp_stand_ins.recording import answer_is_given


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

    @property
    def given_answers(self) -> Sequence[GivenAnswer]:
        """What single calls are answered with, whatever the stand-in would say."""
        return ()


class GivenAnswer(BaseModel):
    """An answer word for word: what the real service was seen to answer, and the stand-in never would by itself."""

    model_config = ConfigDict(extra="forbid")

    method: str
    """Which calls get it, such as `tuningJobs.get`."""
    status: int = Field(default=200, ge=200, le=599)
    document: Any = None
    """The body, as JSON."""
    text: str | None = None
    """The body, where it is no JSON."""
    headers: dict[str, str] = Field(default_factory=dict)
    times: int | None = Field(default=None, ge=1)
    """How many calls get it; the next ones get the next answer of their method, or the stand-in's own. None: all."""

    @model_validator(mode="after")
    def _has_one_body(self) -> GivenAnswer:
        if self.text is not None and "document" in self.model_fields_set:
            raise ValueError("an answer has `document` or `text`, not both")
        return self

    @property
    def body(self) -> bytes:
        """What is sent."""
        if self.text is not None:
            return self.text.encode()
        return json.dumps(self.document, ensure_ascii=False).encode() if "document" in self.model_fields_set else b""

    @property
    def content_type(self) -> str:
        """What it is said to be, unless `headers` says so."""
        return "text/html; charset=UTF-8" if self.text is not None else "application/json; charset=UTF-8"

    @property
    def all_headers(self) -> dict[str, str]:
        """Return the headers, by their names in lower case."""
        return {"content-type": self.content_type} | {name.lower(): value for name, value in self.headers.items()}


class HttpFaults(Faults):
    """What stand-ins that speak HTTP can be told beyond that."""

    answers: list[GivenAnswer] = Field(default_factory=list)
    """Calls that are answered word for word, and do nothing: `[{"method": "tuningJobs.get", "document": {…}}]`."""

    @property
    def given_answers(self) -> Sequence[GivenAnswer]:
        """What single calls are answered with, whatever the stand-in would say."""
        return self.answers


FaultsT = TypeVar("FaultsT", bound=Faults)


class InjectedError(Exception):
    """The fault settings say that this call fails.

    Args:
        code: HTTP status or gRPC status name, as set; `"unavailable"` while the stand-in plays dead.
    """

    def __init__(self, code: str) -> None:
        super().__init__(f"injected fault: {code}")
        self.code = code


class AnswerGivenError(Exception):
    """The fault settings say what this call is answered with.

    Args:
        answer: what to send.
    """

    def __init__(self, answer: GivenAnswer) -> None:
        super().__init__(f"{answer.method} is answered as the fault settings say")
        self.answer = answer


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
        self._given: Counter[int] = Counter()
        if path.exists():
            kept = json.loads(path.read_text())
            self.current = kind.model_validate(kept["faults"])
            # Wall clock: the moment survives a restart of the process.
            self._unavailable_until = kept["unavailable_until"]

    def set(self, faults: FaultsT) -> None:
        """Put `faults` in force, in place of what was."""
        self.current = faults
        self._passed = 0
        self._given.clear()
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
            AnswerGivenError: the call has to be answered so.
        """
        if time.time() < self._unavailable_until:
            raise InjectedError("unavailable")
        faults = self.current
        for place, answer in enumerate(faults.given_answers):
            if answer.method == method and (answer.times is None or self._given[place] < answer.times):
                self._given[place] += 1
                answer_is_given()
                raise AnswerGivenError(answer)
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
