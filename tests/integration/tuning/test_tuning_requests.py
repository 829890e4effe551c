"""What a tuning job of each kind asks Vertex AI for, key by key of `tuning`, and what Vertex AI makes of it."""

from __future__ import annotations

import json
import re
import threading
import uuid
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from cloud import DATASET, until
from contracts.noted import note
from google.genai.types import TuningJob

from genops_events.config import Config
from genops_events.gcp.errors import CloudUnavailable
from genops_events.gcp.record_store import RecordStore
from genops_events.tuning import jobs as tuning_jobs
from genops_events.tuning import results as tuning_results

pytestmark = pytest.mark.filterwarnings("ignore:The SDK's tuning implementation is experimental")

CANDIDATE = f"{DATASET}-{16 * 'a'}"
TRAINING = "gs://genops-data/training.jsonl"
TUNED = "projects/p/locations/us-central1/models/7@2"
KEY = "projects/p/locations/us-central1/keyRings/ring/cryptoKeys/key"
ACCOUNT = "tuner@my-project.iam.gserviceaccount.com"


def configured(config: Config, **keys: Any) -> Config:
    """Return the configuration with these keys of `tuning`; `source_model` and `base_model` go to the dataset."""
    data = config.model_dump(mode="json")
    dataset = data["datasets"][DATASET]
    dataset |= {key: keys.pop(key) for key in ("source_model", "base_model") if key in keys}
    dataset["tuning"] |= keys
    return Config.model_validate(data)


def camel_case(value: Any) -> Any:
    """Return JSON with Google's own spelling of keys: google-genai mixes both, and Vertex AI reads both."""
    if isinstance(value, dict):
        return {re.sub("_([a-z])", lambda match: match[1].upper(), key): camel_case(one) for key, one in value.items()}
    return value


