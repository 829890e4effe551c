"""Who died as champion stays champion: whatever is answered, changed or out of order between the place and the verdict."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from airflow_context import Airflow
from cloud import DATASET, StandIns, until
from made_up import arrived, context, ended, tuned
from sweeps import swept
from typer.testing import CliRunner

from genops_events.airflow.promotion import PromoteModel
from genops_events.airflow.stage import record_failure
from genops_events.cascade.candidate_reader import read_candidate
from genops_events.cascade.stage_run import StageRun
from genops_events.cli import app
from genops_events.config import Config
from genops_events.gcp.clients import model_client
from genops_events.gcp.errors import CloudUnavailable
from genops_events.gcp.record_store import RecordStore
from genops_events.intake.open_candidates import mint
from genops_events.promotion import registry, rollbacks
from genops_events.record.promotion import Champion
from genops_events.record.stages import CandidateState, Outcome, Stage
from genops_events.record.verdicts import PromotionVerdict
from genops_events.tuning import jobs as tuning_jobs

pytestmark = pytest.mark.little_patience

METRIC = "exact_match"


def judged(config: Config, store: RecordStore, score: float, *, model: str | None = None) -> str:
    arrival = arrived(config, store)
    mint(store, [arrival])
    tuned(store, arrival.candidate, **({} if model is None else {"model": model}))
    ended(store, Stage.EVALUATION, Outcome.PASSED, arrival.candidate, scores={METRIC: score})
    ended(store, Stage.BUDGET, Outcome.APPROVED, arrival.candidate)
    return arrival.candidate


def promote(candidate: str, *, run_id: str = "run-1") -> PromotionVerdict:
    run = StageRun(Stage.PROMOTION, candidate, run_id)
    made = PromoteModel(task_id="promote").work(run, context(candidate, run_id=run_id))
    assert isinstance(made, PromotionVerdict)
    return made


def die_as_champion(candidate: str) -> None:
    """Take the champion's place, and be killed before anything else."""

    def killed(*_: object, **__: object) -> str:
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "mirror", killed)
        with pytest.raises(KeyboardInterrupt):
            promote(candidate)


def champion(store: RecordStore) -> Champion:
    found = store.champion(DATASET)
    assert found is not None
    return found


def test_who_is_champion_already_cannot_be_rejected_any_more_and_the_answer_is_told(
    config: Config, store: RecordStore
) -> None:
    candidate = judged(config, store, 0.5)
    die_as_champion(candidate)
    assert CliRunner().invoke(app, ["reject", candidate, "--reason", "It swears."]).exit_code == 0
    made = promote(candidate)
    assert (made.outcome, made.answer) == (Outcome.PROMOTED, None)
    assert "It swears. That came too late" in made.reason
    assert f"`genops rollback {DATASET}`" in made.reason
    assert champion(store).candidate == candidate


def test_who_is_champion_already_is_promoted_although_another_metric_decides_now(
    config: Config, store: RecordStore, tmp_path: Path
) -> None:
    candidate = judged(config, store, 0.5)
    die_as_champion(candidate)
    file = tmp_path / "genops.yaml"
    data = yaml.safe_load(file.read_text(encoding="utf-8"))
    part = data["datasets"][DATASET]["evaluation"]
    part |= {"metrics": ["bleu"], "decisive": "bleu", "gate": {}}
    file.write_text(yaml.safe_dump(data), encoding="utf-8")
    made = promote(candidate)
    assert (made.outcome, made.metric, made.score) == (Outcome.PROMOTED, METRIC, 0.5)


