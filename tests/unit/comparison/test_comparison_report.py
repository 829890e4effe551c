from __future__ import annotations

import itertools
import math
import re
import tracemalloc
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from difflib import SequenceMatcher

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pages import whole

from genops_events.comparison.report import differences, render
from genops_events.comparison.report.chart import Point, dollars, pareto_front, quality_against_cost
from genops_events.comparison.report.choice import differ_most
from genops_events.comparison.report.differences import marked
from genops_events.comparison.report.labels import Box, placed
from genops_events.record.comparison import ComparedAnswer, ComparedRow, ComparisonSummary, ContestantResult, Measured
from genops_events.record.evaluation import MetricSummary
from genops_events.reports import Chart, ChartText, Dot

MEGABYTE = 1_000_000


def contestants(count: int) -> list[ContestantResult]:
    return [
        ContestantResult(
            name=f"c{one}",
            model="gemini-2.5-flash",
            status="completed",
            metrics={"exact_match": MetricSummary(count=10, mean=one / (count + 1), low=0.0, high=1.0)},
            rows=10,
            answered=10,
            answers_usd=Decimal(one) / 1000,
        )
        for one in range(1, count + 1)
    ]


def comparison(found: list[ContestantResult], *metrics: str) -> ComparisonSummary:
    return ComparisonSummary(
        candidate="banking77-1",
        dataset="banking77",
        outcome="completed",
        reason="All completed.",
        started_by="person",
        prompts="gs://genops-data/prompts.jsonl",
        rows=10,
        metrics=tuple(Measured(name=name, kind="computed", low=0, high=1) for name in metrics or ("exact_match",)),
        contestants=tuple(found),
        started_at=datetime(2026, 11, 23, 8, tzinfo=UTC),
        ended_at=datetime(2026, 11, 23, 9, tzinfo=UTC),
        written_at=datetime(2026, 11, 23, 9, tzinfo=UTC),
    )


def rows(count: int, among: int, text: str) -> Iterator[ComparedRow]:
    for number in range(count):
        yield ComparedRow(
            f"line-{number + 1}",
            text,
            text,
            {
                f"c{one}": ComparedAnswer(
                    f"{one}{number}{text}", "blocked", text, {}, {"exact_match": text}, {"exact_match": text}
                )
                for one in range(1, among + 1)
            },
        )


@pytest.mark.parametrize("count", [0, 1, 3, 30, 400])
def test_the_report_is_whole_and_asks_nothing_of_the_network(count: int) -> None:
    page = render(comparison(contestants(count)), rows(12, count, "<script>alert(1)</script>\"'&"))
    assert "script" not in whole(page)
    assert not re.search(r"(src|href)=|url\(|@import|https?://", page)
    assert "default-src 'none'" in page
    assert page.count('role="img"') == (1 if count else 0)


def test_the_page_is_bounded_whatever_the_texts_are() -> None:
    page = render(comparison(contestants(30)), rows(100, 30, '"' * 20_000))
    assert len(page.encode()) < 8 * MEGABYTE
    assert "the 8 rows that differ most, of 100" in page


def test_of_ten_thousand_rows_only_those_that_are_shown_are_held_in_memory() -> None:
    tracemalloc.start()
    page = render(comparison(contestants(2)), rows(10_000, 2, "w" * 2_000))
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 8 * MEGABYTE, "all of them are over 40"
    assert "the 40 rows that differ most, of 10,000" in page
    assert "9,960 rows are not shown; all of them are in the file of rows" in page


def test_a_comparison_without_metrics_or_contestants_is_a_report_all_the_same() -> None:
    bare = comparison([]).model_copy(update={"metrics": ()})
    page = render(bare, [ComparedRow("line-1", "", None, {})])
    whole(page)
    assert "no answer" in page


def test_the_rows_shown_are_those_that_differ_most_and_then_the_first_of_the_file() -> None:
    def row(name: str, *answers: tuple[str | None, float | None]) -> ComparedRow:
        return ComparedRow(
            name,
            "p",
            None,
            {
                str(place): ComparedAnswer(text, scores={} if score is None else {"m": score})
                for place, (text, score) in enumerate(answers)
            },
        )

    found = [
        row("same-1", ("a", 1.0), ("a", 1.0)),
        row("other words", ("a", 1.0), ("b", 1.0)),
        row("one missing", ("a", 1.0), (None, None)),
        row("half apart", ("a", 0.5), ("a", 1.0)),
        row("apart", ("a", 0.0), ("b", 1.0)),
        row("same-2", ("a", 0.0), ("a", 0.0)),
    ]
    for order in itertools.permutations(found[1:5]):
        chosen = differ_most([found[0], *order, found[5]], ["m"], 10)
        names = [one.id for one in chosen.rows]
        assert names[:2] == ["apart", "half apart"]
        assert names[2:4] == [one.id for one in order if one.id in ("other words", "one missing")]
        assert names[4:] == ["same-1", "same-2"]
        assert chosen.total == 6
    assert [one.id for one in differ_most(iter(found), ["m"], 1).rows] == ["apart"]


@given(st.text(max_size=80), st.text(max_size=80))
def test_marking_changes_nothing_of_a_text(text: str, other: str) -> None:
    assert "".join(one.text for one in marked(text, other)) == text


