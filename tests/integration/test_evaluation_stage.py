# ruff: noqa: F401, F811 - fixtures are imported by name, and come back as arguments
"""Evaluation as Airflow runs it: every row scored or counted, resumed where it stopped, held against gate and champion."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from cloud import DATASET, StandIns, cloud, config, connections_closed, stand_ins, store, until
from made_up import arrived, context, now, tuned

from genops_events.airflow.evaluation import EvaluateModel
from genops_events.airflow.python_metrics import MetricMissing
from genops_events.airflow.report_link import ReportLink
from genops_events.airflow.stage import record_failure
from genops_events.config import Config, load_config
from genops_events.evaluation_data import EvaluationDataError
from genops_events.evaluation_record import (
    EvaluationSummary,
    champion_answers_path,
    judgements_prefix,
    report_path,
    rows_path,
    summary_path,
)
from genops_events.gcp.errors import CloudRefused, CloudUnavailable
from genops_events.gcp.evaluation import pipeline
from genops_events.gcp.evaluation.record import browser_url
from genops_events.gcp.inputs import InputMissing
from genops_events.gcp.parts import PartWriter, read_parts
from genops_events.gcp.record_store import RecordStore
from genops_events.ledger import Ledger, month_of
from genops_events.record import Champion
from genops_events.record_paths import champion_path, ledger_path, training_path
from genops_events.stages import Outcome, Stage
from genops_events.verdicts import EvaluationVerdict

MODEL = "gemini-2.5-flash"
FILE = "evaluation/own.jsonl"
Told = dict[str, Any]


@pytest.fixture
def endpoint(config: Config) -> str:
    """A model that repeats what it is asked: an answer is right where the prompt is the reference."""
    return f"projects/{config.project}/locations/{config.location}/publishers/google/models/{MODEL}"


def write(store: RecordStore, name: str, *lines: dict[str, Any]) -> None:
    text = "".join(json.dumps(line) + "\n" for line in lines)
    store.bucket.blob(name).upload_from_string(text)


@pytest.fixture
def settings(config: Config, tmp_path: Path) -> Callable[..., None]:
    """Change the dataset's part `evaluation`."""

    def change(**evaluation: Any) -> None:
        file = tmp_path / "genops.yaml"
        data = yaml.safe_load(file.read_text(encoding="utf-8"))
        data["datasets"][DATASET]["evaluation"] = {"file": FILE, **evaluation}
        file.write_text(yaml.safe_dump(data), encoding="utf-8")
        load_config()

    return change


@pytest.fixture
def candidate(config: Config, store: RecordStore, endpoint: str) -> str:
    made = arrived(config, store).candidate
    tuned(store, made, endpoint=endpoint)
    return made


def evaluated(candidate: str) -> tuple[EvaluateModel, Told]:
    task = EvaluateModel(task_id="evaluate")
    return task, task.execute(context(candidate))


def rows_of(store: RecordStore, candidate: str) -> list[dict[str, Any]]:
    text = store.bucket.blob(rows_path(candidate)).download_as_text()
    return [json.loads(line) for line in text.splitlines()]


def pairs(right: int, wrong: int = 0) -> list[dict[str, Any]]:
    return [
        *({"prompt": f"the right word {number}", "reference": f"the right word {number}"} for number in range(right)),
        *({"prompt": f"quite another {number}", "reference": "the wanted text"} for number in range(wrong)),
    ]


