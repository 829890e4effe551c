"""Batch prediction jobs as google-genai sees them."""

from __future__ import annotations

import json
import signal
from typing import TYPE_CHECKING, Any

import pytest
from google.genai import errors, types

if TYPE_CHECKING:
    from vertex_stand_in import VertexStandIn

pytestmark = pytest.mark.filterwarnings("ignore:The SDK's tuning implementation is experimental")

QUESTIONS = ["phone stolen", "exchange: a currency rate", "top up rejected"]


def rows(*questions: str) -> bytes:
    contents = ([{"role": "user", "parts": [{"text": question}]}] for question in questions)
    return b"".join(json.dumps({"request": {"contents": one}}).encode() + b"\n" for one in contents)


def submit(vertex: VertexStandIn, content: bytes | None = None, model: str | None = None) -> types.BatchJob:
    """Submit a batch job, on good rows and the base model unless told otherwise."""
    return vertex.client.batches.create(
        model=model or vertex.base_model,
        src=vertex.bucket.put("rows.jsonl", rows(*QUESTIONS) if content is None else content),
        config=types.CreateBatchJobConfig(display_name="a batch", dest="gs://bucket/answers/batch"),
    )


def get(vertex: VertexStandIn, job: types.BatchJob) -> types.BatchJob:
    return vertex.client.batches.get(name=str(job.name))


def reached(vertex: VertexStandIn, job: types.BatchJob, *states: str) -> types.BatchJob:
    from vertex_stand_in import until

    return until(lambda: get(vertex, job), lambda one: one.state in states, what=f"{job.name} to be {states}")


def ended(vertex: VertexStandIn, job: types.BatchJob) -> types.BatchJob:
    from vertex_stand_in import TERMINAL

    return reached(vertex, job, *TERMINAL)


def predictions(vertex: VertexStandIn, job: types.BatchJob) -> list[dict[str, Any]]:
    """Return the lines that the job has written to where it says."""
    assert job.output_info
    assert job.output_info.gcs_output_directory
    name = job.output_info.gcs_output_directory.removeprefix("gs://bucket/") + "/predictions.jsonl"
    return [json.loads(line) for line in vertex.bucket.objects[name].splitlines()]


def texts(lines: list[dict[str, Any]]) -> list[str]:
    return [line["response"]["candidates"][0]["content"]["parts"][0]["text"] for line in lines]


def test_a_batch_really_answers_with_the_model_or_endpoint_asked_for(
    vertex: VertexStandIn, tuned: types.TunedModel
) -> None:
    assert tuned.model
    assert tuned.endpoint
    for model in (tuned.endpoint, tuned.model):
        job = ended(vertex, submit(vertex, model=model))
        assert job.state == types.JobState.JOB_STATE_SUCCEEDED, job.error
        assert (job.model, job.display_name) == (model, "a batch")
        assert job.completion_stats
        assert (job.completion_stats.successful_count, job.completion_stats.failed_count) == (3, 0)
        assert job.output_info
        assert str(job.output_info.gcs_output_directory).startswith("gs://bucket/answers/batch/prediction-model-20")
        assert job.create_time
        assert job.start_time
        assert job.end_time
        assert job.create_time < job.start_time < job.end_time
        lines = predictions(vertex, job)
        assert texts(lines) == vertex.answers(tuned.endpoint, [(question, "") for question in QUESTIONS])
        assert texts(lines)[0] == "lost_phone"
        assert [line["status"] for line in lines] == [""] * 3
        assert lines[0]["request"]["contents"][0]["parts"] == [{"text": QUESTIONS[0]}]
        assert lines[0]["response"]["usageMetadata"]["promptTokenCount"] == 4


def test_a_bad_row_gets_a_status_and_the_others_their_answers(vertex: VertexStandIn) -> None:
    bad = b'{nonsense\n{"question": "?"}\n{"request": {"contents": [{"role": "me", "parts": [{"text": "q"}]}]}}\n'
    job = ended(vertex, submit(vertex, rows("Good.") + bad))
    assert job.state == types.JobState.JOB_STATE_SUCCEEDED
    assert job.completion_stats
    assert (job.completion_stats.successful_count, job.completion_stats.failed_count) == (1, 3)
    good, *failed = predictions(vertex, job)
    assert texts([good]) == ["Good."]
    assert [line["status"].startswith('Bad Request: {"error":{"code":400') for line in failed] == [True] * 3
    assert [line["response"] for line in failed] == [{}] * 3
    assert "valid role" in failed[2]["status"]


async def test_the_asynchronous_client_creates_gets_lists_cancels_and_deletes(vertex: VertexStandIn) -> None:
    vertex.faults(job_seconds=1.0, job_hangs=True)
    uri = vertex.bucket.put("rows.jsonl", rows(*QUESTIONS))
    client = vertex.new_genai()
    async with client.aio as aio:
        config = types.CreateBatchJobConfig(display_name="asynchronous", dest="gs://bucket/answers")
        made = [str((await aio.batches.create(model=vertex.base_model, src=uri, config=config)).name) for _ in range(3)]
        wanted = types.ListBatchJobsConfig(page_size=2, filter='display_name="asynchronous"')
        pager = await aio.batches.list(config=wanted)
        assert len(pager) == 2
        assert [one.name async for one in pager] == made[::-1]
        with pytest.raises(errors.ClientError, match="cancel it first"):
            await aio.batches.delete(name=made[0])
        await aio.batches.cancel(name=made[0])
        assert (await aio.batches.get(name=made[0])).state == types.JobState.JOB_STATE_CANCELLING
    client.close()
    job = ended(vertex, types.BatchJob(name=made[0]))
    assert job.state == types.JobState.JOB_STATE_CANCELLED
    assert job.error
    assert job.error.code == 1
    assert job.output_info is None
    assert vertex.client.batches.delete(name=made[0]).done
    with pytest.raises(errors.ClientError, match="NOT_FOUND"):
        get(vertex, job)
    assert get(vertex, types.BatchJob(name=made[1])).state == types.JobState.JOB_STATE_RUNNING


