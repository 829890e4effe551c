"""Intake: arrivals are read past a watermark, each becomes a candidate once, and the one who made it wakes it."""

from __future__ import annotations

import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from airflow.sdk import DAG
from airflow.sdk.definitions._internal.contextmanager import DagContext
from airflow.sdk.exceptions import AirflowSkipException
from airflow_context import Airflow, Task, stage_run
from cloud import DATASET, PREFIX, StandIns, at_once
from made_up import now, taken_on
from sweeps import PATIENCE_SECONDS

from genops_events.airflow import activity, drain
from genops_events.airflow.activity import event_pages
from genops_events.airflow.assets import TRAINING_ARRIVALS, TRAINING_DATA
from genops_events.airflow.drain import OVERLAP, ArrivalsUnreadable, Watermark
from genops_events.airflow.intake import MintCandidates, sweep_interval
from genops_events.config import Config
from genops_events.config.identity import candidate_id
from genops_events.gcp.errors import CloudRefused, CloudUnavailable
from genops_events.gcp.record_store import RecordStore
from genops_events.intake.notifications import Notice
from genops_events.intake.open_candidates import open_candidates
from genops_events.record.intake import Arrival, Sweep
from genops_events.record.paths import arrival_path, sweep_path
from genops_events.record.stages import Stage

MINT = MintCandidates(task_id="mint")


def notice(config: Config, name: str, generation: int = 1) -> Notice:
    return Notice(bucket=config.bucket, object=f"{PREFIX}{name}", generation=generation)


def candidate(config: Config, name: str, generation: int = 1) -> str:
    return candidate_id(DATASET, config.bucket, f"{PREFIX}{name}", generation)


def minted(task: Task) -> set[str]:
    """Try the task once; return the candidates that it woke."""
    context = task.context()
    try:
        told = MINT.execute(context)
    except AirflowSkipException:
        assert task.woken.emitted == []
        return set()
    assert told == {"woken": len(task.woken.emitted), "candidates": task.woken.emitted}
    return set(task.woken.emitted)


@pytest.fixture
def airflow(store: RecordStore) -> Airflow:
    return Airflow()


def test_every_arrival_that_airflow_stored_becomes_a_candidate_and_is_woken_once(
    airflow: Airflow, config: Config, store: RecordStore
) -> None:
    names = [f"{number}.jsonl" for number in range(12)]
    for name in names:
        airflow.arrive(notice(config, name))
    assert minted(airflow.task()) == {candidate(config, name) for name in names}
    kept = store.read(arrival_path(candidate(config, names[0])), Arrival)
    assert kept is not None
    assert kept.found_by == "notification"
    assert {one.candidate for one in open_candidates(store)} == {candidate(config, name) for name in names}
    assert minted(airflow.task(run_id="intake-2")) == set()


def test_a_redelivered_arrival_wakes_nobody_and_an_overwritten_object_is_another_candidate(
    airflow: Airflow, config: Config
) -> None:
    airflow.arrive(notice(config, "a.jsonl"))
    assert len(minted(airflow.task())) == 1
    airflow.arrive(notice(config, "a.jsonl"))
    airflow.arrive(notice(config, "a.jsonl", 2))
    airflow.arrive(notice(config, "a.jsonl", 2))
    assert minted(airflow.task(run_id="intake-2")) == {candidate(config, "a.jsonl", 2)}


def test_an_event_that_is_stored_later_than_its_time_says_is_not_passed_over(airflow: Airflow, config: Config) -> None:
    airflow.arrive(notice(config, "quick.jsonl"))
    assert len(minted(airflow.task())) == 1
    airflow.arrive(notice(config, "slow.jsonl"), at=now() - OVERLAP / 2)
    assert minted(airflow.task(run_id="intake-2")) == {candidate(config, "slow.jsonl")}
    assert minted(airflow.task(run_id="intake-3")) == set()


def test_a_known_event_is_not_written_again(airflow: Airflow, cloud: StandIns, config: Config) -> None:
    airflow.arrive(notice(config, "a.jsonl"))
    minted(airflow.task())
    cloud.storage.faults(error_code="403", error_share=1.0, error_methods=["objects.insert"])
    assert minted(airflow.task(run_id="intake-2")) == set()


def test_a_task_that_died_before_its_wake_ups_were_stored_wakes_them_when_it_is_tried_again(
    airflow: Airflow, config: Config, store: RecordStore
) -> None:
    for name in ("begun.jsonl", "dropped.jsonl"):
        airflow.arrive(notice(config, name))
    dying = airflow.task()
    assert len(minted(dying)) == 2
    # Another run comes between, and moves the watermark; it wakes only what it records itself.
    airflow.arrive(notice(config, "new.jsonl"))
    assert minted(airflow.task(run_id="intake-2")) == {candidate(config, "new.jsonl")}
    for name in ("begun.jsonl", "new.jsonl"):
        taken_on(store, Stage.TUNING, candidate(config, name))
    assert minted(dying) == {candidate(config, "dropped.jsonl")}