class Wire:
    """Takes the requests of Google's client as a service would, and keeps them."""

    def __init__(self) -> None:
        self.bodies: list[dict[str, Any]] = []
        self.status = 200
        bodies, wire = self.bodies, self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                note("vertex", "POST", self.path, body, content_type=self.headers["Content-Type"])
                bodies.append(json.loads(body))
                name = "projects/p/locations/us-central1/tuningJobs/1"
                answer = json.dumps({"name": name, "state": "JOB_STATE_PENDING"}).encode()
                self.send_response(wire.status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: object) -> None:
                """Say nothing: the test reads the bodies."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_address[1]}"


@pytest.fixture
def wire(config: Config, monkeypatch: pytest.MonkeyPatch) -> Iterator[Wire]:
    taken = Wire()
    thread = threading.Thread(target=taken.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    monkeypatch.setenv("GOOGLE_VERTEX_BASE_URL", taken.address)
    yield taken
    taken.server.shutdown()
    taken.server.server_close()
    thread.join()


@pytest.fixture
def asked(config: Config, wire: Wire) -> Callable[..., dict[str, Any]]:
    """Submit a job with these keys of `tuning`, and return the body of its only request."""

    def submit(*, validation_uri: str | None = None, champion_model: str | None = None, **keys: Any) -> dict[str, Any]:
        changed = configured(config, **keys)
        before = len(wire.bodies)
        tuning_jobs.submit(
            changed,
            changed.dataset(DATASET),
            candidate=CANDIDATE,
            training_uri=TRAINING,
            validation_uri=validation_uri,
            champion_model=champion_model,
        )
        (body,) = wire.bodies[before:]
        return {key: one if key == "labels" else camel_case(one) for key, one in body.items()}

    return submit


PARAMETERS = {"epochCount": 3, "learningRateMultiplier": 1.0, "adapterSize": "ADAPTER_SIZE_FOUR"}


def test_a_plain_job_asks_for_supervised_tuning_and_nothing_more(asked: Callable[..., dict[str, Any]]) -> None:
    assert asked() == {
        "baseModel": "gemini-2.5-flash",
        "tunedModelDisplayName": CANDIDATE,
        "labels": {tuning_jobs.LABEL: CANDIDATE},
        "supervisedTuningSpec": {"trainingDatasetUri": TRAINING, "hyperParameters": PARAMETERS},
    }


def test_a_preference_job_asks_for_preference_tuning(asked: Callable[..., dict[str, Any]]) -> None:
    body = asked(method="preference", beta=0.25, checkpoints="last", validation_uri="gs://b/v.jsonl")
    assert body["preferenceOptimizationSpec"] == {
        "trainingDatasetUri": TRAINING,
        "validationDatasetUri": "gs://b/v.jsonl",
        "exportLastCheckpointOnly": True,
        "hyperParameters": {**PARAMETERS, "beta": 0.25},
    }
    assert "supervisedTuningSpec" not in body


def test_a_distillation_names_its_teacher(asked: Callable[..., dict[str, Any]]) -> None:
    body = asked(method="distillation", teacher_model="gemini-3.1-pro")
    assert body["distillationSpec"] == {
        "promptDatasetUri": TRAINING,
        "baseTeacherModel": "gemini-3.1-pro",
        "hyperParameters": PARAMETERS,
    }
    assert "supervisedTuningSpec" not in body
    body = asked(method="distillation", teacher_model=TUNED)
    assert body["distillationSpec"] == {
        "promptDatasetUri": TRAINING,
        "tunedTeacherModelSource": TUNED,
        "hyperParameters": PARAMETERS,
    }


def test_names_labels_key_and_service_account_go_with_the_job(asked: Callable[..., dict[str, Any]]) -> None:
    body = asked(
        model_name="Banks {dataset}",
        description="{candidate} of {dataset}",
        labels={"team": "cards"},
        kms_key=KEY,
        service_account=ACCOUNT,
    )
    assert body["tunedModelDisplayName"] == f"Banks {DATASET}"
    assert body["description"] == f"{CANDIDATE} of {DATASET}"
    assert body["labels"] == {"team": "cards", tuning_jobs.LABEL: CANDIDATE}
    assert body["encryptionSpec"] == {"kmsKeyName": KEY}
    assert body["serviceAccount"] == ACCOUNT
    assert "tunedModelDisplayName" not in asked(model_name=None)


def test_a_tuned_source_model_is_tuned_further_from_the_checkpoint_that_is_named(
    asked: Callable[..., dict[str, Any]],
) -> None:
    body = asked(source_model=TUNED, base_model="gemini-2.5-flash", start_checkpoint="2")
    assert body["preTunedModel"] == {"tunedModelName": TUNED, "checkpointId": "2"}
    assert "baseModel" not in body


def test_a_champion_takes_the_place_of_the_source_model(asked: Callable[..., dict[str, Any]]) -> None:
    keys = {"start_from": "champion", "start_checkpoint": "1"}
    assert asked(champion_model=TUNED, **keys)["preTunedModel"] == {"tunedModelName": TUNED, "checkpointId": "1"}
    body = asked(**keys)
    assert body["baseModel"] == "gemini-2.5-flash", "there is no champion yet"
    assert "preTunedModel" not in body


def test_a_service_account_does_not_bring_the_retries_back(config: Config, wire: Wire) -> None:
    wire.status = 503
    changed = configured(config, service_account=ACCOUNT)
    with pytest.raises(CloudUnavailable):
        tuning_jobs.submit(changed, changed.dataset(DATASET), candidate=CANDIDATE, training_uri=TRAINING)
    assert len(wire.bodies) == 1


def ended(config: Config, training_uri: str, *, champion_model: str | None = None) -> TuningJob:
    """Submit a job to the stand-in and return it once it has succeeded."""
    candidate = f"{DATASET}-{uuid.uuid4().hex[:16]}"
    submitted = tuning_jobs.submit(
        config,
        config.dataset(DATASET),
        candidate=candidate,
        training_uri=training_uri,
        champion_model=champion_model,
    )
    assert submitted.name

    def succeeded() -> TuningJob | None:
        job = tuning_jobs.get(config, submitted.name or "")
        return job if job.state is not None and job.state.value == "JOB_STATE_SUCCEEDED" else None

    job = until(succeeded)
    assert job is not None
    return job


def test_the_checkpoint_of_the_epoch_that_is_asked_for_is_served(config: Config, training_uri: str) -> None:
    changed = configured(config, serve_checkpoint=2)
    job = ended(changed, training_uri)
    assert tuning_results.epochs_of(job) == 3
    assert tuning_results.examples_of(job) == 40
    assert tuning_results.steps_of(job)
    assert tuning_results.billable_tokens_of(job)
    second = tuning_results.served(job, changed.dataset(DATASET).tuning)
    last = tuning_results.served(job, config.dataset(DATASET).tuning)
    assert (second.epoch, last.epoch) == (2, 3)
    assert second.model == last.model
    assert second.endpoint != last.endpoint


def test_the_last_checkpoint_alone_is_kept_where_that_is_asked_for(config: Config, training_uri: str) -> None:
    changed = configured(config, checkpoints="last")
    job = ended(changed, training_uri)
    assert job.tuned_model is not None
    assert len(job.tuned_model.checkpoints or []) <= 1
    found = tuning_results.served(job, configured(changed, serve_checkpoint=3).dataset(DATASET).tuning)
    assert found.endpoint == job.tuned_model.endpoint


def test_the_champion_is_tuned_further(config: Config, training_uri: str) -> None:
    first = tuning_results.served(ended(config, training_uri), config.dataset(DATASET).tuning)
    job = ended(configured(config, start_from="champion"), training_uri, champion_model=first.model)
    assert job.pre_tuned_model is not None
    assert job.pre_tuned_model.tuned_model_name == first.model
    again = tuning_results.served(job, config.dataset(DATASET).tuning)
    assert again.model != first.model
    assert again.endpoint != first.endpoint


def test_without_a_name_a_tuned_model_that_is_tuned_further_gets_a_new_version(
    config: Config, training_uri: str
) -> None:
    first = tuning_results.served(ended(config, training_uri), config.dataset(DATASET).tuning)
    changed = configured(config, start_from="champion", model_name=None)
    again = tuning_results.served(
        ended(changed, training_uri, champion_model=first.model), changed.dataset(DATASET).tuning
    )
    assert again.model == first.model.partition("@")[0] + "@2"


def test_a_preference_job_is_tuned_and_settled_like_another(config: Config, store: RecordStore) -> None:
    prompt = {"contents": [{"role": "user", "parts": [{"text": "where"}]}]}
    answers = [
        {"score": score, "completion": {"role": "model", "parts": [{"text": text}]}}
        for score, text in ((1, "here"), (0, "there"))
    ]
    store.bucket.blob("pairs.jsonl").upload_from_string("\n".join([json.dumps(prompt | {"completions": answers})] * 40))
    changed = configured(config, method="preference", beta=0.25, serve_checkpoint=2)
    job = ended(changed, f"gs://{store.bucket.name}/pairs.jsonl")
    assert (tuning_results.examples_of(job), tuning_results.epochs_of(job)) == (40, 3)
    assert tuning_results.steps_of(job)
    assert tuning_results.billable_tokens_of(job)
    assert tuning_results.served(job, changed.dataset(DATASET).tuning).epoch == 2


def test_a_distillation_is_done_and_its_cost_left_open(config: Config, store: RecordStore, training_uri: str) -> None:
    prompt = {"contents": [{"role": "user", "parts": [{"text": "where"}]}]}
    store.bucket.blob("prompts.jsonl").upload_from_string("\n".join([json.dumps(prompt)] * 40))
    teacher = tuning_results.served(ended(config, training_uri), config.dataset(DATASET).tuning).model.partition("@")[0]
    changed = configured(config, method="distillation", teacher_model=teacher)
    job = ended(changed, f"gs://{store.bucket.name}/prompts.jsonl")
    assert (tuning_results.examples_of(job), tuning_results.epochs_of(job)) == (40, 3)
    assert tuning_results.billable_tokens_of(job) is None
    assert tuning_results.served(job, changed.dataset(DATASET).tuning).endpoint
