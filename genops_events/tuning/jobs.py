"""Submit, find, read and cancel Vertex AI tuning jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genops_events.cascade.paid_jobs import LISTED_AT_ONCE, PaidJobs, listed
from genops_events.config.identity import dataset_of
from genops_events.config.tuning import filled_in
from genops_events.config.values import is_model_resource
from genops_events.gcp.clients import genai_client
from genops_events.gcp.errors import google_call
from genops_events.record import paths as record_paths
from genops_events.record.tuning import Attempt, Cancellation, Submission

if TYPE_CHECKING:
    from google.genai.types import CreateTuningJobConfig, HttpOptions, TuningJob

    from genops_events.config import Config, Dataset

LABEL = "genops-candidate"
"""Label of a tuning job that has its candidate's id; by this, a job is found after a crash."""


def submit(
    config: Config,
    dataset: Dataset,
    *,
    candidate: str,
    training_uri: str,
    validation_uri: str | None = None,
    champion_model: str | None = None,
    champion_checkpoint: str | None = None,
) -> TuningJob:
    """Submit a tuning job. Only `TUNING_JOBS.submit` may call it, after a look for one: the API has no request id.

    The call is made once, without the client's retries: a repeat after a lost answer would pay twice.

    Args:
        config: project and location.
        dataset: source model and hyperparameters.
        candidate: id; becomes the label by which the job is found.
        training_uri: `gs://` uri of the validated training file.
        validation_uri: `gs://` uri of the validated validation file, where the dataset has one.
        champion_model: `projects/…/models/ID@VERSION` of the champion, where the dataset starts from it and there is one.
        champion_checkpoint: the served checkpoint of the champion, where it has several; `start_checkpoint` overrides it.
    """
    base_model = champion_model or dataset.source_model
    checkpoint = dataset.tuning.start_checkpoint or (champion_checkpoint if champion_model else None)
    settings = _job_settings(
        dataset,
        candidate=candidate,
        validation_uri=validation_uri,
        start_checkpoint=checkpoint if is_model_resource(base_model) else None,
    )
    from google.genai import types

    with google_call("submit the tuning job"), genai_client(config.project, config.location, attempts=1) as client:
        return client.tunings.tune(
            base_model=base_model, training_dataset=types.TuningDataset(gcs_uri=training_uri), config=settings
        )


def _job_settings(
    dataset: Dataset, *, candidate: str, validation_uri: str | None, start_checkpoint: str | None
) -> CreateTuningJobConfig:
    """Return the typed settings: google-genai reads `pre_tuned_model_checkpoint_id` from these only, not from a dict."""
    from google.genai import types

    tuning, name = dataset.tuning, dataset_of(candidate)

    def text(template: str | None) -> str | None:
        return None if template is None else filled_in(template, candidate=candidate, dataset=name)

    teacher = tuning.teacher_model
    is_tuned_teacher = teacher is not None and is_model_resource(teacher)
    return types.CreateTuningJobConfig(
        method=types.TuningMethod(_METHODS[tuning.method]),
        tuned_model_display_name=text(tuning.model_name),
        description=text(tuning.description),
        labels={**tuning.labels, LABEL: candidate},
        epoch_count=tuning.epochs,
        learning_rate_multiplier=tuning.learning_rate_multiplier,
        adapter_size=types.AdapterSize(_ADAPTER_SIZES[tuning.adapter_size]),
        validation_dataset=None if validation_uri is None else types.TuningValidationDataset(gcs_uri=validation_uri),
        export_last_checkpoint_only=True if tuning.checkpoints == "last" else None,
        pre_tuned_model_checkpoint_id=start_checkpoint,
        beta=tuning.beta,
        base_teacher_model=None if is_tuned_teacher else teacher,
        tuned_teacher_model_source=teacher if is_tuned_teacher else None,
        encryption_spec=None if tuning.kms_key is None else types.EncryptionSpec(kms_key_name=tuning.kms_key),
        http_options=_service_account(tuning.service_account),
    )


def _service_account(address: str | None) -> HttpOptions | None:
    """Return the options that put `serviceAccount` into the request.

    `CreateTuningJobConfig` has no field for it, though the service's TuningJob has. google-genai merges `extra_body` into
    the request's body; all other options are those of the client, its single attempt included.
    """
    from google.genai import types

    return None if address is None else types.HttpOptions(extra_body={"serviceAccount": address})


def find(config: Config, candidate: str) -> TuningJob | None:
    """Return the newest tuning job of `candidate`; None where there is none."""
    return next(iter(find_all(config, candidate)), None)


def find_all(config: Config, candidate: str) -> list[TuningJob]:
    """Return every tuning job of `candidate`, newest first; more than one only after two submissions at the same time."""
    from google.genai import types

    with genai_client(config.project, config.location) as client:
        return listed(
            lambda asked: client.tunings.list(
                config=types.ListTuningJobsConfig(filter=asked or None, page_size=LISTED_AT_ONCE)
            ),
            f'labels.{LABEL}="{candidate}"',
            is_own=lambda job: (job.labels or {}).get(LABEL) == candidate,
            what="look for the candidate's tuning jobs",
        )


def get(config: Config, name: str) -> TuningJob:
    """Return the present state of one tuning job."""
    with google_call(f"read tuning job {name}"), genai_client(config.project, config.location) as client:
        return client.tunings.get(name=name)


def cancel(config: Config, name: str) -> None:
    """Ask Vertex AI to cancel a tuning job; it may still end otherwise."""
    with google_call(f"cancel tuning job {name}"), genai_client(config.project, config.location) as client:
        client.tunings.cancel(name=name)


TUNING_JOBS = PaidJobs(
    noun="tuning job",
    settings="tuning",
    wait_of=lambda dataset: dataset.tuning,
    find_all=find_all,
    get=get,
    cancel_one=cancel,
    attempt=Attempt,
    attempt_path=record_paths.attempt_path,
    submission=Submission,
    submission_path=record_paths.submission_path,
    cancellation=Cancellation,
    cancellation_path=record_paths.cancellation_path,
)

_ADAPTER_SIZES = {
    1: "ADAPTER_SIZE_ONE",
    2: "ADAPTER_SIZE_TWO",
    4: "ADAPTER_SIZE_FOUR",
    8: "ADAPTER_SIZE_EIGHT",
    16: "ADAPTER_SIZE_SIXTEEN",
    32: "ADAPTER_SIZE_THIRTY_TWO",
}
_METHODS = {
    "supervised": "SUPERVISED_FINE_TUNING",
    "preference": "PREFERENCE_TUNING",
    "distillation": "DISTILLATION",
}