def test_a_task_that_died_in_the_middle_of_recording_goes_on(
    airflow: Airflow, config: Config, store: RecordStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"{number}.jsonl" for number in range(30)]
    for name in names:
        airflow.arrive(notice(config, name))
    create = RecordStore.create
    written = 0

    def dying(self: RecordStore, path: str, document: Any) -> bool:
        nonlocal written
        written += 1
        if written > 25:
            raise CloudUnavailable("killed here", "")
        return create(self, path, document)

    task = airflow.task()
    with monkeypatch.context() as killed:
        killed.setattr(RecordStore, "create", dying)
        with pytest.raises(CloudUnavailable):
            MINT.execute(task.context())
    assert 0 < len(store.names("genops/candidates/")) < len(names)
    assert minted(task) == {candidate(config, name) for name in names}


def test_of_two_intakes_at_once_each_candidate_is_woken_by_one(airflow: Airflow, config: Config) -> None:
    names = [f"{number}.jsonl" for number in range(30)]
    for name in names:
        airflow.arrive(notice(config, name))
    tasks = [airflow.task(run_id=f"intake-{number}") for number in range(3)]
    woken = at_once(*(lambda task=task: minted(task) for task in tasks))
    assert sum(map(len, woken)) == len(names)
    assert set.union(*woken) == {candidate(config, name) for name in names}


def test_arrivals_wait_while_airflow_answers_with_an_error_and_none_is_lost(airflow: Airflow, config: Config) -> None:
    queued = airflow.arrive(notice(config, "a.jsonl"), created_dagruns=(stage_run(Stage.TUNING, "queued"),))
    task = airflow.task()
    with pytest.raises(ArrivalsUnreadable, match="is queued"):
        MINT.execute(task.context())
    airflow.events[TRAINING_ARRIVALS.name].remove(queued)
    airflow.arrive(notice(config, "a.jsonl"))
    assert minted(task) == {candidate(config, "a.jsonl")}


