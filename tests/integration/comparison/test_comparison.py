"""A comparison: any number of contestants on the same prompts, side by side, whatever becomes of one of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException
from cloud import DATASET, Reader, StandIns
from comparisons import (
    THEIRS,
    WARM,
    asked,
    conclude,
    contest,
    one,
    plan,
    postings,
    recorded,
    rows_text,
    whole,
)
from evaluations import FILE, MODEL, pairs, promoted, write

from genops_events.airflow.comparison import record_failed_contestant, record_failed_plan
from genops_events.catalogue.tokens import estimated_tokens
from genops_events.comparison.table import summary_rows
from genops_events.comparison.work import BadRequest
from genops_events.config import Config
from genops_events.config.comparison import BadMetrics
from genops_events.config.contestants import BadContestants
from genops_events.gcp.record_store import RecordStore
from genops_events.record.comparison import ComparedRow
from genops_events.record.comparison_plan import report_path
from genops_events.record.events import data_schema
from genops_events.tables.query import query

LITE = "gemini-2.5-flash-lite"


def test_contestants_stand_side_by_side_with_figures_cost_and_times(
    compared: Callable[..., Config], store: RecordStore
) -> None:
    compared(evaluation={"metrics": ["exact_match", "rouge"]})
    write(store, FILE, *pairs(6, 2))
    found = whole(asked(MODEL, LITE, WARM))
    assert (found.outcome, found.rows, found.started_by) == ("completed", 8, "person")
    assert [each.name for each in found.contestants] == [MODEL, LITE, "warm"]
    assert [each.name for each in found.metrics] == ["exact_match", "rouge"]
    for each in found.contestants:
        assert each.status == "completed"
        figures = each.metrics["exact_match"]
        assert (figures.count, figures.mean) == (8, 0.75)
        assert figures.low is not None
        assert figures.high is not None
        assert figures.low < 0.75 < figures.high
        assert each.latency is not None
        assert each.latency.count == 8
        assert 0 < each.latency.p50_seconds <= each.latency.p95_seconds
        assert each.answers_usd is not None
        assert each.cost_usd == each.answers_usd > 0
    assert one(found, LITE).cost_usd < one(found, MODEL).cost_usd
    assert one(found, "warm").settings == {"temperature": 1.0}
    assert found.cost_usd == sum(each.cost_usd for each in found.contestants)


def test_the_rows_of_all_contestants_are_in_the_bucket_and_in_the_tables(
    compared: Callable[..., Config], store: RecordStore
) -> None:
    compared()
    write(store, FILE, *pairs(2, 1))
    found = whole(asked(MODEL, LITE))
    rows = [ComparedRow.from_json(json.loads(line)) for line in rows_text(store, found).splitlines()]
    assert [row.prompt for row in rows] == [pair["prompt"] for pair in pairs(2, 1)]
    assert all(set(row.answers) == {MODEL, LITE} for row in rows)
    assert [row.answers[LITE].scores["exact_match"] for row in rows] == [1.0, 1.0, 0.0]
    assert {row.answers[MODEL].state for row in rows} == {"complete"}
    sql = "SELECT contestant, count(*), avg(score), min(source) FROM genops.evaluations WHERE run = '{}' GROUP BY 1 ORDER BY 1"
    answer = query(store, sql.format(found.id), cache=None)
    assert [row[:2] for row in answer.rows] == [(MODEL, 3), (LITE, 3)]
    assert {row[3] for row in answer.rows} == {"comparison"}
    assert all(abs(row[2] - 2 / 3) < 1e-9 for row in answer.rows)
    told = query(store, f"SELECT type FROM genops.completions WHERE candidate = '{found.id}'", cache=None)
    assert told.rows == [("genops.comparison.completed.v1",)]
    for name in ("report.html", "summary.jsonl", "summary.parquet"):
        assert store.bucket.blob(f"genops/comparisons/{found.id}/{name}").exists(), name
    summary = store.bucket.blob(f"genops/comparisons/{found.id}/summary.jsonl").download_as_text()
    assert [json.loads(line)["contestant"] for line in summary.splitlines()] == [MODEL, LITE]


def test_who_fails_fails_alone_and_the_end_says_so(compared: Callable[..., Config], store: RecordStore) -> None:
    compared()
    write(store, FILE, *pairs(3))
    nobody = f"{DATASET}-{'0' * 16}"
    run = asked(MODEL, THEIRS, "gemini-3.7-flash", nobody, "champion")
    names = plan(run)
    assert names == [MODEL, "theirs", "gemini-3.7-flash", nobody, "champion"]
    assert contest(run, MODEL) == {"exact_match": 1.0}
    reasons = {}
    for name in names[1:]:
        with pytest.raises(AirflowFailException) as caught:
            contest(run, name)
        reasons[name] = str(caught.value)
    assert "endpoints/404" in reasons["theirs"]
    assert "No price is known for input tokens of gemini-3.7-flash" in reasons["gemini-3.7-flash"]
    assert f"no tuned model of a candidate {nobody}" in reasons[nobody]
    assert "has no champion yet" in reasons["champion"]
    with pytest.raises(AirflowFailException, match=r"1 of 5 contestants answered .* theirs failed: "):
        conclude(run)
    found = recorded(run)
    assert found is not None
    assert found.outcome == "completed"
    assert {each.name: each.status for each in found.contestants} == dict.fromkeys(names, "failed") | {
        MODEL: "completed"
    }
    for name in names[1:]:
        failed = one(found, name)
        assert failed.reason in " ".join([*reasons.values(), *reasons.values()])
        assert failed.cost_usd == 0
        assert failed.metrics == {}
    report = store.bucket.blob(f"genops/comparisons/{found.id}/report.html").download_as_text()
    assert "gemini-3.7-flash" in report
    paid = postings(store, found)
    assert paid[MODEL].spent_usd == one(found, MODEL).cost_usd > 0
    assert all(posting.settled and posting.reserved_usd == 0 for posting in paid.values())


def test_a_contestant_whose_answers_are_all_blocked_has_failed(
    cloud: StandIns, compared: Callable[..., Config], store: RecordStore
) -> None:
    compared()
    write(store, FILE, *pairs(3))
    cloud.vertex.faults(blocked_text="the right word")
    found = whole(asked(MODEL))
    assert found.outcome == "failed"
    assert one(found, MODEL).blocked == 3
    assert one(found, MODEL).reason.startswith("None of 3 answers can be scored: 3 blocked. Most often: the prompt was")
    assert "`inference.safety`" in one(found, MODEL).reason


def test_a_contestant_whose_answers_are_all_cut_has_failed_and_one_that_says_nothing_is_not_scored(
    cloud: StandIns, compared: Callable[..., Config], store: RecordStore
) -> None:
    compared()
    write(store, FILE, *pairs(3))
    cloud.vertex.faults(empty_text="word 2")
    short = "{max_output_tokens: 1, thinking: {budget_tokens: 0}}"
    found = whole(asked(f"short: {{model: {MODEL}, generation_config: {short}}}", MODEL))
    cut, usual = one(found, "short"), one(found, MODEL)
    assert (cut.status, cut.answered, cut.cut, cut.empty) == ("failed", 3, 2, 1)
    assert cut.metrics["exact_match"].count == 0
    assert "of cut answers, raise `max_output_tokens`" in cut.reason
    assert (usual.status, usual.cut, usual.empty, usual.failed_rows) == ("completed", 0, 1, 1)
    assert (usual.metrics["exact_match"].mean, usual.metrics["exact_match"].count) == (1.0, 2)
    assert "Of 3 answers, 1 empty: they have no score." in usual.reason
    (row,) = [line for line in summary_rows(found) if (line["contestant"], line["metric"]) == (MODEL, "exact_match")]
    assert (row["blocked"], row["cut"], row["empty"], row["failed"]) == (0, 0, 1, 1)
    report = store.bucket.blob(report_path(found.id)).download_as_text()
    assert "no text (STOP)" in report
    assert "1 empty" in report


def test_rows_that_are_refused_or_blocked_are_counted_and_the_contestant_completes(
    cloud: StandIns, compared: Callable[..., Config], store: RecordStore
) -> None:
    compared()
    write(store, FILE, *pairs(4))
    cloud.vertex.faults(
        refused_text="the right word 0", blocked_text="the right word 1", error_methods=["generateContent"]
    )
    done = one(whole(asked(MODEL)), MODEL)
    assert (done.status, done.answered, done.blocked, done.failed_rows) == ("completed", 3, 1, 2)
    assert "1 of 4 prompts have no answer." in done.reason
    assert (done.metrics["exact_match"].count, done.metrics["exact_match"].failed) == (2, 2)


def test_a_promotion_compares_the_datasets_contestants_and_a_person_may_do_so_at_the_same_time(
    compared: Callable[..., Config], config: Config, store: RecordStore, endpoint: str
) -> None:
    compared(contestants=["champion", LITE])
    write(store, FILE, *pairs(3))
    made = promoted(config, store, endpoint)
    found = whole(asked(promoted=made, run_id="asset_triggered-1"))
    assert (found.id, found.started_by, found.champion) == (made, "promotion", made)
    assert one(found, "champion").candidate == made
    again = asked(promoted=made, run_id="asset_triggered-2")
    with pytest.raises(AirflowSkipException, match="is the work of Dag run asset_triggered-1"):
        plan(again)
    other = whole(asked(run_id="manual-7"))
    assert other.id.startswith(f"{DATASET}-")
    assert other.id != made
    assert [each.name for each in other.contestants] == ["champion", LITE]


def test_a_promotion_without_contestants_ends_in_the_first_task_without_a_call(
    compared: Callable[..., Config], cloud: StandIns
) -> None:
    compared()
    cloud.storage.faults(error_code="403", error_share=1.0)
    with pytest.raises(AirflowSkipException, match=f"{DATASET} has no contestants in genops.yaml"):
        plan(asked(promoted=f"{DATASET}-{'1' * 16}"))


def test_what_the_champions_evaluation_has_paid_for_is_not_paid_again(
    cloud: StandIns, compared: Callable[..., Config], config: Config, store: RecordStore, endpoint: str
) -> None:
    compared(evaluation={"metrics": ["exact_match", "fluency"], "judge": {"samples": 1}})
    write(store, FILE, *pairs(4))
    promoted(config, store, endpoint)
    before = cloud.vertex_calls("generateContent"), cloud.vertex_calls("evaluateInstances")
    found = whole(asked("champion", "as-long: {model: champion, generation_config: {temperature: 0.5}}"))
    champion, other = found.contestants
    assert champion.cost_usd == 0
    assert champion.answers_usd is not None
    assert champion.answers_usd > 0, "what its answers cost is known all the same"
    assert champion.metrics["fluency"].count == 4
    assert other.cost_usd > champion.answers_usd
    assert cloud.vertex_calls("generateContent") - before[0] == 4, "only the other one was asked"
    assert cloud.vertex_calls("evaluateInstances") - before[1] <= 5, "only its answers were scored"
    assert postings(store, found)["champion"].spent_usd == 0


def test_the_event_says_how_each_contestant_did_and_keeps_to_its_schema(
    compared: Callable[..., Config], store: RecordStore, completions: Reader
) -> None:
    compared()
    write(store, FILE, *pairs(2))
    found = whole(asked(MODEL, THEIRS))
    (event,) = completions.read_some()
    assert event.attributes["ce-type"] == "genops.comparison.completed.v1"
    assert event.attributes["ce-subject"] == found.id
    jsonschema.validate(event.data, data_schema("genops.comparison.completed.v1"))
    assert {each["name"]: each["status"] for each in event.data["contestants"]} == {
        MODEL: "completed",
        "theirs": "failed",
    }


def test_a_repeated_end_changes_nothing_and_a_cleared_run_lets_the_failed_try_again(
    cloud: StandIns, compared: Callable[..., Config], store: RecordStore, completions: Reader
) -> None:
    compared()
    write(store, FILE, *pairs(3))
    cloud.vertex.faults(error_code="403", error_share=1.0, error_methods=["generateContent"])
    run = asked(MODEL, LITE)
    found = whole(run)
    assert (found.outcome, found.number) == ("failed", 1)
    with pytest.raises(AirflowFailException):
        conclude(run)
    assert recorded(run) == found
    cloud.vertex.faults()
    again = whole(run)
    assert (again.outcome, again.number) == ("completed", 2)
    assert [each.status for each in again.contestants] == ["completed", "completed"]
    assert whole(run) == again, "who has completed is not asked again"
    kinds = [event.attributes["ce-type"] for event in completions.read_some(2)]
    assert kinds == ["genops.comparison.failed.v1", "genops.comparison.completed.v1"]
    paid = postings(store, again)
    assert {name: posting.spent_usd > 0 for name, posting in paid.items()} == {
        MODEL: False,
        LITE: False,
        f"{MODEL}/2": True,
        f"{LITE}/2": True,
    }


def test_a_task_whose_retries_are_used_up_leaves_the_reason_and_one_that_died_is_found_at_the_end(
    compared: Callable[..., Config], store: RecordStore
) -> None:
    compared()
    write(store, FILE, *pairs(2))
    run = asked(MODEL, LITE, "gemini-2.5-pro")
    plan(run)
    contest(run, MODEL)
    task = type("Task", (), {"contestant": LITE})
    record_failed_contestant({**run, "task": task, "exception": TimeoutError("no answer for an hour")})
    with pytest.raises(AirflowFailException):
        conclude(run)
    found = recorded(run)
    assert found is not None
    assert [each.status for each in found.contestants] == ["completed", "failed", "failed"]
    assert one(found, LITE).reason == "TimeoutError: no answer for an hour"
    assert one(found, "gemini-2.5-pro").reason.startswith("Its task ended without a result")


@pytest.mark.parametrize(
    ("given", "error", "says"),
    [
        ({"contestants": [MODEL, MODEL]}, BadContestants, "have a name that no other contestant has"),
        (
            {"contestants": ["x: {model: champion, generation_config: {temprature: 1}}"]},
            BadContestants,
            "`temperature`",
        ),
        ({"contestants": ["gemini-2.5-flsh"]}, BadContestants, "did you mean `gemini-2.5-flash`"),
        (
            {"contestants": [f"x: {{model: {MODEL}, generation_config: {{thinking: {{level: low}}}}}}"]},
            BadContestants,
            "refuses a level and takes `thinking.budget_tokens`",
        ),
        ({"contestants": []}, BadRequest, "There are no contestants to compare"),
        ({"contestants": [MODEL], "metrics": ["exact_mtch"]}, BadMetrics, "Did you mean `exact_match`"),
        ({"contestants": [MODEL], "metrics": ["pairwise"]}, BadMetrics, "cannot be measured here"),
        ({"contestants": [MODEL], "prompts": "genops/ledger/x"}, BadRequest, "records are kept there"),
        ({"contestants": [MODEL], "budget_usd": "much"}, BadRequest, "`budget_usd` of the form is 'much'"),
    ],
)
def test_a_form_that_cannot_be_used_says_why_and_the_comparison_is_recorded_as_failed(
    *, compared: Callable[..., Config], store: RecordStore, given: dict[str, Any], error: type[Exception], says: str
) -> None:
    compared()
    write(store, FILE, *pairs(2))
    run = asked(**given) if "contestants" not in given else asked(*given.pop("contestants"), **given)
    with pytest.raises(error, match=r"(?s).*") as caught:
        plan(run)
    assert says in str(caught.value)
    if "budget_usd" not in given:
        record_failed_plan({**run, "exception": caught.value})
        found = recorded(run)
        assert found is not None
        assert found.outcome == "failed"
        assert says in found.reason


def test_blank_lines_of_the_form_name_nobody_and_nothing(compared: Callable[..., Config], store: RecordStore) -> None:
    compared()
    write(store, FILE, *pairs(1))
    found = whole(asked(MODEL, "", " ", metrics=["bleu", ""], prompts=None, budget_usd=None))
    assert [each.name for each in found.contestants] == [MODEL]
    assert [each.name for each in found.metrics] == ["bleu"]


def test_contestants_are_sent_what_inference_keeps_in_a_cache(
    compared: Callable[..., Config], store: RecordStore, tmp_path: Path
) -> None:
    compared()
    write(store, FILE, *pairs(2))
    without = one(whole(asked(MODEL)), MODEL)
    book = "A long book. " * 700
    file = tmp_path / "genops.yaml"
    data = yaml.safe_load(file.read_text(encoding="utf-8"))
    data["datasets"][DATASET]["inference"]["cache"] = {"text": book}
    file.write_text(yaml.safe_dump(data), encoding="utf-8")
    found = one(whole(asked(MODEL, run_id="manual-2")), MODEL)
    assert found.input_tokens == (without.input_tokens or 0) + 2 * estimated_tokens(book)
    assert found.metrics["exact_match"].mean == without.metrics["exact_match"].mean


def test_a_comparison_of_other_prompts_reads_them_from_the_bucket(
    compared: Callable[..., Config], store: RecordStore
) -> None:
    compared(prompts="prompts/own.jsonl")
    write(store, FILE, *pairs(2))
    write(store, "prompts/own.jsonl", *pairs(5))
    write(store, "prompts/other.jsonl", *pairs(1, 2))
    assert whole(asked(MODEL)).rows == 5
    found = whole(asked(MODEL, run_id="manual-2", prompts=f"gs://{store.bucket.name}/prompts/other.jsonl"))
    assert (found.rows, one(found, MODEL).metrics["exact_match"].count) == (3, 3)
