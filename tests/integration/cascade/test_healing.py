"""The sweep heals what was lost, only that, and says what and why."""

from __future__ import annotations

import time
from datetime import timedelta

import pytest
from airflow_context import Airflow, long_ago, stage_run
from cloud import DATASET, PREFIX, Reader, StandIns, at_once
from made_up import ended, now, taken_on, tuned
from sweeps import PATIENCE_SECONDS, minted, swept

from genops_events.airflow.assets import (
    BUDGETED_MODEL,
    EVALUATED_MODEL,
    TRAINING_DATA,
    TUNED_MODEL,
)
from genops_events.airflow.healing import sweep
from genops_events.config import Config, Intake
from genops_events.config.identity import candidate_id
from genops_events.gcp import outbox
from genops_events.gcp.outbox import announce
from genops_events.gcp.parts import remove_parts
from genops_events.gcp.record_store import RecordStore
from genops_events.intake.open_candidates import claim_waking, mint, open_candidates
from genops_events.record.evaluation import judgements_prefix
from genops_events.record.events import announcement, announcement_path
from genops_events.record.inference import parts_prefix
from genops_events.record.intake import Arrival, Sweep
from genops_events.record.paths import arrival_path, attempt_path, folder, open_path, return_path, verdict_path
from genops_events.record.retries import Return
from genops_events.record.stages import Outcome, Stage
from genops_events.record.tuning import Attempt
from genops_events.tuning.jobs import TUNING_JOBS
from genops_events.waiting import queue

pytestmark = pytest.mark.little_patience


ENDS_WITH_FAILED_INFERENCE = {
    Stage.EVALUATION: Outcome.PASSED,
    Stage.BUDGET: Outcome.APPROVED,
    Stage.PROMOTION: Outcome.PROMOTED,
    Stage.INFERENCE: Outcome.FAILED,
}


def announced(config: Config, store: RecordStore, stage: Stage, outcome: Outcome, candidate: str) -> None:
    announce(config, store, ended(store, stage, outcome, candidate))


def reasons(figures: Sweep) -> list[tuple[str, str, str | None]]:
    return sorted((one.kind, one.candidate, one.stage) for one in figures.healed)


# Arrivals


def test_an_object_that_no_message_told_of_becomes_a_candidate_and_the_figures_say_so(
    airflow: Airflow, config: Config, store: RecordStore, caplog: pytest.LogCaptureFixture
) -> None:
    blob = store.bucket.blob(f"{PREFIX}silent.jsonl")
    blob.upload_from_string(b"x")
    candidate = candidate_id(DATASET, config.bucket, blob.name, int(blob.generation))
    woken, figures = swept(airflow, config, store)
    assert woken == {candidate}
    assert reasons(figures) == [("lost_arrival", candidate, None)]
    assert (figures.lost_arrivals, figures.objects, figures.reached_end) == (1, 1, True)
    assert any(candidate in line and "without a candidate" in line for line in caplog.messages)
    kept = store.read(arrival_path(candidate), Arrival)
    assert kept is not None
    assert kept.found_by == "sweep"


def test_a_marker_without_an_arrival_becomes_a_candidate(airflow: Airflow, config: Config, store: RecordStore) -> None:
    candidate = minted(config, store)
    store.bucket.delete_blob(arrival_path(candidate))
    woken, figures = swept(airflow, config, store)
    assert woken == {candidate}
    assert reasons(figures) == [("lost_arrival", candidate, None)]
    assert store.read(arrival_path(candidate), Arrival) == store.read(open_path(candidate), Arrival)


def test_a_marker_that_cannot_be_read_keeps_no_other_from_being_healed(
    airflow: Airflow, config: Config, store: RecordStore
) -> None:
    store.bucket.blob(open_path("broken")).upload_from_string(b"{")
    candidate = minted(config, store)
    assert swept(airflow, config, store)[0] == {candidate}


# Wake-ups


def test_a_candidate_that_nobody_took_on_is_woken_once_in_a_patience(
    airflow: Airflow, config: Config, store: RecordStore
) -> None:
    candidate = minted(config, store)
    assert swept(airflow, config, store, impatient=True)[0] == set()
    woken, figures = swept(airflow, config, store)
    assert woken == {candidate}
    assert reasons(figures) == [("woken_stage", candidate, "tuning")]
    assert figures.open_candidates == 1
    assert swept(airflow, config, store, impatient=True)[0] == set(), "it may be on its way"
    assert swept(airflow, config, store)[0] == {candidate}


