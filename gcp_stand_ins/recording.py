"""Keep every call that a stand-in gets, and what it answers, as lines of JSON: to look at, or to hold to Google's documents.

A call over HTTP is one line, with `method`, `path`, `query`, `request`, `status` and `answer`; `request_read` and `answered` say whether
either was whole, for a caller may be gone before. Each message of a gRPC call is one
line, with `rpc` and either `request` or `answer`. What is not text is kept as Base64, under `request_base64` or `answer_base64`.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import time
from collections.abc import Awaitable, Callable, MutableMapping
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from gcp_stand_ins.guard import ASGIApp

VARIABLE = "STAND_INS_RECORD"
_MOST_BYTES_OF_MEDIA = 256 * 1024
_WHOLE = ("application/json", "text/event-stream", "multipart/mixed")


def add_argument(parser: argparse.ArgumentParser) -> None:
    """Let the command line, or a variable of the environment, name the folder of the records."""
    kept = os.environ.get(VARIABLE)
    parser.add_argument(
        "--record",
        type=Path,
        metavar="FOLDER",
        default=Path(kept) if kept else None,
        help=f"keep each call and its answer there, as a line of JSON (default: ${VARIABLE}; without it, none is kept)",
    )


class Record:
    """One process's file of lines, each written before the caller has the whole answer.

    Args:
        folder: holds the file, whose name no other process has.
        service: `storage`, `pubsub`, `vertex` or `bigquery`.
    """

    def __init__(self, folder: Path, service: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._service = service
        name = f"{service}-{os.getpid()}-{time.time_ns()}.jsonl"
        # Unbuffered: a line is in the file, whole, before a kill can come between. It is closed by the end of the process.
        self._file = os.open(folder / name, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def write(self, **call: Any) -> None:
        """Add a line."""
        line = {"service": self._service, "at": time.time(), **call}
        os.write(self._file, json.dumps(line, separators=(",", ":")).encode() + b"\n")


def record_of(given: argparse.Namespace, service: str) -> Record | None:
    """Return where the calls of `service` are kept; None where nobody wants them."""
    return None if given.record is None else Record(given.record, service)


def answer_is_given() -> None:
    """Note that the call under way is answered as the fault settings say, word for word: it is not the stand-in's own answer."""
    call = _under_way.get()
    if call is not None:
        call.is_given = True


def content(name: str, body: bytes) -> dict[str, str]:
    """Return a body as it stands in a line: text, or Base64."""
    try:
        return {name: body.decode()}
    except UnicodeDecodeError:
        return {f"{name}_base64": base64.b64encode(body).decode()}


def recorded(app: ASGIApp, record: Record | None) -> ASGIApp:
    """Return an application that answers as `app` does, and keeps each call in `record`."""
    return app if record is None else Recorder(app, record)


class Recorder:
    """An ASGI application around another: passes everything on, and keeps it.

    Of JSON all is kept; of other content the first 256 KiB, and `request_cut` or `answer_cut` says so. `answer_given` tells an
    answer that the fault settings gave.
    """

    def __init__(self, app: ASGIApp, record: Record) -> None:
        self._app = app
        self._record = record

    async def __call__(
        self,
        scope: MutableMapping[str, Any],
        receive: Callable[[], Awaitable[MutableMapping[str, Any]]],
        send: Callable[[MutableMapping[str, Any]], Awaitable[None]],
    ) -> None:
        """Serve one request."""
        call = _Call(scope)

        async def received() -> MutableMapping[str, Any]:
            message = await receive()
            if message["type"] == "http.request":
                call.request.add(message.get("body", b""))
                call.whole = not message.get("more_body", False)
            elif message["type"] == "http.disconnect":
                call.is_gone = True
            return message

        async def sent(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                call.status = message["status"]
                call.answer = _Body(_header(message.get("headers", ()), b"content-type"))
            else:
                call.answer.add(message.get("body", b""))
                if not message.get("more_body", False):
                    call.answered = not call.is_gone
                    self._write(call)
            await send(message)

        before = _under_way.set(call)
        try:
            await self._app(scope, received, sent)
        finally:
            _under_way.reset(before)
            self._write(call)  # of a caller who has gone

    def _write(self, call: _Call) -> None:
        if not call.written:
            call.written = True
            self._record.write(**call.line())


class _Body:
    """What is kept of one body."""

    def __init__(self, content_type: str) -> None:
        self.content_type = content_type
        self.cut = False
        self._most = None if content_type.startswith(_WHOLE) else _MOST_BYTES_OF_MEDIA
        self._kept = bytearray()

    def add(self, block: bytes) -> None:
        room = len(block) if self._most is None else self._most - len(self._kept)
        self._kept += block[:room]
        self.cut = self.cut or len(block) > room

    def line(self, name: str) -> dict[str, Any]:
        cut = {f"{name}_cut": True} if self.cut else {}
        return {f"{name}_type": self.content_type, **content(name, bytes(self._kept)), **cut}


class _Call:
    """One call over HTTP, as far as it has come."""

    def __init__(self, scope: MutableMapping[str, Any]) -> None:
        self._scope = scope
        self.request = _Body(_header(scope["headers"], b"content-type"))
        self.whole = False
        self.status: int | None = None
        self.answer = _Body("")
        self.answered = False
        self.is_gone = False
        self.written = False
        self.is_given = False

    def line(self) -> dict[str, Any]:
        return {
            "method": self._scope["method"],
            # Undecoded: the name of an object may hold slashes.
            "path": (self._scope.get("raw_path") or self._scope["path"].encode()).decode("latin-1"),
            "query": self._scope["query_string"].decode("latin-1"),
            **self.request.line("request"),
            "request_read": self.whole,
            "status": self.status,
            **self.answer.line("answer"),
            "answered": self.answered,
            **({"answer_given": True} if self.is_given else {}),
        }


_under_way: ContextVar[_Call | None] = ContextVar("call under way", default=None)


def _header(headers: Any, name: bytes) -> str:
    """Return the value of a header; empty where there is none."""
    return str(next((value.decode("latin-1") for key, value in headers if key.lower() == name), ""))
