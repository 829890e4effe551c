"""How many tokens the files of an example have: by the figures of the catalogue where that can be told, or the most there can be.

Nobody opens the files. An image has the tokens that one image can have; a piece of video whose begin and end the example
gives has those of its seconds. How long another video or a sound is, how many pages a PDF has and how much text a text
file, is not known: whoever shows one may fill the example to the brim, and is counted so.
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
"""What files are called, by the beginning of their type; all others are texts."""
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
    """What of an example's tokens files have."""

    images: int = 0
    video_seconds: int = 0
    """Of the pieces of video of which begin and end are given, times the frames a second where more than one is asked for."""
    unknown: Counter[str] = field(default_factory=Counter)
    """Files by kind of which nobody knows how much they hold."""
    has_resolution: bool = False
    """Whether the example says in which resolution something is read."""


def take_file(found: FileTokens, mime_type: str, video: Mapping[str, Any] | None) -> None:
    """Add a file that an example shows.

    Args:
        found: what the example has shown before.
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
    """Return how many seconds of a video are shown, as one frame a second has it; 0 where that is not told."""
    given = {name.replace("_o", "O"): value for name, value in video.items()}
    end = _DURATION.fullmatch(str(given.get("endOffset")))
    begin = _DURATION.fullmatch(str(given.get("startOffset", "0s")))
    frames = given.get("fps") or 1
    if end is None or begin is None or isinstance(frames, bool) or not isinstance(frames, int | float):
        return 0
    return max(0, math.ceil((float(end[1]) - float(begin[1])) * max(1, frames)))


@dataclass(slots=True)
class Assumed:
    """What was assumed of the files of all examples."""

    images: int = 0
    image_tokens: int = 0
    video_seconds: int = 0
    video_second_tokens: int = 0
    full: int = 0
    """Examples that were counted as full."""
    unknown: Counter[str] = field(default_factory=Counter)
    """Files, by kind, for which they were."""

    def tokens(self, found: FileTokens, figures: FileFigures) -> int | None:
        """Return the tokens of an example's files, and note what was assumed; None where nobody knows."""
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

    def told(self, most: int) -> tuple[str, ...]:
        """Say what was assumed, a sentence for each kind of file.

        Args:
            most: tokens of one example.
        """
        said = [
            f"{_count(number, kind)}, {_UNKNOWN[kind]} unknown: the most that an example may hold, {most:,} tokens, was "
            f"taken for each example that shows {'it' if number == 1 else 'one'}."
            for kind, number in sorted(self.unknown.items())
        ]
        if self.images:
            said.append(
                f"{_count(self.images, 'image')}: {self.image_tokens:,} tokens, the most that one can have, each."
            )
        if self.video_seconds:
            said.append(
                f"{self.video_seconds:,} seconds of video, by the offsets given: {self.video_second_tokens:,} tokens each."
            )
        return tuple(said)


def _count(number: int, kind: str) -> str:
    return f"{number:,} {kind}{'' if number == 1 else 's'}"