def test_a_candidate_that_no_wake_up_helps_is_left_in_peace_for_longer_until_it_moves(
    airflow: Airflow, config: Config, store: RecordStore
) -> None:
    candidate = minted(config, store)
    assert [len(swept(airflow, config, store)[0]) for _ in range(2)] == [1, 1]
    for _ in range(10):
        assert claim_waking(store, open_candidates(store)[0])
    # Twelve in all: it rests for patience times 2048 now, ten minutes here.
    assert swept(airflow, config, store)[0] == set()
    announce(config, store, tuned(store, candidate))
    assert swept(airflow, config, store)[0] == {candidate}


def test_of_sweeps_at_once_one_wakes_a_candidate(airflow: Airflow, config: Config, store: RecordStore) -> None:
    candidate = minted(config, store)
    time.sleep(PATIENCE_SECONDS + 0.05)

    def one() -> set[str]:
        return sweep(airflow.task(run_type="manual").context(), config, RecordStore.open(config)).woken

    assert sorted(at_once(one, one, one), key=len) == [set(), set(), {candidate}]


@pytest.mark.parametrize("state", ["queued", "running"])
def test_a_stage_that_airflow_is_about_to_begin_is_left_alone(
    airflow: Airflow, config: Config, store: RecordStore, state: str
) -> None:
    candidate = minted(config, store)
    other = minted(config, store, "other.jsonl")
    airflow.wake(TRAINING_DATA, candidate, stage_run(Stage.TUNING, state))
    airflow.wake(TRAINING_DATA, other, stage_run(Stage.TUNING, "success"))
    woken, figures = swept(airflow, config, store)
    # A queued run hides from whom it is: Airflow answers with an error, and nobody is woken.
    assert woken == (set() if state == "queued" else {other})
    assert figures.left_alone == ({"unknown": 2} if state == "queued" else {"under_way": 1})


def test_a_candidate_whose_next_stage_waits_is_woken_by_its_first(
    airflow: Airflow, config: Config, store: RecordStore
) -> None:
    candidate = minted(config, store)
    announce(config, store, tuned(store, candidate))
    announced(config, store, Stage.EVALUATION, Outcome.PASSED, candidate)
    announced(config, store, Stage.BUDGET, Outcome.APPROVED, candidate)
    airflow.wake(TUNED_MODEL, candidate, stage_run(Stage.BUDGET, "success"))
    assert swept(airflow, config, store)[0] == {candidate}
    for asset in (EVALUATED_MODEL, BUDGETED_MODEL):
        event = airflow.wake(asset, candidate, stage_run(Stage.PROMOTION, "running"))
        assert swept(airflow, config, store)[0] == set(), asset.name
        airflow.events[asset.name].remove(event)
    assert swept(airflow, config, store)[0] == {candidate}


def test_airflow_is_asked_for_events_only_where_something_waits_and_something_runs(
    airflow: Airflow, config: Config, store: RecordStore
) -> None:
    rejected = minted(config, store)
    announced(config, store, Stage.TUNING, Outcome.REJECTED, rejected)
    airflow.wake(TRAINING_DATA, rejected, stage_run(Stage.TUNING, "success"))
    minted(config, store, "other.jsonl")
    assert len(swept(airflow, config, store)[0]) == 1
    assert airflow.asked == []


def test_nothing_is_woken_for_a_paused_dag_and_all_is_once_it_is_unpaused(
    airflow: Airflow, config: Config, store: RecordStore, caplog: pytest.LogCaptureFixture
) -> None:
    candidate = minted(config, store)
    announce(config, store, tuned(store, candidate))
    announced(config, store, Stage.BUDGET, Outcome.APPROVED, candidate)
    airflow.paused.add("genops_evaluation")
    for _ in range(2):
        woken, figures = swept(airflow, config, store)
        assert woken == set()
        assert figures.left_alone == {"paused": 1}
    assert "genops_evaluation is paused; candidates that wait for it are woken once it is not" in caplog.messages
    airflow.paused.clear()
    assert swept(airflow, config, store)[0] == {candidate}


