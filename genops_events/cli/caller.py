"""Who runs a command, and why: what the record keeps of both."""

from __future__ import annotations

import getpass
import os
import pwd
import socket
from dataclasses import dataclass
from typing import Annotated

import typer

NO_REASON = "No reason was given."
_MOST_CHARACTERS = 200

Reason = Annotated[str, typer.Option("--reason", help="Why: a sentence for the record and the completion event.")]


def sentence(text: str) -> str:
    """Return `text` on one line, with a full stop."""
    line = " ".join(text.split()) or NO_REASON
    return line if line[-1] in ".!?" else f"{line}."


@dataclass(frozen=True, slots=True)
class Caller:
    """Who runs a command."""

    by: str
    """The identity of the credentials, or else the user that the operating system knows: nobody can claim another."""
    claimed: str
    """Who the environment says it is, such as `ada@laptop`: several people may use one service account."""

    def __str__(self) -> str:
        """Name both, for a text."""
        return self.by if self.by == self.claimed else f"{self.by} (claimed: {self.claimed})"


def me() -> Caller:
    """Return who runs this command.

    Where the credentials tell no address, it is the name of the process's user id, and not of LOGNAME, USER and their like,
    which anybody may set.
    """
    from genops_events.gcp.caller import credentials_email

    host = socket.gethostname()
    system = f"{_system_user()}@{host}"
    return Caller(by=credentials_email() or system, claimed=_plain(f"{_claimed_user()}@{host}"))


def _system_user() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a container may run as a number that has no name
        return str(os.getuid())


def _claimed_user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def _plain(text: str) -> str:
    """Return a text of the environment as the record takes it."""
    return ascii(text)[1:-1][:_MOST_CHARACTERS]
