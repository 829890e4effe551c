"""No text of a page can be more than text: whatever a view holds, in every field that it has."""

from __future__ import annotations

import ast
import hashlib
import re
from base64 import b64encode
from collections.abc import Iterator, Sequence
from dataclasses import fields, is_dataclass
from importlib.resources import files
from itertools import count
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints
from zipfile import ZipFile

import pytest
from hatchling.build import build_wheel
from pages import tree_of

import genops_events
from genops_events import reports
from genops_events.comparison.report import ComparisonPage
from genops_events.evaluation.report import EvaluationPage
from genops_events.reports import html_page
from genops_events.reports.page import templates

ROOT = Path(genops_events.__file__).parent.parent
PACKAGES = ("genops_events", "triggers", "gcp_stand_ins")
PAGES = {"genops_events.evaluation.report": EvaluationPage, "genops_events.comparison.report": ComparisonPage}
"""What each template shows, by the package that it belongs to."""
REPORTS = pytest.mark.parametrize("report", PAGES)
HOSTILE = (
    "<script>ran()</script>",
    "\"' onload=ran() x='\"><img src=x onerror=ran()>",
    "</title></style></text></svg></div></details></main><h1>Passed</h1>",
    "<!-- & &lt;b&gt; ]]> --><b>",
    "{{ 7 * 7 }}{% raw %}{# x #}",
    "\u202e\u2066<b>\x00\x07\r\n\t</b>",
)
_TAG = re.compile(r"(?<!\?P)</?[a-z][a-z0-9]*[\s>/]")


def filled(kind: Any, texts: Iterator[str], *, yes: bool) -> Any:
    """Return a value of a type with another text wherever it holds one, and two of whatever there may be many of.

    Args:
        kind: the type, such as a view.
        texts: the next one is taken for each text.
        yes: whether what may be there is there, and what may be so is so.
    """
    origin, inner = get_origin(kind), get_args(kind)
    if is_dataclass(kind):
        hints = get_type_hints(kind)
        return kind(**{one.name: filled(hints[one.name], texts, yes=yes) for one in fields(kind)})
    if origin in (Union, UnionType):
        if not yes and NoneType in inner:
            return None
        kind, *_ = (one for one in inner if one is not NoneType)
        return filled(kind, texts, yes=yes)
    if origin is Sequence:
        kinds = get_args(inner[0]) if get_origin(inner[0]) in (Union, UnionType) else inner
        return [filled(one, texts, yes=yes) for one in kinds for _ in range(2)]
    if origin is tuple:
        return tuple(filled(one, texts, yes=yes) for one in inner)
    return yes if kind is bool else 1 if kind in (int, float) else next(texts)


def rendered(report: str, text: str, *, yes: bool) -> tuple[str, list[str]]:
    """Return a page with a text of its own in each field of its view, and these texts."""
    used: list[str] = []
    texts = (used.append(one) or one for one in (f"{text} {number};" for number in count()))
    return html_page(report, filled(PAGES[report], texts, yes=yes)), used


@REPORTS
@pytest.mark.parametrize("yes", [True, False])
@pytest.mark.parametrize("hostile", HOSTILE)
def test_no_text_of_a_view_adds_an_element_or_an_attribute(report: str, hostile: str, *, yes: bool) -> None:
    harmless, _ = rendered(report, "text", yes=yes)
    page, used = rendered(report, hostile, yes=yes)
    assert len(used) > 30
    assert tree_of(page).elements == tree_of(harmless).elements


@REPORTS
def test_every_text_of_a_view_is_on_the_page_as_it_was_written(report: str) -> None:
    page, used = rendered(report, "<i>\"'&amp;", yes=True)
    tree = tree_of(page)
    missing = [text for text in used if text not in "".join(tree.texts)]
    # Only what stands in place of an empty text is not there: no text is empty.
    assert len(missing) == page.count('<div class="text long"') > 0


@REPORTS
def test_a_name_that_a_template_misspells_is_an_error_and_escaping_is_never_turned_off(report: str) -> None:
    made = templates(report)
    assert made.autoescape is True
    assert made.undefined.__name__ == "StrictUndefined"
    names = [name for name in made.list_templates() if name.endswith(".j2")]
    assert {"base.html.j2", "parts.html.j2", "report.html.j2"} <= {*names}
    for name in names:
        assert made.loader is not None
        source, *_ = made.loader.get_source(made, name)
        assert not re.search(r"\|\s*(safe|forceescape|escape|e)\b|autoescape|Markup|<script|\son\w+=", source), name
        assert not re.search(r"=\s*\{\{", source), f"{name}: the value of an attribute stands in quotation marks"


def test_no_module_makes_html_by_hand() -> None:
    found = {}
    for file in (file for package in (*PACKAGES, "dags") for file in sorted((ROOT / package).rglob("*.py"))):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        docstrings = {id(one.value) for one in ast.walk(tree) if isinstance(one, ast.Expr)}
        made = [
            one.value
            for one in ast.walk(tree)
            if isinstance(one, ast.Constant) and isinstance(one.value, str) and id(one) not in docstrings
            if _TAG.search(one.value)
        ]
        made += [one.id for one in ast.walk(tree) if isinstance(one, ast.Name) and one.id in ("Markup", "escape")]
        if made:
            found[str(file.relative_to(ROOT))] = made
    assert found == {}


@REPORTS
def test_the_stylesheet_is_in_the_page_as_it_is(report: str) -> None:
    style = (files(reports) / "templates" / "style.css").read_text(encoding="utf-8")
    page, _ = rendered(report, "text", yes=True)
    assert style.strip() in page, "nothing of it is taken for a template's"
    assert "</style" not in style
    _, inside = page.split("<style>")
    digest = hashlib.sha256(inside.split("</style>")[0].encode()).digest()
    assert f"style-src 'sha256-{b64encode(digest).decode()}'" in page, "the browser takes this stylesheet and no other"


def test_everything_of_the_packages_is_in_the_wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    with ZipFile(tmp_path / build_wheel(str(tmp_path))) as wheel:
        packed = {*wheel.namelist()}
    kept = {
        file.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for file in (ROOT / package).rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
    assert len([one for one in kept if one.endswith((".j2", ".css"))]) >= 6
    assert kept - packed == set()
