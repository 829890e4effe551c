"""`genops cancel`, through Google's clients on the stand-ins: what it ends, what it says, and how it exits."""

from __future__ import annotations

import json
import re
import uuid
from datetime import UTC, datetime
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException, TaskDeferred
from cloud import DATASET, PREFIX, Reader, StandIns, until
from made_up import arrived, context, ended, now, taken_on
from typer.testing import CliRunner

from genops_events.airflow.tuning import TuneModel, ValidateTrainingData
from genops_events.cascade.stage_run import StageRun
from genops_events.cli import app
from genops_events.config import Config
from genops_events.gcp.record_store import RecordStore
from genops_events.record.paths import cancellation_path, progress_path, submission_path
from genops_events.record.stages import Outcome, Stage
from genops_events.record.tuning import Cancellation, Submission, TuningProgress
from genops_events.tuning import jobs as tuning_jobs
from genops_events.waiting import queue

pytestmark = pytest.mark.filterwarnings("ignore:The SDK's tuning implementation is experimental")

EXAMPLE = {"contents": [{"role": "user", "parts": [{"text": "a"}]}, {"role": "model", "parts": [{"text": "b"}]}]}
ME = "operator@genops.local"


@pytest.fixture
def candidate(config: Config, store: RecordStore) -> str:
    """A candidate whose file is in the bucket, taken on by a Dag run that has not validated it yet."""
    blob = store.bucket.blob(f"{PREFIX}{uuid.uuid4().hex}.jsonl")
    blob.upload_from_string("\n".join([json.dumps(EXAMPLE)] * 40))
    made = arrived(config, store, name=blob.name, generation=int(blob.generation)).candidate
    taken_on(store, Stage.TUNING, made)
    return made


def cancel(candidate: str, *words: str) -> tuple[int, str]:
    """Return exit code and text of the command, folded to one line."""
    done = CliRunner().invoke(app, ["cancel", candidate, *words])
    assert done.stdout == ""
    return done.exit_code, " ".join(done.stderr.split())


def cancel_json(candidate: str, *words: str) -> tuple[int, dict[str, Any]]:
    done = CliRunner().invoke(app, ["cancel", candidate, "--json", *words])
    return done.exit_code, json.loads(done.stdout)


def submit(candidate: str) -> str:
    """Return the job that the stage submits, and waits for."""
    with pytest.raises(TaskDeferred) as deferred:
        TuneModel(task_id="tune").execute(context(candidate))
    return str((deferred.value.kwargs or {})["job"])


def state(config: Config, job: str) -> str:
    found = tuning_jobs.get(config, job).state
    assert found is not None
    return str(found.value)


def resume(candidate: str, job: str) -> None:
    TuneModel(task_id="tune").resume(context(candidate), {"job": job, "end": "cancelled"}, job)


def test_a_running_job_is_cancelled_and_the_verdict_and_its_event_say_by_whom_and_why(
    cloud: StandIns, config: Config, store: RecordStore, candidate: str, completions: Reader
) -> None:
    cloud.vertex.faults(job_seconds=600)
    job = submit(candidate)
    progress = TuningProgress(candidate=candidate, written_at=now(), job=job, state="tuning", epochs=0, epochs_total=3)
    store.put(progress_path(candidate), progress)
    code, text = cancel(candidate, "--reason", "Wrong\nfile")
    assert code == 0
    assert text == (
        f"Asked Vertex AI to cancel {job} (tuning, epoch 1 of 3). {candidate} ends as failed within a minute. "
        f"Follow it with: genops watch {candidate}"
    )
    until(lambda: state(config, job) == "JOB_STATE_CANCELLED")
    with pytest.raises(AirflowFailException, match="was cancelled by"):
        resume(candidate, job)
    verdict = store.verdict(candidate, Stage.TUNING)
    assert verdict is not None
    assert (verdict.outcome, verdict.reason) == (
        Outcome.FAILED,
        f"Tuning job {job} was cancelled by {ME}. Wrong file.",
    )
    assert verdict.figures()["end"] == "cancelled"
    (event,) = completions.read_some()
    assert event.attributes["ce-type"] == "genops.tuning.failed.v1"
    assert event.data["reason"] == verdict.reason


def test_whoever_asks_second_is_told_who_asked_first_and_the_verdict_names_that_one(
    cloud: StandIns, config: Config, store: RecordStore, candidate: str
) -> None:
    cloud.vertex.faults(job_seconds=600)
    job = submit(candidate)
    ada = Cancellation(candidate=candidate, written_at=now(), by="ada@laptop", reason="Wrong file.")
    store.create(cancellation_path(candidate), ada)  # and died before she asked Vertex AI
    code, document = cancel_json(candidate)
    assert (code, document["jobs"], document["asked_by"]) == (0, [job], "ada@laptop")
    assert "ada@laptop asked first, at " in document["text"]
    until(lambda: state(config, job) in {"JOB_STATE_CANCELLING", "JOB_STATE_CANCELLED"})
    code, text = cancel(candidate, "--reason", "Me too.")
    assert code == 0
    assert re.search(f"Tuning job {job} (is being cancelled already|has ended already, as cancelled)", text), text
    until(lambda: state(config, job) == "JOB_STATE_CANCELLED")
    code, text = cancel(candidate)
    assert code == 0
    assert f"Tuning job {job} has ended already, as cancelled. ada@laptop asked first" in text
    with pytest.raises(AirflowFailException, match=r"was cancelled by ada@laptop\. Wrong file\."):
        resume(candidate, job)


