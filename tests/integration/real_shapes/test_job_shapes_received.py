"""Jobs, their rows, and the model registry, as the real service was seen to tell them: received by the product's own clients."""

from __future__ import annotations

import asyncio
import json
from contextlib import closing
from typing import Any

import msgspec
import pytest
from cloud import DATASET, StandIns, until
from made_up import arrived
from shapes import Shape, shapes_of

from genops_events.cascade.paid_jobs import end_of
from genops_events.cascade.stage_end import settle_and_announce
from genops_events.cascade.stage_run import StageRun
from genops_events.catalogue.metrics import COMPUTED, computed
from genops_events.config import Config
from genops_events.config.answers import AnswerSettings
from genops_events.config.tuning import Tuning
from genops_events.errors import GenopsError, PermanentError
from genops_events.evaluation.vertex import scores
from genops_events.gcp.record_store import RecordStore
from genops_events.gemini.calls import Connection
from genops_events.gemini.prompts import read_rows
from genops_events.gemini.requests import Requests
from genops_events.inference import batch_jobs
from genops_events.inference.batch_output import joined
from genops_events.promotion.pruning import TunedModel, survey, take_away
from genops_events.reading.addresses import Readable
from genops_events.record.stages import Outcome, Stage
from genops_events.record.verdicts import TuningVerdict
from genops_events.tuning import jobs as tuning_jobs
from genops_events.tuning.end import TUNING_END, ended
from genops_events.tuning.results import ServedModel, billable_tokens_of, epochs_of, examples_of, served, steps_of
from genops_events.waiting.jobs import JobView
from genops_events.waiting.polling import JobEnd
from genops_events.waiting.views import JobKind, JobViews

pytestmark = pytest.mark.filterwarnings("ignore:The SDK's tuning implementation is experimental")

NOTHING = object()


def looked_at(config: Config, kind: JobKind, name: str) -> JobView:
    """Return the job as a listing shows it, which is what a look at it alone shows."""
    with closing(JobViews(kind, project=config.project, location=config.location)) as views:
        alone = views.one(name)
        (listed,) = views.first_page().jobs
    assert alone == listed
    return listed


def as_seen(view: JobView) -> dict[str, Any]:
    return {
        "job": view.name,
        "state": view.state,
        "detail": view.detail,
        "error": None if view.error is None else {"code": view.error.code, "message": view.error.message},
        "steps_done": view.steps,
        "steps_total": view.steps_total,
        "created": None if view.created_at is None else view.created_at.isoformat(),
    }


def assert_is_as_expected(shape: Shape, found: dict[str, Any]) -> None:
    expected = {name: value for name, value in shape.expect.items() if name in found}
    assert {name: found[name] for name in expected} == expected, shape.told["otherwise"]


@pytest.mark.parametrize("shape", shapes_of("tuning_jobs"), ids=str)
def test_a_tuning_job_is_waited_for_and_concluded_by_what_it_says(
    shape: Shape, config: Config, cloud: StandIns
) -> None:
    page = {"method": "tuningJobs.list", "document": {"tuningJobs": [shape.document]}}
    cloud.vertex.faults(answers=[shape.answer("tuningJobs.get"), page])
    name = shape.expect["job"]
    job = tuning_jobs.get(config, name)
    tuned = job.tuned_model
    said = {
        "end": end_of(job),
        "examples": examples_of(job),
        "billable_tokens": billable_tokens_of(job),
        "epochs": epochs_of(job),
        "steps": steps_of(job),
        "model": None if tuned is None else tuned.model,
        "endpoint": None if tuned is None else tuned.endpoint,
    }
    assert_is_as_expected(shape, as_seen(looked_at(config, JobKind.TUNING, name)) | said)
    told = shape.expect.get("served", NOTHING)
    if isinstance(told, str):
        with pytest.raises(PermanentError, match=told):
            served(job, Tuning())
    elif told is not NOTHING:
        assert served(job, Tuning()) == ServedModel(**told)


def test_a_model_that_a_failed_job_has_left_is_named_and_taken_away(
    config: Config, store: RecordStore, cloud: StandIns
) -> None:
    (shape,) = (one for one in shapes_of("tuning_jobs") if one.name == "failed_at_its_endpoint")
    name, model = shape.expect["job"], shape.expect["model"]
    cloud.vertex.faults(answers=[shape.answer("tuningJobs.get")])
    candidate = arrived(config, store).candidate
    verdict = ended(StageRun(Stage.TUNING, candidate, "run-1"), tuning_jobs.get(config, name), JobEnd.FAILED)
    assert isinstance(verdict, TuningVerdict)
    assert (verdict.outcome, verdict.model, verdict.endpoint) == (Outcome.FAILED, model, None)
    assert "Failed to create endpoint" in verdict.reason
    assert "`genops prune`" in verdict.reason_and_help
    assert verdict.cost_usd
    settle_and_announce(StageRun(Stage.TUNING, candidate, "run-1"), verdict, TUNING_END)
    (listed,) = survey(config, store, DATASET)
    assert (listed.model, listed.endpoint, listed.kept) == (model, None, None)
    assert take_away(config, store, [listed], by="ada") == [(candidate, "undeployed; its model was gone")]
    assert survey(config, store, DATASET) == []