def test_every_row_is_scored_explained_and_summed_up(
    settings: Callable[..., None], store: RecordStore, candidate: str
) -> None:
    settings(
        metrics=["exact_match", "rouge_1", "fluency", "tone"],
        own_metrics={"tone": {"criteria": "polite", "rating_rubric": {3: "yes", 0: "no"}, "show_reference": True}},
        gate={"exact_match": 0.7, "fluency": 4.5},
        judge={"samples": 2},
    )
    write(store, FILE, *pairs(3, 1))
    task, told = evaluated(candidate)
    assert told["outcome"] == "passed"
    assert told["scores"]["exact_match"] == 0.75
    assert told["judge_calls"] == 4 * 2 * 2
    rows = rows_of(store, candidate)
    assert [row["scores"]["exact_match"] for row in rows] == [1.0, 1.0, 1.0, 0.0]
    assert [row["scores"]["tone"] for row in rows] == [3.0, 3.0, 3.0, 0.0]
    assert "word overlap" in rows[3]["explanations"]["tone"]
    assert (rows[3]["id"], rows[3]["answer"]) == ("line-4", "quite another 0")
    summary = store.read(summary_path(candidate), EvaluationSummary)
    assert summary is not None
    exact = summary.metrics["exact_match"]
    assert (exact.count, exact.failed, exact.standard_deviation) == (4, 0, 0.5)
    assert exact.low is not None
    assert exact.low < 0.75
    assert [(one.metric, one.figure, one.bound, one.passed) for one in summary.conditions] == [
        ("exact_match", 0.75, 0.7, True),
        ("fluency", 5.0, 4.5, True),
        (None, 0.0, 0.0, True),
    ]
    report = store.bucket.blob(report_path(candidate))
    assert "The 4 worst rows" in report.download_as_text()
    assert report.content_type == "text/html; charset=utf-8"
    assert told["report_uri"] == f"gs://{store.bucket.name}/{report_path(candidate)}"
    assert ReportLink().get_link(task, ti_key=None) == browser_url(told["report_uri"])  # type: ignore[arg-type]
    assert read_parts(store.bucket, judgements_prefix(candidate)) == [], "nothing is left of the parts"


def test_a_report_opens_in_a_browser_where_people_log_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STORAGE_EMULATOR_HOST", raising=False)
    assert (
        browser_url("gs://my-bucket/a b/report.html") == "https://storage.cloud.google.com/my-bucket/a%20b/report.html"
    )


def test_rows_that_cannot_be_judged_are_counted_and_never_zero(
    cloud: StandIns, settings: Callable[..., None], store: RecordStore, candidate: str
) -> None:
    settings(metrics=["exact_match", "fluency"], gate={"exact_match": 1.0, "fluency": 5.0}, failed_rows=1)
    write(
        store,
        FILE,
        *pairs(2),
        {"prompt": "a riddle", "reference": "a riddle"},
        {"prompt": "some poison", "reference": "some poison"},
    )
    cloud.vertex.faults(refused_text="poison", error_methods=["evaluateInstances"], nan_text="riddle")
    _, told = evaluated(candidate)
    assert told["outcome"] == "refused"
    assert told["scores"] == {"exact_match": 1.0, "fluency": 5.0}
    assert "2 rows have no score in some metric, at most 1 may" in told["reason"]
    assert "Most often: " in told["reason"]
    assert told["failed_rows"] == 2
    rows = rows_of(store, candidate)
    assert "gave nan" in rows[2]["failures"]["fluency"]
    assert rows[2]["scores"] == {"exact_match": 1.0}
    assert set(rows[3]["failures"]) == {"exact_match", "fluency"}
    assert told["metrics"]["exact_match"]["failed"] == 1


def test_a_judge_that_refuses_every_row_is_named_in_the_verdict(
    cloud: StandIns, settings: Callable[..., None], store: RecordStore, candidate: str
) -> None:
    settings(metrics=["exact_match", "fluency"], gate={"fluency": 3})
    write(store, FILE, *pairs(3))
    cloud.vertex.faults(refused_text="metricPromptTemplate", error_methods=["evaluateInstances"])
    _, told = evaluated(candidate)
    assert told["outcome"] == "refused"
    assert set(told["scores"]) == {"exact_match"}
    assert "fluency was not measured" in told["reason"]
    assert "Most often: fluency was refused: Could not score answers by fluency: 400" in told["reason"]
    assert told["metrics"]["fluency"] == {"count": 0, "failed": 3}


