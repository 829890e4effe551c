"""Tuning jobs: submitted in one call, found again by their candidate, and never mistaken for another's."""

from __future__ import annotations

import uuid

import pytest
from cloud import DATASET, StandIns, until
from google.genai.types import TuningJob

from genops_events.config import Config
from genops_events.gcp import clients
from genops_events.gcp.errors import CloudRefused, CloudUnavailable
from genops_events.gcp.record_store import RecordStore
from genops_events.tuning import jobs as tuning_jobs

pytestmark = pytest.mark.filterwarnings("ignore:The SDK's tuning implementation is experimental")

NOWHERE = "projects/genops-local/locations/us-central1/tuningJobs/1"


@pytest.fixture
def candidate() -> str:
    return f"{DATASET}-{uuid.uuid4().hex[:16]}"


def submitted(config: Config, candidate: str, training_uri: str) -> TuningJob:
    return tuning_jobs.submit(config, config.dataset(DATASET), candidate=candidate, training_uri=training_uri)


def state(config: Config, job: TuningJob) -> str:
    assert job.name
    now = tuning_jobs.get(config, job.name).state
    assert now is not None
    return str(now.value)


def test_a_job_is_submitted_as_the_dataset_says(config: Config, candidate: str, training_uri: str) -> None:
    job = submitted(config, candidate, training_uri)
    assert job.base_model == "gemini-2.5-flash"
    assert job.labels == {tuning_jobs.LABEL: candidate}
    assert job.tuned_model_display_name == candidate
    spec = job.supervised_tuning_spec
    assert spec is not None
    assert spec.training_dataset_uri == training_uri
    assert spec.hyper_parameters is not None
    assert (spec.hyper_parameters.epoch_count, spec.hyper_parameters.adapter_size) == (3, "ADAPTER_SIZE_FOUR")
    until(lambda: state(config, job) == "JOB_STATE_SUCCEEDED")


def test_the_validated_validation_file_goes_with_the_job(
    config: Config, store: RecordStore, candidate: str, training_uri: str
) -> None:
    store.bucket.copy_blob(store.bucket.blob("copy.jsonl"), store.bucket, "validation.jsonl")
    uri = f"gs://{config.bucket}/validation.jsonl"
    job = tuning_jobs.submit(
        config, config.dataset(DATASET), candidate=candidate, training_uri=training_uri, validation_uri=uri
    )
    assert job.supervised_tuning_spec is not None
    assert job.supervised_tuning_spec.validation_dataset_uri == uri


def test_a_job_is_found_by_its_candidate_and_by_no_other(config: Config, candidate: str, training_uri: str) -> None:
    assert tuning_jobs.find(config, candidate) is None
    job = submitted(config, candidate, training_uri)
    found = tuning_jobs.find(config, candidate)
    assert found is not None
    assert found.name == job.name
    assert tuning_jobs.find(config, f"{candidate[:-1]}x") is None
    assert tuning_jobs.find(config, candidate[:-1]) is None


