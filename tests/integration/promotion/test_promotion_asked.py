"""What a person has asked for, and what not: a newer champion is replaced by nobody's silence, nor by an older word."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from airflow_context import Airflow, stage_run
from cloud import DATASET
from made_up import arrived, context, ended, now, taken_on, tuned
from sweeps import swept

from genops_events.airflow.assets import EVALUATED_MODEL
from genops_events.airflow.promotion import PromoteModel
from genops_events.cascade.stage_run import StageRun
from genops_events.config import Config
from genops_events.gcp.record_store import RecordStore
from genops_events.intake.open_candidates import mint
from genops_events.record.paths import arrival_path
from genops_events.record.promotion import AnswerSource, PersonsAnswer, answer_path
from genops_events.record.stages import Outcome, Stage
from genops_events.record.verdicts import PromotionVerdict

pytestmark = pytest.mark.little_patience

METRIC = "exact_match"


def judged(config: Config, store: RecordStore, score: float, *, hours_ago: float = 0) -> str:
    arrival = arrived(config, store)
    earlier = arrival.model_copy(update={"arrived_at": arrival.arrived_at - timedelta(hours=hours_ago)})
    store.put(arrival_path(arrival.candidate), earlier)
    mint(store, [earlier])
    tuned(store, arrival.candidate)
    ended(store, Stage.EVALUATION, Outcome.PASSED, arrival.candidate, scores={METRIC: score})
    ended(store, Stage.BUDGET, Outcome.APPROVED, arrival.candidate)
    return arrival.candidate


def promote(candidate: str) -> PromotionVerdict:
    run = StageRun(Stage.PROMOTION, candidate, "run-1")
    made = PromoteModel(task_id="promote").work(run, context(candidate))
    assert isinstance(made, PromotionVerdict)
    return made


def answered(store: RecordStore, candidate: str, *, at: datetime, through: AnswerSource = "shell") -> None:
    answer = PersonsAnswer(
        candidate=candidate, written_at=at, approved=True, by="ada@laptop", reason="Good.", through=through
    )
    assert store.create(answer_path(candidate), answer)


def test_a_late_candidate_does_not_take_the_place_because_nobody_answered(config: Config, store: RecordStore) -> None:
    late = judged(config, store, 0.9, hours_ago=3)
    newer = judged(config, store, 0.5)
    promote(newer)
    answered(store, late, at=now(), through="timeout")
    made = promote(late)
    assert (made.outcome, made.late, made.answer) == (Outcome.HELD, True, "approved")
    assert "takes no newer one's place unasked" in made.reason
    champion = store.champion(DATASET)
    assert champion is not None
    assert champion.candidate == newer


def test_a_word_from_before_the_newer_champion_is_no_word_about_its_place(config: Config, store: RecordStore) -> None:
    late = judged(config, store, 0.9, hours_ago=3)
    answered(store, late, at=now())
    promote(judged(config, store, 0.5))
    made = promote(late)
    assert (made.outcome, made.late) == (Outcome.HELD, True)
    assert f"`genops rollback {DATASET} --to {late}`" in made.reason


def test_a_word_about_the_newer_champion_gives_the_place(config: Config, store: RecordStore) -> None:
    late = judged(config, store, 0.9, hours_ago=3)
    promote(judged(config, store, 0.5))
    answered(store, late, at=now())
    assert promote(late).outcome is Outcome.PROMOTED


def test_an_answer_that_airflow_never_heard_of_leads_to_inference_although_the_task_that_asked_still_waits(
    config: Config, store: RecordStore, airflow: Airflow
) -> None:
    candidate = judged(config, store, 0.5)
    taken_on(store, Stage.PROMOTION, candidate)
    airflow.wake(EVALUATED_MODEL, candidate, stage_run(Stage.PROMOTION, "running", "run-1"))
    airflow.task_states["run-1"] = {"promote": "awaiting_input"}
    answered(store, candidate, at=now())
    swept(airflow, config, store)  # announces what `judged` left unannounced
    _, figures = swept(airflow, config, store)
    assert [(one.kind, one.stage) for one in figures.healed] == [("closed_stage", Stage.PROMOTION)]
    woken, figures = swept(airflow, config, store)
    assert woken == {candidate}
    assert [(one.kind, one.stage) for one in figures.healed] == [("woken_stage", Stage.INFERENCE)]