def test_before_a_job_is_submitted_the_candidate_ends_and_nothing_is_paid(
    cloud: StandIns, config: Config, store: RecordStore, candidate: str
) -> None:
    queue.enter(store, arrived(config, store).candidate, since=datetime(2026, 1, 1, tzinfo=UTC))
    ValidateTrainingData(task_id="validate").execute(context(candidate))
    code, text = cancel(candidate)
    assert code == 0
    assert text == (
        f"{candidate} has no tuning job yet (queued behind 1). It ends as rejected with the next sweep, or when its "
        f"turn comes: before anything is paid. Follow it with: genops watch {candidate}"
    )
    creations = cloud.vertex_calls("tuningJobs.create")
    verdict = TuneModel(task_id="tune").work(StageRun(Stage.TUNING, candidate, "run-1"), context(candidate))
    assert verdict.outcome is Outcome.REJECTED
    assert verdict.reason == f"Cancelled by {ME} before a tuning job was submitted. No reason was given."
    assert cloud.vertex_calls("tuningJobs.create") == creations
    assert verdict.cost_usd == 0


def test_tuning_that_has_ended_is_not_cancelled_and_the_command_says_how_it_ended(
    cloud: StandIns, config: Config, store: RecordStore, candidate: str
) -> None:
    ended(store, Stage.TUNING, Outcome.SUCCEEDED, candidate)
    code, text = cancel(candidate)
    assert code == 2
    assert re.match(rf"Tuning of {candidate} has ended already, as succeeded at .* UTC: nothing was cancelled\.", text)
    assert "`genops cancel` ends tuning only" in text
    assert not store.bucket.blob(cancellation_path(candidate)).exists()
    code, document = cancel_json(candidate)
    assert (code, document["cancelled"], document["jobs"], document["asked_by"]) == (2, False, [], None)


def test_a_job_that_ended_a_moment_ago_goes_on_to_its_own_verdict(
    cloud: StandIns, config: Config, store: RecordStore, candidate: str
) -> None:
    job = submit(candidate)
    until(lambda: state(config, job) == "JOB_STATE_SUCCEEDED")
    code, text = cancel(candidate)
    assert code == 2
    assert text.startswith(f"Tuning job {job} has ended already, as succeeded: nothing was cancelled.")
    assert TuneModel(task_id="tune").resume(context(candidate), {"job": job, "end": "succeeded"}, job)["outcome"] == (
        "succeeded"
    )


def test_a_job_that_no_listing_shows_is_cancelled_by_its_recorded_name(
    cloud: StandIns, config: Config, store: RecordStore, candidate: str
) -> None:
    cloud.vertex.faults(job_seconds=600)
    other = arrived(config, store).candidate
    # Its label is another's: to a listing by label, it is as invisible as one that was made a moment ago.
    uri = f"gs://{config.bucket}/{store.names(PREFIX)[0]}"
    job = tuning_jobs.submit(config, config.dataset(DATASET), candidate=other, training_uri=uri).name
    assert job is not None
    store.create(submission_path(candidate), Submission(candidate=candidate, written_at=now(), job=job))
    code, document = cancel_json(candidate)
    assert (code, document["jobs"]) == (0, [job])
    until(lambda: state(config, job) == "JOB_STATE_CANCELLED")


def test_a_job_that_vertex_ai_has_lost_is_not_called_cancelled(
    cloud: StandIns, store: RecordStore, candidate: str
) -> None:
    job = "projects/genops-local/locations/us-central1/tuningJobs/404"
    store.create(submission_path(candidate), Submission(candidate=candidate, written_at=now(), job=job))
    code, text = cancel(candidate)
    assert code == 2
    assert text.startswith(f"Vertex AI does not know tuning job {job} any more: nothing was cancelled.")


@pytest.mark.parametrize(
    ("candidate", "said"),
    [
        (f"{DATASET}-0123456789abcdef", "The record knows no candidate banking77-0123456789abcdef"),
        ("banking77-xyz", "'banking77-xyz' is no candidate id."),
    ],
)
def test_a_candidate_that_nobody_knows_is_an_error(store: RecordStore, candidate: str, said: str) -> None:
    code, text = cancel(candidate)
    assert code == 1
    assert said in text
    assert "`genops candidates` lists the known ones" in text
    assert store.names("genops/") == []
