"""A chart as inline SVG. Its colours come from the page's style.

A chart is one image to people who hear the page, so its label tells all that it shows.
"""

from __future__ import annotations

from html import escape


def svg(title: str, drawn: str, *, width: int, height: int) -> str:
    """Return what was drawn as one image, which is heard as its title.

    Args:
        title: all that the chart tells, in words.
        drawn: SVG elements, with every text in them escaped.
        width: of the drawing, in its own units.
        height: of the drawing, in its own units.
    """
    label = escape(title, quote=True)
    return f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{label}">{drawn}</svg>'
