"""The tuning trigger: it fires once, for every way in which a job can end, and for nothing else."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from datetime import UTC, datetime, timedelta

import pytest
from airflow._shared.module_loading import import_string
from cloud import DATASET, StandIns, until
from waiting import HANG_SECONDS

from genops_events.config import Config
from genops_events.tuning import jobs as tuning_jobs
from genops_events.waiting.views import JobPage, JobViews
from triggers.tuning_job import TuningJobTrigger

pytestmark = pytest.mark.filterwarnings("ignore:The SDK's tuning implementation is experimental")


@pytest.fixture
def job(config: Config, training_uri: str, cloud: StandIns, request: pytest.FixtureRequest) -> str:
    """The name of a job that was submitted under the faults that the test names."""
    cloud.vertex.faults(**{"job_seconds": 0.2, **getattr(request, "param", {})})
    candidate = f"{DATASET}-{uuid.uuid4().hex[:16]}"
    submitted = tuning_jobs.submit(config, config.dataset(DATASET), candidate=candidate, training_uri=training_uri)
    assert submitted.name
    return str(submitted.name)


def waiting_for(config: Config, job: str, *, seconds: float = 60.0, poll_seconds: float = 0.1) -> TuningJobTrigger:
    return TuningJobTrigger(
        project=config.project,
        location=config.location,
        job=job,
        poll_seconds=poll_seconds,
        deadline=(datetime.now(UTC) + timedelta(seconds=seconds)).isoformat(),
    )


async def fired(trigger: TuningJobTrigger) -> str:
    """Return the end that the trigger tells of; it must fire once, and end by itself."""
    async with asyncio.timeout(HANG_SECONDS):
        (event,) = [event async for event in trigger.run()]
    assert event.payload["job"] == trigger.job
    assert json.loads(json.dumps(event.payload)) == event.payload
    return str(event.payload["end"])


@pytest.mark.parametrize(
    ("job", "end"),
    [
        ({"job_outcome": "succeeded"}, "succeeded"),
        ({"job_outcome": "failed"}, "failed"),
        ({"job_outcome": "cancelled"}, "cancelled"),
        ({"job_outcome": "expired"}, "expired"),
        ({"job_vanishes": True}, "vanished"),
    ],
    indirect=["job"],
)
async def test_the_trigger_tells_how_the_job_ended(config: Config, job: str, end: str) -> None:
    assert await fired(waiting_for(config, job)) == end


@pytest.mark.parametrize("job", [{"job_hangs": True}], indirect=True)
async def test_a_job_that_hangs_is_given_up_at_its_deadline_and_goes_on(config: Config, job: str) -> None:
    begun = time.monotonic()
    assert await fired(waiting_for(config, job, seconds=0.6)) == "timed_out"
    assert time.monotonic() - begun >= 0.6
    state = (await asyncio.to_thread(tuning_jobs.get, config, job)).state
    assert state is not None
    assert state.value == "JOB_STATE_RUNNING"


@pytest.mark.parametrize("job", [{"job_hangs": True}], indirect=True)
async def test_a_job_that_is_cancelled_while_it_is_waited_for_ends_the_wait(config: Config, job: str) -> None:
    waiting = asyncio.create_task(fired(waiting_for(config, job)))
    await asyncio.to_thread(tuning_jobs.cancel, config, job)
    assert await waiting == "cancelled"


@pytest.mark.parametrize("code", ["503", "429", "403"])
async def test_looks_that_fail_do_not_end_the_wait(cloud: StandIns, config: Config, job: str, code: str) -> None:
    cloud.vertex.faults(error_code=code, error_share=1.0)
    before = cloud.vertex_calls("tuningJobs.list")
    waiting = asyncio.create_task(fired(waiting_for(config, job)))
    async with asyncio.timeout(HANG_SECONDS):
        while await asyncio.to_thread(cloud.vertex_calls, "tuningJobs.list") < before + 3:
            assert not waiting.done()
            await asyncio.sleep(0.02)
    await asyncio.to_thread(cloud.vertex.faults)
    assert await waiting == "succeeded"


async def test_a_service_that_stays_away_past_the_deadline_ends_the_wait(
    cloud: StandIns, config: Config, job: str
) -> None:
    cloud.vertex.faults(error_code="503", error_share=1.0)
    assert await fired(waiting_for(config, job, seconds=0.5)) == "timed_out"


async def test_a_job_that_is_absent_for_a_moment_has_not_vanished(
    cloud: StandIns, config: Config, job: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A listing that lags behind: the job is looked at alone, and is not found there either, twice.
    nothing = JobPage((), more=False)
    monkeypatch.setattr(JobViews, "first_page", lambda _: nothing)
    cloud.vertex.faults(error_code="404", error_share=1.0, error_methods=["tuningJobs.get"])
    before = cloud.vertex_calls("tuningJobs.get")
    waiting = asyncio.create_task(fired(waiting_for(config, job, poll_seconds=0.5)))
    async with asyncio.timeout(HANG_SECONDS):
        while await asyncio.to_thread(cloud.vertex_calls, "tuningJobs.get") < before + 2:  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.02)
    await asyncio.to_thread(cloud.vertex.faults)
    assert await waiting == "succeeded"


async def test_the_first_look_comes_after_a_pause(config: Config, job: str) -> None:
    await asyncio.to_thread(until, lambda: tuning_jobs.get(config, job).tuned_model)
    begun = time.monotonic()
    assert await fired(waiting_for(config, job, poll_seconds=0.5)) == "succeeded"
    # docs/adr/0005: a task that comes back before its executor told that it was deferred is taken for killed.
    assert time.monotonic() - begun >= 0.5


def test_the_trigger_comes_back_from_the_database_as_it_was() -> None:
    deadline = datetime(2026, 11, 23, 1, 2, 3, tzinfo=UTC).isoformat()
    made = TuningJobTrigger(project="p", location="l", job="j", poll_seconds=1.5, deadline=deadline)
    path, given = made.serialize()
    again = import_string(path)(**json.loads(json.dumps(given)))
    assert isinstance(again, TuningJobTrigger)
    assert again.serialize() == made.serialize()
