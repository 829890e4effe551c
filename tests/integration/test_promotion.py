# ruff: noqa: F401, F811 - fixtures are imported by name, and come back as arguments
"""Promotion: the better candidate is champion, whoever races, dies or refuses on the way."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial

import pytest
from airflow.sdk.exceptions import AirflowSkipException
from cloud import (
    DATASET,
    Reader,
    StandIns,
    at_once,
    cloud,
    completions,
    config,
    connections_closed,
    stand_ins,
    store,
    until,
)
from made_up import arrived, context, ended, now, tuned

from genops_events.airflow.promotion import PromoteModel
from genops_events.airflow.stage import StageRun
from genops_events.config import Config
from genops_events.gcp import registry, tuning_jobs
from genops_events.gcp.clients import model_client
from genops_events.gcp.record_store import RecordStore
from genops_events.gcp.rollbacks import roll_back
from genops_events.record import Champion
from genops_events.record_paths import champion_path, intent_path
from genops_events.stages import Outcome, Stage
from genops_events.verdicts import PromotionVerdict

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


def champion(store: RecordStore) -> Champion:
    found = store.champion(DATASET)
    assert found is not None
    return found


def test_the_first_candidate_becomes_champion(config: Config, store: RecordStore) -> None:
    candidate = judged(config, store, 0.5)
    made = promote(candidate)
    assert (made.outcome, made.metric, made.score) == (Outcome.PROMOTED, METRIC, 0.5)
    assert (made.champion_before, made.champion_score) == (None, None)
    assert "No champion yet" in made.reason
    now_serving = champion(store)
    assert (now_serving.candidate, now_serving.predecessor) == (candidate, None)
    assert now_serving.scores == {METRIC: 0.5, "rouge": 0.9}
    tuning = StageRun(Stage.PROMOTION, candidate, "run-1").tuning
    assert (now_serving.model, now_serving.endpoint) == (tuning.model, tuning.endpoint)


def test_a_better_candidate_takes_the_place_and_names_whose(config: Config, store: RecordStore) -> None:
    first = judged(config, store, 0.5)
    promote(first)
    second = judged(config, store, 0.6)
    made = promote(second)
    assert (made.outcome, made.champion_before, made.champion_score) == (Outcome.PROMOTED, first, 0.5)
    assert "0.6 exceeds the champion's 0.5" in made.reason
    assert (champion(store).candidate, champion(store).predecessor) == (second, first)


@pytest.mark.parametrize("score", [0.5, 0.4, 0.0, float("nan")])
def test_a_tie_or_worse_is_held_and_the_champion_stays(config: Config, store: RecordStore, score: float) -> None:
    first = judged(config, store, 0.5)
    promote(first)
    before = champion(store)
    made = promote(judged(config, store, score))
    assert (made.outcome, made.champion_before, made.champion_score) == (Outcome.HELD, first, 0.5)
    assert champion(store) == before


def test_a_margin_must_be_exceeded(
    config: Config, store: RecordStore, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    dataset = config.dataset(DATASET)
    wider = config.model_dump(mode="json", exclude_none=True)
    wider["datasets"][DATASET]["evaluation"]["margin"] = 0.1
    assert dataset.evaluation.margin == 0.0
    file = tmp_path_factory.mktemp("wider") / "genops.yaml"
    file.write_text(json.dumps(wider))
    promote(judged(config, store, 0.5))
    monkeypatch.setenv("GENOPS_CONFIG", str(file))
    assert promote(judged(config, store, 0.6)).outcome is Outcome.HELD
    assert promote(judged(config, store, 0.61)).outcome is Outcome.PROMOTED


@pytest.mark.parametrize(
    ("refused", "reason"),
    [
        ({"evaluation": Outcome.REFUSED}, "evaluation says so"),
        ({"budget": Outcome.REFUSED}, "budget says so"),
        ({"evaluation": Outcome.REFUSED, "budget": Outcome.REFUSED}, "evaluation says so budget says so"),
    ],
)
def test_a_refused_candidate_is_held_for_the_reason_of_its_refusal_even_without_a_champion(
    config: Config, store: RecordStore, refused: dict[str, Outcome], reason: str
) -> None:
    made = promote(judged(config, store, 0.9, **refused))
    assert (made.outcome, made.reason, made.score) == (Outcome.HELD, reason, 0.9)
    assert store.champion(DATASET) is None


@pytest.mark.parametrize(("there", "missing"), [(Stage.EVALUATION, "budget"), (Stage.BUDGET, "evaluation")])
def test_promotion_waits_for_both_verdicts_and_takes_nothing_on(
    config: Config, store: RecordStore, there: Stage, missing: str
) -> None:
    candidate = arrived(config, store).candidate
    tuned(store, candidate)
    outcome = Outcome.PASSED if there is Stage.EVALUATION else Outcome.APPROVED
    ended(store, there, outcome, candidate)
    with pytest.raises(AirflowSkipException, match=f"waiting for the verdict of {missing}"):
        promote(candidate)
    assert store.bucket.get_blob(intent_path(candidate, Stage.PROMOTION)) is None


@pytest.mark.parametrize("failed", ["evaluation", "budget"])
def test_a_failed_candidate_is_not_promoted(config: Config, store: RecordStore, failed: str) -> None:
    outcomes = {failed: Outcome.FAILED}
    candidate = judged(config, store, 0.9, **outcomes)
    with pytest.raises(AirflowSkipException, match="has failed"):
        promote(candidate)
    assert store.verdict(candidate, Stage.PROMOTION) is None
    assert store.champion(DATASET) is None


def test_the_events_of_evaluation_and_budget_are_out_before_promotion_decides(
    config: Config, store: RecordStore, completions: Reader
) -> None:
    PromoteModel(task_id="promote").execute(context(judged(config, store, 0.5)))
    kinds: list[str] = []

    def all_there() -> bool:
        kinds.extend(one.attributes["ce-type"] for one in completions.read(seconds=1.0))
        return len(kinds) == 3

    until(all_there)
    assert kinds == ["genops.evaluation.passed.v1", "genops.budget.approved.v1", "genops.promotion.promoted.v1"]


# Dying after the champion was changed and before the verdict was written


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


def test_who_died_as_champion_is_promoted(config: Config, store: RecordStore) -> None:
    first, second = judged(config, store, 0.5), judged(config, store, 0.6)
    promote(first)
    changed_by_hand(store, second, score=0.6, after=first)
    before = champion(store)
    made = promote(second)
    assert (made.outcome, made.champion_before, made.champion_score) == (Outcome.PROMOTED, first, 0.5)
    assert "0.6 exceeds the champion's 0.5" in made.reason
    assert champion(store) == before


def test_who_died_as_the_first_champion_is_promoted(config: Config, store: RecordStore) -> None:
    first = judged(config, store, 0.5)
    changed_by_hand(store, first, score=0.5)
    assert promote(first).outcome is Outcome.PROMOTED


def test_who_died_as_champion_is_promoted_although_a_better_one_came_since(config: Config, store: RecordStore) -> None:
    first, second = judged(config, store, 0.5), judged(config, store, 0.6)
    changed_by_hand(store, first, score=0.5)
    assert promote(second).outcome is Outcome.PROMOTED
    made = promote(first)
    assert made.outcome is Outcome.PROMOTED
    assert second in made.reason
    assert champion(store).candidate == second


def test_who_died_as_champion_is_promoted_although_two_better_ones_came_since(
    config: Config, store: RecordStore
) -> None:
    first, second, third = (judged(config, store, score) for score in (0.5, 0.6, 0.7))
    changed_by_hand(store, first, score=0.5)
    promote(second)
    promote(third)
    assert promote(first).outcome is Outcome.PROMOTED
    assert champion(store).candidate == third


def test_a_repeated_promotion_changes_nothing(config: Config, store: RecordStore) -> None:
    candidate = judged(config, store, 0.5)
    made = promote(candidate)
    before = champion(store)
    assert promote(candidate) == made
    assert champion(store) == before


# Six at once


def test_of_six_candidates_at_once_the_best_ends_as_champion_and_nobody_is_lost(
    config: Config, store: RecordStore
) -> None:
    scores = {judged(config, store, score): score for score in (0.5, 0.55, 0.6, 0.65, 0.7, 0.75)}
    verdicts = at_once(*(partial(promote, candidate) for candidate in scores))
    assert {one.candidate for one in verdicts} == set(scores)
    assert {one.outcome for one in verdicts} <= {Outcome.PROMOTED, Outcome.HELD}
    assert scores[champion(store).candidate] == 0.75
    promoted = sorted((one for one in verdicts if one.outcome is Outcome.PROMOTED), key=lambda one: one.score or 0)
    # Each champion took the place of the one before: no change was written over another.
    assert [one.champion_before for one in promoted] == [None, *(one.candidate for one in promoted[:-1])]
    for held in (one for one in verdicts if one.outcome is Outcome.HELD):
        assert held.champion_score is not None
        assert held.champion_score > (held.score or 0)


def test_of_six_equals_at_once_one_is_champion(config: Config, store: RecordStore) -> None:
    equals = [judged(config, store, 0.5) for _ in range(6)]
    outcomes = [one.outcome for one in at_once(*(partial(promote, candidate) for candidate in equals))]
    assert sorted(outcomes) == [Outcome.HELD] * 5 + [Outcome.PROMOTED]


# The model registry


@pytest.fixture
def tuned_model(config: Config, store: RecordStore) -> Callable[[], str]:
    """A function that tunes a model, and returns its name in the registry."""
    turns = [{"role": "user", "parts": [{"text": "where"}]}, {"role": "model", "parts": [{"text": "here"}]}]
    store.bucket.blob("copy.jsonl").upload_from_string("\n".join([json.dumps({"contents": turns})] * 40))
    uri = f"gs://{config.bucket}/copy.jsonl"

    def tune() -> str:
        job = tuning_jobs.submit(config, config.dataset(DATASET), candidate="alias", training_uri=uri)
        assert job.name
        done = until(lambda: (now := tuning_jobs.get(config, job.name or "")).tuned_model and now)
        assert done
        assert done.tuned_model
        assert done.tuned_model.model
        return str(done.tuned_model.model)

    return tune


def aliases(config: Config, model: str) -> list[str]:
    return list(model_client(config).get_model(name=model).version_aliases)


@pytest.mark.filterwarnings("ignore:The SDK's tuning implementation is experimental")
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


@pytest.mark.filterwarnings("ignore:The SDK's tuning implementation is experimental")
def test_a_rollback_moves_the_alias_back(config: Config, store: RecordStore, tuned_model: Callable[[], str]) -> None:
    one, other = tuned_model(), tuned_model()
    promote(judged(config, store, 0.5, model=one))
    promote(judged(config, store, 0.6, model=other))
    assert roll_back(config, store, DATASET, to=None, by="ada@laptop", reason="Why.")[1] == ""
    assert ("champion" in aliases(config, one), "champion" in aliases(config, other)) == (True, False)
    labels = [model_client(config).get_model(name=model).labels["genops-champion"] for model in (one, other)]
    assert labels == ["current", "former"]


@pytest.mark.filterwarnings("ignore:The SDK's tuning implementation is experimental")
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


@pytest.mark.filterwarnings("ignore:The SDK's tuning implementation is experimental")
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


@pytest.mark.filterwarnings("ignore:The SDK's tuning implementation is experimental")
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


def test_who_died_as_champion_and_was_rolled_back_since_is_told_so(config: Config, store: RecordStore) -> None:
    first, second = judged(config, store, 0.5), judged(config, store, 0.6)
    promote(first)
    changed_by_hand(store, second, score=0.6, after=first)
    store.update(champion_path(DATASET), Champion, lambda now: now and now.model_copy(update={"earlier": (first,)}))
    roll_back(config, store, DATASET, to=first, by="ada@laptop", reason="Why.")
    made = promote(second)
    assert (made.outcome, made.champion_before) == (Outcome.PROMOTED, first)
    assert made.reason == f"It was the champion before {first}."
    assert champion(store).candidate == first


def test_a_candidate_that_was_not_measured_by_the_decisive_metric_is_held_and_says_so(
    config: Config, store: RecordStore
) -> None:
    candidate = arrived(config, store).candidate
    tuned(store, candidate)
    ended(store, Stage.EVALUATION, Outcome.PASSED, candidate, scores={"rouge": 0.9})
    ended(store, Stage.BUDGET, Outcome.APPROVED, candidate)
    made = promote(candidate)
    assert made.outcome is Outcome.HELD
    assert METRIC in made.reason
    assert store.champion(made.dataset) is None
