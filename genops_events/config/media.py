"""Files that a prompt may show to the model, by their gs:// addresses: which there are, and what they are called."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from genops_events.reading.media_types import MIME_TYPES, not_taken
from genops_events.reading.problems import wrong_value

_URI = re.compile(r"gs://[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]/.+")


def mime_type_of(uri: str) -> str | None:
    """Return the type of a file by the end of its name; None where models do not take such files."""
    return MIME_TYPES.get(PurePosixPath(uri).suffix.lower())


def media_uri(value: str) -> str:
    """Accept the address of a file that a model can be shown."""
    if _URI.fullmatch(value) is None:
        raise wrong_value("Input should be the address of an object, gs://BUCKET/OBJECT")
    if mime_type_of(value) is None:
        raise wrong_value(f"Input should be a file of another type: {not_taken(PurePosixPath(value).name)}")
    return value
