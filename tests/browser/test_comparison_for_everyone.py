"""Dark, on paper, by keyboard, heard, and full of hostile text: the comparison's report."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import comparison_examples
import pytest
from looking import Seen
from playwright.sync_api import expect

Look = Callable[..., Seen]
TEXT, SHAPE = 4.5, 3.0
"""Least contrast that WCAG 2.2 asks of text (1.4.3) and of what a chart is made of (1.4.11)."""


def assert_clear(contrast: dict[str, list[dict[str, object]]]) -> None:
    for what, least in (("texts", TEXT), ("shapes", SHAPE)):
        assert len(contrast[what]) > 5, "something was measured"
        assert [one for one in contrast[what] if one["ratio"] < least] == []  # type: ignore[operator]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("example", ["usual", "summaries"])
def test_everything_can_be_told_from_what_is_behind_it(look: Look, example: str, scheme: str) -> None:
    seen = look(getattr(comparison_examples, example)(), scheme=scheme)
    brightness = seen.page.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)")
    assert (max(brightness) < 60) == (scheme == "dark")
    assert_clear(seen.contrast())


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_on_paper_everything_is_dark_on_white_and_nothing_is_cut(look: Look, scheme: str) -> None:
    seen = look(comparison_examples.usual(), width=720, scheme=scheme)
    seen.page.emulate_media(media="print", color_scheme=scheme)
    assert_clear(seen.contrast(paper="rgb(255, 255, 255)"))
    wide = look(comparison_examples.much_measured(), width=720)
    wide.page.emulate_media(media="print")
    long_words = look(comparison_examples.hostile(), width=720)
    long_words.page.emulate_media(media="print")
    assert not long_words.scrolls_sideways(), "paper is no wider for the sake of a long word"
    for page in (seen.page, wide.page):
        table = page.get_by_role("table", name="Contestants", exact=True)
        assert table.evaluate("table => table.getBoundingClientRect().right <= innerWidth + 1"), "paper does not scroll"
        cell = table.locator("td.what").first.bounding_box()
        assert cell is not None
        assert cell["width"] > 110, "wide enough for words"
    long = look(comparison_examples.summaries(), width=720)
    long.page.emulate_media(media="print")
    clipped = "one => one.scrollHeight > one.clientHeight + 1"
    assert long.page.locator(".long").count() > 5
    assert not any(one.evaluate(clipped) for one in long.page.locator(".long").all())


def test_it_can_be_printed(look: Look, tmp_path: Path) -> None:
    printed = look(comparison_examples.summaries()).page.pdf(path=tmp_path / "report.pdf", format="A4")
    assert printed.startswith(b"%PDF")
    assert 2 <= printed.count(b"/Type /Page\n") <= 20


@pytest.mark.parametrize("example", ["usual", "one", "hostile", "nothing"])
def test_headings_tables_lists_and_charts_are_named(look: Look, example: str) -> None:
    page = look(getattr(comparison_examples, example)()).page
    assert page.evaluate("document.documentElement.lang") == "en"
    assert page.title().startswith("Comparison banking77-2cdbbb2a21d6eddc: ")
    expect(page.get_by_role("main")).to_have_count(1)
    levels = page.evaluate("[...document.querySelectorAll('h1, h2, h3, h4')].map(one => Number(one.tagName[1]))")
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    assert page.locator("th:not([scope])").count() == 0
    assert page.locator("thead th[scope=col]").count() >= 2
    ids = page.evaluate("[...document.querySelectorAll('[id]')].map(one => one.id)")
    assert len(ids) == len(set(ids))
    for table in page.get_by_role("table").all():
        expect(page.locator(f"h2#{table.get_attribute('aria-labelledby')}")).to_be_visible()
    assert page.locator("svg:not([role=img][aria-label]):not([aria-hidden=true])").count() == 0
    assert page.locator("ul:not([role=list][aria-label])").count() == 0


def test_the_report_is_heard_with_all_its_figures(look: Look) -> None:
    heard = look(comparison_examples.usual()).page.locator("main").aria_snapshot()
    heard = heard.replace("\u2068", "").replace("\u2069", "")
    assert (
        "exact_match against the cost of 1,000 answers: 1, champion: 0.81 (95 %: 0.72 to 0.88) for $0.11; "
        "2, candidate: 0.88 (95 %: 0.8 to 0.94) for $0.11, beaten by no other; 3, flash-lite: 0.52"
    ) in heard
    for said in (
        '- heading "Comparison banking77-2cdbbb2a21d6eddc" [level=1]',
        '- region "Outcome"',
        '- rowheader "5 europe failed"',
        '- columnheader "Cost of 1,000"',
        '- list "points of the chart"',
        '- list "answers"',
    ):
        assert said in heard


def test_what_scrolls_and_what_folds_is_reached_by_keyboard(look: Look) -> None:
    page = look(comparison_examples.summaries(), width=400).page
    reached = []
    for _ in range(9):
        page.keyboard.press("Tab")
        reached.append(
            page.evaluate(
                """() => { const at = document.activeElement, style = getComputedStyle(at);
                return [at.getAttribute('aria-labelledby') || at.getAttribute('aria-label') || at.innerText.split('\\n')[0],
                  style.outlineStyle]; }"""
            )
        )
    assert [one[0] for one in reached] == [
        "contestants",
        "failures",
        "call-1",
        "prompt",
        "In the judge's words",
        "call-2",
        "prompt",
        "In the judge's words",
        "call-3",
    ]
    assert {one[1] for one in reached} == {"solid"}, "the focus is seen"
    page.keyboard.press("Enter")
    expect(page.locator("details.row").nth(2).locator(".answers")).to_be_hidden()
    table = page.locator(".wide").first
    table.focus()
    table.press("ArrowRight")
    page.wait_for_function("table => table.scrollLeft > 0", arg=table.element_handle())


@pytest.mark.parametrize("width", [1280, 400])
def test_hostile_names_prompts_and_answers_neither_run_nor_break_the_page(look: Look, width: int) -> None:
    seen = look(comparison_examples.hostile(), width=width)
    page = seen.page
    assert page.evaluate("[typeof window.ran, document.title]") == [
        "undefined",
        f"Comparison {comparison_examples.CANDIDATE}: completed without 5 of 10 contestants",
    ]
    assert page.locator("script, iframe, img, main style, main link, [onerror], [onload]").count() == 0
    assert page.locator("h1").count() == 1
    assert page.locator("main > details.row").count() == 10
    assert page.locator("main > h2").all_inner_texts()[-1] == "Files"
    assert not seen.scrolls_sideways()
    assert seen.sticking_out() == []
    for chart in seen.charts():
        assert (chart["outside"], chart["overlapping"]) == ([], []), chart
    shown = page.locator("details.row .answer .text").all_text_contents()
    for text in comparison_examples.HOSTILE[:5]:
        assert text in shown


def test_text_from_right_to_left_keeps_to_its_own_box(look: Look) -> None:
    page = look(comparison_examples.hostile()).page
    hebrew = comparison_examples.HOSTILE[4]
    row = next(row for row in page.locator("details.row").all() if hebrew == row.locator(".text").first.text_content())
    prompt = row.locator(".text").first
    assert prompt.evaluate("text => getComputedStyle(text).direction") == "rtl"
    assert row.locator("dt").first.evaluate("name => getComputedStyle(name).direction") == "ltr"
    # The fifth contestant is called by the same text: it does not turn what stands beside it.
    point = page.get_by_role("list", name="points of the chart").get_by_role("listitem").nth(4)
    whole, number, figures = (one.bounding_box() for one in (point, point.locator(".no"), point.locator(".soft")))
    assert whole is not None
    assert number is not None
    assert figures is not None
    assert number["x"] == whole["x"]
    assert figures["x"] < whole["x"] + 40
    assert point.locator(".soft").evaluate("text => getComputedStyle(text).direction") == "ltr"