@pytest.mark.parametrize("shape", shapes_of("batch_jobs"), ids=str)
def test_a_batch_job_is_waited_for_and_concluded_by_what_it_says(shape: Shape, config: Config, cloud: StandIns) -> None:
    page = {"method": "batchPredictionJobs.list", "document": {"batchPredictionJobs": [shape.document]}}
    cloud.vertex.faults(answers=[shape.answer("batchPredictionJobs.get"), page])
    name = shape.expect["job"]
    job = batch_jobs.get(config, name)
    directory = None if job.output_info is None else job.output_info.gcs_output_directory
    seen = as_seen(looked_at(config, JobKind.BATCH, name))
    assert_is_as_expected(shape, seen | {"end": end_of(job), "directory": directory})


def test_the_rows_of_a_batch_are_kept_for_what_they_are(config: Config, store: RecordStore, cloud: StandIns) -> None:
    shapes = shapes_of("batch_rows")
    cloud.vertex.faults(job_seconds=0.2, batch_rows={f"What about {one}?": one.document for one in shapes})
    lines = [json.dumps({"prompt": f"What about {one}?"}).encode() for one in shapes]
    rows = list(read_rows(lines, readable=Readable(config.bucket, ())))
    requests, bucket = Requests(AnswerSettings()), store.bucket
    batch_jobs.write_input(bucket, "in.jsonl", rows, requests)
    made = batch_jobs.submit(
        config, candidate="a", model="gemini-2.5-flash", source=config.uri("in.jsonl"), target=config.uri("out/")
    )
    job = until(lambda: batch_jobs.get(config, str(made.name)), end_of, what="the end of the batch")
    assert job.output_info is not None
    directory = str(job.output_info.gcs_output_directory)
    kept = [json.loads(content) for _, content in joined(bucket, directory, iter(rows), requests, model="m")]
    for line, (shape, row) in enumerate(zip(shapes, kept, strict=True), start=1):
        if (reason := shape.expect.get("reason")) is not None and "answer" not in shape.expect:
            assert row["reason"] == f"Line {line}: {reason}", shape.told["otherwise"]
            continue
        assert {name: row.get(name) for name in shape.expect} == shape.expect, shape.told["otherwise"]


@pytest.mark.parametrize("shape", shapes_of("registry"), ids=str)
def test_a_model_is_taken_away_as_the_registry_tells(
    shape: Shape, config: Config, store: RecordStore, cloud: StandIns
) -> None:
    answers = [
        {"method": method, "document": document, "status": document.pop("__status", 200), "times": 1}
        for method, documents in shape.document["answers"].items()
        for document in documents
    ]
    cloud.vertex.faults(answers=answers)
    name = "projects/local-project/locations/us-central1"
    version = shape.document["answers"]["models.get"][0].get("versionId", "1")
    model = f"{name}/models/1402067540926005248@{version}"
    loser = TunedModel("banking77-0000000000000001", "banking77", "held", model, f"{name}/endpoints/1", None)
    if "error" in shape.expect:
        with pytest.raises(GenopsError, match=shape.expect["says"]) as caught:
            take_away(config, store, [loser], by="ada")
        assert type(caught.value).__name__ == shape.expect["error"]
        return
    assert take_away(config, store, [loser], by="ada") == [(loser.candidate, shape.expect["told"])]


@pytest.mark.parametrize("shape", [one for one in shapes_of("evaluation") if one.told["metric"] in COMPUTED], ids=str)
def test_scores_come_as_they_were_given(shape: Shape, config: Config, cloud: StandIns) -> None:
    cloud.vertex.faults(answers=[shape.answer("evaluateInstances")])

    async def call() -> bytes:
        async with Connection(config, at_once=1) as connection:
            return await connection.post(connection.url_in(config.location, "evaluateInstances"), b"{}", what="score")

    content = msgspec.json.decode(asyncio.run(call()), type=dict[str, Any])
    given = scores(computed(shape.told["metric"]), content, count=shape.told["count"])
    assert [one.score for one in given] == shape.expect["scores"], shape.told["otherwise"]
