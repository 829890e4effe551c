"""`genops prune` leaves the champion that an evaluation under way is held against, whoever is champion since."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
import yaml
from cloud import DATASET
from evaluations import MODEL
from google.cloud.aiplatform_v1.types import DeployedModel
from made_up import arrived, context, ended, now, tuned

from genops_events.airflow.promotion import PromoteModel
from genops_events.cascade.stage_run import StageRun
from genops_events.catalogue.models import shipped
from genops_events.config import Config, load_config
from genops_events.config.contestants import read_contestants
from genops_events.gcp.record_store import RecordStore
from genops_events.promotion import pruning
from genops_events.promotion.pruning import TunedModel, survey, take_away
from genops_events.record.comparison_plan import ComparisonPlan
from genops_events.record.comparison_plan import plan_path as comparison_plan_path
from genops_events.record.evaluation import EvaluationPlan, plan_path
from genops_events.record.promotion import Pruned, pruned_path
from genops_events.record.stages import Outcome, Stage

WHERE = "projects/genops-local/locations/us-central1"


@pytest.fixture
def keeps_none(config: Config, tmp_path: Path) -> Config:
    file = tmp_path / "genops.yaml"
    data = yaml.safe_load(file.read_text(encoding="utf-8"))
    data["datasets"][DATASET]["promotion"]["keep"] = 0
    file.write_text(yaml.safe_dump(data), encoding="utf-8")
    return load_config()


def made(config: Config, store: RecordStore, number: int, score: float | None) -> str:
    candidate = arrived(config, store).candidate
    tuned(store, candidate, model=f"{WHERE}/models/{number}@1", endpoint=f"{WHERE}/endpoints/{number}")
    if score is not None:
        ended(store, Stage.EVALUATION, Outcome.PASSED, candidate, scores={"exact_match": score})
        ended(store, Stage.BUDGET, Outcome.APPROVED, candidate)
        PromoteModel(task_id="promote").work(StageRun(Stage.PROMOTION, candidate, "run-1"), context(candidate))
        ended(store, Stage.INFERENCE, Outcome.COMPLETED, candidate)
    return candidate


def kept(config: Config, store: RecordStore) -> dict[str, str | None]:
    return {one.candidate: one.kept for one in survey(config, store, DATASET)}


def test_the_champion_that_an_evaluation_asks_stays_until_its_verdict(keeps_none: Config, store: RecordStore) -> None:
    former, other = made(keeps_none, store, 1, 0.5), made(keeps_none, store, 2, None)
    plan = EvaluationPlan(candidate=other, written_at=now(), champion=former, endpoint=f"{WHERE}/endpoints/1")
    store.create(plan_path(other), plan)
    champion = made(keeps_none, store, 3, 0.6)
    assert kept(keeps_none, store) == {
        former: f"{other} is being compared with it",
        other: "under way",
        champion: "champion",
    }
    ended(store, Stage.EVALUATION, Outcome.REFUSED, other)
    assert kept(keeps_none, store)[former] is None


def test_contestants_stay_until_their_comparison_has_ended_or_is_given_up(
    keeps_none: Config, store: RecordStore, tmp_path: Path
) -> None:
    former, lost = made(keeps_none, store, 1, 0.5), made(keeps_none, store, 2, 0.4)
    champion = made(keeps_none, store, 3, 0.6)
    assert kept(keeps_none, store) == {former: None, lost: None, champion: "champion"}
    plan = ComparisonPlan(
        candidate=f"{DATASET}-0123456789abcdef",
        written_at=now(),
        dataset=DATASET,
        run_id="manual-1",
        started_by="person",
        champion=former,
        contestants=read_contestants(["champion", lost, MODEL], shipped(), MODEL),
        prompts="evaluation/x.jsonl",
        metrics=("exact_match",),
    )
    store.put(comparison_plan_path(plan.id), plan)
    why = f"the comparison {plan.id} is under way"
    assert kept(keeps_none, store) == {former: why, lost: why, champion: "champion"}
    store.put(comparison_plan_path(plan.id), plan.model_copy(update={"written_at": now() - timedelta(days=2)}))
    assert kept(keeps_none, store) == {former: None, lost: None, champion: "champion"}
    file = tmp_path / "genops.yaml"
    data = yaml.safe_load(file.read_text(encoding="utf-8"))
    data["datasets"][DATASET]["comparison"] = {"contestants": ["champion", lost]}
    file.write_text(yaml.safe_dump(data), encoding="utf-8")
    assert kept(load_config(), store)[lost] == "genops.yaml names it as a contestant"


def test_two_who_prune_at_once_and_see_that_it_has_become_champion_both_leave_it(
    keeps_none: Config, store: RecordStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    champion = made(keeps_none, store, 1, 0.5)
    stale = TunedModel(champion, DATASET, "held", f"{WHERE}/models/1@1", f"{WHERE}/endpoints/1", None)
    read = store.champion

    def the_other_one_withdraws(dataset: str) -> object:
        store.bucket.blob(pruned_path(champion)).delete()
        return read(dataset)

    monkeypatch.setattr(store, "champion", the_other_one_withdraws)
    assert take_away(keeps_none, store, [stale], by="me") == [(champion, "left: it has become champion")]
    assert store.read(pruned_path(champion), Pruned) is None


@pytest.mark.parametrize(
    ("deployed", "is_it"),
    [
        ({"model": "m/1", "model_version_id": "1"}, True),
        ({"model": "m/1@1", "model_version_id": "1"}, True),
        ({"model": "m/1"}, True),
        ({"model": "m/1", "model_version_id": "2"}, False),
        ({"model": "m/2", "model_version_id": "1"}, False),
    ],
)
def test_another_version_on_the_same_endpoint_is_left_alone(deployed: dict[str, str], is_it: bool) -> None:  # noqa: FBT001
    assert pruning._is_of(DeployedModel(**deployed), "m/1@1") is is_it
