"""Dark, on paper, by keyboard, and heard: the same report."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
import report_examples
from looking import Seen
from playwright.sync_api import expect

Look = Callable[..., Seen]
TEXT, SHAPE = 4.5, 3.0
"""Least contrast that WCAG 2.2 asks of text (1.4.3) and of what a chart is made of (1.4.11)."""


def too_faint(found: list[dict[str, object]], least: float) -> list[dict[str, object]]:
    assert len(found) > 20, "something was measured"
    return [one for one in found if one["ratio"] < least]  # type: ignore[operator]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("example", ["passed", "refused"])
def test_everything_can_be_told_from_what_is_behind_it(look: Look, example: str, scheme: str) -> None:
    seen = look(getattr(report_examples, example)(), scheme=scheme)
    brightness = seen.page.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)")
    assert (max(brightness) < 60) == (scheme == "dark")
    contrast = seen.contrast()
    assert too_faint(contrast["texts"], TEXT) == []
    assert too_faint(contrast["shapes"], SHAPE) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_on_paper_everything_is_dark_on_white_and_nothing_is_cut(look: Look, scheme: str) -> None:
    seen = look(report_examples.refused(), width=720, scheme=scheme)
    seen.page.emulate_media(media="print", color_scheme=scheme)
    contrast = seen.contrast(paper="rgb(255, 255, 255)")
    assert too_faint(contrast["texts"], TEXT) == []
    assert too_faint(contrast["shapes"], SHAPE) == []
    hidden = "() => [...document.querySelectorAll('.wide, .long')].filter(one => one.scrollWidth > one.clientWidth + 1)"
    assert seen.page.evaluate(f"({hidden})().length") == 0
    long = look(report_examples.hostile(), width=720)
    long.page.emulate_media(media="print")
    assert not long.scrolls_sideways(), "paper is no wider for the sake of a long word"
    clipped = "one => one.scrollHeight > one.clientHeight + 1"
    assert long.page.locator(".long").count() > 5
    assert not any(one.evaluate(clipped) for one in long.page.locator(".long").all())


def test_it_can_be_printed(look: Look, tmp_path: Path) -> None:
    printed = look(report_examples.passed()).page.pdf(path=tmp_path / "report.pdf", format="A4")
    assert printed.startswith(b"%PDF")
    assert 2 <= printed.count(b"/Type /Page\n") <= 12


@pytest.mark.parametrize("example", ["passed", "first", "hostile", "unanswered"])
def test_headings_tables_and_charts_are_named(look: Look, example: str) -> None:
    page = look(getattr(report_examples, example)()).page
    assert page.evaluate("document.documentElement.lang") == "en"
    assert page.title()
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
        heading = table.get_attribute("aria-labelledby")
        expect(page.locator(f"h2#{heading}")).to_be_visible()
    assert page.locator("svg:not([role=img][aria-label]):not([aria-hidden=true])").count() == 0


def test_a_chart_is_heard_with_all_its_figures(look: Look) -> None:
    heard = look(report_examples.passed()).page.locator("main").aria_snapshot()
    for said in (
        '- heading "Evaluation of banking77-2cdbbb2a21d6eddc" [level=1]',
        '- region "Verdict"',
        "candidate 12 rows at 0; candidate 88 rows at 1; champion 19 rows at 0; champion 81 rows at 1",
        "Means of fluency: candidate 3.87, with 95 % confidence 3.7 to 4.04; champion 3.31; minimum 3",
        '- rowheader "exact_match minimum"',
        '- columnheader "Outcome"',
        '- cell "pass"',
    ):
        assert said in heard


def test_what_scrolls_and_what_folds_is_reached_by_keyboard(look: Look) -> None:
    page = look(report_examples.refused(), width=400).page
    reached = []
    while True:
        page.keyboard.press("Tab")
        focused = page.evaluate(
            """() => { const at = document.activeElement, style = getComputedStyle(at);
            return [at.tagName, at.getAttribute('aria-labelledby') || at.innerText.split('\\n')[0], style.outlineStyle]; }"""
        )
        if focused[0] == "BODY" or len(reached) > 50:
            break
        reached.append(focused)
    assert [one[:2] for one in reached] == [
        ["DIV", "gate"],
        ["DIV", "figures"],
        *(["SUMMARY", f"line-{number}"] for number in range(1, 11)),
        ["DIV", "failures"],
    ]
    assert {one[2] for one in reached} == {"solid"}, "the focus is seen"
    page.locator("summary").first.focus()
    page.keyboard.press("Enter")
    expect(page.locator("details.row").first.locator("dl")).to_be_hidden()
    page.keyboard.press("Enter")
    expect(page.locator("details.row").first.locator("dl")).to_be_visible()
    table = page.locator(".wide").first
    table.focus()
    table.press("ArrowRight")
    page.wait_for_function("table => table.scrollLeft > 0", arg=table.element_handle())
