"""Pieces of Markdown that every generated page is made of."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

NOTICE = "<!-- Written by `make reference` from the code: change the code, not this page. -->\n"


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table; a cell is one line, and `|` stands for itself."""
    lines = [headings, ["---"] * len(headings), *rows]
    return "".join("| " + " | ".join(_cell(text) for text in line) + " |\n" for line in lines)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def code(text: str) -> str:
    """Return `text` as code within a line; nothing for nothing."""
    return f"`{text}`" if text else ""


def page(title: str, introduction: str, *sections: str) -> str:
    """Return a whole page, with the notice that it is generated."""
    parts = [f"# {title}\n", NOTICE, introduction.strip() + "\n", *(one.strip("\n") + "\n" for one in sections)]
    return "\n".join(parts)
