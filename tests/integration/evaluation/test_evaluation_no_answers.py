"""Answers that are none: cut, blocked and empty ones are counted everywhere, scored nowhere, and refuse by default."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from cloud import StandIns
from evaluations import FILE, answers_text, die, evaluated, pairs, promoted, rows_of, write
from made_up import arrived, tuned

from genops_events.cascade.candidate_reader import CandidateReader
from genops_events.config import Config
from genops_events.gcp.record_store import RecordStore
from genops_events.record.evaluation import EvaluationSummary, report_path, summary_path
from genops_events.record.events import announcement
from genops_events.record.stages import Stage
from genops_events.tables.rows import candidate_row, evaluation_table_rows

NONE = {"blocked": 0, "cut": 0, "empty": 0}


def prompts(*texts: str) -> list[dict[str, Any]]:
    """Return rows whose right answer is what is asked: a model that is not tuned repeats it."""
    return [{"id": text, "prompt": text, "reference": text} for text in texts]


def test_answers_that_were_all_cut_refuse_and_the_reason_says_what_to_do(
    settings: Callable[..., None], store: RecordStore, candidate: str
) -> None:
    # The case cut_evaluation: 12 of 12 answers are cut, and the gate asks for a mean of 0.
    settings(metrics=["exact_match"], decisive="exact_match", gate={"exact_match": 0.0}, max_output_tokens=1)
    write(store, FILE, *pairs(12))
    _, told = evaluated(candidate)
    assert told["outcome"] == "refused"
    assert told["scores"] == {}
    assert told["answers"] == {"asked": 12, "answered": 12, **NONE, "cut": 12}
    assert told["metrics"] == {"exact_match": {"count": 0, "failed": 12}}
    for part in (
        "12 rows have no score in some metric, at most 0 may (`evaluation.failed_rows`), and no row has any score",
        "Of 12 answers, 0 can be scored: 12 cut.",
        "Most often: the answer reached max_output_tokens.",
        "raise `max_output_tokens`, or turn `inference.thinking` off or lower",
        "evaluation-rows.jsonl",
    ):
        assert part in told["reason"]
    assert all("scores" not in row and row["state"] == "cut" for row in rows_of(store, candidate))


def test_blocked_answers_are_in_no_mean_and_a_gate_may_let_some_pass(
    *, cloud: StandIns, settings: Callable[..., None], store: RecordStore, candidate: str, config: Config, endpoint: str
) -> None:
    # As 54 of 154 that were blocked by SAFETY counted 0 points each, and passed.
    cloud.vertex.faults(harmful_text="knife", blocked_text="bomb")
    settings(metrics=["exact_match", "fluency"], gate={"exact_match": 0.0}, judge={"samples": 1})
    write(store, FILE, *prompts("one knife", "two knifes", "a bomb", "a spoon"))
    _, told = evaluated(candidate)
    assert told["outcome"] == "refused"
    assert told["answers"] == {"asked": 4, "answered": 4, **NONE, "blocked": 3}
    assert told["scores"] == {"exact_match": 1.0, "fluency": 5.0}
    assert (told["metrics"]["exact_match"]["count"], told["metrics"]["exact_match"]["failed"]) == (1, 3)
    assert told["judge_calls"] == 1, "nobody is paid to judge what is no answer"
    assert "Most often: the answer was stopped: SAFETY (DANGEROUS_CONTENT HIGH)." in told["reason"]
    assert (
        "of blocked answers, let `inference.safety` block less where the prompts do no harm (SAFETY)." in told["reason"]
    )

    settings(metrics=["exact_match"], gate={"exact_match": 0.0}, failed_rows=3)
    again = arrived(config, store).candidate
    tuned(store, again, endpoint=endpoint)
    _, told = evaluated(again)
    assert told["outcome"] == "passed"
    assert "Of 4 answers, 1 can be scored: 3 blocked." in told["reason"], "never silently"
    assert "What to do" not in told["reason"]


@pytest.mark.parametrize("finish", ["RECITATION", "SPII", "BLOCKLIST", "A_REASON_OF_2031"])
def test_every_reason_to_stop_that_is_not_the_models_own_is_blocked(
    cloud: StandIns, settings: Callable[..., None], store: RecordStore, candidate: str, finish: str
) -> None:
    cloud.vertex.faults(finish_reasons={"song": finish})
    settings(metrics=["rouge_l"])
    write(store, FILE, *prompts("a song", "a plan"))
    _, told = evaluated(candidate)
    assert told["answers"]["blocked"] == 1
    assert rows_of(store, candidate)[0]["failures"] == {"rouge_l": f"the answer was stopped: {finish}"}


def test_an_answer_without_parts_is_empty_in_every_place_that_tells_of_the_evaluation(
    cloud: StandIns, settings: Callable[..., None], store: RecordStore, candidate: str, config: Config
) -> None:
    cloud.vertex.faults(empty_text="riddle", harmful_text="knife")
    settings(metrics=["exact_match"], gate={"exact_match": 0.5})
    write(store, FILE, *prompts("a riddle", "a knife", "a plan"))
    _, told = evaluated(candidate)
    counts = {"asked": 3, "answered": 3, "blocked": 1, "cut": 0, "empty": 1}
    assert told["answers"] == counts
    summary = store.read(summary_path(candidate), EvaluationSummary)
    assert summary is not None
    assert summary.answers is not None
    assert summary.answers.model_dump() == counts
    report = store.bucket.blob(report_path(candidate)).download_as_text()
    assert "1 blocked and 1 empty" in report
    assert "turn `inference.thinking` off or lower" in report
    verdict = store.verdict(candidate, Stage.EVALUATION)
    assert verdict is not None
    assert announcement(verdict, bucket="b", now=verdict.ended_at).data["answers"] == counts
    found = CandidateReader(store).look(candidate)
    assert found is not None
    assert found.to_json()["stages"]["evaluation"]["answers"] == counts
    row = candidate_row(found)
    assert [row[f"evaluation_{one}"] for one in ("blocked", "cut", "empty", "failed")] == [1, 0, 1, 2]
    rows = evaluation_table_rows(found, _rows(store, candidate))
    assert [(one["state"], one["score"]) for one in rows] == [("empty", None), ("blocked", None), ("complete", 1.0)]


def test_what_is_kept_of_a_blocked_answer_is_enough_for_the_next_try(
    cloud: StandIns, settings: Callable[..., None], store: RecordStore, candidate: str
) -> None:
    cloud.vertex.faults(harmful_text="knife")
    settings(metrics=["exact_match"])
    write(store, FILE, *prompts("a knife", "a plan"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("genops_events.cascade.stage_run.StageRun.conclude", die)
        with pytest.raises(KeyboardInterrupt):
            evaluated(candidate)
    before = cloud.vertex_calls("generateContent")
    _, told = evaluated(candidate)
    assert cloud.vertex_calls("generateContent") == before
    assert told["answers"]["blocked"] == 1
    assert "DANGEROUS_CONTENT HIGH" in told["reason"]
    kept = [json.loads(line) for line in answers_text(store, candidate).splitlines()]
    assert [one["state"] for one in kept] == ["blocked", "complete"]


def test_pairwise_compares_no_answer_that_is_none_on_either_side(
    cloud: StandIns, settings: Callable[..., None], store: RecordStore, config: Config, endpoint: str
) -> None:
    settings(metrics=["exact_match", "pairwise"], judge={"samples": 2}, failed_rows=9)
    write(store, FILE, *prompts("a knife", "a plan"))
    cloud.vertex.faults(harmful_text="knife")
    champion = promoted(config, store, endpoint)
    challenger = arrived(config, store).candidate
    tuned(store, challenger, endpoint=endpoint)
    cloud.vertex.faults()
    _, told = evaluated(challenger)
    assert told["answers"] == {"asked": 2, "answered": 2, **NONE}
    assert (told["metrics"]["pairwise"]["count"], told["metrics"]["pairwise"]["failed"]) == (1, 1)
    knife = rows_of(store, challenger)[0]
    assert knife["scores"] == {"exact_match": 1.0}
    assert knife["champion_state"] == "blocked"
    assert knife["failures"]["pairwise"].startswith("no answer of the champion: the answer was stopped: SAFETY")
    assert champion


def _rows(store: RecordStore, candidate: str) -> Any:
    from genops_events.evaluation.files import read_rows
    from genops_events.record.evaluation import rows_path

    return read_rows(store.bucket, rows_path(candidate))
