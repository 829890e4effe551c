from __future__ import annotations

from collections.abc import Callable

import pytest
import report_examples
from looking import Seen
from playwright.sync_api import expect

Look = Callable[..., Seen]
WIDTHS = (1280, 400, 320)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("example", ["passed", "refused", "first", "unanswered"])
def test_the_page_fits_the_window_and_every_chart_can_be_read(look: Look, example: str, width: int) -> None:
    seen = look(getattr(report_examples, example)(), width=width)
    assert not seen.scrolls_sideways()
    assert seen.sticking_out() == []
    charts = seen.charts()
    assert len(charts) == {"passed": 10, "refused": 10, "first": 2, "unanswered": 0}[example]
    for chart in charts:
        assert chart["left"] >= 0
        assert chart["right"] <= width
        assert 230 <= chart["width"] <= 520, chart
        assert 25 <= chart["height"] <= chart["width"], chart
        assert chart["scale"] >= (10 if width >= 400 else 8), chart
        assert (chart["outside"], chart["overlapping"]) == ([], []), chart


def test_a_refused_candidate_is_told_at_first_sight_and_why(look: Look) -> None:
    seen = look(report_examples.refused())
    verdict = seen.page.get_by_role("region", name="Verdict")
    expect(verdict).to_be_in_viewport(ratio=1)
    assert " ".join(verdict.inner_text().split()) == (
        "Refused Below the gate: exact_match 0.31 is below 0.7; exact_match 0.31 is below the champion's 0.81 less the"
        " margin 0.05 (0.76)."
    )
    tiles = [tile.inner_text().replace("\n", " ") for tile in seen.page.locator(".tile").all()]
    assert tiles == [
        "exact_match (decisive) 0.31 95 %: 0.22 to 0.4",
        "champion 0.81 mean of exact_match",
        "conditions met 2 of 4 of the gate",
        "answers to score 100 of 102 the others were refused",
        "rows scored in full 100 of 102 3 left out",
    ]


def test_a_passed_candidate_is_told_at_first_sight(look: Look) -> None:
    seen = look(report_examples.passed(), width=400)
    verdict = seen.page.get_by_role("region", name="Verdict")
    expect(verdict).to_be_in_viewport(ratio=1)
    assert verdict.inner_text().strip().startswith("Passed")
    assert seen.page.title() == f"Evaluation of {report_examples.CANDIDATE}: passed"


def test_the_gate_shows_outcome_figure_and_bound_of_each_condition(look: Look) -> None:
    rows = look(report_examples.refused()).cells("Gate")
    assert [row[:4] for row in rows] == [
        ["Outcome", "Condition", "Figure", "Bound"],
        ["fail", "exact_match minimum", "0.31", "≥ 0.7"],
        ["pass", "fluency minimum", "3.3", "≥ 3"],
        ["fail", "exact_match no regression", "0.31", "≥ 0.76"],
        ["pass", "all metrics failed rows", "2", "≤ 2"],
    ]


def test_the_figures_are_those_of_the_rows(look: Look) -> None:
    rows = {row[0]: row[1:] for row in look(report_examples.passed()).cells("Figures")}
    assert rows["exact_match (decisive)"] == ["0.88", "0.8 to 0.94", "0.81", "0.3266", "100", "0"]
    assert rows["fluency"][-2:] == ["100", "2"]
    assert rows["pairwise"][0] == "0.535", "7 of 100 rows won, 93 tied"
    assert rows["pairwise"][2] == "–", "the champion has no rate of its own"  # noqa: RUF001 - the page's dash


def test_a_distribution_draws_as_many_rows_as_there_are(look: Look) -> None:
    chart = look(report_examples.refused()).page.get_by_role("img", name="Distribution of exact_match:")
    bars = {
        bar.text_content(): bar.evaluate("bar => bar.getBoundingClientRect().height")
        for bar in chart.locator("rect").all()
    }
    assert list(bars) == [
        "candidate 69 rows at 0",
        "candidate 31 rows at 1",
        "champion 19 rows at 0",
        "champion 81 rows at 1",
    ]
    heights = list(bars.values())
    assert heights[0] / heights[1] == pytest.approx(69 / 31, rel=0.02)
    assert heights[3] / heights[0] == pytest.approx(81 / 69, rel=0.02)


def test_scores_between_whole_ones_are_drawn_in_tenths(look: Look) -> None:
    chart = look(report_examples.refused()).page.get_by_role("img", name="Distribution of rouge_1:")
    own = [bar.text_content() for bar in chart.locator("rect.candidate").all()]
    # 69 wrong answers with 0 to 0.5 in turn, and 31 right ones.
    assert own == [
        "candidate 12 rows from 0 to 0.1",
        "candidate 12 rows from 0.1 to 0.2",
        "candidate 12 rows from 0.2 to 0.3",
        "candidate 11 rows from 0.3 to 0.4",
        "candidate 11 rows from 0.4 to 0.5",
        "candidate 11 rows from 0.5 to 0.6",
        "candidate 31 rows from 0.9 to 1",
    ]


