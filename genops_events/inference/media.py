"""Files that a prompt may show to the model, by their gs:// addresses: which there are, and what they are called."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from genops_events.config_parts.problems import wrong_value

_URI = re.compile(r"gs://[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]/.+")

MIME_TYPES = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".webp": "image/webp",
    ".heic": "image/heic",
    ".heif": "image/heif",
    ".mp3": "audio/mp3",
    ".wav": "audio/wav",
    ".flac": "audio/flac",
    ".m4a": "audio/m4a",
    ".ogg": "audio/ogg",
    ".opus": "audio/opus",
    ".aac": "audio/aac",
    ".mp4": "video/mp4",
    ".mov": "video/quicktime",
    ".mpeg": "video/mpeg",
    ".mpg": "video/mpg",
    ".webm": "video/webm",
    ".wmv": "video/wmv",
    ".flv": "video/x-flv",
    ".3gp": "video/3gpp",
    ".pdf": "application/pdf",
    ".txt": "text/plain",
}
"""By the end of the name. https://cloud.google.com/vertex-ai/generative-ai/docs/models/gemini/2-5-flash names the types."""

_MORE_TYPES = {"image/jpg", "audio/mpeg", "audio/mpga", "audio/x-aac", "audio/pcm", "audio/webm", "audio/mp4"}
TYPES = frozenset(MIME_TYPES.values()) | _MORE_TYPES


def mime_type_of(uri: str) -> str | None:
    """Return the type of a file by the end of its name; None where models do not take such files."""
    return MIME_TYPES.get(PurePosixPath(uri).suffix.lower())


def not_taken(what: str) -> str:
    """Say that models do not take this, and what they take."""
    kinds = ", ".join(sorted(suffix[1:] for suffix in MIME_TYPES))
    return f"models do not take {what}; they take {kinds}"


def media_uri(value: str) -> str:
    """Accept the address of a file that a model can be shown."""
    if _URI.fullmatch(value) is None:
        raise wrong_value("Input should be the address of an object, gs://BUCKET/OBJECT")
    if mime_type_of(value) is None:
        raise wrong_value(f"Input should be a file of another type: {not_taken(PurePosixPath(value).name)}")
    return value
