from __future__ import annotations

from collections.abc import Callable

import comparison_examples
import pytest
from looking import Seen
from playwright.sync_api import expect

Look = Callable[..., Seen]
CHARTS = {"usual": 3, "summaries": 1, "twelve": 2, "thirty": 2, "one": 1, "nothing": 0}


@pytest.mark.parametrize("width", [1280, 400, 320])
@pytest.mark.parametrize("example", CHARTS)
def test_the_page_fits_the_window_and_no_name_lies_on_another(look: Look, example: str, width: int) -> None:
    seen = look(getattr(comparison_examples, example)(), width=width)
    assert not seen.scrolls_sideways()
    assert seen.sticking_out() == []
    charts = seen.charts()
    assert len(charts) == CHARTS[example]
    for chart in charts:
        assert chart["left"] >= 0
        assert chart["right"] <= width
        assert 230 <= chart["width"] <= 520, chart
        assert chart["scale"] >= (10 if width >= 400 else 8), chart
        assert (chart["outside"], chart["overlapping"]) == ([], []), chart


def test_every_point_is_called_by_its_name_where_there_is_room(look: Look) -> None:
    seen = look(comparison_examples.usual(), width=400)
    chart = seen.page.get_by_role("img", name="exact_match against the cost")
    names = [name.text_content() for name in chart.locator("text.name").all()]
    assert [name.replace("\u2068", "").replace("\u2069", "") for name in names if name] == [
        "1 champion",
        "2 candidate",
        "3 flash-lite",
        "4 flash-precise",
        "6 pro",
    ]


def test_thirty_points_are_called_by_numbers_that_are_explained_beside_the_chart(look: Look) -> None:
    seen = look(comparison_examples.thirty(), width=400)
    for chart in seen.page.locator("figure svg").all():
        assert [name.text_content() for name in chart.locator("text.name").all()] == [str(one) for one in range(1, 31)]
    key = seen.page.get_by_role("list", name="points of the chart").get_by_role("listitem")
    told = [" ".join(one.inner_text().split()) for one in key.all()]
    assert len(told) == 30
    assert told[6] == "7 variant-7-of-flash-at-0.75 0.65 for $0.10"


@pytest.mark.parametrize("width", [1280, 400])
def test_points_and_intervals_stand_where_their_figures_are(look: Look, width: int) -> None:
    seen = look(comparison_examples.usual(), width=width)
    chart = 'svg[aria-label^="exact_match against"]'
    points = seen.page.locator(f"{chart} circle")
    assert points.count() == 5
    places = {}
    for point in points.all():
        box = point.bounding_box()
        assert box is not None
        places[(point.text_content() or "")[0]] = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    # 0.88 and 0.52 for a mean, $0.02 and $1.90: all others lie between them, on the scale that the axes tell.
    per_mean = (places["3"][1] - places["2"][1]) / (0.88 - 0.52)
    assert places["3"][1] - places["1"][1] == pytest.approx(per_mean * (0.81 - 0.52), abs=1)
    assert places["3"][1] - places["4"][1] == pytest.approx(per_mean * (0.64 - 0.52), abs=1)
    assert places["1"][0] == pytest.approx(places["2"][0], abs=0.5), "both cost $0.11"
    # Logarithmic: from 0.02 to 0.11 is as far as from 0.345 to 1.9.
    assert (places["1"][0] - places["3"][0]) / (places["6"][0] - places["3"][0]) == pytest.approx(0.3743, abs=0.01)
    bar = seen.page.locator(f"{chart} line.interval").nth(1)
    ends = bar.evaluate("line => { const box = line.getBoundingClientRect(); return [box.top, box.bottom]; }")
    assert places["2"][1] - ends[0] == pytest.approx(per_mean * (0.94 - 0.88), abs=2)
    assert ends[1] - places["2"][1] == pytest.approx(per_mean * (0.88 - 0.8), abs=2)


def test_whom_nobody_beats_is_told_from_the_others(look: Look) -> None:
    seen = look(comparison_examples.usual())
    chart = seen.page.get_by_role("img", name="exact_match against the cost")
    assert [(one.text_content() or "")[0] for one in chart.locator("circle.best").all()] == ["2", "3"]
    # As dear as the candidate and not as good; dearer than the champion and not as good; dearer than the candidate.
    assert [(one.text_content() or "")[0] for one in chart.locator("circle.other").all()] == ["1", "4", "6"]


