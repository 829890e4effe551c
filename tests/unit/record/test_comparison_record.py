"""What a comparison leaves behind: figures, rows, names; the same for the same answers."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from genops_events.catalogue.models import shipped
from genops_events.config.contestants import read_contestants
from genops_events.config.identity import dataset_of
from genops_events.record.comparison import ComparedAnswer, ComparedRow, ContestantResult, latency_of
from genops_events.record.comparison_plan import ComparisonPlan, account, comparison_id, summarised


def ended(name: str, status: str = "completed", reason: str = "") -> ContestantResult:
    return ContestantResult.model_validate({"name": name, "model": "champion", "status": status, "reason": reason})


def test_times_are_told_by_middle_and_95th_percentile() -> None:
    found = latency_of([float(number) for number in range(1, 101)])
    assert found is not None
    assert (found.count, found.p50_seconds, found.p95_seconds) == (100, 50.0, 95.0)
    single = latency_of([0.25])
    assert single is not None
    assert (single.p50_seconds, single.p95_seconds) == (0.25, 0.25)
    assert latency_of([]) is None


@given(st.lists(st.floats(0, 1000), min_size=1))
def test_percentiles_are_among_the_times_and_in_order(seconds: list[float]) -> None:
    found = latency_of(seconds)
    assert found is not None
    rounded = {round(one, 3) for one in seconds}
    assert found.p50_seconds in rounded
    assert found.p95_seconds in rounded
    assert min(rounded) <= found.p50_seconds <= found.p95_seconds <= max(rounded)


def test_a_row_comes_back_as_it_was_written_and_leaves_out_what_is_empty() -> None:
    full = ComparedAnswer("Grüße\u2028", "cut", "MAX_TOKENS", {"bleu": 0.0}, {"fluency": "good"}, {}, 3, 0, 0.5)
    row = ComparedRow("line-1", "ask", None, {"a": full, "b": ComparedAnswer(failures={"bleu": "no answer"})})
    line = row.to_json_line()
    assert line.count("\n") == 1
    assert ComparedRow.from_json(json.loads(line)) == row
    assert json.loads(line)["answers"]["b"] == {"failures": {"bleu": "no answer"}}
    assert json.loads(line)["answers"]["a"]["output_tokens"] == 0, "nothing is another answer than none"
    assert ComparedRow.from_json({**json.loads(line), "later": 1}) == row


def test_a_persons_comparison_has_the_form_of_a_candidate() -> None:
    made = comparison_id("banking77", "manual__1")
    assert dataset_of(made) == "banking77"
    assert made == comparison_id("banking77", "manual__1") != comparison_id("banking77", "manual__2")


def test_each_try_after_an_end_has_an_account_of_its_own() -> None:
    assert [account("c-1", "a", number) for number in (1, 2)] == ["c-1/a", "c-1/a/2"]


def test_the_end_names_who_is_missing_and_why() -> None:
    assert summarised([ended("a")]) == "The contestant answered and was scored."
    assert summarised([ended("a"), ended("b")]) == "All 2 contestants answered and were scored."
    missing = [ended("a"), ended("b", "failed", "It is\ngone.."), ended("c", "refused", "too dear")]
    told = "1 of 3 contestants answered and was scored. b failed: It is gone. c refused: too dear."
    assert summarised(missing) == told
    assert summarised([ended("a", "failed", "x")]).startswith("None of 1 contestants")


def test_what_was_not_given_does_not_come_back_as_given() -> None:
    texts = ["champion", "a: {model: champion, generation_config: {top_p: null}}"]
    plan = ComparisonPlan.model_validate(
        {
            "candidate": "banking77-0123456789abcdef",
            "written_at": "2026-11-23T12:00:00Z",
            "dataset": "banking77",
            "run_id": "r",
            "started_by": "person",
            "contestants": read_contestants(texts, shipped(), "gemini-2.5-flash"),
            "prompts": "p.jsonl",
            "metrics": ["bleu"],
        }
    )
    back = ComparisonPlan.model_validate_json(plan.to_json())
    assert back == plan
    assert [set(one.generation_config.model_fields_set) for one in back.contestants] == [set(), {"top_p"}]