def test_a_champion_whose_retries_are_used_up_after_it_took_the_place_has_not_failed(
    cloud: StandIns, config: Config, store: RecordStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = judged(config, store, 0.5), judged(config, store, 0.6)
    promote(first)
    monkeypatch.setattr("genops_events.gcp.clients.CALL_TIMEOUT_SECONDS", 0.1)
    cloud.vertex.faults(error_code="503", error_share=1.0, error_methods=["models.mergeVersionAliases"])
    with pytest.raises(CloudUnavailable) as caught:
        promote(second)
    task = PromoteModel(task_id="promote")
    record_failure(context(second, task=task, exception=caught.value))
    made = store.verdict(second, Stage.PROMOTION)
    assert isinstance(made, PromotionVerdict)
    assert (made.outcome, made.champion_before, made.score) == (Outcome.PROMOTED, first, 0.6)
    assert "The model registry may not show it" in made.reason
    found = read_candidate(store, second)
    assert found is not None
    assert (found.state, champion(store).candidate) == (CandidateState.UNDER_WAY, second)


def test_a_promotion_that_died_as_champion_goes_on_and_is_promoted(
    config: Config, store: RecordStore, airflow: Airflow
) -> None:
    first = judged(config, store, 0.5)
    die_as_champion(first)
    airflow.task_states["run-1"] = {"promote": "failed"}
    swept(airflow, config, store)  # announces what `judged` left unannounced
    assert swept(airflow, config, store)[0] == {first}
    PromoteModel(task_id="promote").execute(context(first, run_id="run-2"))
    made = store.verdict(first, Stage.PROMOTION)
    assert made is not None
    assert made.outcome is Outcome.PROMOTED


# The alias of whoever was champion before somebody who died


@pytest.fixture
def tuned_model(config: Config, store: RecordStore) -> Callable[[], str]:
    """A function that tunes a model, and returns its name in the registry."""
    turns = [{"role": "user", "parts": [{"text": "where"}]}, {"role": "model", "parts": [{"text": "here"}]}]
    store.bucket.blob("copy.jsonl").upload_from_string("\n".join([json.dumps({"contents": turns})] * 40))
    uri = f"gs://{config.bucket}/copy.jsonl"

    def tune() -> str:
        job = tuning_jobs.submit(config, config.dataset(DATASET), candidate="alias", training_uri=uri)
        model = until(lambda: (now := tuning_jobs.get(config, job.name or "").tuned_model) and now.model)
        assert model
        return str(model)

    return tune


def shown(config: Config, *models: str) -> list[tuple[bool, str]]:
    """Return of each model whether it has the alias, and what its label says."""
    found = [model_client(config).get_model(name=model) for model in models]
    return [("champion" in one.version_aliases, one.labels.get("genops-champion", "")) for one in found]


@pytest.mark.filterwarnings("ignore:The SDK's tuning implementation is experimental")
def test_a_champion_that_died_before_it_was_shown_leaves_no_alias_behind_once_it_is_overtaken(
    config: Config, store: RecordStore, tuned_model: Callable[[], str]
) -> None:
    models = [tuned_model() for _ in range(3)]
    first, second, third = (
        judged(config, store, score, model=model) for score, model in zip((0.5, 0.6, 0.7), models, strict=True)
    )
    promote(first)
    die_as_champion(second)
    promote(third)
    assert promote(second).outcome is Outcome.PROMOTED
    assert shown(config, *models) == [(False, "former"), (False, "former"), (True, "current")]


@pytest.mark.filterwarnings("ignore:The SDK's tuning implementation is experimental")
def test_a_rollback_that_died_before_it_was_shown_leaves_no_alias_behind_once_somebody_is_promoted(
    config: Config, store: RecordStore, tuned_model: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    models = [tuned_model() for _ in range(3)]
    first, second = (
        judged(config, store, score, model=model) for score, model in zip((0.5, 0.6), models, strict=False)
    )
    promote(first)
    promote(second)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rollbacks, "finish_rollbacks", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            rollbacks.roll_back(config, store, DATASET, to=None, by="ada@laptop", reason="It swears.")
    promote(judged(config, store, 0.7, model=models[2]))
    rollbacks.finish_rollbacks(config, store, DATASET)
    assert shown(config, *models) == [(False, "former"), (False, "former"), (True, "current")]