def test_at_first_sight_a_comparison_without_some_of_its_contestants_is_not_a_whole_one(look: Look) -> None:
    colours = []
    for page, state in (
        (comparison_examples.usual(), "completed without 2 of 7 contestants"),
        (comparison_examples.summaries(), "completed"),
        (comparison_examples.nothing(), "refused"),
    ):
        seen = look(page)
        outcome = seen.page.get_by_role("region", name="Outcome")
        assert outcome.locator(".state").inner_text().strip() == state.capitalize()
        assert seen.page.title() == f"Comparison {comparison_examples.CANDIDATE}: {state}"
        drawn = outcome.locator("path").get_attribute("d")
        colours.append((outcome.evaluate("one => getComputedStyle(one).backgroundColor"), drawn))
    assert len({colour for colour, _ in colours}) == len({drawn for _, drawn in colours}) == 3


def test_a_failing_contestant_stands_among_the_others_with_its_reason(look: Look) -> None:
    seen = look(comparison_examples.usual())
    rows = seen.cells("Contestants")
    assert [row[0] for row in rows] == [
        "Contestant",
        "1 champion completed",
        "2 candidate completed",
        "3 flash-lite completed",
        "4 flash-precise completed",
        "5 europe failed",
        "6 pro completed",
        "7 dear refused",
    ]
    assert comparison_examples.DENIED in rows[5][1]
    assert "Give the service account the role Vertex AI User" in rows[5][1]
    assert rows[5][2:] == ["–", "–", "–", "0 of 100", "– spent $0.00", "–", "–"]  # noqa: RUF001 - the page's dash
    assert "It may cost $81.20, and budget.inference_usd allows $20.00." in rows[7][1]
    told = [" ".join(one.inner_text().split()) for one in seen.page.locator(".trade li").all()]
    assert told[4] == "5 europe not in the chart: failed"
    assert told[5] == "6 pro 0.86 for $1.90"
    tiles = [" ".join(tile.inner_text().split()) for tile in seen.page.locator(".tile").all()]
    assert tiles == [
        "contestants 5 of 7 completed",
        "prompts 100 scored by 3 metrics",
        "highest exact_match 0.88 2 candidate intervals of 2 others overlap",
        "spent $0.90 of $4.20 at most",
    ]


def test_the_table_tells_what_each_is_and_what_it_reached_and_cost(look: Look) -> None:
    rows = look(comparison_examples.usual()).cells("Contestants")
    assert rows[0][1:] == [
        "What it is",
        "exact_match",
        "rouge_1",
        "fluency",
        "Answers",
        "Cost of 1,000",
        "Tokens",
        "Latency",
    ]
    assert rows[1][1] == (
        "champion candidate banking77-7c1f0a94be52d3f0 asked 5021963873110345216 at the prices of gemini-2.5-flash"
    )
    assert rows[4][1] == (
        'gemini-2.5-flash temperature 0, top_p 0.1, thinking {"budget": 0} system instruction: Name the intent, and nothing else.'
    )
    assert rows[2][2] == "0.88 0.8 to 0.94"
    assert rows[6][5:] == [
        "100 of 100",
        "$1.90 answers $0.19 judge $0.57 spent $0.76",
        "2,400 in 600 out",
        "0.95 s 95 %: 1.1 s",
    ]


def test_rows_without_a_score_are_counted_by_cause(look: Look) -> None:
    seen = look(comparison_examples.summaries())
    assert seen.cells("Rows without a score") == [
        ["Contestant", "Cause", "Times"],
        ["4 lite", "429 Resource exhausted, 5 times in 120 s", "4"],
        ["4 lite", "the answer is empty", "1"],
    ]
    lite = seen.cells("Contestants")[4]
    assert lite[2:4] == ["1 1 to 1 of 1 row", "2 of 6 1 blocked 1 cut 5 without a score"]


