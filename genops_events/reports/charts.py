"""A chart as shapes, which the template `parts.html.j2` draws as inline SVG. Colours come from the stylesheet, by `style`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar; x and y are of its upper left corner."""

    kind: ClassVar[str] = "bar"
    style: str
    x: float
    y: float
    width: float
    height: float
    title: str
    """What it shows, in words."""


@dataclass(frozen=True, slots=True)
class Dot:
    """A figure as a point."""

    kind: ClassVar[str] = "dot"
    style: str
    x: float
    y: float
    radius: float
    title: str


@dataclass(frozen=True, slots=True)
class Line:
    """A line from one place to another."""

    kind: ClassVar[str] = "line"
    style: str
    x1: float
    y1: float
    x2: float
    y2: float
    title: str = ""


@dataclass(frozen=True, slots=True)
class Steps:
    """A line of steps: from a place to each of the others, first across, then up."""

    kind: ClassVar[str] = "steps"
    style: str
    x: float
    y: float
    then: Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class ChartText:
    """A text of one line; x and y are of where it begins, or of its middle or its end, as `style` says."""

    kind: ClassVar[str] = "words"
    style: str
    x: float
    y: float
    text: str


Shape = Bar | Dot | Line | Steps | ChartText


@dataclass(frozen=True, slots=True)
class Chart:
    """A drawing of so many units; y grows downwards."""

    label: str
    """All that the chart tells, in words: it is one image to people who hear the page."""
    width: float
    height: float
    shapes: Sequence[Shape]
    """What comes later is drawn over what came before."""