def test_another_candidates_job_is_never_adopted_even_where_the_service_ignores_the_filter(
    config: Config, candidate: str, training_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    submitted(config, candidate, training_uri)
    other = f"{DATASET}-{uuid.uuid4().hex[:16]}"
    real = clients.genai_client

    def deaf(project: str, location: str) -> object:
        """Return the real client, whose `list` leaves out the filter."""
        client = real(project, location)
        listing = client.tunings.list
        monkeypatch.setattr(client.tunings, "list", lambda **_: listing())
        return client

    monkeypatch.setattr(tuning_jobs, "genai_client", deaf)
    assert tuning_jobs.find(config, other) is None
    found = tuning_jobs.find(config, candidate)
    assert found is not None
    assert (found.labels or {})[tuning_jobs.LABEL] == candidate


def test_of_two_jobs_of_one_candidate_the_newest_is_found(config: Config, candidate: str, training_uri: str) -> None:
    submitted(config, candidate, training_uri)
    newest = submitted(config, candidate, training_uri)
    found = tuning_jobs.find(config, candidate)
    assert found is not None
    assert found.name == newest.name


def test_where_no_filter_is_taken_the_candidates_jobs_are_found_among_all(
    cloud: StandIns, config: Config, candidate: str, training_uri: str
) -> None:
    first, newest = (submitted(config, candidate, training_uri) for _ in range(2))
    submitted(config, f"{DATASET}-{uuid.uuid4().hex[:16]}", training_uri)
    cloud.vertex.faults(refuse_filters=True)
    assert [job.name for job in tuning_jobs.find_all(config, candidate)] == [newest.name, first.name]
    cloud.vertex.faults(error_code="403", error_share=1.0, error_methods=["tuningJobs.list"])
    with pytest.raises(CloudRefused, match="look for the candidate's tuning jobs"):
        tuning_jobs.find_all(config, candidate)


def test_a_cancelled_job_ends_as_cancelled(cloud: StandIns, config: Config, candidate: str, training_uri: str) -> None:
    cloud.vertex.faults(job_hangs=True)
    job = submitted(config, candidate, training_uri)
    assert job.name
    tuning_jobs.cancel(config, job.name)
    until(lambda: state(config, job) == "JOB_STATE_CANCELLED")


def test_submitting_to_a_service_that_fails_is_one_call_and_no_more(
    cloud: StandIns, config: Config, candidate: str, training_uri: str
) -> None:
    cloud.vertex.faults(error_code="503", error_share=1.0, error_methods=["tuningJobs.create"])
    before = cloud.vertex_calls("tuningJobs.create")
    with pytest.raises(CloudUnavailable, match="submit the tuning job"):
        submitted(config, candidate, training_uri)
    assert cloud.vertex_calls("tuningJobs.create") == before + 1


def test_reading_from_a_service_that_fails_for_a_moment_succeeds(
    cloud: StandIns, config: Config, candidate: str, training_uri: str
) -> None:
    job = submitted(config, candidate, training_uri)
    cloud.vertex.faults(unavailable_seconds=0.6)
    found = tuning_jobs.find(config, candidate)
    assert found is not None
    assert found.name == job.name


@pytest.mark.parametrize("code", ["429", "503"])
def test_what_passes_by_itself_is_unavailable(
    cloud: StandIns, config: Config, candidate: str, training_uri: str, code: str
) -> None:
    cloud.vertex.faults(error_code=code, error_share=1.0)
    with pytest.raises(CloudUnavailable, match="It is retried with back-off"):
        submitted(config, candidate, training_uri)
    # The client's own attempts are left out: what is asked is what their last failure is taken for.
    with pytest.MonkeyPatch.context() as patch:
        real = clients.genai_client
        patch.setattr(tuning_jobs, "genai_client", lambda project, location: real(project, location, attempts=1))
        with pytest.raises(CloudUnavailable, match="read tuning job"):
            tuning_jobs.get(config, NOWHERE)
        with pytest.raises(CloudUnavailable, match="look for the candidate"):
            tuning_jobs.find(config, candidate)


def test_a_service_that_is_not_reached_is_unavailable(
    config: Config, candidate: str, training_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOOGLE_VERTEX_BASE_URL", "http://127.0.0.1:9")
    with pytest.raises(CloudUnavailable, match="no answer"):
        submitted(config, candidate, training_uri)


def test_what_is_forbidden_is_refused(cloud: StandIns, config: Config, candidate: str, training_uri: str) -> None:
    cloud.vertex.faults(error_code="403", error_share=1.0)
    with pytest.raises(CloudRefused, match="Grant the service account the role"):
        submitted(config, candidate, training_uri)
    with pytest.raises(CloudRefused, match="look for the candidate"):
        tuning_jobs.find(config, candidate)


def test_what_is_not_there_is_refused(config: Config) -> None:
    with pytest.raises(CloudRefused, match="tuningJobs/1"):
        tuning_jobs.get(config, NOWHERE)
    with pytest.raises(CloudRefused, match="tuningJobs/1"):
        tuning_jobs.cancel(config, NOWHERE)
