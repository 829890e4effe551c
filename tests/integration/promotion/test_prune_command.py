"""`genops prune`: what lost goes, and never what is served, under way, or kept for a rollback."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import yaml
from cloud import DATASET, until
from google.api_core import exceptions
from made_up import arrived, context, ended, tuned
from typer.testing import CliRunner

from genops_events.airflow.promotion import PromoteModel
from genops_events.cascade.stage_run import StageRun
from genops_events.cli import app
from genops_events.config import Config
from genops_events.gcp.clients import endpoint_client, model_client
from genops_events.gcp.record_store import RecordStore
from genops_events.promotion import pruning
from genops_events.record.promotion import Pruned, pruned_path
from genops_events.record.stages import Outcome, Stage
from genops_events.tuning import jobs as tuning_jobs

pytestmark = pytest.mark.filterwarnings("ignore:The SDK's tuning implementation is experimental")
METRIC = "exact_match"


@dataclass(frozen=True)
class Made:
    candidate: str
    model: str
    endpoint: str


@pytest.fixture
def candidate(config: Config, store: RecordStore, training_uri: str) -> Callable[..., Made]:
    """A function that returns a candidate with a model of its own that Vertex AI serves."""

    def make(score: float, *, evaluation: Outcome = Outcome.PASSED, judged: bool = True) -> Made:
        name = arrived(config, store).candidate
        job = tuning_jobs.submit(config, config.dataset(DATASET), candidate=name, training_uri=training_uri)
        model = until(lambda: (now := tuning_jobs.get(config, job.name or "").tuned_model) and now.model and now)
        assert model
        made = Made(name, str(model.model), str(model.endpoint))
        tuned(store, name, model=made.model, endpoint=made.endpoint)
        if judged:
            ended(store, Stage.EVALUATION, evaluation, name, scores={METRIC: score})
            ended(store, Stage.BUDGET, Outcome.APPROVED, name)
            run = StageRun(Stage.PROMOTION, name, "run-1")
            PromoteModel(task_id="promote").work(run, context(name))
            if evaluation is Outcome.PASSED and store.verdict(name, Stage.PROMOTION).outcome is Outcome.PROMOTED:  # type: ignore[union-attr]
                ended(store, Stage.INFERENCE, Outcome.COMPLETED, name)
        return made

    return make


def keep(config: Config, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: Any, number: int) -> None:
    document = config.model_dump(mode="json", exclude_none=True)
    document["datasets"][DATASET]["promotion"] = {"keep": number}
    file = tmp_path_factory.mktemp("keep") / "genops.yaml"
    file.write_text(yaml.safe_dump(document))
    monkeypatch.setenv("GENOPS_CONFIG", str(file))


def prune(*words: str) -> dict[str, dict[str, Any]]:
    done = CliRunner().invoke(app, ["prune", "--json", *words])
    assert done.exit_code == 0, done.stderr
    return {one["candidate"]: one for one in json.loads(done.stdout)}


def is_there(config: Config, made: Made) -> tuple[bool, bool]:
    """Return whether model and endpoint are there."""
    found = []
    for look in (
        lambda: model_client(config).get_model(name=made.model),
        lambda: endpoint_client(config).get_endpoint(name=made.endpoint),
    ):
        try:
            look()
            found.append(True)
        except exceptions.NotFound:
            found.append(False)
    return found[0], found[1]


def test_a_dry_run_lists_the_losers_and_changes_nothing_and_apply_takes_them_away(
    config: Config, store: RecordStore, candidate: Callable[..., Made]
) -> None:
    first, second = candidate(0.5), candidate(0.7)
    held, refused = candidate(0.6), candidate(0.9, evaluation=Outcome.REFUSED)
    waiting = candidate(0.9, judged=False)
    text = " ".join(CliRunner().invoke(app, ["prune"]).stderr.split())
    assert "3 tuned models stay. Nothing was changed; `genops prune --apply`" in text
    assert held.endpoint in text
    listed = prune()
    assert {name: one["kept"] for name, one in listed.items()} == {
        first.candidate: "kept for a rollback",
        second.candidate: "champion",
        waiting.candidate: "under way",
        held.candidate: None,
        refused.candidate: None,
    }
    assert is_there(config, held) == (True, True)
    done = prune("--apply")
    assert {name: one["done"] for name, one in done.items() if one["done"]} == {
        held.candidate: "undeployed and deleted",
        refused.candidate: "undeployed and deleted",
    }
    assert [is_there(config, one) for one in (held, refused)] == [(False, False)] * 2
    assert [is_there(config, one) for one in (first, second, waiting)] == [(True, True)] * 3
    mark = store.read(pruned_path(held.candidate), Pruned)
    assert mark is not None
    assert mark.done_at is not None
    assert set(prune()) == {first.candidate, second.candidate, waiting.candidate}
    assert "There is nothing to prune." in CliRunner().invoke(app, ["prune", "--apply"]).stderr


def test_as_many_former_champions_are_kept_as_the_dataset_says(
    config: Config,
    store: RecordStore,
    candidate: Callable[..., Made],
    *,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    first, second, third = (candidate(score) for score in (0.5, 0.6, 0.7))
    keep(config, monkeypatch, tmp_path_factory, 1)
    kept = {name: one["kept"] for name, one in prune().items()}
    assert kept == {first.candidate: None, second.candidate: "kept for a rollback", third.candidate: "champion"}
    prune("--apply")
    assert is_there(config, first) == (False, False)
    assert CliRunner().invoke(app, ["rollback", DATASET]).exit_code == 0
    gone = CliRunner().invoke(app, ["rollback", DATASET])
    assert gone.exit_code == 1
    assert f"The model of {first.candidate} was deleted" in " ".join(gone.stderr.split())
    # The one that was rolled back is kept now: going forward again is a rollback, too.
    assert prune()[third.candidate]["kept"] == "kept for a rollback"


def test_who_died_while_pruning_is_made_good_by_pruning_again(
    config: Config, store: RecordStore, candidate: Callable[..., Made], monkeypatch: pytest.MonkeyPatch
) -> None:
    candidate(0.5)
    loser = candidate(0.4)

    def die(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(pruning, "model_client", die)
        with pytest.raises(KeyboardInterrupt):
            pruning.take_away(
                config, store, [one for one in pruning.survey(config, store, DATASET) if not one.kept], by="me"
            )
    assert is_there(config, loser) == (True, True)
    assert prune("--apply")[loser.candidate]["done"] == "undeployed and deleted"
    assert is_there(config, loser) == (False, False)


def test_who_becomes_champion_while_it_is_listed_is_left(
    config: Config, store: RecordStore, candidate: Callable[..., Made]
) -> None:
    first, _ = candidate(0.5), candidate(0.6)
    stale = [
        pruning.TunedModel(first.candidate, DATASET, "promoted", first.model, first.endpoint, None),
    ]
    assert CliRunner().invoke(app, ["rollback", DATASET]).exit_code == 0
    ((name, told),) = pruning.take_away(config, store, stale, by="me")
    assert (name, told) == (first.candidate, "left: it has become champion")
    assert is_there(config, first) == (True, True)
    assert store.read(pruned_path(first.candidate), Pruned) is None


def test_an_endpoint_that_somebody_deleted_by_hand_is_no_error(
    config: Config, store: RecordStore, candidate: Callable[..., Made]
) -> None:
    candidate(0.5)
    loser = candidate(0.4)
    (deployed, *others) = model_client(config).get_model(name=loser.model).deployed_models
    for one in (deployed, *others):
        undeploy = endpoint_client(config).undeploy_model
        undeploy(endpoint=one.endpoint, deployed_model_id=one.deployed_model_id).result()
    endpoint_client(config).delete_endpoint(name=loser.endpoint).result()
    assert prune("--apply")[loser.candidate]["done"] == "undeployed and deleted"


def test_of_a_model_that_was_tuned_further_only_the_losing_version_goes(
    config: Config, store: RecordStore, training_uri: str, candidate: Callable[..., Made]
) -> None:
    base = candidate(0.5)
    further = config.dataset(DATASET).model_copy(update={"source_model": base.model, "base_model": "gemini-2.5-flash"})
    name = arrived(config, store).candidate
    job = tuning_jobs.submit(config, further, candidate=name, training_uri=training_uri)
    model = until(lambda: (now := tuning_jobs.get(config, job.name or "").tuned_model) and now.model and now)
    assert model
    assert str(model.model).partition("@")[0] == base.model.partition("@")[0]
    tuned(store, name, model=str(model.model), endpoint=str(model.endpoint))
    ended(store, Stage.EVALUATION, Outcome.PASSED, name, scores={METRIC: 0.4})
    ended(store, Stage.BUDGET, Outcome.APPROVED, name)
    PromoteModel(task_id="promote").work(StageRun(Stage.PROMOTION, name, "run-1"), context(name))
    assert prune("--apply")[name]["done"] == "undeployed and deleted"
    assert is_there(config, base) == (True, True)
    versions = model_client(config).list_model_versions(name=base.model.partition("@")[0])
    assert [one.version_id for one in versions] == ["1"]
