"""A person decides: the question in Airflow, and the answer from there or from the clock."""

from __future__ import annotations

from datetime import timedelta

import pytest
from airflow.sdk.exceptions import AirflowSkipException
from cloud import DATASET, Reader
from made_up import context
from person_asked import TASK, Supervisor, ask, asks, go_on, verdict
from promotions import judged

from genops_events.airflow.promotion import PromoteModel
from genops_events.config import Config
from genops_events.gcp.record_store import RecordStore
from genops_events.record.intake import Arrival
from genops_events.record.paths import arrival_path
from genops_events.record.promotion import PersonsAnswer, answer_path
from genops_events.record.stages import Outcome, Stage

pytestmark = pytest.mark.little_patience

# The question


def test_whoever_would_be_champion_waits_and_the_question_shows_the_figures(
    config: Config, store: RecordStore, asking: Supervisor
) -> None:
    first = judged(config, store, 0.5)
    ask(first)
    go_on(first, "Approve")
    second = judged(config, store, 0.6)
    parked = ask(second)
    assert parked.method_name == "execute_complete"
    assert timedelta(hours=71) < parked.timeout <= timedelta(hours=72)
    sent = asking.sent[-1]
    assert (sent.ti_id, sent.options, sent.defaults) == (TASK, ["Approve", "Reject"], ["Reject"])
    assert sent.subject == f"Shall {second} become champion of {DATASET}?"
    assert sent.body is not None
    assert f"| metric | {second} | {first} |" in sent.body
    assert "| exact_match (decisive) | 0.6 | 0.5 |" in sent.body
    assert "it is rejected." in sent.body
    assert set(sent.params or {}) == {"reason"}
    assert store.verdict(second, Stage.PROMOTION) is None
    champion = store.champion(DATASET)
    assert champion is not None
    assert champion.candidate == first


def test_nobody_is_asked_about_a_candidate_that_loses_anyway(
    config: Config, store: RecordStore, asking: Supervisor
) -> None:
    first = judged(config, store, 0.5)
    ask(first)
    go_on(first, "Approve")
    asked = len(asking.sent)
    for candidate in (judged(config, store, 0.4), judged(config, store, 0.9, evaluation=Outcome.REFUSED)):
        with pytest.raises(AirflowSkipException, match="held"):
            PromoteModel(task_id="promote").execute(context(candidate))
        assert verdict(store, candidate).answer is None
    assert len(asking.sent) == asked


def test_a_task_that_is_cleared_asks_the_same_again_with_the_time_that_is_left(
    config: Config, store: RecordStore, asking: Supervisor
) -> None:
    candidate = judged(config, store, 0.5)
    first = ask(candidate)
    again = ask(candidate)
    assert again.timeout < first.timeout
    assert asking.sent[0].body == asking.sent[1].body


def test_a_second_run_of_the_same_candidate_asks_nobody(config: Config, store: RecordStore, asking: Supervisor) -> None:
    candidate = judged(config, store, 0.5)
    ask(candidate)
    with pytest.raises(AirflowSkipException, match="under way in Dag run run-1"):
        PromoteModel(task_id="promote").execute(context(candidate, run_id="run-2"))
    assert len(asking.sent) == 1


# The answer


def test_an_approved_candidate_is_champion_and_the_record_says_who_and_why(
    config: Config, store: RecordStore, asking: Supervisor, completions: Reader
) -> None:
    candidate = judged(config, store, 0.5)
    ask(candidate)
    assert go_on(candidate, "Approve", reason="Reads well.")["outcome"] == "promoted"
    made = verdict(store, candidate)
    assert (made.answer, made.answered_by, made.answer_reason) == ("approved", "grace", "Reads well.")
    assert made.reason.startswith("Approved by grace: Reads well. No champion yet")
    kept = store.read(answer_path(candidate), PersonsAnswer)
    assert kept is not None
    assert (kept.approved, kept.by, kept.through) == (True, "grace", "airflow")


def test_a_rejected_candidate_is_held_whatever_it_scored(
    config: Config, store: RecordStore, asking: Supervisor, completions: Reader
) -> None:
    candidate = judged(config, store, 0.9)
    ask(candidate)
    with pytest.raises(AirflowSkipException, match="Rejected by grace: It swears"):
        go_on(candidate, "Reject", reason="It swears.")
    made = verdict(store, candidate)
    assert (made.outcome, made.answer, made.reason) == (Outcome.HELD, "rejected", "Rejected by grace: It swears.")
    assert store.champion(DATASET) is None
    seen = completions.read_until("genops.promotion.held.v1")
    assert [one.data["reason"] for one in seen if one.attributes["ce-type"] == "genops.promotion.held.v1"] == [
        "Rejected by grace: It swears."
    ]


@pytest.mark.parametrize(("on_timeout", "outcome"), [("reject", Outcome.HELD), ("approve", Outcome.PROMOTED)])
def test_without_an_answer_the_configured_one_counts(
    config: Config,
    store: RecordStore,
    *,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path_factory: pytest.TempPathFactory,
    supervisor: Supervisor,
    on_timeout: str,
    outcome: Outcome,
) -> None:
    asks(config, monkeypatch, tmp_path_factory, on_timeout=on_timeout, answer_hours=0.5)
    candidate = judged(config, store, 0.5)
    assert ask(candidate).timeout <= timedelta(minutes=30)
    (default,) = supervisor.sent[0].defaults or []
    assert default.lower() == on_timeout
    if outcome is Outcome.HELD:
        with pytest.raises(AirflowSkipException):
            go_on(candidate, default, user=None)
    else:
        go_on(candidate, default, user=None)
    made = verdict(store, candidate)
    assert (made.outcome, made.answered_by) == (outcome, "nobody")
    assert "because nobody answered in time, as `promotion.on_timeout` says" in made.reason


def test_an_approved_candidate_that_is_overtaken_while_it_waits_is_held_and_both_are_explained(
    config: Config, store: RecordStore, asking: Supervisor
) -> None:
    slow, quick = judged(config, store, 0.5), judged(config, store, 0.8)
    ask(slow)
    ask(quick)
    go_on(quick, "Approve")
    with pytest.raises(AirflowSkipException):
        go_on(slow, "Approve")
    made = verdict(store, slow)
    assert (made.outcome, made.answer, made.champion_before) == (Outcome.HELD, "approved", quick)
    assert made.reason.startswith("Approved by grace: No reason was given. The candidate's 0.5 does not exceed")


def test_a_late_candidate_is_asked_about_and_takes_the_place_once_it_is_approved(
    config: Config, store: RecordStore, asking: Supervisor
) -> None:
    newer = judged(config, store, 0.5)
    ask(newer)
    go_on(newer, "Approve")
    older = judged(config, store, 0.9)
    arrival = store.read(arrival_path(older), Arrival)
    assert arrival is not None
    store.put(arrival_path(older), arrival.model_copy(update={"arrived_at": arrival.arrived_at - timedelta(hours=3)}))
    ask(older)
    go_on(older, "Approve")
    assert verdict(store, older).outcome is Outcome.PROMOTED
    assert f"Although it arrived 3 hours before {newer}" in verdict(store, older).reason
