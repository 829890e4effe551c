"""The site of docs/ as a reader has it: built without a warning, whole, and with nothing from elsewhere."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote

import pytest
from waiting import HANG_SECONDS

ROOT = Path(__file__).resolve().parents[3]
DOCS = ROOT / "docs"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("site")
    words = ["--fail-on-warning", "--keep-going", "--quiet", "--doctree-dir", str(place / "trees")]
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", *words, str(DOCS), str(place / "html")],
        capture_output=True,
        text=True,
        timeout=HANG_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return place / "html"


def test_every_page_is_there(site: Path) -> None:
    pages = {one.relative_to(DOCS).with_suffix(".html") for one in DOCS.rglob("*.md")}
    assert pages <= {one.relative_to(site) for one in site.rglob("*.html")}


def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    for page in site.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        loaded = re.findall(r"<(?:script|img|iframe|source)\b[^>]*\bsrc=\"([^\"]*)\"", text)
        loaded += re.findall(r"<link\b[^>]*\brel=\"(?:stylesheet|icon|preload)\"[^>]*\bhref=\"([^\"]*)\"", text)
        assert loaded
        assert [one for one in loaded if "//" in one] == []
    for sheet in site.rglob("*.css"):
        assert not re.search(r"url\(['\"]?https?:|@import", sheet.read_text(encoding="utf-8"))


def test_every_link_within_it_leads_to_something(site: Path) -> None:
    for page in site.rglob("*.html"):
        for target in re.findall(r"<a\b[^>]*\bhref=\"([^\"#:]+)(?:#[^\"]*)?\"", page.read_text(encoding="utf-8")):
            assert (page.parent / unquote(target)).exists(), f"{page.relative_to(site)}: {target}"
