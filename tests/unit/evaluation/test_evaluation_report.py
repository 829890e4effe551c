from __future__ import annotations

import re
from datetime import UTC, datetime

from pages import whole

from genops_events.catalogue import metrics
from genops_events.evaluation.gates import Gate, judge
from genops_events.evaluation.report import Report, report_html
from genops_events.evaluation.rows import Row, summarise

EXACT, MINE = metrics.computed("exact_match"), metrics.python_metric("mine", "m:f")


def made(rows: list[Row], *, champion: str | None = "the-champion") -> str:
    figures = summarise(rows, [EXACT, MINE], {})
    judgement = judge(figures, Gate({"exact_match": 0.4}), failed_rows=1, champion=champion is not None)
    return report_html(
        Report(
            candidate="banking77-1",
            dataset="banking77",
            champion=champion,
            passed=judgement.passed,
            reason=judgement.reason,
            decisive="exact_match",
            metrics=[EXACT, MINE],
            figures=figures,
            conditions=judgement.conditions,
            rows=rows,
            written_at=datetime(2026, 11, 23, 8, tzinfo=UTC),
        )
    )


def rows() -> list[Row]:
    hostile = "<script>alert(1)</script>\"'&"
    found = [
        Row(
            id=f"line-{number}",
            prompt=hostile,
            reference="a",
            answer="b" * 3000,
            champion_answer=hostile,
            scores={"exact_match": number % 2, "mine": -3.0 * number},
            champion_scores={"exact_match": 1.0},
            explanations={"mine": hostile},
        )
        for number in range(12)
    ]
    return [
        *found,
        Row(id="failed", prompt="p", failures={"mine": hostile}),
        Row(id="leaked", prompt="q", left_out="x"),
    ]


def test_the_report_is_whole_and_asks_nothing_of_the_network() -> None:
    page = made(rows())
    seen = whole(page)
    assert "script" not in seen
    assert "default-src 'none'" in page
    assert not re.search(r"(src|href)=|url\(|@import|https?://", page)
    assert page.count('role="img"') == 4, "distribution and comparison of each metric"
    assert seen.count("details") == 10, "the worst rows"


def test_what_stands_in_prompts_and_answers_is_text() -> None:
    page = made(rows())
    assert "<script>" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "b" * 2001 not in page


def test_the_report_names_conditions_failures_and_rows_left_out() -> None:
    page = made(rows())
    for text in ("line-0", "failed", "leaked", "the-champion", "exact_match 0.5 is at least 0.4", ">pass<", ">fail<"):
        assert text in page
    first = page.index("worst rows")
    assert page.index("line-0", first) < page.index("line-1<", first)


def test_a_report_without_champion_or_scores_is_a_report_all_the_same() -> None:
    page = made([Row(id="failed", prompt="p", failures={"exact_match": "why"})], champion=None)
    whole(page)
    assert "no champion yet" in page
    assert "exact_match was not measured" in page
