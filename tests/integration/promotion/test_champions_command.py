"""`genops champions` and `genops rollback`: the place is given back, recorded and announced, whoever dies on the way."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from airflow_context import Airflow
from cloud import DATASET, Reader, at_once
from made_up import arrived, context, ended, now, tuned
from promotions import METRIC, champion, promoted
from shell import genops, genops_json
from sweeps import swept

from genops_events.airflow.promotion import PromoteModel
from genops_events.cascade.stage_run import StageRun
from genops_events.config import Config
from genops_events.gcp.record_store import RecordStore
from genops_events.promotion import rollbacks
from genops_events.promotion.rollbacks import NoRollbackTarget, roll_back
from genops_events.record import paths as record_paths
from genops_events.record.document import Announcement
from genops_events.record.events import ROLLED_BACK
from genops_events.record.promotion import Pruned, Rollback, pruned_path
from genops_events.record.stages import Outcome, Stage
from genops_events.record.verdicts import PromotionVerdict

pytestmark = pytest.mark.little_patience

ME = "operator@genops.local"


def rollback_events(store: RecordStore, candidate: str) -> list[Announcement]:
    found = store.announcements(candidate, skip=set())
    return [event for _, event in found if event.attributes["ce-type"] == ROLLED_BACK]


def test_a_rollback_gives_the_place_back_and_is_recorded_and_announced(
    config: Config, store: RecordStore, completions: Reader
) -> None:
    first, second = promoted(config, store, 0.5), promoted(config, store, 0.6)
    completions.read()
    code, text = genops("rollback", DATASET, "--reason", "It\nswears")
    assert code == 0
    assert text.startswith(f"{first} is champion of {DATASET} now, in place of {second}.")
    assert f"Back with: genops rollback {DATASET} --to {second}" in text
    (event,) = completions.read_some()
    assert event.attributes["ce-type"] == "genops.promotion.rolled_back.v1"
    assert (event.attributes["ce-subject"], event.ordering_key) == (second, second)
    assert (event.data["champion"], event.data["by"], event.data["reason"]) == (first, ME, "It swears.")
    (path,) = store.names(f"genops/datasets/{DATASET}/rollbacks/")
    kept = store.read(path, Rollback)
    assert kept is not None
    assert (kept.candidate, kept.champion, kept.score, kept.champion_score) == (second, first, 0.6, 0.5)
    now_serving = champion(store)
    assert (now_serving.candidate, now_serving.score, now_serving.unannounced) == (first, 0.5, ())
    tuning = StageRun(Stage.PROMOTION, first, "run-1").tuning
    assert (now_serving.model, now_serving.endpoint) == (tuning.model, tuning.endpoint)
    (announced,) = rollback_events(store, second)
    assert announced.published_at is not None


def test_rolling_back_twice_goes_two_champions_back_and_to_names_any_of_them(
    config: Config, store: RecordStore
) -> None:
    first, second, third = (promoted(config, store, score) for score in (0.5, 0.6, 0.7))
    for expected in (second, first):
        assert genops("rollback", DATASET)[0] == 0
        assert champion(store).candidate == expected
    code, text = genops("rollback", DATASET)
    assert code == 1
    assert f"{first} is the first champion of {DATASET}" in text
    assert genops_json("rollback", DATASET, "--to", third)[1]["champion"] == third
    assert champion(store).candidate == third
    assert genops("rollback", DATASET)[0] == 0
    assert len(rollback_events(store, third)) == 2, "each rollback of one candidate has an event of its own"


def test_after_a_rollback_a_candidate_has_to_beat_the_one_that_got_the_place_back(
    config: Config, store: RecordStore
) -> None:
    first, second = promoted(config, store, 0.5), promoted(config, store, 0.8)
    genops("rollback", DATASET)
    third = promoted(config, store, 0.6)
    verdict = store.verdict(third, Stage.PROMOTION)
    assert isinstance(verdict, PromotionVerdict)
    assert (verdict.outcome, verdict.champion_before, verdict.champion_score) == (Outcome.PROMOTED, first, 0.5)
    assert champion(store).earlier == (first, second, first)


@pytest.mark.parametrize("method", ["deliver", "registry.mirror", "store.create"])
def test_a_rollback_whose_command_died_is_finished_by_the_sweep(
    config: Config,
    store: RecordStore,
    *,
    airflow: Airflow,
    completions: Reader,
    monkeypatch: pytest.MonkeyPatch,
    method: str,
) -> None:
    first, second = promoted(config, store, 0.5), promoted(config, store, 0.6)
    completions.read()

    def die(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        if method == "store.create":
            patched.setattr(RecordStore, "create", die)
        elif method == "registry.mirror":
            patched.setattr(rollbacks.registry, "mirror", die)
        else:
            patched.setattr(rollbacks, "deliver", die)
        with pytest.raises(KeyboardInterrupt):
            roll_back(config, store, DATASET, to=None, by="ada@laptop", reason="Why.")
    assert champion(store).candidate == first
    _, figures = swept(airflow, config, store)
    assert [(one.kind, one.candidate) for one in figures.healed] == [("unannounced_verdict", second)]
    assert champion(store).unannounced == ()
    assert [event.attributes["ce-type"] for event in completions.read_some()] == [ROLLED_BACK]
    assert len(store.names(f"genops/datasets/{DATASET}/rollbacks/")) == 1
    assert not swept(airflow, config, store)[1].healed
    assert completions.read() == [], "published once, though the sweep went on with it"


def test_a_rollback_that_is_going_on_is_left_to_its_command_and_a_broken_champion_is_told(
    config: Config, store: RecordStore, airflow: Airflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    promoted(config, store, 0.5)
    promoted(config, store, 0.6)
    with monkeypatch.context() as patched:
        patched.setattr(rollbacks, "finish_rollbacks", lambda *_: "")
        roll_back(config, store, DATASET, to=None, by="ada@laptop", reason="Why.")
    assert swept(airflow, config, store, impatient=True)[1].healed == ()
    assert len(champion(store).unannounced) == 1
    store.bucket.blob(record_paths.champion_path(DATASET)).upload_from_string(b"{")
    _, figures = swept(airflow, config, store)
    assert figures.error is not None
    assert "champion.json is no Champion" in figures.error


def test_a_rollback_to_a_model_that_is_being_pruned_at_that_moment_is_taken_back(
    config: Config, store: RecordStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = promoted(config, store, 0.5), promoted(config, store, 0.6)
    update = RecordStore.update
    gone = Pruned(candidate=first, written_at=now(), by="grace@laptop", model="m", endpoints=("e",))

    def pruned_first(of: RecordStore, *given: Any, **more: Any) -> Any:
        """Let somebody prune between the look and the change."""
        monkeypatch.setattr(RecordStore, "update", update)
        of.create(pruned_path(first), gone)
        return update(of, *given, **more)

    before = champion(store)
    monkeypatch.setattr(RecordStore, "update", pruned_first)
    code, text = genops("rollback", DATASET)
    assert code == 1
    assert f"is being deleted by `genops prune` at this moment; {second} stays" in text
    assert champion(store) == before
    assert rollback_events(store, second) == []


def test_a_rollback_survives_a_promotion_that_comes_before_the_sweep(
    config: Config, store: RecordStore, airflow: Airflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, second = promoted(config, store, 0.5), promoted(config, store, 0.6)
    with monkeypatch.context() as patched:
        patched.setattr(rollbacks, "finish_rollbacks", lambda *_: "")
        roll_back(config, store, DATASET, to=None, by="ada@laptop", reason="Why.")
    third = promoted(config, store, 0.9)
    assert rollback_events(store, second) == []
    swept(airflow, config, store)
    (event,) = rollback_events(store, second)
    assert event.published_at is not None
    assert (champion(store).candidate, champion(store).unannounced) == (third, ())


def test_of_two_who_roll_back_at_once_one_does_and_the_other_is_told(config: Config, store: RecordStore) -> None:
    first, second, third = (promoted(config, store, score) for score in (0.5, 0.6, 0.7))

    def back(to: str) -> str:
        try:
            return roll_back(config, RecordStore.open(config), DATASET, to=to, by=to, reason="Why.")[0].champion
        except NoRollbackTarget as error:
            return error.message

    said = at_once(lambda: back(first), lambda: back(second))
    done = [one for one in said if one in (first, second)]
    # Either both read the same champion and one lost the race, or they came one after the other.
    assert done
    assert champion(store).candidate in done
    assert all(one in done or "meanwhile" in one for one in said)
    assert len(rollback_events(store, third)) == 1


@pytest.mark.parametrize(
    ("to", "said"),
    [
        (f"{DATASET}-0123456789abcdef", "The record knows no candidate"),
        ("held", "never was champion"),
        ("champion", "is the champion of banking77 already"),
    ],
)
def test_a_candidate_that_cannot_be_champion_is_refused_and_nothing_changes(
    config: Config, store: RecordStore, to: str, said: str
) -> None:
    promoted(config, store, 0.5)
    names = {"champion": promoted(config, store, 0.6), "held": promoted(config, store, 0.1)}
    before = champion(store)
    code, text = genops("rollback", DATASET, "--to", names.get(to, to))
    assert code == 1
    assert said in text
    assert champion(store) == before


def test_a_model_that_was_pruned_is_no_way_back(config: Config, store: RecordStore) -> None:
    first, second = promoted(config, store, 0.5), promoted(config, store, 0.6)
    gone = Pruned(candidate=first, written_at=now(), by="ada@laptop", model="m", endpoints=("e",))
    store.create(pruned_path(first), gone)
    code, text = genops("rollback", DATASET)
    assert code == 1
    assert f"The model of {first} was deleted by ada@laptop" in text
    assert champion(store).candidate == second


def test_a_dataset_without_a_champion_cannot_be_rolled_back(config: Config, store: RecordStore) -> None:
    code, text = genops("rollback", DATASET)
    assert (code, "has no champion" in text) == (1, True)
    assert genops("rollback", "no-such-dataset")[0] == 1


def test_champions_are_listed_with_how_they_came_to_their_place(config: Config, store: RecordStore) -> None:
    assert genops_json("champions")[1] == [{"dataset": DATASET, "champion": None}]
    assert "no candidate was promoted yet" in genops("champions")[1]
    first, second = promoted(config, store, 0.5), promoted(config, store, 0.6)
    (listed,) = genops_json("champions")[1]
    assert (listed["champion"], listed["before"], listed["score"], listed["rollback"]) == (second, first, 0.6, None)
    genops("rollback", DATASET, "--reason", "It swears.")
    (listed,) = genops_json("champions")[1]
    assert (listed["champion"], listed["before"]) == (first, None)
    assert listed["rollback"] == {"from": second, "by": ME, "reason": "It swears."}
    assert f"{ME} rolled back {second}: It swears." in genops("champions")[1]


# Late candidates


def late(config: Config, store: RecordStore, score: float, *, hours: float) -> str:
    """Return a candidate whose file arrived long ago and that is judged only now."""
    made = arrived(config, store)
    old = made.model_copy(update={"arrived_at": made.arrived_at - timedelta(hours=hours)})
    store.put(record_paths.arrival_path(made.candidate), old)
    tuned(store, made.candidate)
    ended(store, Stage.EVALUATION, Outcome.PASSED, made.candidate, scores={METRIC: score})
    ended(store, Stage.BUDGET, Outcome.APPROVED, made.candidate)
    run = StageRun(Stage.PROMOTION, made.candidate, "run-1")
    PromoteModel(task_id="promote").work(run, context(made.candidate))
    return made.candidate


def test_a_late_candidate_takes_no_newer_ones_place_until_somebody_asks_for_it(
    config: Config, store: RecordStore
) -> None:
    newer = promoted(config, store, 0.5)
    older = late(config, store, 0.9, hours=3)
    verdict = store.verdict(older, Stage.PROMOTION)
    assert isinstance(verdict, PromotionVerdict)
    assert (verdict.outcome, verdict.late, verdict.champion_before) == (Outcome.HELD, True, newer)
    assert f"it arrived 3 hours before {newer}" in verdict.reason
    assert champion(store).candidate == newer
    assert f"genops rollback {DATASET} --to {older}" in verdict.reason
    assert genops("rollback", DATASET, "--to", older)[0] == 0
    assert (champion(store).candidate, champion(store).predecessor) == (older, newer)
