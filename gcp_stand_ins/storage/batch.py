"""Batch requests: many calls in one `multipart/mixed` body, each answered in a part of its own."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from email.message import Message
from email.parser import BytesParser
from http import HTTPStatus
from urllib.parse import urlsplit
from uuid import uuid4

from gcp_stand_ins.storage.related import boundary_of
from gcp_stand_ins.storage.wire import Answer, ApiError, Call, error_answer, parse_query

_CALLS_A_BATCH = 1000


async def answer_batch(call: Call, answer_one: Callable[[Call], Awaitable[Answer]]) -> Answer:
    """Answer every call of a batch, in order; a failed one does not stop the others.

    Args:
        call: the batch request.
        answer_one: answers a call as if it had come alone.

    Raises:
        ApiError: 400, the body is no batch.
    """
    content_type = call.headers.get("content-type", "")
    boundary_of(content_type)
    message = BytesParser().parsebytes(
        b"Content-Type: " + content_type.encode() + b"\r\n\r\n" + await call.whole_body()
    )
    parts = message.get_payload()
    if not isinstance(parts, list) or not parts:
        raise ApiError(400, "Failed to parse batch request: it has no parts.")
    if len(parts) > _CALLS_A_BATCH:
        raise ApiError(400, f"The batch has {len(parts)} calls; at most {_CALLS_A_BATCH} are allowed.")
    boundary = f"batch_{uuid4().hex}"
    out: list[bytes] = []
    for part in parts:
        assert isinstance(part, Message)
        try:
            answer = await answer_one(_inner_call(part, call))
        except ApiError as error:
            answer = error_answer(error)
        out.append(_part(boundary, part.get("Content-ID"), answer))
    out.append(f"--{boundary}--\r\n".encode())
    return Answer(200, b"".join(out), {"content-type": f"multipart/mixed; boundary={boundary}"})


def _inner_call(part: Message, outer: Call) -> Call:
    """Return the call in a part of type `application/http`."""
    payload = part.get_payload(decode=True)
    assert isinstance(payload, bytes)
    request_line, _, rest = payload.lstrip().replace(b"\r\n", b"\n").partition(b"\n")
    words = request_line.decode("latin-1").split(" ")
    if len(words) not in {2, 3}:
        raise ApiError(400, f"Failed to parse batch request, error: no request line in {request_line[:80]!r}.")
    head, _, content = rest.partition(b"\n\n") if not rest.startswith(b"\n") else (b"", b"", rest[1:])
    headers = BytesParser().parsebytes(head + b"\n\n", headersonly=True)
    url = urlsplit(words[1])
    if not url.path.startswith("/storage/v1/") or "alt=media" in url.query:
        raise ApiError(400, f"{words[0]} {url.path} cannot be part of a batch; only metadata calls can.")

    async def body() -> AsyncGenerator[bytes, None]:
        if content:
            yield content

    return Call(
        method=words[0],
        path=url.path,
        query=parse_query(url.query),
        headers={name.lower(): value for name, value in headers.items()},
        body=body(),
        base_url=outer.base_url,
        raw_query=url.query,
    )


def _part(boundary: str, content_id: str | None, answer: Answer) -> bytes:
    assert isinstance(answer.body, bytes), "media is refused in a batch"
    phrase = HTTPStatus(answer.status).phrase if answer.status in list(HTTPStatus) else "Error"
    lines = [f"--{boundary}", "Content-Type: application/http"]
    if content_id:
        lines.append(f"Content-ID: <response-{content_id.strip('<>')}>")
    lines += ["", f"HTTP/1.1 {answer.status} {phrase}"]
    lines += [f"{name}: {value}" for name, value in answer.headers.items()]
    lines += [f"Content-Length: {len(answer.body)}", "", ""]
    return "\r\n".join(lines).encode() + answer.body + b"\r\n"
