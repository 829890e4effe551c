"""Who asks for something at the command line, and why: for the record."""

from __future__ import annotations

import getpass
import os
import socket

NO_REASON = "No reason was given."


def me() -> str:
    """Return who asks, and from where: `ada@laptop`."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container may run as a number that has no name
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"


def sentence(text: str) -> str:
    """Return `text` on one line, with a full stop."""
    line = " ".join(text.split()) or NO_REASON
    return line if line[-1] in ".!?" else f"{line}."
