"""The page around a report, and what stands on it again and again: headings, tables, figures, marks."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from genops_events.report_parts.style import STYLE

_MARKS = {True: "M3 8.5l3.4 3.4L13 4.6", False: "M3.8 3.8l8.4 8.4m0-8.4l-8.4 8.4", None: "M8 2.5v7m0 3.8v.2"}


def html_page(title: str, headline: str, content: str, *, style: str = "") -> str:
    """Return a whole HTML document that needs nothing else: no script, no network.

    Args:
        title: of the window; escaped here.
        headline: of the page; escaped here.
        content: HTML below the headline.
        style: rules beside those that all reports share.
    """
    page = (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}{style}</style></head><body><main>\n"
        f"<h1>{escape(headline)}</h1>\n{content}</main></body></html>\n"
    )
    # Half a surrogate pair, as a text that was cut may end in, could not be written as UTF-8.
    return page.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def heading(name: str, text: str) -> str:
    """Return a heading; `name` is what tables and links call it by."""
    return f'<h2 id="{name}">{text}</h2>'


def table(named_by: str, headings: Sequence[str], lines: str) -> str:
    """Return a table that scrolls by itself where it is wider than the page; `#` marks a column of numbers."""
    head = "".join(
        f'<th scope="col" class="number">{one[1:]}</th>' if one[0] == "#" else f'<th scope="col">{one}</th>'
        for one in headings
    )
    return (
        f'<div class="wide" role="region" aria-labelledby="{named_by}" tabindex="0">'
        f'<table aria-labelledby="{named_by}"><thead><tr>{head}</tr></thead><tbody>{lines}</tbody></table></div>'
    )


def number(value: float | None) -> str:
    """Return a figure with four digits, or a dash where there is none."""
    return "–" if value is None else f"{value:.4g}"  # noqa: RUF001 - a dash in a table


def mark(*, passed: bool | None) -> str:
    """Return a tick, a cross, or for None an exclamation mark; the words beside it say the same."""
    return f'<svg class="mark" viewBox="0 0 16 16" aria-hidden="true"><path d="{_MARKS[passed]}"/></svg>'