def test_answers_that_are_the_same_stand_there_once_and_the_others_beside_them(look: Look) -> None:
    seen = look(comparison_examples.usual())
    expect(
        seen.page.get_by_role("heading", name="Answers side by side: the 34 rows that differ most, of 100")
    ).to_be_visible()
    expect(seen.page.get_by_text("66 rows are not shown; all of them are in gs://genops-data/")).to_be_visible()
    rows = seen.page.locator("details.row")
    assert rows.count() == 34
    # The candidate alone has lines 13 and 14 right, with pro 15 to 19, with the champion, too, 20 to 36.
    first = rows.first
    assert first.locator("summary code").inner_text() == "line-13"
    assert "2 different answers" in first.locator("summary").first.inner_text()
    answers = first.get_by_role("list", name="answers").get_by_role("listitem")
    told = [" ".join(one.inner_text().split()) for one in answers.all()]
    assert told[0].startswith("1 champion 4 flash-precise exact_match 0 · rouge_1 0.25 · fluency 3 3 flash-lite")
    assert told[0].endswith("compromised_card In the judge's words")
    assert told[1] == (
        "2 candidate exact_match 1 · rouge_1 1 · fluency 4 same as the reference cash_withdrawal_charge In the judge's words"
    )
    assert told[2].startswith("no answer 5 europe failed: 403 Permission")
    assert told[2].endswith("7 dear refused: It may cost $81.20, and budget.inference_usd allows $20.00.")
    assert len(told) == 3
    boxes = [one.bounding_box() for one in answers.all()]
    assert len({round(box["y"]) for box in boxes if box}) == 1, "side by side"
    words = answers.nth(1).locator("details")
    expect(words.locator("dl")).to_be_hidden()
    words.locator("summary").click()
    expect(words.get_by_text("Names an intent, in 1 words.")).to_be_visible()


def test_on_a_phone_answers_stand_one_below_the_other(look: Look) -> None:
    answers = look(comparison_examples.summaries(), width=400).page.locator("details.row").first.locator(".answer")
    boxes = [one.bounding_box() for one in answers.all()]
    assert len(boxes) == 4
    assert len({round(box["x"]) for box in boxes if box}) == 1
    assert [box["y"] for box in boxes if box] == sorted(box["y"] for box in boxes if box)


def test_words_that_differ_are_marked_where_answers_are_nearly_the_same(look: Look) -> None:
    row = look(comparison_examples.summaries()).page.locator("details.row").first
    answers = row.locator(".answer")
    assert [answers.nth(one).locator("mark").all_inner_texts() for one in range(4)] == [[], ["but"], [], []]
    underlined = answers.nth(1).locator("mark").evaluate("mark => getComputedStyle(mark).textDecorationLine")
    assert underlined == "underline"
    assert answers.nth(1).locator(".text").inner_text() == comparison_examples.SUMMARIES[1]


def test_empty_missing_blocked_and_cut_answers_are_told_apart(look: Look) -> None:
    rows = look(comparison_examples.summaries()).page.locator("details.row")
    last = {
        row.locator("summary code").inner_text(): " ".join(row.locator(".answer").last.inner_text().split())
        for row in rows.all()
    }
    assert last["call-1"] == "4 lite fluency 1 cut at the longest answer (MAX_TOKENS) The customer asks wh"
    assert last["call-2"] == (
        "4 lite fluency no score blocked, or ended early (SAFETY) an empty answer No score: the answer is empty"
    )
    assert last["call-3"] == "no answer 4 lite 429 Resource exhausted, 5 times in 120 s"


def test_long_texts_are_cut_say_so_and_scroll_by_themselves(look: Look) -> None:
    page = look(comparison_examples.summaries()).page
    row = page.locator("details.row", has=page.locator("code", has_text="call-3"))
    expect(row.get_by_text("… and 1,028 characters more, in the file of rows")).to_be_visible()
    for name in ("prompt", "answer of 1"):
        text = row.get_by_role("region", name=name)
        assert text.evaluate("text => text.scrollHeight > text.clientHeight")
        box = text.bounding_box()
        assert box is not None
        assert box["height"] < 250
        text.focus()
        text.press("End")
        page.wait_for_function("text => text.scrollTop > 0", arg=text.element_handle())


def test_a_comparison_of_which_nobody_was_asked_says_so(look: Look) -> None:
    seen = look(comparison_examples.nothing())
    outcome = seen.page.get_by_role("region", name="Outcome")
    assert " ".join(outcome.inner_text().split()) == "Refused Nobody was asked: budget.monthly_usd is used up."
    expect(seen.page.get_by_text("No contestant has both a score and a known cost.")).to_be_visible()
    expect(seen.page.get_by_text("of $4.20 at most, $3.50 over the limits")).to_be_visible()
    assert seen.page.locator("details").count() == 0
    assert seen.page.title() == f"Comparison {comparison_examples.CANDIDATE}: refused"
