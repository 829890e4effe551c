"""No link of README and docs is broken, and a reader of docs/index.md finds a way to every page."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from docs_blocks import PAGES, ROOT

DOCS = ROOT / "docs"
_LINK = re.compile(r"\]\(([^()\s]*(?:\([^()\s]*\)[^()\s]*)*)\)")


def prose(page: Path) -> str:
    """Return the text of a page without its blocks and code."""
    text = re.sub(r"^( *)```.*?^\1```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    return re.sub(r"``[^\n]*?``", "", text)


def links(page: Path) -> Iterator[str]:
    """Yield where the links and pictures of a page lead that stay in the repository."""
    for target in _LINK.findall(prose(page)):
        if not re.match(r"[a-z]+:", target):
            yield target


@cache
def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", prose(page), flags=re.MULTILINE)
    return {
        re.sub(r"[^\w -]", "", re.sub(r"\[(.*?)\]\(.*?\)", r"\1", one).lower()).replace(" ", "-") for one in headings
    }


@pytest.mark.parametrize("page", PAGES, ids=[str(one.relative_to(ROOT)) for one in PAGES])
def test_no_link_is_broken(page: Path) -> None:
    for target in links(page):
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        assert there.is_relative_to(ROOT), target
        assert there.exists(), target
        if anchor:
            assert anchor in anchors(there), target


def test_there_is_a_way_from_the_index_to_every_page() -> None:
    found: set[Path] = set()
    new = {DOCS / "index.md"}
    while new:
        found |= new
        targets = {(page.parent / one.partition("#")[0]).resolve() for page in new for one in links(page)}
        new = {one for one in targets if one.suffix == ".md" and one.is_relative_to(DOCS)} - found
    assert {one for one in PAGES if one.is_relative_to(DOCS)} - found == set()


def test_the_readme_is_read_in_three_minutes() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 120
    assert "(docs/index.md)" in text
    assert "(docs/tutorial.md)" in text


TREE = (
    "genops_events",
    "gcp_stand_ins",
    "triggers",
    "dags",
    "docs",
    "tests",
    "examples",
    "benchmarks",
    ".ci",
    ".github",
)
OF_TODAY = [one for one in PAGES if one.name != "CHANGELOG.md" and one.parent.name != "adr"]
"""Changelog and decisions speak of their own day."""


@pytest.mark.parametrize("page", OF_TODAY, ids=[str(one.relative_to(ROOT)) for one in OF_TODAY])
def test_every_path_that_a_page_names_is_there(page: Path) -> None:
    for path in re.findall(r"`([\w./-]+/[\w./-]*)`", page.read_text(encoding="utf-8")):
        if path.split("/")[0] in TREE:
            assert (ROOT / path).exists(), path
