"""Number of tokens that a file in a prompt counts as, by the catalogue of models."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FileFigures:
    """Number of tokens that files count as; None where the catalogue does not have it."""

    image: int | None = None
    """Most tokens of one image."""
    video_second: int | None = None
    """Tokens of a second of video with its sound."""
    image_at_most: int | None = None
    """The same two at the highest resolution that an example can ask for."""
    video_second_at_most: int | None = None


NO_FIGURES = FileFigures()
"""For a model of which the catalogue has no such figures."""
