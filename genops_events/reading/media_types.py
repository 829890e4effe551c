"""The types of files that Gemini takes, as Google writes them, by the ends of their names, and which kind each is."""

from __future__ import annotations

from collections.abc import Mapping

MIME_TYPES: Mapping[str, str] = {
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
"""By the end of the name. https://cloud.google.com/vertex-ai/generative-ai/docs/models/gemini/2-5-flash names the types
(read in stored copies, November 2026: the page on image tuning refers to those of the model). No page names image/gif, and
users report that Gemini refuses it (https://github.com/microsoft/vscode/issues/286628)."""

_MORE_TYPES = {
    *("image/jpg", "audio/mpeg", "audio/mpga", "audio/x-aac", "audio/pcm", "audio/webm", "audio/mp4", "video/mpegs"),
    # The API's reference of `mimeType` has these besides:
    # https://cloud.google.com/vertex-ai/generative-ai/docs/model-reference/gemini#parameters
    *("video/mov", "video/avi", "video/mpegps", "video/flv"),
}
TYPES = frozenset(MIME_TYPES.values()) | _MORE_TYPES


def plain_type(mime_type: str) -> str:
    """Return a MIME type in small letters and without parameters: `Application/PDF; a=b` is `application/pdf`.

    Case means nothing in it: https://www.rfc-editor.org/rfc/rfc2045#section-5.1. Whether Google reads it so, no page says.
    """
    return mime_type.partition(";")[0].strip().lower()


def not_taken(what: str) -> str:
    """Say that models do not take this, and what they take."""
    kinds = ", ".join(sorted(suffix[1:] for suffix in MIME_TYPES))
    return f"models do not take {what}; they take {kinds}"
