"""One poller for all waits: few calls, every wait answered, progress told, and a job cancelled only when a person ends its task."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from airflow.jobs.triggerer_job_runner import TriggerRunner
from airflow.sdk.bases.xcom import BaseXCom
from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance
from cloud import DATASET, Reader, StandIns
from google.genai import types
from made_up import arrived, now
from waiting import FOREVER_SECONDS, HANG_SECONDS, until

from genops_events.config import Config
from genops_events.gcp.clients import genai_client
from genops_events.gcp.record_store import RecordStore
from genops_events.record import paths as record_paths
from genops_events.record.holds import Intent
from genops_events.record.stages import Outcome, Stage
from genops_events.record.tuning import Cancellation, Submission, TuningProgress
from genops_events.record.verdicts import TuningVerdict
from genops_events.tuning import jobs as tuning_jobs
from genops_events.tuning.jobs import TUNING_JOBS
from genops_events.tuning.results import billable_tokens_of, epochs_of, steps_of
from genops_events.waiting.jobs import JobError, JobView
from genops_events.waiting.poller import JobPoller
from genops_events.waiting.views import JobKind, JobViews
from triggers.batch_job import BatchJobTrigger
from triggers.tuning_job import TuningJobTrigger
from triggers.vertex_job import VertexJobTrigger

pytestmark = pytest.mark.filterwarnings("ignore:The SDK's tuning implementation is experimental")

RUN = "asset_triggered__2026-11-23"


@pytest.fixture
def make_jobs(config: Config, training_uri: str) -> Callable[[int], list[str]]:
    def make(number: int) -> list[str]:
        with genai_client(config.project, config.location) as client:
            made = [
                client.tunings.tune(
                    base_model="gemini-2.5-flash",
                    training_dataset=types.TuningDataset(gcs_uri=training_uri),
                    config=types.CreateTuningJobConfig(epoch_count=3),
                )
                for _ in range(number)
            ]
        return [str(job.name) for job in made]

    return make


@dataclass(frozen=True)
class Task:
    """As much of a deferred task instance as a trigger asks for."""

    dag_id: str = "genops_tuning"
    task_id: str = "tune"
    run_id: str = RUN
    map_index: int = -1
    try_number: int = 1
    id: str = "0198"
    context_carrier: None = None


def waiting_for(config: Config, job: str, *, poll_seconds: float = 0.3, candidate: str = "") -> TuningJobTrigger:
    return TuningJobTrigger(
        project=config.project,
        location=config.location,
        job=job,
        poll_seconds=poll_seconds,
        deadline=(datetime.now(UTC) + timedelta(minutes=5)).isoformat(),
        began=datetime.now(UTC).isoformat(),
        candidate=candidate,
    )


async def end_of(trigger: VertexJobTrigger) -> str:
    (event,) = [event async for event in trigger.run()]
    return str(event.payload["end"])


async def test_250_waits_take_three_calls_a_look_and_all_are_answered(
    cloud: StandIns, config: Config, make_jobs: Callable[[int], list[str]]
) -> None:
    cloud.vertex.faults(job_hangs=True)
    jobs = await asyncio.to_thread(make_jobs, 250)
    gets = cloud.vertex_calls("tuningJobs.get")
    tasks = asyncio.all_tasks()
    waits = [asyncio.create_task(end_of(waiting_for(config, job, poll_seconds=1.0))) for job in jobs]
    before = cloud.vertex_calls("tuningJobs.list")
    begun = time.monotonic()
    await asyncio.to_thread(until, lambda: cloud.vertex_calls("tuningJobs.list") >= before + 9)
    looks = 1 + (time.monotonic() - begun) / 0.9
    assert cloud.vertex_calls("tuningJobs.list") - before <= 3 * looks + 3
    for job in jobs[::50]:
        await asyncio.to_thread(tuning_jobs.cancel, config, job)
    await asyncio.to_thread(until, lambda: sum(one.done() for one in waits) == 5)
    assert {one.result() for one in waits if one.done()} == {"cancelled"}
    assert cloud.vertex_calls("tuningJobs.get") == gets
    for one in waits:
        one.cancel()
    await asyncio.gather(*waits, return_exceptions=True)
    # It ends with its last waiter, and leaves nothing behind in the triggerer.
    async with asyncio.timeout(HANG_SECONDS):
        while asyncio.all_tasks() > tasks:  # noqa: ASYNC110 - tasks that end by themselves
            await asyncio.sleep(0.02)
    assert not JobPoller._shared


async def test_old_jobs_below_the_listing_of_others_are_asked_for_alone(
    cloud: StandIns, config: Config, make_jobs: Callable[[int], list[str]]
) -> None:
    cloud.vertex.faults(job_seconds=0.1)
    (mine,) = await asyncio.to_thread(make_jobs, 1)
    await asyncio.to_thread(make_jobs, 120)
    before = cloud.vertex_calls("tuningJobs.list"), cloud.vertex_calls("tuningJobs.get")
    assert await end_of(waiting_for(config, mine)) == "succeeded"
    assert cloud.vertex_calls("tuningJobs.list") - before[0] == 1
    assert cloud.vertex_calls("tuningJobs.get") - before[1] == 1


async def test_another_s_round_does_not_bring_a_task_back_sooner_than_its_own_first_look(
    cloud: StandIns, config: Config, make_jobs: Callable[[int], list[str]]
) -> None:
    cloud.vertex.faults(job_seconds=0.1)
    (ended,) = await asyncio.to_thread(make_jobs, 1)
    cloud.vertex.faults(job_hangs=True)
    (other,) = await asyncio.to_thread(make_jobs, 1)
    busy = asyncio.create_task(end_of(waiting_for(config, other, poll_seconds=0.2)))
    before = cloud.vertex_calls("tuningJobs.list")
    begun = time.monotonic()
    waiting = asyncio.create_task(end_of(waiting_for(config, ended, poll_seconds=2.0)))
    await asyncio.to_thread(until, lambda: cloud.vertex_calls("tuningJobs.list") >= before + 3)
    assert await waiting == "succeeded"
    # docs/adr/0005: a task that comes back before its executor told that it was deferred is taken for killed.
    assert time.monotonic() - begun >= 2.0
    busy.cancel()
    await asyncio.gather(busy, return_exceptions=True)


async def test_the_service_s_own_word_on_when_to_come_back_is_kept(
    cloud: StandIns, config: Config, make_jobs: Callable[[int], list[str]]
) -> None:
    (job,) = await asyncio.to_thread(make_jobs, 1)
    cloud.vertex.faults(
        error_code="429", error_share=1.0, error_methods=["tuningJobs.list", "tuningJobs.get"], retry_after_seconds=2
    )
    before = cloud.vertex_calls("tuningJobs.list")
    begun = time.monotonic()
    waiting = asyncio.create_task(end_of(waiting_for(config, job, poll_seconds=0.1)))
    await asyncio.to_thread(until, lambda: cloud.vertex_calls("tuningJobs.list") > before)
    await asyncio.to_thread(cloud.vertex.faults)
    assert await waiting == "succeeded"
    assert time.monotonic() - begun >= 2.0


async def test_how_far_a_job_is_goes_to_the_task_s_log_and_to_the_record(
    cloud: StandIns, config: Config, store: RecordStore, make_jobs: Callable[[int], list[str]], capsys: Any
) -> None:
    cloud.vertex.faults(job_hangs=True, job_seconds=4)  # half-way, where nobody can miss it
    begun = now()
    candidate = arrived(config, store).candidate
    (job,) = await asyncio.to_thread(make_jobs, 1)
    waiting = asyncio.create_task(end_of(waiting_for(config, job, candidate=candidate)))

    def progress() -> TuningProgress | None:
        return store.read(record_paths.progress_path(candidate), TuningProgress)

    await asyncio.to_thread(until, lambda: (found := progress()) is not None and found.epochs == 1)
    found = progress()
    assert found is not None
    assert (found.job, found.epochs_total) == (job, 3)
    assert found.steps_total == 9
    assert found.tokens
    assert found.expected_end_at is not None
    assert found.expected_end_at > begun
    await asyncio.to_thread(tuning_jobs.cancel, config, job)
    assert await waiting == "cancelled"
    assert "epoch 2 of 3" in capsys.readouterr().out


async def test_a_record_that_cannot_be_written_keeps_nobody_waiting(
    cloud: StandIns, config: Config, store: RecordStore, make_jobs: Callable[[int], list[str]]
) -> None:
    (job,) = await asyncio.to_thread(make_jobs, 1)
    cloud.storage.faults(error_code="403", error_share=1.0, error_methods=["objects.insert"])
    assert await end_of(waiting_for(config, job, candidate=f"{DATASET}-{uuid.uuid4().hex[:16]}")) == "succeeded"


async def test_jobs_that_cannot_be_looked_at_keep_no_other_from_its_end(
    cloud: StandIns, config: Config, make_jobs: Callable[[int], list[str]]
) -> None:
    cloud.vertex.faults(job_vanishes=True)
    (gone,) = await asyncio.to_thread(make_jobs, 1)
    odd = [f"projects/{config.project}/locations/{config.location}/unknownThings/{n}" for n in range(3)]
    waits = [asyncio.create_task(end_of(waiting_for(config, job))) for job in odd]
    async with asyncio.timeout(HANG_SECONDS):
        assert await end_of(waiting_for(config, gone)) == "vanished"
    assert not any(one.done() for one in waits)
    for one in waits:
        one.cancel()
    await asyncio.gather(*waits, return_exceptions=True)


@pytest.mark.parametrize("outcome", ["succeeded", "failed"])
async def test_a_look_says_of_a_job_what_google_genai_says(
    cloud: StandIns, config: Config, make_jobs: Callable[[int], list[str]], outcome: str
) -> None:
    cloud.vertex.faults(job_outcome=outcome, job_seconds=1.0)
    (name,) = await asyncio.to_thread(make_jobs, 1)
    await asyncio.to_thread(until, lambda: outcome.upper() in state_of(config, name))
    job = await asyncio.to_thread(tuning_jobs.get, config, name)
    views = JobViews(JobKind.TUNING, project=config.project, location=config.location)
    listed = next(one for one in views.first_page().jobs if one.name == job.name)
    views.close()
    error = None if job.error is None else JobError(job.error.code, job.error.message or "")
    assert listed == JobView(
        name=name,
        state=state_of(config, name),
        created_at=job.create_time,
        started_at=job.start_time,
        error=error,
        epochs=int(job.tuning_job_metadata.completed_epoch_count),  # type: ignore[union-attr, arg-type]
        epochs_total=epochs_of(job),
        steps=None,  # told of reinforcement tuning alone
        steps_total=steps_of(job),
        tokens=billable_tokens_of(job),
    )
    assert (listed.epochs, listed.steps_total, listed.tokens) == (3, 9, billable_tokens_of(job))
    assert (listed.error is None) == (outcome == "succeeded")


@pytest.mark.parametrize("outcome", ["succeeded", "partially_succeeded", "cancelled"])
async def test_batch_prediction_jobs_are_waited_for_in_the_same_way(
    cloud: StandIns, config: Config, store: RecordStore, outcome: str
) -> None:
    cloud.vertex.faults(job_outcome=outcome, job_seconds=1.0)
    rows = [{"request": {"contents": [{"role": "user", "parts": [{"text": f"question {n}"}]}]}} for n in range(4)]
    store.bucket.blob("rows.jsonl").upload_from_string("\n".join(map(json.dumps, rows)))

    def create() -> str:
        with genai_client(config.project, config.location) as client:
            made = client.batches.create(
                model="gemini-2.5-flash",
                src=f"gs://{config.bucket}/rows.jsonl",
                config=types.CreateBatchJobConfig(dest=f"gs://{config.bucket}/answers"),
            )
        return str(made.name)

    jobs = [await asyncio.to_thread(create) for _ in range(3)]
    gets = cloud.vertex_calls("batchPredictionJobs.get")
    triggers = [
        BatchJobTrigger(
            project=config.project,
            location=config.location,
            job=job,
            poll_seconds=0.3,
            deadline=(datetime.now(UTC) + timedelta(minutes=5)).isoformat(),
        )
        for job in jobs
    ]
    assert await asyncio.gather(*map(end_of, triggers)) == [outcome] * 3
    assert cloud.vertex_calls("batchPredictionJobs.get") == gets


# A person ends the task: Airflow calls `on_kill`, and also when another triggerer has taken the wait over.


@pytest.fixture
def tuned(cloud: StandIns, config: Config, store: RecordStore, training_uri: str) -> tuple[str, str]:
    """A candidate whose tuning is under way in RUN, and its job."""
    cloud.vertex.faults(job_seconds=600)
    candidate = arrived(config, store).candidate
    job = tuning_jobs.submit(config, config.dataset(DATASET), candidate=candidate, training_uri=training_uri).name
    assert job is not None
    intent = Intent(candidate=candidate, written_at=now(), stage=Stage.TUNING, run_id=RUN, started_at=now())
    store.create(record_paths.intent_path(candidate, Stage.TUNING), intent)
    store.create(record_paths.submission_path(candidate), Submission(candidate=candidate, written_at=now(), job=job))
    return candidate, job


def state_of(config: Config, job: str) -> str:
    found = tuning_jobs.get(config, job).state
    return "" if found is None else str(found.value)


async def killed(
    monkeypatch: pytest.MonkeyPatch,
    config: Config,
    candidate: str,
    job: str,
    answer: Any,
    *,
    run_id: str = RUN,
    waiting_try: int = 1,
) -> None:
    """Do what Airflow does to a trigger that is taken away, while the task is in the state that `answer` says."""

    def get_task_states(**_: Any) -> Any:
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(RuntimeTaskInstance, "get_task_states", staticmethod(get_task_states))
    monkeypatch.setattr(BaseXCom, "get_one", classmethod(lambda *_, **__: waiting_try))
    trigger = waiting_for(config, job, candidate=candidate)
    trigger.task_instance = Task(run_id=run_id)  # type: ignore[assignment]
    await trigger.on_kill()


@pytest.mark.parametrize(
    "answer",
    [{RUN: {"tune": "deferred"}}, {RUN: {"tune": "success"}}, RuntimeError("the API server is away")],
    ids=["taken over by another triggerer", "marked as a success", "nobody can tell"],
)
async def test_the_job_goes_on_unless_a_person_has_ended_its_task(
    monkeypatch: pytest.MonkeyPatch, config: Config, store: RecordStore, tuned: tuple[str, str], answer: Any
) -> None:
    await killed(monkeypatch, config, *tuned, answer)
    assert await asyncio.to_thread(state_of, config, tuned[1]) in {"JOB_STATE_PENDING", "JOB_STATE_RUNNING"}
    assert store.read(record_paths.cancellation_path(tuned[0]), Cancellation) is None


async def test_airflow_that_cancels_again_and_again_does_not_interrupt_the_cancelling(
    monkeypatch: pytest.MonkeyPatch, config: Config, store: RecordStore, tuned: tuple[str, str]
) -> None:
    ending = asyncio.create_task(killed(monkeypatch, config, *tuned, {RUN: {"tune": "failed"}}))
    while not ending.done():  # as Airflow does at each look, until the trigger is gone
        await asyncio.sleep(0.01)
        ending.cancel()
    await ending
    assert await asyncio.to_thread(state_of, config, tuned[1]) in {"JOB_STATE_CANCELLING", "JOB_STATE_CANCELLED"}
    assert store.read(record_paths.cancellation_path(tuned[0]), Cancellation) is not None


async def test_what_is_done_at_the_end_of_a_wait_is_in_the_task_s_log_however_often_airflow_cancels(
    monkeypatch: pytest.MonkeyPatch, cloud: StandIns, config: Config, tuned: tuple[str, str], capsys: Any
) -> None:
    candidate, job = tuned
    answer = {RUN: {"tune": "failed"}}
    monkeypatch.setattr(RuntimeTaskInstance, "get_task_states", staticmethod(lambda **_: answer))
    trigger = waiting_for(config, job, candidate=candidate)
    trigger.task_instance = Task(run_id=RUN)  # type: ignore[assignment]
    runner = TriggerRunner()
    task = asyncio.create_task(runner.run_trigger(1, trigger))
    runner.triggers[1] = {"task": task, "is_watcher": False, "name": "the wait", "events": 0}
    before = cloud.vertex_calls("tuningJobs.list")
    await asyncio.to_thread(until, lambda: cloud.vertex_calls("tuningJobs.list") > before, what="it waits")
    cloud.vertex.faults(delay_methods_seconds={"tuningJobs.cancel": FOREVER_SECONDS})
    runner.to_cancel.append(1)
    await runner.cancel_triggers()
    await asyncio.to_thread(
        until, lambda: cloud.vertex.delayed() == {"tuningJobs.cancel": 1}, what="it cancels the job"
    )
    for _ in range(5):  # at each look, until the trigger is gone
        runner.to_cancel.append(1)
        await runner.cancel_triggers()
        await asyncio.sleep(0.01)
    assert not task.done(), "its log would be closed"
    await asyncio.to_thread(cloud.vertex.let_go)
    with pytest.raises(asyncio.CancelledError):
        await task
    said = capsys.readouterr().out
    assert 0 < said.find(f"Asked Vertex AI to cancel {job}: its task was ended") < said.find("trigger completed"), said


@pytest.mark.parametrize("answer", [{RUN: {"tune": "failed"}}, {}], ids=["marked failed", "Dag run deleted"])
async def test_ending_the_task_cancels_the_job_and_ends_the_candidate(  # noqa: PLR0917
    monkeypatch: pytest.MonkeyPatch,
    config: Config,
    store: RecordStore,
    completions: Reader,
    tuned: tuple[str, str],
    answer: Any,
) -> None:
    candidate, job = tuned
    await killed(monkeypatch, config, candidate, job, answer)
    await asyncio.to_thread(until, lambda: state_of(config, job) == "JOB_STATE_CANCELLED")
    verdict = store.verdict(candidate, Stage.TUNING)
    assert isinstance(verdict, TuningVerdict)
    assert (verdict.outcome, verdict.end, verdict.job) == (Outcome.FAILED, "cancelled", job)
    assert "Airflow" in verdict.reason
    (event,) = await asyncio.to_thread(completions.read_some)
    assert event.attributes["ce-type"] == "genops.tuning.failed.v1"
    assert event.data["end"] == "cancelled"


@pytest.mark.parametrize(
    ("state", "waiting_try"), [(None, 1), ("running", 1), ("deferred", 2)], ids=["not yet", "running", "waiting again"]
)
async def test_clearing_the_task_cancels_the_job_and_leaves_the_verdict_to_the_task_that_runs_again(  # noqa: PLR0917
    monkeypatch: pytest.MonkeyPatch,
    config: Config,
    store: RecordStore,
    tuned: tuple[str, str],
    state: str | None,
    waiting_try: int,
) -> None:
    candidate, job = tuned
    await killed(monkeypatch, config, candidate, job, {RUN: {"tune": state}}, waiting_try=waiting_try)
    await asyncio.to_thread(until, lambda: state_of(config, job) == "JOB_STATE_CANCELLED")
    assert store.verdict(candidate, Stage.TUNING) is None
    wish = store.read(record_paths.cancellation_path(candidate), Cancellation)
    assert wish is not None
    assert (wish.by, "cleared" in wish.reason) == ("Airflow", True)


async def test_another_dag_run_s_task_has_no_say_over_the_job(
    monkeypatch: pytest.MonkeyPatch, config: Config, store: RecordStore, tuned: tuple[str, str]
) -> None:
    await killed(monkeypatch, config, *tuned, {"other": {"tune": "failed"}}, run_id="other")
    assert await asyncio.to_thread(state_of, config, tuned[1]) in {"JOB_STATE_PENDING", "JOB_STATE_RUNNING"}
    assert store.verdict(tuned[0], Stage.TUNING) is None


async def test_cancelling_twice_or_too_late_cancels_nothing_more_and_raises_nothing(
    cloud: StandIns, config: Config, store: RecordStore, tuned: tuple[str, str]
) -> None:
    candidate, job = tuned
    cancelled = await asyncio.to_thread(
        TUNING_JOBS.ask_to_cancel, config, store, candidate, by="ada", reason="Wrong file."
    )
    assert cancelled == [job]
    await asyncio.to_thread(until, lambda: state_of(config, job) == "JOB_STATE_CANCELLED")
    assert (
        await asyncio.to_thread(TUNING_JOBS.ask_to_cancel, config, store, candidate, by="bob", reason="As well.") == []
    )
    wish = store.read(record_paths.cancellation_path(candidate), Cancellation)
    assert wish is not None
    assert wish.by == "ada"
