"""Note the requests that a test's own fake of a service was sent, so that they are held to the documents as those of the stand-ins are."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from gcp_stand_ins.recording import VARIABLE, Record, content


def note(service: str, method: str, address: str, body: bytes = b"", *, content_type: str = "") -> None:
    """Note one request over HTTP; what it was answered is the test's own invention, and not looked at.

    Args:
        service: `storage`, `vertex` or `bigquery`.
        method: the HTTP method.
        address: path and query.
        body: what was sent.
        content_type: of the body.
    """
    url = urlsplit(address)
    _write(
        service,
        method=method,
        path=url.path,
        query=url.query,
        request_type=content_type,
        **content("request", body),
        request_read=True,
        status=None,
        answer_type="",
        answer="",
        answered=False,
    )


def note_message(rpc: str, request: bytes) -> None:
    """Note one request to Pub/Sub, such as to `/google.pubsub.v1.Publisher/Publish`."""
    from base64 import b64encode

    _write("pubsub", rpc=rpc, request_base64=b64encode(request).decode())


def _write(service: str, **call: Any) -> None:
    folder = os.environ.get(VARIABLE)
    if folder:
        _record(folder, service).write(**call)


@cache
def _record(folder: str, service: str) -> Record:
    return Record(Path(folder), service)