@pytest.mark.parametrize(
    ("text", "other", "expected"),
    [
        ("the card is late", "the card is here", ["the card is ", "[late]"]),
        ("a b <c> d\n", "a b c d\n", ["a b ", "[<c>]", " d\n"]),
        ("x y b c d e", "a b c d e", ["[x y]", " b c d e"]),
        ("nothing is alike", "here at all", ["nothing is alike"]),
        ("a  b", "a b", ["a  b"]),
        ("a  x  y b c d", "a b c d", ["a  ", "[x  y]", " b c d"]),
        ("", "a", []),
    ],
)
def test_words_that_the_other_text_does_not_have_are_marked(text: str, other: str, expected: list[str]) -> None:
    assert [f"[{one.text}]" if one.is_marked else one.text for one in marked(text, other) if one.text] == expected


def test_answers_are_held_against_the_one_that_most_gave() -> None:
    answers = {f"c{one}": ComparedAnswer(f"the card is {word}") for one, word in enumerate(("late", "here", "here"), 1)}
    page = render(comparison(contestants(3)), [ComparedRow("line-1", "Where?", None, answers)])
    assert ">the card is <mark>late</mark></div>" in page
    assert ">the card is here</div>" in page


def test_texts_made_to_be_slow_to_hold_against_each_other_are_not_taken_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    taken_apart: list[int] = []

    class Counted(SequenceMatcher):  # type: ignore[type-arg]
        def __init__(self, junk: None, words: list[str], others: list[str]) -> None:
            taken_apart.append(max(len(words), len(others)))
            super().__init__(junk, words, others)

    monkeypatch.setattr(differences, "SequenceMatcher", Counted)
    marked(" ".join("ab"[place % 2] for place in range(900)), "b " * 999)
    assert taken_apart == [], "it took seconds"
    marked("x " + "a b " * 149, "y " + "b a " * 149)
    assert taken_apart == [299]


def ticks(chart: Chart) -> list[float]:
    """Return the figures on the axis of means."""
    return [float(one.text) for one in chart.shapes if isinstance(one, ChartText) and one.style == "right"]


POINTS = st.lists(
    st.tuples(
        st.one_of(st.just(0.0), st.floats(1e-9, 1e6)),
        st.floats(-1e6, 1e6).filter(lambda one: one == 0 or abs(one) > 1e-6),
        st.floats(0, 1e3),
    ),
    min_size=1,
    max_size=12,
)


@given(POINTS)
@example([(0.0, 0.0, 5e-324)])
@example([(0.0, 0.0, 0.0), (0.0, 1e-05, 0.0)])
def test_a_chart_draws_whatever_figures_there_are_inside_its_own_frame(
    figures: list[tuple[float, float, float]],
) -> None:
    points = [
        Point(number, f"c{number}", mean, mean - half, mean + half, cost)
        for number, (cost, mean, half) in enumerate(figures, start=1)
    ]
    drawn = quality_against_cost("m", points, low=None, high=None)
    dots = [one for one in drawn.shapes if isinstance(one, Dot)]
    assert len(dots) == len(points)
    for dot in dots:
        assert 46 <= dot.x <= 390
        assert 22 <= dot.y <= 276.5
    assert 2 <= len(ticks(drawn)) <= 8


def test_means_are_never_drawn_on_an_axis_beyond_the_scores_that_there_are() -> None:
    drawn = quality_against_cost("m", [Point(1, "a", 1.0, 1.0, 1.0, 0.1)], low=0, high=1)
    assert max(ticks(drawn)) == 1
    assert "nan" not in repr(drawn)


def test_whoever_is_as_good_for_less_or_better_for_no_more_beats_another() -> None:
    def point(number: int, quality: float, cost: float) -> Point:
        return Point(number, "", quality, None, None, cost)

    assert pareto_front([point(1, 0.5, 1.0), point(2, 0.5, 2.0), point(3, 0.6, 2.0), point(4, 0.4, 0.5)]) == {1, 3, 4}
    assert pareto_front([point(1, 0.5, 1.0), point(2, 0.5, 1.0)]) == {1, 2}, "equals beat nobody"


@given(st.lists(st.tuples(st.floats(60, 380), st.floats(30, 270)), min_size=1, max_size=30))
def test_names_lie_on_no_other_name_and_on_no_point(spots: list[tuple[float, float]]) -> None:
    within = Box(46, 13, 399, 275)
    names = [str(number) for number in range(10, 10 + len(spots))]
    found = placed(spots, names, within=within, radius=5, lines=[])
    assert None not in found
    boxes = [box for box in found if box is not None]
    assert all(box.inside(within) for box in boxes)
    assert not any(one.meets(other) for one, other in itertools.combinations(boxes, 2))
    assert not any(box.meets(Box(x - 5, y - 5, x + 5, y + 5)) for box in boxes for x, y in spots)


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (0, "$0.00"),
        (0.11, "$0.11"),
        (0.0123, "$0.012"),
        (0.000002, "$0.000002"),
        (0.0999, "$0.1"),
        (1234.5, "$1,234.50"),
    ],
)
def test_amounts_are_told_without_an_exponent_and_never_as_nothing(value: float, told: str) -> None:
    assert dollars(value) == told
    assert math.isfinite(value)