def test_after_an_hour_of_silence_a_candidate_is_woken_although_airflow_cannot_be_asked(
    airflow: Airflow, config: Config, store: RecordStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    candidate = minted(config, store)
    airflow.wake(TRAINING_DATA, "another", stage_run(Stage.TUNING, "queued"))
    assert swept(airflow, config, store)[0] == set()
    monkeypatch.setattr("genops_events.intake.traces.SILENCE", timedelta(seconds=PATIENCE_SECONDS))
    assert swept(airflow, config, store)[0] == {candidate}


def test_runs_that_were_woken_before_the_candidate_moved_are_not_read(
    airflow: Airflow, config: Config, store: RecordStore
) -> None:
    candidate = minted(config, store)
    airflow.happen(
        TRAINING_DATA, partition_key="x", created_dagruns=(stage_run(Stage.TUNING, "queued"),), at=long_ago()
    )
    assert swept(airflow, config, store)[0] == {candidate}


# Verdicts


def test_a_verdict_that_was_never_announced_is_settled_and_announced(
    airflow: Airflow, config: Config, store: RecordStore, completions: Reader
) -> None:
    unwritten, unpublished = minted(config, store, "1.jsonl"), minted(config, store, "2.jsonl")
    for candidate in (unwritten, unpublished):
        made = ended(store, Stage.TUNING, Outcome.REJECTED, candidate)
    path = announcement_path(unpublished, Stage.TUNING, Outcome.REJECTED)
    assert store.create(path, announcement(made, bucket=config.bucket, now=now()))
    woken, figures = swept(airflow, config, store)
    assert woken == set()
    assert figures.unannounced_verdicts == 2
    told = completions.read_some()
    while len(told) < 2:
        told += completions.read_some()
    assert {one.attributes["ce-subject"] for one in told} == {unwritten, unpublished}
    assert swept(airflow, config, store)[1].unannounced_verdicts == 0
    assert completions.read() == []


def test_who_was_cancelled_in_the_queue_is_ended_without_waiting_for_its_turn(
    airflow: Airflow, config: Config, store: RecordStore, completions: Reader
) -> None:
    airflow.task_states = {"run-1": {"validate": "success", "tune": None}}
    waiting, submitting = (minted(config, store, name) for name in ("waiting.jsonl", "submitting.jsonl"))
    for candidate in (waiting, submitting):
        taken_on(store, Stage.TUNING, candidate)
        queue.enter(store, candidate, since=now())
        TUNING_JOBS.ask_to_cancel(config, store, candidate, by="ada", reason="Wrong file.")
    # Whose job may exist already is left to its task, which cancels it.
    store.create(attempt_path(submitting), Attempt(candidate=submitting, written_at=now()))
    _, figures = swept(airflow, config, store)
    assert reasons(figures) == [("closed_stage", waiting, "tuning")]
    verdict = store.verdict(waiting, Stage.TUNING)
    assert verdict is not None
    assert (verdict.outcome, "ada" in verdict.reason) == (Outcome.REJECTED, True)
    assert store.verdict(submitting, Stage.TUNING) is None
    assert queue.waiting(store) == [submitting]
    assert [one.attributes["ce-type"] for one in completions.read_some()] == ["genops.candidate.rejected.v1"]


def test_a_stage_whose_dag_run_is_over_without_a_verdict_goes_on_and_no_other(
    airflow: Airflow, config: Config, store: RecordStore, completions: Reader
) -> None:
    states = {
        "over": {"validate": "success", "tune": "failed"},
        "waits": {"validate": "success", "tune": "deferred"},
        "not-scheduled": {"validate": "success", "tune": None},
        "retried": {"validate": "success", "tune": "up_for_retry"},
    }
    airflow.task_states = states
    candidates = {run_id: minted(config, store, f"{run_id}.jsonl") for run_id in (*states, "gone")}
    for run_id, candidate in candidates.items():
        taken_on(store, Stage.TUNING, candidate, run_id=run_id)
    woken, figures = swept(airflow, config, store)
    lost = {candidates["over"], candidates["gone"]}
    assert woken == lost
    assert {(one.candidate, one.kind) for one in figures.healed} == {
        (one, kind) for one in lost for kind in ("returned_stage", "woken_stage")
    }
    assert (figures.returned_stages, figures.closed_stages) == (2, 0)
    for run_id, candidate in candidates.items():
        assert store.verdict(candidate, Stage.TUNING) is None
        kept = store.read(return_path(candidate, Stage.TUNING, 1), Return)
        assert (kept.run_id if kept else None) == (run_id if candidate in lost else None)
    assert completions.read() == []


def test_a_candidate_that_cannot_be_healed_keeps_no_other_from_it(
    airflow: Airflow, config: Config, store: RecordStore
) -> None:
    broken, sound = minted(config, store, "1.jsonl"), minted(config, store, "2.jsonl")
    store.bucket.blob(verdict_path(broken, Stage.TUNING)).upload_from_string(b"{")
    ended(store, Stage.TUNING, Outcome.REJECTED, sound)
    _, figures = swept(airflow, config, store)
    assert {one.candidate for one in figures.healed} == {sound}


# Markers


def test_a_topic_that_takes_no_events_keeps_no_lost_arrival_from_being_found(
    airflow: Airflow, config: Config, store: RecordStore, cloud: StandIns, monkeypatch: pytest.MonkeyPatch
) -> None:
    unannounced = minted(config, store)
    ended(store, Stage.TUNING, Outcome.REJECTED, unannounced)
    waiting = minted(config, store, "b.jsonl")
    blob = store.bucket.blob(f"{PREFIX}silent.jsonl")
    blob.upload_from_string(b"x")
    monkeypatch.setattr(outbox, "PUBLISH_TIMEOUT_SECONDS", 0.7)
    cloud.pubsub.faults(error_code="UNAVAILABLE", error_share=1.0, error_methods=["Publish"])
    woken, figures = swept(airflow, config, store)
    cloud.pubsub.faults()
    assert woken == {waiting, candidate_id(DATASET, config.bucket, blob.name, int(blob.generation))}
    assert figures.unannounced_verdicts == 0
    assert figures.error is not None
    assert swept(airflow, config, store)[1].unannounced_verdicts == 1


def test_the_marker_of_a_settled_candidate_goes_and_those_of_all_others_stay(
    airflow: Airflow, config: Config, store: RecordStore
) -> None:
    rejected = minted(config, store, "rejected.jsonl")
    announced(config, store, Stage.TUNING, Outcome.REJECTED, rejected)
    silent = minted(config, store, "silent.jsonl")
    ended(store, Stage.TUNING, Outcome.REJECTED, silent)
    under_way = minted(config, store, "under-way.jsonl")
    taken_on(store, Stage.TUNING, under_way)
    airflow.task_states["run-1"] = {"tune": "deferred"}
    failed = minted(config, store, "failed.jsonl")
    announce(config, store, tuned(store, failed))
    taken_on(store, Stage.BUDGET, failed, run_id="run-1")
    announced(config, store, Stage.EVALUATION, Outcome.FAILED, failed)
    patient = config.model_copy(update={"intake": Intake(patience_minutes=5)})  # however long the lines above took
    assert swept(airflow, patient, store, impatient=True)[1].open_candidates == 4
    _, figures = swept(airflow, config, store)
    # What was announced just now has to be quiet for a while, too.
    assert {one.candidate for one in open_candidates(store)} == {silent, under_way, failed}
    assert figures.open_candidates == 3
    swept(airflow, config, store)
    assert {one.candidate for one in open_candidates(store)} == {under_way, failed}


def test_what_work_could_not_remove_at_once_goes_with_the_marker(
    cloud: StandIns, airflow: Airflow, config: Config, store: RecordStore
) -> None:
    candidate = minted(config, store)
    answers = f"{folder(candidate)}answers/evaluation.parts/"
    prefixes = [parts_prefix(candidate), judgements_prefix(candidate), answers]
    cloud.storage.faults(object_write_seconds=3600)
    for prefix in prefixes:
        store.bucket.blob(f"{prefix}1.jsonl").upload_from_string("{}")
        remove_parts(store.bucket, prefix)
        assert store.names(prefix) == [f"{prefix}1.jsonl"], "written within the hour"
    cloud.storage.faults()
    announced(config, store, Stage.TUNING, Outcome.REJECTED, candidate)
    kept = set(store.names(folder(candidate))) - {f"{prefix}1.jsonl" for prefix in prefixes}
    swept(airflow, config, store)
    assert open_candidates(store) == []
    assert set(store.names(folder(candidate))) == kept


def test_what_a_failed_stage_has_paid_for_stays(airflow: Airflow, config: Config, store: RecordStore) -> None:
    candidate = minted(config, store)
    kept = f"{parts_prefix(candidate)}1.jsonl"
    store.bucket.blob(kept).upload_from_string("{}")
    announce(config, store, tuned(store, candidate))
    for stage, outcome in ENDS_WITH_FAILED_INFERENCE.items():
        announced(config, store, stage, outcome, candidate)
    swept(airflow, config, store)
    assert open_candidates(store) == []
    assert store.names(parts_prefix(candidate)) == [kept], "`genops retry` goes on with it"


def test_a_late_duplicate_opens_an_ended_candidate_again_and_the_next_sweep_closes_it(
    airflow: Airflow, config: Config, store: RecordStore
) -> None:
    candidate = minted(config, store)
    announced(config, store, Stage.TUNING, Outcome.REJECTED, candidate)
    swept(airflow, config, store)
    assert open_candidates(store) == []
    kept = store.read(arrival_path(candidate), Arrival)
    assert kept is not None
    late = kept.model_copy(update={"written_at": kept.written_at + timedelta(minutes=1)})
    assert mint(store, [late]) == set()
    assert swept(airflow, config, store)[0] == set()
    assert open_candidates(store) == []
