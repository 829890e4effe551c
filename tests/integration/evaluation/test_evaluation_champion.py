"""Evaluation against the champion: answers paid for once, row by row, and no worse than before."""

from __future__ import annotations

import json
from collections.abc import Callable

from cloud import StandIns
from evaluations import FILE, answers_text, evaluated, pairs, promoted, rows_of, write

from genops_events.config import Config
from genops_events.gcp.record_store import RecordStore
from genops_events.record.evaluation import champion_answers_path
from genops_events.record.stages import Stage
from genops_events.record.verdicts import EvaluationVerdict


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
    kept = [json.loads(line) for line in answers_text(store, champion).splitlines()]
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
