"""Candidates that have come as far as promotion, and promoted ones."""

from __future__ import annotations

from cloud import DATASET
from made_up import arrived, context, ended, now, tuned

from genops_events.airflow.promotion import PromoteModel
from genops_events.cascade.stage_run import StageRun
from genops_events.config import Config
from genops_events.gcp.record_store import RecordStore
from genops_events.record.paths import champion_path
from genops_events.record.promotion import Champion
from genops_events.record.stages import Outcome, Stage
from genops_events.record.verdicts import PromotionVerdict

METRIC = "exact_match"


def judged(
    config: Config,
    store: RecordStore,
    score: float,
    *,
    evaluation: Outcome = Outcome.PASSED,
    budget: Outcome = Outcome.APPROVED,
    model: str | None = None,
) -> str:
    """Return a candidate that has come as far as promotion."""
    candidate = arrived(config, store).candidate
    tuned(store, candidate, **({} if model is None else {"model": model}))
    ended(store, Stage.EVALUATION, evaluation, candidate, scores={METRIC: score, "rouge": 0.9})
    ended(store, Stage.BUDGET, budget, candidate)
    return candidate


def promote(candidate: str, *, run_id: str = "run-1") -> PromotionVerdict:
    run = StageRun(Stage.PROMOTION, candidate, run_id)
    made = PromoteModel(task_id="promote").work(run, context(candidate, run_id=run_id))
    assert isinstance(made, PromotionVerdict)
    kept = run.store.verdict(candidate, Stage.PROMOTION)
    assert kept is not None
    assert kept.to_json() == made.to_json()
    return made


def promoted(config: Config, store: RecordStore, score: float) -> str:
    """Return a candidate that has challenged the champion."""
    candidate = judged(config, store, score)
    promote(candidate)
    return candidate


def champion(store: RecordStore) -> Champion:
    found = store.champion(DATASET)
    assert found is not None
    return found


def changed_by_hand(store: RecordStore, candidate: str, *, score: float, after: str | None = None) -> None:
    """Make `candidate` champion as `PromoteModel` does, and write no verdict."""
    path = champion_path(DATASET)
    before = store.champion(DATASET)
    made = Champion(
        candidate=candidate,
        written_at=now(),
        dataset=DATASET,
        model="",
        endpoint="e",
        metric=METRIC,
        score=score,
        scores={METRIC: score},
        promoted_at=now(),
        predecessor=after,
        predecessor_score=None if before is None else before.score,
    )
    store.update(path, Champion, lambda _: made)