def test_what_airflow_told_before_an_error_is_woken_and_the_next_run_goes_on_there(
    airflow: Airflow, config: Config, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(activity, "EVENTS_A_PAGE", 4)
    names = [f"{number}.jsonl" for number in range(10)]
    for name in names[:9]:
        airflow.arrive(notice(config, name))
    queued = airflow.arrive(notice(config, names[9]), created_dagruns=(stage_run(Stage.TUNING, "queued"),))
    assert minted(airflow.task()) == {candidate(config, name) for name in names[:7]}  # pages overlap by one event
    assert any("hands out no arrivals" in one for one in caplog.messages)
    # Nothing new on the first page, and the second fails: another try may get further.
    with pytest.raises(ArrivalsUnreadable):
        MINT.execute(airflow.task(run_id="intake-2").context())
    airflow.events[TRAINING_ARRIVALS.name].remove(queued)
    airflow.arrive(notice(config, names[9]))
    assert minted(airflow.task(run_id="intake-3")) == {candidate(config, name) for name in names[7:]}


def test_what_is_no_arrival_is_passed_over_with_a_line_in_the_log(
    airflow: Airflow, config: Config, caplog: pytest.LogCaptureFixture
) -> None:
    airflow.arrive(None)
    airflow.happen(TRAINING_ARRIVALS, extra=None)
    airflow.arrive(notice(config, "a.jsonl").model_copy(update={"object": "elsewhere/a.jsonl"}))
    airflow.arrive(notice(config, "a.jsonl").model_copy(update={"bucket": "somebody-elses"}))
    airflow.arrive(notice(config, "a.jsonl").model_copy(update={"size_bytes": 2**64}))
    airflow.arrive(notice(config, "a.jsonl"))
    assert minted(airflow.task()) == {candidate(config, "a.jsonl")}
    assert sum("is no arrival and is passed over" in one for one in caplog.messages) == 2
    assert sum("was not made by the watcher" in one for one in caplog.messages) == 1
    assert sum("under no watched prefix" in one for one in caplog.messages) == 1
    assert sum("it lies in another bucket" in one for one in caplog.messages) == 1


@pytest.mark.parametrize(
    "extra",
    [{"from_rest_api": True}, {"from_rest_api": True, "from_trigger": True}, {"from_trigger": "true"}, {}],
    ids=["by REST", "by REST, disguised", "by a task, disguised", "by a task"],
)
def test_an_event_that_the_watcher_did_not_make_is_no_arrival(
    airflow: Airflow, config: Config, store: RecordStore, extra: dict[str, Any]
) -> None:
    airflow.happen(TRAINING_ARRIVALS, extra=extra | {"payload": notice(config, "a.jsonl").payload()})
    airflow.happen(
        TRAINING_ARRIVALS, extra=extra | {"payload": notice(config, "b.jsonl").payload() | {"bucket": "somebody-elses"}}
    )
    assert minted(airflow.task()) == set()
    assert store.names("genops/candidates/") == []


def test_time_and_size_of_an_arrival_are_the_objects_whatever_the_message_says(
    airflow: Airflow, config: Config, store: RecordStore
) -> None:
    blob = store.bucket.blob(f"{PREFIX}a.jsonl")
    blob.upload_from_string("12345")
    told = notice(config, "a.jsonl", int(blob.generation)).model_copy(update={"size_bytes": 10**12})
    # As an older watcher told it, from a message of the year 9999.
    payload = told.payload() | {"finalized_at": "9999-12-31T23:59:59Z"}
    airflow.happen(TRAINING_ARRIVALS, extra={"from_trigger": True, "payload": payload})
    (made,) = minted(airflow.task())
    kept = store.read(arrival_path(made), Arrival)
    assert kept is not None
    blob.reload()
    assert (kept.arrived_at, kept.size_bytes) == (blob.time_created, 5)


def test_an_object_that_is_gone_arrives_when_it_was_looked_for(
    airflow: Airflow, config: Config, store: RecordStore
) -> None:
    before = now()
    airflow.arrive(notice(config, "gone.jsonl", 2**63 - 1))
    (made,) = minted(airflow.task())
    kept = store.read(arrival_path(made), Arrival)
    assert kept is not None
    assert before <= kept.arrived_at <= now()


def test_a_pile_of_arrivals_is_woken_in_portions(
    airflow: Airflow, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(activity, "EVENTS_A_PAGE", 4)
    monkeypatch.setattr(drain, "WOKEN_AT_ONCE", 6)
    names = [f"{number}.jsonl" for number in range(20)]
    for name in names:
        airflow.arrive(notice(config, name))
    woken = [minted(airflow.task(run_id=f"intake-{number}")) for number in range(5)]
    assert all(6 <= len(one) < 10 for one in woken[:2])
    assert woken[-1] == set()
    assert sum(map(len, woken)) == len(names)
    assert set.union(*woken) == {candidate(config, name) for name in names}


# Reading events page by page


@pytest.mark.parametrize("size", [1, 2, 3, 7, 50])
def test_events_are_read_in_pages_each_once_also_where_many_have_one_time(
    airflow: Airflow, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    monkeypatch.setattr(activity, "EVENTS_A_PAGE", size)
    start = now() - timedelta(hours=1)
    moments = [start + timedelta(seconds=second) for second in (0, 1, 1, 1, 1, 1, 2, 3, 3, 9)]
    events = [airflow.arrive(None, at=moment) for moment in moments]
    pages = list(event_pages(airflow.task().context(), TRAINING_ARRIVALS, None))
    assert [one for page in pages for one in page] == events
    since = list(event_pages(airflow.task().context(), TRAINING_ARRIVALS, moments[1]))
    assert [one for page in since for one in page] == events[1:]


def test_a_watermark_never_goes_back_and_stays_small() -> None:
    start = now()
    marked = Watermark().advanced([(start + timedelta(milliseconds=number), number) for number in range(20_000)])
    assert marked.until == start + timedelta(milliseconds=19_999)
    assert max(marked.seen) == 19_999
    assert len(marked.model_dump_json()) < 64 * 1024
    assert marked.advanced([]) == marked
    assert marked.advanced([(start, 1)]).until == marked.until


def test_a_watermark_of_another_version_means_that_everything_is_read_again(airflow: Airflow, config: Config) -> None:
    airflow.arrive(notice(config, "a.jsonl"))
    airflow.arrivals_state.set("drained", {"until": "no time", "seen": 3})
    assert minted(airflow.task()) == {candidate(config, "a.jsonl")}
    airflow.arrivals_state.set("drained", {"run_id": "intake-1", "from": None, "until": now().isoformat()})
    assert minted(airflow.task(run_id="intake-2")) == set()


# The sweep, as part of the task


def test_only_runs_of_the_clock_or_of_a_person_sweep(airflow: Airflow, config: Config, store: RecordStore) -> None:
    minted(airflow.task())
    assert store.read(sweep_path(), Sweep) is None
    for number, run_type in enumerate(("scheduled", "manual")):
        task = airflow.task(run_id=f"sweep-{number}", run_type=run_type)
        minted(task)
        swept = store.read(sweep_path(), Sweep)
        assert swept is not None
        assert swept.run_id == task.run_id
        assert swept.next_due_at - swept.started_at == timedelta(minutes=config.intake.sweep_minutes)
        assert swept.reached_end
        assert task.pushed["sweep"]["objects"] == 0


def test_arrivals_are_woken_also_where_the_sweep_fails(
    airflow: Airflow, cloud: StandIns, config: Config, store: RecordStore
) -> None:
    airflow.arrive(notice(config, "a.jsonl"))
    cloud.storage.faults(error_code="403", error_share=1.0, error_methods=["objects.list"])
    assert minted(airflow.task(run_type="scheduled")) == {candidate(config, "a.jsonl")}
    swept = store.read(sweep_path(), Sweep)
    assert swept is not None
    assert swept.error is not None
    assert "403" in swept.error
    assert not swept.reached_end


def test_what_the_sweep_found_is_woken_also_where_the_arrivals_cannot_be_read(
    airflow: Airflow, config: Config, store: RecordStore, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = yaml.safe_load((tmp_path / "genops.yaml").read_text())
    settings["intake"] = {"patience_minutes": PATIENCE_SECONDS / 60}
    (tmp_path / "genops.yaml").write_text(yaml.safe_dump(settings))
    lost = store.bucket.blob(f"{PREFIX}lost.jsonl")
    lost.upload_from_string(b"x")
    queued = airflow.arrive(notice(config, "a.jsonl"), created_dagruns=(stage_run(Stage.TUNING, "queued"),))
    time.sleep(PATIENCE_SECONDS + 0.05)
    woken = minted(airflow.task(run_type="scheduled"))
    assert woken == {candidate(config, "lost.jsonl", int(lost.generation))}
    assert any("left to the next run" in one for one in caplog.messages)
    airflow.events[TRAINING_ARRIVALS.name].remove(queued)
    airflow.arrive(notice(config, "a.jsonl"), at=queued.timestamp)
    assert minted(airflow.task(run_id="intake-2")) == {candidate(config, "a.jsonl")}


def test_a_task_whose_arrivals_cannot_be_recorded_fails_and_keeps_its_watermark(
    airflow: Airflow, cloud: StandIns, config: Config
) -> None:
    airflow.arrive(notice(config, "a.jsonl"))
    cloud.storage.faults(error_code="403", error_share=1.0, error_methods=["objects.insert"])
    task = airflow.task()
    with pytest.raises(CloudRefused):
        MINT.execute(task.context())
    cloud.storage.faults()
    assert minted(task) == {candidate(config, "a.jsonl")}


# The Dag


@pytest.mark.parametrize(
    ("text", "minutes"),
    [("intake: {sweep_minutes: 7}\n", 7), ("intake: {sweep_minutes: seven}\n", 10), ("\tno yaml: [", 10), (None, 10)],
)
def test_the_dag_keeps_its_watcher_and_a_clock_whatever_is_wrong_in_the_configuration(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, config: Config, text: str | None, minutes: int
) -> None:
    file = tmp_path / "other.yaml"
    if text is not None:
        rest = yaml.safe_load((tmp_path / "genops.yaml").read_text())
        rest.pop("intake", None)
        file.write_text(text + yaml.safe_dump(rest))
    monkeypatch.setenv("GENOPS_CONFIG", str(file))
    assert sweep_interval() == timedelta(minutes=minutes)
    dag = dag_of("genops_intake")
    assert dag.timetable.timetable.delta == timedelta(minutes=minutes)
    assert [one.name for one in dag.timetable.asset_condition.watchers] == ["gcs_arrivals"]


def test_the_intake_dag_never_lets_a_run_queue_behind_a_sweep_and_comes_first() -> None:
    dag = dag_of("genops_intake")
    (mint,) = dag.tasks
    assert dag.max_active_runs > mint.max_active_tis_per_dag > 1
    others = [task for name in Stage for task in dag_of(f"genops_{name}").tasks]
    assert all(mint.priority_weight > one.priority_weight for one in others)
    assert mint.outlets == [TRAINING_DATA]


def test_a_new_file_is_validated_first_then_comes_what_is_short_then_who_has_come_furthest() -> None:
    weights = [
        next(one.priority_weight for one in dag_of(f"genops_{dag}").tasks if one.task_id == task)
        for dag, task in (
            ("tuning", "validate"),
            ("promotion", "promote"),
            ("budget", "check"),
            ("inference", "answer"),
            ("evaluation", "evaluate"),
            ("comparison", "plan"),
        )
    ]
    assert weights == sorted(set(weights), reverse=True)


def dag_of(name: str) -> DAG:
    """Return the Dag that the file of this name defines."""
    path = Path(__file__).resolve().parents[3] / "dags" / f"{name}.py"
    DagContext.autoregistered_dags.clear()
    DagContext.current_autoregister_module_name = __name__
    exec(compile(path.read_text(), str(path), "exec"), {"__name__": name, "__doc__": ""})
    ((dag, _),) = DagContext.autoregistered_dags
    return dag