def test_a_row_that_the_model_refuses_has_no_answer_and_no_score(
    cloud: StandIns, settings: Callable[..., None], store: RecordStore, candidate: str
) -> None:
    settings(metrics=["exact_match"], gate={"exact_match": 1.0})
    write(store, FILE, *pairs(2), {"prompt": "some poison", "reference": "x"})
    cloud.vertex.faults(refused_text="poison", error_methods=["generateContent"])
    _, told = evaluated(candidate)
    assert told["scores"] == {"exact_match": 1.0}
    (row,) = [one for one in rows_of(store, candidate) if "failures" in one]
    assert "answer" not in row
    assert row["failures"]["exact_match"].startswith("no answer: ")


def test_an_evaluation_goes_on_where_it_stopped(
    *,
    cloud: StandIns,
    config: Config,
    settings: Callable[..., None],
    store: RecordStore,
    endpoint: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings(metrics=["fluency"], judge={"samples": 1})
    write(store, FILE, *pairs(12))
    monkeypatch.setattr(pipeline, "CONCURRENT_CALLS", 1)
    for _ in range(20):  # until a call fails after some rows were judged: in three of four tries
        candidate = arrived(config, store).candidate
        tuned(store, candidate, endpoint=endpoint)
        cloud.vertex.faults(error_code="403", error_share=0.15, error_methods=["evaluateInstances"])
        before = cloud.vertex_calls("evaluateInstances")
        try:
            evaluated(candidate)
        except CloudRefused:
            judged = cloud.vertex_calls("evaluateInstances") - before - 1
            if judged:
                break
    else:
        pytest.fail("no call failed in 20 tries")
    cloud.vertex.faults()
    kept = len(read_parts(store.bucket, judgements_prefix(candidate)))
    # The one in flight when another failed is all that may be lost.
    assert judged - 1 <= kept <= judged
    answered = len(read_parts(store.bucket, f"genops/candidates/{candidate}/answers/evaluation.parts/"))
    before = cloud.vertex_calls("evaluateInstances"), cloud.vertex_calls("generateContent")
    _, told = evaluated(candidate)
    assert told["metrics"]["fluency"]["count"] == 12
    assert cloud.vertex_calls("evaluateInstances") - before[0] == 12 - kept
    assert cloud.vertex_calls("generateContent") - before[1] == 12 - answered


def test_what_a_killed_try_had_written_is_used_and_belongs_to_the_same_metric_and_answer_only(
    cloud: StandIns, settings: Callable[..., None], store: RecordStore, candidate: str
) -> None:
    settings(metrics=["fluency"])
    write(store, FILE, *pairs(3))
    prefix = judgements_prefix(candidate)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("genops_events.airflow.evaluating.remove_parts", lambda *_: None)
        patch.setattr("genops_events.airflow.stage.StageRun.conclude", _die)
        with pytest.raises(KeyboardInterrupt):
            evaluated(candidate)
    assert len(read_parts(store.bucket, prefix)) == 3
    before = cloud.vertex_calls("evaluateInstances"), cloud.vertex_calls("generateContent")
    settings(metrics=["fluency", "coherence"])
    _, told = evaluated(candidate)
    assert cloud.vertex_calls("generateContent") == before[1]
    assert cloud.vertex_calls("evaluateInstances") == before[0] + 3, "coherence only"
    assert set(told["scores"]) == {"fluency", "coherence"}


def test_a_task_that_is_killed_loses_only_what_was_in_flight(
    cloud: StandIns, settings: Callable[..., None], store: RecordStore, candidate: str
) -> None:
    settings(metrics=["fluency"])
    write(store, FILE, *pairs(60))
    cloud.vertex.faults(delay_seconds=0.3, error_methods=["evaluateInstances"])
    prefix = judgements_prefix(candidate)
    work = (
        "from made_up import context; from genops_events.airflow.evaluation import EvaluateModel; "
        f"EvaluateModel(task_id='evaluate').execute(context({candidate!r}))"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
    with subprocess.Popen([sys.executable, "-c", work], env=environment, stderr=subprocess.PIPE) as task:
        until(lambda: len(read_parts(store.bucket, prefix)) >= 8, seconds=60, what="scores in the record")
        task.kill()
    cloud.vertex.faults()
    kept = len(read_parts(store.bucket, prefix))
    assert 8 <= kept < 60
    before = cloud.vertex_calls("evaluateInstances"), cloud.vertex_calls("generateContent")
    _, told = evaluated(candidate)
    assert told["metrics"]["fluency"]["count"] == 60
    assert cloud.vertex_calls("evaluateInstances") - before[0] == 60 - kept
    assert cloud.vertex_calls("generateContent") - before[1] < 60, "answers were kept, too"


def _die(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


def test_parts_hold_every_line_also_when_the_work_ends_in_an_error(store: RecordStore) -> None:
    def work() -> None:
        with PartWriter(store.bucket, "parts/") as parts:
            for number in range(50):
                parts.add({"number": number})
            raise ValueError("later")

    with pytest.raises(ValueError, match="later"):
        work()
    assert sorted(line["number"] for line in read_parts(store.bucket, "parts/")) == list(range(50))


def test_rows_of_the_training_file_are_named_and_left_out(
    cloud: StandIns, settings: Callable[..., None], store: RecordStore, candidate: str
) -> None:
    settings(metrics=["exact_match"])
    write(store, FILE, *pairs(2), {"id": "known", "prompt": "Seen before?", "reference": "no"})
    turns = [{"role": "user", "parts": [{"text": "seen  before?"}]}, {"role": "model", "parts": [{"text": "no"}]}]
    write(store, training_path(candidate), {"contents": turns})
    before = cloud.vertex_calls("generateContent")
    _, told = evaluated(candidate)
    assert (told["scores"], told["examples"], told["left_out"]) == ({"exact_match": 1.0}, 2, 1)
    assert told["reason"].endswith("1 row stands in the training file and is in no score: known.")
    assert cloud.vertex_calls("generateContent") == before + 2
    left_out = rows_of(store, candidate)[2]
    assert left_out["left_out"] == "stands in the training file (training.jsonl, line 1)"
    assert "scores" not in left_out


def test_an_evaluation_file_that_is_all_in_the_training_file_is_refused_and_nothing_spent(
    cloud: StandIns, settings: Callable[..., None], store: RecordStore, candidate: str
) -> None:
    settings(metrics=["exact_match"])
    write(store, FILE, {"prompt": "seen", "reference": "no"})
    write(store, training_path(candidate), {"contents": [{"role": "user", "parts": [{"text": "seen"}]}]})
    before = cloud.vertex_calls("generateContent")
    _, told = evaluated(candidate)
    assert told["outcome"] == "refused"
    assert "stands in the training file" in told["reason"]
    assert cloud.vertex_calls("generateContent") == before
    assert store.read(ledger_path(month_of(now())), Ledger) is None


@pytest.mark.parametrize(
    ("lines", "error", "message"),
    [
        (None, InputMissing, "is not there"),
        ("", EvaluationDataError, "holds no example"),
        ('{"prompt": "a"}\n', EvaluationDataError, "`reference` is missing, which exact_match needs"),
    ],
)
def test_an_evaluation_file_that_cannot_be_used_fails_clearly_and_spends_nothing(
    *,
    cloud: StandIns,
    settings: Callable[..., None],
    store: RecordStore,
    candidate: str,
    lines: str | None,
    error: type[Exception],
    message: str,
) -> None:
    settings(metrics=["exact_match"])
    if lines is not None:
        store.bucket.blob(FILE).upload_from_string(lines)
    before = cloud.vertex_calls("generateContent")
    task = EvaluateModel(task_id="evaluate")
    with pytest.raises(error, match=message) as caught:
        task.execute(context(candidate))
    record_failure(context(candidate, task=task, exception=caught.value))
    made = store.verdict(candidate, Stage.EVALUATION)
    assert made is not None
    assert made.outcome is Outcome.FAILED
    assert message in made.reason
    assert cloud.vertex_calls("generateContent") == before
    assert store.read(ledger_path(month_of(now())), Ledger) is None


# Against the champion


def promoted(config: Config, store: RecordStore, endpoint: str) -> str:
    """Evaluate a candidate and make it champion, as promotion would."""
    made = arrived(config, store).candidate
    tuned(store, made, endpoint=endpoint)
    _, told = evaluated(made)
    champion = Champion(
        candidate=made,
        written_at=now(),
        dataset=DATASET,
        model="",
        endpoint=endpoint,
        metric="exact_match",
        score=told["scores"]["exact_match"],
        scores=told["scores"],
        promoted_at=datetime.now(UTC),
    )
    assert store.create(champion_path(DATASET), champion)
    return made


def test_equal_models_tie_and_the_champions_answers_are_not_paid_for_again(
    *, cloud: StandIns, config: Config, settings: Callable[..., None], store: RecordStore, candidate: str, endpoint: str
) -> None:
    settings(
        metrics=["exact_match", "pairwise"],
        gate={"pairwise": 0.5},
        no_regression={"exact_match": 0.0},
    )
    write(store, FILE, *pairs(3, 1))
    champion = promoted(config, store, endpoint)
    first = store.verdict(champion, Stage.EVALUATION)
    assert isinstance(first, EvaluationVerdict)
    assert "no champion to be measured against" in first.reason
    assert set(first.scores) == {"exact_match"}
    before = cloud.vertex_calls("generateContent")
    _, told = evaluated(candidate)
    assert cloud.vertex_calls("generateContent") == before + 4, "the champion answered when it was evaluated"
    assert told["outcome"] == "passed"
    assert told["champion"] == champion
    wins = told["metrics"]["pairwise"]
    assert (wins["mean"], wins["count"]) == (0.5, 4)
    assert 0 < wins["low"] < 0.5 < wins["high"] < 1
    exact = told["metrics"]["exact_match"]
    assert (exact["champion_mean"], exact["common_rows"], exact["common_mean"]) == (0.75, 4, 0.75)
    rows = rows_of(store, candidate)
    assert rows[0]["champion_scores"] == {"exact_match": 1.0}
    assert rows[0]["champion_answer"] == rows[0]["answer"]
    assert "half of them in turned order" in rows[0]["explanations"]["pairwise"]


def test_a_worse_candidate_loses_rows_and_falls_below_the_champion(
    *, config: Config, settings: Callable[..., None], store: RecordStore, candidate: str, endpoint: str
) -> None:
    settings(
        metrics=["exact_match", "pairwise"],
        gate={"pairwise": 0.5},
        no_regression={"exact_match": 0.1},
    )
    write(store, FILE, *pairs(4))
    champion = promoted(config, store, endpoint)
    answers = store.bucket.blob(f"genops/candidates/{candidate}/answers/evaluation.jsonl")
    kept = [json.loads(line) for line in _text(store, champion).splitlines()]
    kept[0]["answer"] = "something else"
    answers.upload_from_string("".join(json.dumps(one) + "\n" for one in kept))
    _, told = evaluated(candidate)
    assert told["outcome"] == "refused"
    assert told["metrics"]["pairwise"]["mean"] == 0.375, "three ties, one row lost"
    assert "pairwise 0.375 is below 0.5" in told["reason"]
    assert "exact_match 0.75 is below the champion's 1 less the margin 0.1 (0.9)" in told["reason"]
    bounds = {(one["kind"], one.get("metric")): (one["bound"], one["passed"]) for one in told["conditions"]}
    assert bounds["no_regression", "exact_match"] == (0.9, False)
    assert store.bucket.blob(champion_answers_path(candidate)).exists()


def _text(store: RecordStore, candidate: str) -> str:
    return str(store.bucket.blob(f"genops/candidates/{candidate}/answers/evaluation.jsonl").download_as_text())


# Metrics in Python


def test_a_metric_in_python_scores_and_its_mistakes_are_rows_without_a_score(
    *,
    settings: Callable[..., None],
    store: RecordStore,
    candidate: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    module = "def words(prompt, response, reference):\n    if 'another' in response:\n        raise LookupError('no words')\n"
    (tmp_path / "own_words.py").write_text(module + "    return len(response.split())\n")
    monkeypatch.syspath_prepend(tmp_path)
    settings(metrics=["words"], python_metrics={"words": "own_words:words"}, gate={"words": 3}, failed_rows=5)
    write(store, FILE, *pairs(2, 1))
    _, told = evaluated(candidate)
    assert told["outcome"] == "passed"
    assert told["scores"] == {"words": 4.0}
    assert rows_of(store, candidate)[2]["failures"] == {"words": "words failed: LookupError: no words"}
    sys.modules.pop("own_words")


@pytest.mark.parametrize("path", ["no_such_module:f", "json:no_such_function", "json:__doc__"])
def test_a_metric_in_python_that_is_not_there_stops_the_stage_before_anything_is_spent(
    cloud: StandIns, settings: Callable[..., None], store: RecordStore, candidate: str, path: str
) -> None:
    settings(metrics=["mine"], python_metrics={"mine": path})
    write(store, FILE, *pairs(1))
    before = cloud.vertex_calls("generateContent")
    with pytest.raises(MetricMissing, match="The metric mine"):
        evaluated(candidate)
    assert cloud.vertex_calls("generateContent") == before


# The service


def test_fifty_rows_go_in_a_call_and_one_that_is_refused_does_not_take_the_others_along(
    cloud: StandIns, settings: Callable[..., None], store: RecordStore, candidate: str
) -> None:
    settings(metrics=["rouge", "rouge_l", "bleu"], failed_rows=1)
    write(store, FILE, *pairs(120), {"prompt": "poison", "reference": "poison"})
    before = cloud.vertex_calls("evaluateInstances")
    cloud.vertex.faults(refused_text="poison", error_methods=["evaluateInstances"])
    _, told = evaluated(candidate)
    assert told["metrics"]["rouge_l"]["count"] == 120
    assert told["metrics"]["rouge_l"]["mean"] == told["metrics"]["rouge"]["mean"] == 1.0
    assert told["failed_rows"] == 1
    # Three batches of each metric; the one with the bad row is asked again row by row.
    assert 9 < cloud.vertex_calls("evaluateInstances") - before <= 9 + 3 * 50


def test_scores_survive_a_moment_without_the_service(
    cloud: StandIns, settings: Callable[..., None], store: RecordStore, candidate: str
) -> None:
    settings(metrics=["exact_match", "fluency"])
    write(store, FILE, *pairs(3))
    cloud.vertex.faults(unavailable_seconds=0.4)
    assert evaluated(candidate)[1]["scores"]["exact_match"] == 1.0


def test_an_evaluation_without_a_service_is_unavailable_in_the_end(
    cloud: StandIns, settings: Callable[..., None], store: RecordStore, candidate: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings(metrics=["exact_match"])
    write(store, FILE, *pairs(2))
    cloud.vertex.faults(error_code="429", error_share=1.0, error_methods=["evaluateInstances"])
    monkeypatch.setattr("genops_events.gcp.clients.CALL_TIMEOUT_SECONDS", 0.1)  # four make up a call's patience
    with pytest.raises(CloudUnavailable, match="score answers by exact_match"):
        evaluated(candidate)
    assert store.verdict(candidate, Stage.EVALUATION) is None
