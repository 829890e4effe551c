"""The model registry shows who is champion: the alias and the labels go from one to the next, and back."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from cloud import DATASET, StandIns, until
from promotions import METRIC, champion, judged, promote

from genops_events.config import Config
from genops_events.gcp.clients import model_client
from genops_events.gcp.record_store import RecordStore
from genops_events.promotion import registry
from genops_events.promotion.rollbacks import roll_back
from genops_events.record.stages import Outcome
from genops_events.tuning import jobs as tuning_jobs

pytestmark = pytest.mark.filterwarnings("ignore:The SDK's tuning implementation is experimental")


@pytest.fixture
def tuned_model(config: Config, training_uri: str) -> Callable[[], str]:
    """A function that tunes a model, and returns its name in the registry."""

    def tune() -> str:
        job = tuning_jobs.submit(config, config.dataset(DATASET), candidate="alias", training_uri=training_uri)
        assert job.name
        done = until(lambda: (now := tuning_jobs.get(config, job.name or "")).tuned_model and now)
        assert done
        assert done.tuned_model
        assert done.tuned_model.model
        return str(done.tuned_model.model)

    return tune


def aliases(config: Config, model: str) -> list[str]:
    return list(model_client(config).get_model(name=model).version_aliases)


def test_the_alias_goes_from_champion_to_champion(
    config: Config, store: RecordStore, tuned_model: Callable[[], str]
) -> None:
    one, other = tuned_model(), tuned_model()
    promote(judged(config, store, 0.5, model=one))
    assert "champion" in aliases(config, one)
    made = promote(judged(config, store, 0.6, model=other))
    assert ("champion" in aliases(config, one), "champion" in aliases(config, other)) == (False, True)
    assert "registry" not in made.reason
    labels = [dict(model_client(config).get_model(name=model).labels) for model in (one, other)]
    assert [each["genops-champion"] for each in labels] == ["former", "current"]
    shown = {name: labels[1][name] for name in ("genops-candidate", "genops-dataset", "genops-metric", "genops-score")}
    assert shown == {
        "genops-candidate": made.candidate,
        "genops-dataset": DATASET,
        "genops-metric": METRIC,
        "genops-score": "0_6",
    }
    assert labels[1]["tune-type"] == "sft", "labels that were there stay"


def test_a_rollback_moves_the_alias_back(config: Config, store: RecordStore, tuned_model: Callable[[], str]) -> None:
    one, other = tuned_model(), tuned_model()
    promote(judged(config, store, 0.5, model=one))
    promote(judged(config, store, 0.6, model=other))
    assert roll_back(config, store, DATASET, to=None, by="ada@laptop", reason="Why.")[1] == ""
    assert ("champion" in aliases(config, one), "champion" in aliases(config, other)) == (True, False)
    labels = [model_client(config).get_model(name=model).labels["genops-champion"] for model in (one, other)]
    assert labels == ["current", "former"]


def test_an_alias_that_is_refused_is_told_and_is_no_failure_of_the_promotion(
    cloud: StandIns, config: Config, store: RecordStore, tuned_model: Callable[[], str]
) -> None:
    model = tuned_model()
    cloud.vertex.faults(error_code="403", error_share=1.0, error_methods=["models.mergeVersionAliases"])
    before = cloud.vertex_calls("models.mergeVersionAliases")
    candidate = judged(config, store, 0.5, model=model)
    made = promote(candidate)
    assert cloud.vertex_calls("models.mergeVersionAliases") == before + 1
    assert made.outcome is Outcome.PROMOTED
    assert "The model registry does not show it" in made.reason
    assert champion(store).candidate == candidate


def test_a_champion_that_is_slow_to_take_its_alias_does_not_keep_it_from_the_next_one(
    config: Config, store: RecordStore, tuned_model: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = tuned_model(), tuned_model()
    slow, quick = judged(config, store, 0.5, model=one), judged(config, store, 0.6, model=other)
    set_alias = registry.set_champion_alias

    def overtaken(of: Config, model: str) -> None:
        """Let the next champion come and take its alias, before this one goes on."""
        monkeypatch.setattr(registry, "set_champion_alias", set_alias)
        assert promote(quick).outcome is Outcome.PROMOTED
        set_alias(of, model)

    monkeypatch.setattr(registry, "set_champion_alias", overtaken)
    assert promote(slow).outcome is Outcome.PROMOTED
    assert champion(store).candidate == quick
    assert ("champion" in aliases(config, one), "champion" in aliases(config, other)) == (False, True)


def test_a_champion_that_is_rolled_back_while_it_takes_its_alias_does_not_keep_it(
    config: Config, store: RecordStore, tuned_model: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = tuned_model(), tuned_model()
    first, second = judged(config, store, 0.5, model=one), judged(config, store, 0.6, model=other)
    promote(first)
    set_alias = registry.set_champion_alias

    def rolled_back(of: Config, model: str) -> None:
        monkeypatch.setattr(registry, "set_champion_alias", set_alias)
        roll_back(config, store, DATASET, to=None, by="ada@laptop", reason="Why.")
        set_alias(of, model)

    monkeypatch.setattr(registry, "set_champion_alias", rolled_back)
    assert promote(second).outcome is Outcome.PROMOTED
    assert champion(store).candidate == first
    assert ("champion" in aliases(config, one), "champion" in aliases(config, other)) == (True, False)
