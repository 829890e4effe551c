"""Who runs a command, and why: what the record keeps of both."""

from __future__ import annotations

import getpass
import os
import socket
from typing import Annotated

import typer

NO_REASON = "No reason was given."

Reason = Annotated[str, typer.Option("--reason", help="Why: a sentence for the record and the completion event.")]


def sentence(text: str) -> str:
    """Return `text` on one line, with a full stop."""
    line = " ".join(text.split()) or NO_REASON
    return line if line[-1] in ".!?" else f"{line}."


def me() -> str:
    """Return who asks, and from where: `ada@laptop`."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container may run as a number that has no name
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"
