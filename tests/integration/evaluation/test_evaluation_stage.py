"""Evaluation as Airflow runs it: every row scored or counted, held against the gate; a bad file spends nothing."""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import pytest
from cloud import StandIns
from evaluations import FILE, evaluated, pairs, rows_of, write
from google.cloud.storage import Bucket
from made_up import context, now

from genops_events.airflow.evaluation import EvaluateModel
from genops_events.airflow.report_link import ReportLink
from genops_events.airflow.stage import record_failure
from genops_events.config.quotas import Quota
from genops_events.evaluation.examples import EvaluationDataError, InputMissing
from genops_events.evaluation.files import browser_url
from genops_events.evaluation.pipeline import SCORING
from genops_events.evaluation.python_metrics import MetricMissing
from genops_events.gcp.parts import read_parts
from genops_events.gcp.record_store import RecordStore
from genops_events.gemini.pace import Pace
from genops_events.gemini.shared_quota import SharedQuota
from genops_events.money.ledger import Ledger, month_of
from genops_events.record.evaluation import EvaluationSummary, judgements_prefix, report_path, summary_path
from genops_events.record.paths import ledger_path, training_path
from genops_events.record.stages import Outcome, Stage


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


def test_models_and_judges_draw_on_the_quotas_that_all_processes_share(
    monkeypatch: pytest.MonkeyPatch, settings: Callable[..., None], store: RecordStore, candidate: str
) -> None:
    drawn: dict[str, int] = defaultdict(int)
    begin = Pace.begin

    class Counted(Pace):
        """The real one, which says what it was asked for."""

        quota: Quota

        async def begin(self, tokens: int, *, calls: int = 1) -> None:
            drawn[self.quota.model] += calls
            await begin(self, tokens, calls=calls)

    def counted(bucket: Bucket, quota: Quota) -> Pace:
        pace = Counted(shared=SharedQuota(bucket, quota))
        pace.quota = quota
        return pace

    monkeypatch.setattr(Pace, "of", counted)
    settings(metrics=["exact_match", "fluency"], judge={"model": "gemini-2.5-pro", "samples": 3})
    write(store, FILE, *pairs(3, 1))
    evaluated(candidate)
    # An answer to each row; three samples of each; one call for what is computed of all of them.
    assert drawn == {"gemini-2.5-flash": 4, "gemini-2.5-pro": 12, SCORING: 1}


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
    assert told["reason"].endswith("1 row is in the training file and was not scored: known.")
    assert cloud.vertex_calls("generateContent") == before + 2
    left_out = rows_of(store, candidate)[2]
    assert left_out["left_out"] == "is in the training file (training.jsonl, line 1)"
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
    assert "is in the training file" in told["reason"]
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
