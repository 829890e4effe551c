"""Estimate the tokens of an example's files by the figures of the catalogue, or by the most that they can have.

The files are not opened. An image counts as the most tokens of one image; a piece of video with start and end counts by its
seconds. The length of other videos and of sounds, the number of pages of a PDF and the length of a text file are unknown: an
example with one of these counts as full.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from genops_events.catalogue.file_figures import FileFigures

KINDS = {"image": "image", "video": "video", "audio": "sound", "application/pdf": "PDF document"}
"""Names of files by their type, or its first part; all others are text files."""
_DURATION = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)s")
_UNKNOWN = {
    "image": "size",
    "video": "length",
    "sound": "length",
    "PDF document": "number of pages",
    "text file": "length",
}


@dataclass(slots=True)
class FileTokens:
    """The files of an example, as far as their tokens depend on them."""

    images: int = 0
    video_seconds: int = 0
    """Seconds of the pieces of video with start and end, times the frames per second if these are more than one."""
    unknown: Counter[str] = field(default_factory=Counter)
    """Number of files of unknown size, by kind."""
    has_resolution: bool = False
    """Whether the example sets a resolution."""


def take_file(found: FileTokens, mime_type: str, video: Mapping[str, Any] | None) -> None:
    """Add a file of an example.

    Args:
        found: files of the example so far.
        mime_type: of the file.
        video: its `videoMetadata`.
    """
    plain = mime_type.partition(";")[0].strip().lower()
    kind = KINDS.get(plain) or KINDS.get(plain.partition("/")[0], "text file")
    if kind == "image":
        found.images += 1
    elif kind == "video" and (seconds := _seconds(video or {})):
        found.video_seconds += seconds
    else:
        found.unknown[kind] += 1


def _seconds(video: Mapping[str, Any]) -> int:
    """Return the seconds of a piece of video, times the frames per second; 0 where start or end is missing."""
    given = {name.replace("_o", "O"): value for name, value in video.items()}
    end = _DURATION.fullmatch(str(given.get("endOffset")))
    begin = _DURATION.fullmatch(str(given.get("startOffset", "0s")))
    frames = given.get("fps") or 1
    if end is None or begin is None or isinstance(frames, bool) or not isinstance(frames, int | float):
        return 0
    return max(0, math.ceil((float(end[1]) - float(begin[1])) * max(1, frames)))


@dataclass(slots=True)
class Assumed:
    """The assumptions about the files of all examples."""

    images: int = 0
    image_tokens: int = 0
    video_seconds: int = 0
    video_second_tokens: int = 0
    full: int = 0
    """Number of examples that count as full."""
    unknown: Counter[str] = field(default_factory=Counter)
    """Number of the files that are the cause, by kind."""

    def tokens(self, found: FileTokens, figures: FileFigures) -> int | None:
        """Return the tokens of an example's files, and add them to the assumptions; None where they are unknown."""
        image = figures.image_at_most if found.has_resolution else figures.image
        second = figures.video_second_at_most if found.has_resolution else figures.video_second
        unknown = Counter(found.unknown)
        if found.images and image is None:
            unknown["image"] += found.images
        if found.video_seconds and second is None:
            unknown["video"] += 1
        if unknown:
            self.full += 1
            self.unknown += unknown
            return None
        self.images += found.images
        self.video_seconds += found.video_seconds
        self.image_tokens = max(self.image_tokens, image or 0) if found.images else self.image_tokens
        self.video_second_tokens = max(self.video_second_tokens, second or 0)
        return found.images * (image or 0) + found.video_seconds * (second or 0)

    def sentences(self, most: int) -> tuple[str, ...]:
        """Return the assumptions, a sentence for each kind of file.

        Args:
            most: most tokens of one example.
        """
        found = [
            f"{_count(number, kind)}, {_UNKNOWN[kind]} unknown: the most that an example may hold, {most:,} tokens, was "
            f"taken for each example that shows {'it' if number == 1 else 'one'}."
            for kind, number in sorted(self.unknown.items())
        ]
        if self.images:
            found.append(
                f"{_count(self.images, 'image')}: {self.image_tokens:,} tokens, the most that one can have, each."
            )
        if self.video_seconds:
            found.append(
                f"{self.video_seconds:,} seconds of video, by the offsets given: {self.video_second_tokens:,} tokens each."
            )
        return tuple(found)


def _count(number: int, kind: str) -> str:
    return f"{number:,} {kind}{'' if number == 1 else 's'}"