@pytest.mark.parametrize("width", [1280, 400])
def test_candidate_champion_and_bounds_stand_where_their_figures_are(look: Look, width: int) -> None:
    seen = look(report_examples.refused(), width=width)
    chart = 'svg[aria-label^="Means of exact_match:"]'
    assert seen.page.locator(chart).get_attribute("aria-label") == (
        "Means of exact_match: candidate 0.31, with 95 % confidence 0.22 to 0.4; champion 0.81; minimum 0.7;"
        " no regression 0.76"
    )
    axis = seen.page.locator(f"{chart} line.axis").first.bounding_box()
    assert axis is not None

    def value(selector: str) -> float:
        return (seen.centre(f"{chart} {selector}") - axis["x"]) / axis["width"]

    assert value("circle.candidate") == pytest.approx(0.31, abs=0.005)
    assert value("circle.champion") == pytest.approx(0.81, abs=0.005)
    assert value("line.candidate.interval") == pytest.approx((0.22 + 0.4) / 2, abs=0.01)
    assert value("line.bound >> nth=0") == pytest.approx(0.7, abs=0.005)
    assert value("line.bound >> nth=1") == pytest.approx(0.76, abs=0.005)


def test_the_ten_worst_rows_are_there_with_all_their_texts_and_the_champions_scores(look: Look) -> None:
    seen = look(report_examples.passed())
    expect(seen.page.get_by_role("heading", name="The 10 worst rows by exact_match")).to_be_visible()
    rows = seen.page.locator("details.row")
    assert [row.locator("code").inner_text() for row in rows.all()] == [f"line-{number}" for number in range(1, 11)]
    told = " ".join(rows.nth(2).inner_text().split())
    assert told == (
        "line-3 exact_match 0 (champion 0) rouge_1 0.2 (champion 0.2) fluency 4 (champion 2) pairwise 0.5"
        " words_saved 6 (champion 2) prompt How do I locate my card? reference card_linking"
        " answer wrong_exchange_rate_for_cash_withdrawal champion's answer wrong_exchange_rate_for_cash_withdrawal"
        " fluency, explained Understandable, but curt."
        " pairwise, explained Both name an intent; only one of them fits what the customer asks for."
    )


def test_rows_without_a_score_and_rows_of_the_training_file_are_named(look: Look) -> None:
    seen = look(report_examples.passed())
    assert seen.cells("Rows without a score: 2")[1][1] == "2"
    told = seen.page.locator("main").inner_text()
    held_out = told[told.index("Rows that are in the training file: 3") :]
    assert "They are left out of every score." in held_out
    assert "known-1, known-2, known-3" in held_out
    assert "failing-1, failing-2" in told


def test_answers_that_are_none_are_counted_by_kind_with_what_to_do(look: Look) -> None:
    seen = look(report_examples.no_answers())
    tiles = [tile.inner_text().replace("\n", " ") for tile in seen.page.locator(".tile").all()]
    assert "answers to score 1 of 6 1 blocked, 2 cut and 1 empty" in tiles
    none = seen.page.get_by_role("table", name="Answers that are none: 4").inner_text()
    assert "line-2, line-3" in none
    assert "raise `max_output_tokens`" in none
    assert "line-6" not in none
    assert "line-6" in seen.page.locator("main").inner_text()


def test_a_first_candidate_without_a_gate_has_nobody_beside_it(look: Look) -> None:
    seen = look(report_examples.first())
    told = seen.page.locator("main").inner_text()
    assert "no champion yet" in told
    assert "Passed: no gate is set." in told
    assert seen.page.locator("figure .champion, .key.champion, .bound").count() == 0
    assert seen.page.get_by_role("table", name="Gate").count() == 0


def test_a_report_without_any_answer_says_so(look: Look) -> None:
    seen = look(report_examples.unanswered())
    told = seen.page.locator("main").inner_text()
    assert "exact_match was not measured" in told
    assert seen.cells("Rows without a score: 60")[1] == ["the model is not deployed", "60"]
    assert "line-49, and 10 more" in told


def test_a_champion_known_on_some_rows_is_held_against_the_candidate_on_the_same(look: Look) -> None:
    seen = look(report_examples.known_in_part())
    row = next(row for row in seen.cells("Figures") if row[0].startswith("exact_match"))
    assert row[1] == "0.88"
    assert row[3] == "0.525 candidate 0.7 on these 40 rows"
    chart = seen.page.get_by_role("img", name="Means of exact_match:")
    points = [point.text_content() for point in chart.locator("circle").all()]
    assert points == ["candidate 0.88, with 95 % confidence 0.8 to 0.94", "on same rows 0.7", "champion 0.525"]
    assert all(chart["overlapping"] == chart["outside"] == [] for chart in seen.charts())
    assert (
        "same rows: the 40 that the champion was scored on, too" in seen.page.locator("figcaption").first.inner_text()
    )
