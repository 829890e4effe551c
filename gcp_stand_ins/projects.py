"""Projects have an id and a number: Google Cloud takes either in a name."""

from __future__ import annotations

import zlib


def project_number(project: str) -> str:
    """Return a project's number: always the same twelve digits for the same id."""
    return str(100_000_000_000 + zlib.crc32(project.encode()))
