"""Choose free loopback ports once per stack, and keep them as long as they stay free."""

from __future__ import annotations

import hashlib
import socket
from collections.abc import Iterable, Mapping
from pathlib import Path

# Below the range that kernels hand out to outgoing connections (32768 on Linux, 49152 elsewhere): while a component
# restarts, nobody else's connection can land on its port.
_FIRST, _LAST = 18_000, 31_999


def is_free(port: int) -> bool:
    """Tell whether a server could listen on this port of 127.0.0.1 now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As servers do: a port whose last connections are still in TIME_WAIT is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def choose(names: Iterable[str], *, home: Path, kept: Mapping[str, int]) -> dict[str, int]:
    """Return a free port for each name: the one it had, if that is free still, so that URLs are stable.

    Args:
        names: what needs a port.
        home: stacks in different homes start their search at different ports.
        kept: ports of the last time.
    """
    span = _LAST - _FIRST + 1
    offset = int.from_bytes(hashlib.sha256(str(home).encode()).digest()[:4], "big") % span
    candidates = (_FIRST + (offset + step) % span for step in range(span))
    chosen = {name: kept[name] for name in names if name in kept and is_free(kept[name])}
    for name in names:
        if name not in chosen:
            chosen[name] = next(port for port in candidates if port not in chosen.values() and is_free(port))
    return chosen
