"""`make reference`: write the pages below docs/reference/ that are made from the code."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from docs.writing.commands_page import commands_page
from docs.writing.events_page import events_page
from docs.writing.record_page import record_page
from docs.writing.settings_page import settings_page

REFERENCE = Path(__file__).parents[1] / "reference"
PAGES: dict[str, Callable[[], str]] = {
    "genops-yaml.md": settings_page,
    "commands.md": commands_page,
    "events.md": events_page,
    "record.md": record_page,
}
"""File of each page, and what writes it."""


def main() -> None:
    """Write the pages."""
    for name, written in PAGES.items():
        (REFERENCE / name).write_text(written(), encoding="utf-8")


if __name__ == "__main__":
    main()
