"""Who may talk to the local stack: programs of the user it belongs to, which call it by a loopback name.

Google's clients show no credentials where an emulator's address is set, and Pub/Sub's cannot: so it is the kernel that is asked
who has opened a connection. Browsers are kept out by what they say of themselves: a page of a stranger may let one call any
port of this machine, under any name (DNS rebinding), but not without its `Origin` or with a `Host` that is not its own.
"""

from __future__ import annotations

import ipaddress
import logging
import os
import socket
import struct
from collections.abc import Awaitable, Callable, Mapping
from functools import cache
from typing import Any
from urllib.parse import unquote, urlsplit

log = logging.getLogger("gcp_stand_ins")

ASGIApp = Callable[..., Awaitable[Any]]
Address = tuple[str, int]

# sock_diag(7), linux/sock_diag.h and linux/inet_diag.h: one socket is asked for by both of its ends.
_NETLINK_SOCK_DIAG = 4
_SOCK_DIAG_BY_FAMILY = 20
_NLMSG_ERROR = 2
_NLM_F_REQUEST = 1
_ALL_STATES = 0xFFFFFFFF
_HEADER = struct.Struct("=IHHII")
_REQUEST = struct.Struct("=BBBBI")
_PORTS = struct.Struct("!HH")
_NO_COOKIE = b"\xff" * 8
_UID = struct.Struct("=I")
_UID_AT = _HEADER.size + 4 + 48 + 12
_SECONDS = 2.0

_NAMES = {"localhost", "127.0.0.1", "::1"}


def uid_of(client: Address, server: Address) -> int | None:
    """Return the number of the user who has opened the TCP connection from `client` to `server`, both on this machine.

    Returns:
        None where there is no such connection any more.

    Raises:
        OSError: the kernel does not tell.
    """
    ends = [ipaddress.ip_address(address) for address, _ in (client, server)]
    family = socket.AF_INET6 if ends[0].version == 6 else socket.AF_INET  # noqa: PLR2004 - IPv6
    places = b"".join(end.packed.ljust(16, b"\0") for end in ends)
    wanted = _PORTS.pack(client[1], server[1]) + places + _UID.pack(0) + _NO_COOKIE
    body = _REQUEST.pack(family, socket.IPPROTO_TCP, 0, 0, _ALL_STATES) + wanted
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_SOCK_DIAG) as kernel:
        kernel.settimeout(_SECONDS)
        kernel.sendto(_HEADER.pack(_HEADER.size + len(body), _SOCK_DIAG_BY_FAMILY, _NLM_F_REQUEST, 1, 0) + body, (0, 0))
        answer = kernel.recv(4096)
    if _HEADER.unpack_from(answer)[1] == _NLMSG_ERROR:
        number = -struct.unpack_from("=i", answer, _HEADER.size)[0]
        if number == 2:  # noqa: PLR2004 - ENOENT
            return None
        raise OSError(number, os.strerror(number))
    return int(_UID.unpack_from(answer, _UID_AT)[0])


@cache
def _cannot_tell(why: str) -> None:
    """Say once that users cannot be told apart here."""
    log.warning("The kernel does not tell who calls (%s): other users of this machine are not kept out.", why)


def foreign_user(client: Address | None, server: Address | None, *, owner: int) -> str | None:
    """Return why the user at the other end of a connection is not let in; None where it is the owner.

    Args:
        client: the other end.
        server: this end; None where there is no connection, as in a test that calls the application itself.
        owner: number of the user that the stack belongs to.
    """
    if client is None or server is None:
        return None
    try:
        uid = uid_of(client, server)
    except OSError as error:
        _cannot_tell(str(error))
        return None
    if uid == owner:
        return None
    who = "somebody who has gone" if uid is None else f"the user {uid}"
    return f"This local stack belongs to the user {owner}, and {who} called it."


def foreign_page(headers: Mapping[str, str]) -> str | None:
    """Return why an HTTP call is not let in by its `Host`, `Origin` or `Sec-Fetch-Site`; None where it is.

    Args:
        headers: by lower-case name.
    """
    host = headers.get("host", "")
    if _host_name(f"//{host}") not in _NAMES:
        return f"This local stack is called by a loopback name, not by {host[:200]!r}: use 127.0.0.1 or localhost."
    origin = headers.get("origin")
    if origin is not None and _host_name(origin) not in _NAMES:
        return f"This local stack answers no page of {origin[:200]!r}."
    if headers.get("sec-fetch-site", "none") == "cross-site":
        return "This local stack answers no page of another site."
    return None


def _host_name(address: str) -> str | None:
    try:
        return urlsplit(address).hostname
    except ValueError:
        return None


class Guard:
    """An ASGI application in front of another: lets in only the owner, who calls by a loopback name.

    Args:
        app: what is guarded.
        owner: number of the user that may call; whoever runs this process by default.
    """

    def __init__(self, app: ASGIApp, *, owner: int | None = None) -> None:
        self._app = app
        self._owner = os.geteuid() if owner is None else owner

    async def __call__(self, scope: Mapping[str, Any], receive: Any, send: Any) -> None:
        """Answer 403 with the reason, or pass the call on."""
        if scope["type"] == "http":
            why = self._refusal(scope)
            if why is not None:
                await _refuse(send, why)
                return
        await self._app(scope, receive, send)

    def _refusal(self, scope: Mapping[str, Any]) -> str | None:
        client, server = scope.get("client"), scope.get("server")
        why = foreign_user(tuple(client) if client else None, tuple(server) if server else None, owner=self._owner)
        if why is not None:
            return why
        return foreign_page(
            {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        )


async def _refuse(send: Any, why: str) -> None:
    from starlette.responses import JSONResponse

    log.warning("refused: %s", why)
    # The form of Google's errors: clients show the message.
    body = {"error": {"code": 403, "message": why, "status": "PERMISSION_DENIED"}}
    await JSONResponse(body, status_code=403)({"type": "http"}, None, send)  # type: ignore[arg-type]


def peer_address(peer: str) -> Address | None:
    """Return the address in gRPC's name of a peer, `ipv4:127.0.0.1:5000` or `ipv6:%5B::1%5D:5000`; None for any other."""
    scheme, _, rest = unquote(peer).partition(":")
    host, _, port = rest.rpartition(":")
    if scheme not in ("ipv4", "ipv6") or not port.isdecimal():
        return None
    return host.strip("[]"), int(port)
