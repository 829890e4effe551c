"""Know a process again by pid and birth: a stand-in ends with the process that owns it."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path

import psutil  # type: ignore[import-untyped]

_LINUX = sys.platform == "linux"


def birth(pid: int) -> float | None:
    """Return when this process was born, or None if there is none: with the pid it names one process for ever.

    In clock ticks since the machine started on Linux, which a change of the clock does not move.
    A dead process that nobody has reaped yet counts as none.
    """
    if _LINUX:
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return None
        return None if fields[0] in "ZX" else float(fields[19])
    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else float(process.create_time())
    except psutil.Error:
        return None


_OWNER_SECONDS = 0.5


def end_with(pid: str) -> int:
    """Ask this process to end, as SIGTERM does, when the process of this pid has ended."""
    born = birth(int(pid))

    def watch() -> None:
        while birth(int(pid)) == born:
            time.sleep(_OWNER_SECONDS)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="owner", daemon=True).start()
    return int(pid)
