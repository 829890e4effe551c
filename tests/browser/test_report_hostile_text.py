from __future__ import annotations

from collections.abc import Callable

import comparison_examples
import pytest
import report_examples
from looking import Seen
from playwright.sync_api import expect

Look = Callable[..., Seen]


@pytest.mark.parametrize("width", [1280, 400])
def test_what_stands_in_prompts_and_answers_neither_runs_nor_breaks_the_page(look: Look, width: int) -> None:
    seen = look(report_examples.hostile(), width=width)
    page = seen.page
    assert page.evaluate("[typeof window.ran, document.title]") == [
        "undefined",
        f"Evaluation of {report_examples.CANDIDATE}: refused",
    ]
    assert page.locator("script, iframe, img, main style, main link, [onerror], [onload]").count() == 0
    assert page.locator("h1").count() == 1
    assert page.locator("main > details.row").count() == 10
    assert page.locator("main > h2").all_inner_texts()[-2:] == [
        "Rows without a score: 10",
        "Rows that are in the training file: 10",
    ]
    assert not seen.scrolls_sideways()
    assert seen.sticking_out() == []
    assert page.evaluate("document.documentElement.scrollHeight") < 20_000
    expect(page.get_by_role("region", name="Verdict")).to_be_visible()


def test_hostile_text_is_shown_as_it_is(look: Look) -> None:
    page = look(report_examples.hostile()).page
    for index in range(4):
        text = page.locator("details.row").nth(index).locator(".text").first
        assert text.text_content() == report_examples.HOSTILE[index]
        expect(text).to_be_visible()
    odd = page.locator("details.row").nth(8).locator(".text").first.text_content()
    assert odd is not None
    assert odd.startswith("a\u0301\u0300")
    assert odd.endswith("\ufffd"), "half a surrogate pair is no text, and says so"


def test_a_long_text_is_cut_says_so_and_scrolls_by_itself(look: Look) -> None:
    row = look(report_examples.hostile()).page.locator("details.row").nth(5)
    text = row.locator(".text").first
    assert text.text_content() == "w" * 2_000
    expect(row.get_by_text("… and 18,000 characters more, in the file of rows").first).to_be_visible()
    box = text.bounding_box()
    assert box is not None
    assert box["height"] < 250
    assert text.evaluate("text => text.scrollHeight > text.clientHeight")
    text.focus()
    text.press("End")
    text.page.wait_for_function("text => text.scrollTop > 0", arg=text.element_handle())


def test_text_from_right_to_left_keeps_to_its_own_box(look: Look) -> None:
    row = look(report_examples.hostile()).page.locator("details.row").nth(4)
    text = row.locator(".text").first
    assert text.evaluate("text => getComputedStyle(text).direction") == "rtl"
    assert row.locator("dt").first.evaluate("name => getComputedStyle(name).direction") == "ltr"
    name, said = row.locator("dt").first.bounding_box(), text.bounding_box()
    assert name is not None
    assert said is not None
    assert name["x"] < said["x"]
    scores = row.locator(".scores").bounding_box()
    assert scores is not None
    assert scores["x"] < name["x"] + 40, "the row's id does not turn what stands beside it"


def test_an_empty_answer_is_told_from_a_missing_one(look: Look) -> None:
    row = look(report_examples.hostile()).page.locator("details.row").nth(9)
    assert row.locator("dd").all_inner_texts() == ["nothing"] * 5


@pytest.mark.parametrize("page", [report_examples.passed, comparison_examples.usual])
def test_a_style_or_script_that_got_into_the_page_all_the_same_would_do_nothing(
    look: Look, page: Callable[[], str]
) -> None:
    added = (
        "<style>h1 { display: none }</style><p style='display: none'>shown</p><script>window.ran = 1</script></main>"
    )
    seen = look(page().replace("</main>", added))
    expect(seen.page.get_by_role("heading", level=1)).to_be_visible()
    expect(seen.page.get_by_text("shown", exact=True)).to_be_visible()
    assert seen.page.evaluate("typeof window.ran") == "undefined"
    assert [("Content Security Policy" in said) for said in seen.noise] == [True] * 3
    seen.noise.clear()