@pytest.mark.parametrize(
    ("outcome", "code"), [("failed", 13), ("cancelled", 1), ("expired", None), ("partially_succeeded", None)]
)
def test_a_batch_ends_as_the_fault_settings_say(vertex: VertexStandIn, outcome: str, code: int | None) -> None:
    vertex.faults(job_seconds=0.2, job_outcome=outcome)
    job = ended(vertex, submit(vertex))
    assert job.state == f"JOB_STATE_{outcome.upper()}"
    assert (job.error and job.error.code) == code, "only what failed or was cancelled has an error"
    if outcome == "partially_succeeded":
        assert [bool(line["status"]) for line in predictions(vertex, job)] == [False, True, False]
        assert job.completion_stats
        assert (job.completion_stats.successful_count, job.completion_stats.failed_count) == (2, 1)
    else:
        assert job.output_info is None


def test_a_paused_batch_goes_on_when_it_is_resumed(vertex: VertexStandIn) -> None:
    vertex.faults(job_seconds=0.4, job_outcome="paused")
    job = reached(vertex, submit(vertex), "JOB_STATE_PAUSED")
    assert vertex.admin.post("/jobs/resume", params={"name": job.name}).json() == {"resumed": [job.name]}
    job = ended(vertex, job)
    assert job.state == types.JobState.JOB_STATE_SUCCEEDED
    assert len(predictions(vertex, job)) == 3


def test_a_batch_that_vanishes_is_found_by_no_call(vertex: VertexStandIn) -> None:
    vertex.faults(job_vanishes=True, job_error_code=8)
    job = submit(vertex)
    with pytest.raises(errors.ClientError, match="NOT_FOUND"):
        get(vertex, job)
    assert job.name not in [one.name for one in vertex.client.batches.list()]
    assert any(one["name"] == job.name and one["vanished"] for one in vertex.admin.get("/batches").json())


def test_a_batch_outlives_the_process_that_accepted_it(own_vertex: VertexStandIn) -> None:
    own_vertex.faults(job_seconds=1.0)
    job = submit(own_vertex)
    own_vertex.end(signal.SIGKILL)
    own_vertex.start()
    job = ended(own_vertex, job)
    assert job.state == types.JobState.JOB_STATE_SUCCEEDED
    assert len(predictions(own_vertex, job)) == 3


def test_a_batch_waits_for_storage_and_fails_without_rows(vertex: VertexStandIn) -> None:
    vertex.faults(job_seconds=0.2)
    job = submit(vertex)
    vertex.bucket.status = 503
    for _ in range(20):
        assert get(vertex, job).state in ("JOB_STATE_PENDING", "JOB_STATE_RUNNING", "JOB_STATE_SUCCEEDED")
    vertex.bucket.status = 200
    assert ended(vertex, job).state == types.JobState.JOB_STATE_SUCCEEDED
    empty = ended(vertex, submit(vertex, b"\n"))
    assert empty.state == types.JobState.JOB_STATE_FAILED
    assert empty.error
    assert (empty.error.code, empty.error.message) == (3, "The input has no rows.")


def test_a_batch_whose_input_is_not_there_is_accepted_and_fails(vertex: VertexStandIn) -> None:
    vertex.faults(job_seconds=0.2)
    accepted = vertex.client.batches.create(
        model=vertex.base_model,
        src="gs://bucket/nowhere.jsonl",
        config=types.CreateBatchJobConfig(dest="gs://bucket/answers"),
    )
    job = ended(vertex, accepted)
    assert job.state == types.JobState.JOB_STATE_FAILED
    assert job.error
    assert job.error.code == 3
    assert "gs://bucket/nowhere.jsonl cannot be read" in str(job.error.message)


@pytest.mark.parametrize(
    ("changes", "code", "reason"),
    [
        ({"model": "gemini-0.1-nano"}, 404, "was not found"),
        ({"model": "projects/local-project/locations/us-central1/endpoints/1"}, 404, "not found"),
        ({"src": "bq://p.d.t"}, 501, "batchPredictionJobs.create with bigquerySource"),
        ({"dest": "bq://p.d.t"}, 501, "batchPredictionJobs.create with bigqueryDestination"),
        ({"dest": "gs://"}, 400, "output_uri_prefix"),
    ],
)
def test_an_invalid_batch_is_refused(vertex: VertexStandIn, changes: dict[str, str], code: int, reason: str) -> None:
    uri = vertex.bucket.put("rows.jsonl", rows(*QUESTIONS))
    with pytest.raises(errors.APIError, match=reason) as refused:
        vertex.client.batches.create(
            model=changes.get("model", vertex.base_model),
            src=changes.get("src", uri),
            config=types.CreateBatchJobConfig(dest=changes.get("dest", "gs://bucket/answers")),
        )
    assert refused.value.code == code


def test_a_row_has_the_fields_that_a_text_in_its_request_asks_for(vertex: VertexStandIn) -> None:
    told = {"status": None, "request": {"labels": {"n": 7}}}
    vertex.faults(job_seconds=0.2, batch_rows={"currency": told})
    lines = predictions(vertex, ended(vertex, submit(vertex)))
    assert [line["status"] for line in lines] == ["", None, ""]
    assert [line["request"].get("labels") for line in lines] == [None, {"n": 7}, None]
    assert all(texts(lines))
