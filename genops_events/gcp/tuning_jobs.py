"""Submit, find, read and cancel Vertex AI tuning jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genops_events.gcp.clients import genai_client
from genops_events.gcp.errors import google_call

if TYPE_CHECKING:
    from google.genai.types import TuningJob

    from genops_events.config import Config, Dataset

LABEL = "genops-candidate"
"""Label of a tuning job that names its candidate; how a job is found again after a crash."""


def submit(
    config: Config, dataset: Dataset, *, candidate: str, training_uri: str, validation_uri: str | None = None
) -> TuningJob:
    """Submit a tuning job. Never call it before `find` said that there is none: the API has no request id.

    The call is made once, without the client's retries: a repeat after a lost answer would pay twice.

    Args:
        config: project and location.
        dataset: source model and hyperparameters.
        candidate: becomes the label that the job is found by, and its display name.
        training_uri: `gs://` uri of the validated training file.
        validation_uri: `gs://` uri of the validated validation file, where the dataset has one.
    """
    from google.genai import types

    tuning = dataset.tuning
    validation = None if validation_uri is None else types.TuningValidationDataset(gcs_uri=validation_uri)
    with google_call("submit the tuning job"), genai_client(config.project, config.location, attempts=1) as client:
        return client.tunings.tune(
            base_model=dataset.source_model,
            training_dataset=types.TuningDataset(gcs_uri=training_uri),
            config=types.CreateTuningJobConfig(
                tuned_model_display_name=candidate,
                labels={LABEL: candidate},
                epoch_count=tuning.epochs,
                learning_rate_multiplier=tuning.learning_rate_multiplier,
                adapter_size=types.AdapterSize(_ADAPTER_SIZES[tuning.adapter_size]),
                validation_dataset=validation,
            ),
        )


def find(config: Config, candidate: str) -> TuningJob | None:
    """Return the newest tuning job of `candidate`, or None where none was ever submitted."""
    return next(iter(find_all(config, candidate)), None)


def find_all(config: Config, candidate: str) -> list[TuningJob]:
    """Return every tuning job of `candidate`, newest first; more than one only if two submissions met."""
    from google.genai import types

    with google_call("look for the candidate's tuning jobs"), genai_client(config.project, config.location) as client:
        pages = client.tunings.list(
            config=types.ListTuningJobsConfig(filter=f'labels.{LABEL}="{candidate}"', page_size=10)
        )
        # The label is compared here as well: a service that ignored the filter must not make us adopt another's job.
        return [job for job in pages if (job.labels or {}).get(LABEL) == candidate]


def get(config: Config, name: str) -> TuningJob:
    """Return one tuning job as it stands now."""
    with google_call(f"read tuning job {name}"), genai_client(config.project, config.location) as client:
        return client.tunings.get(name=name)


def cancel(config: Config, name: str) -> None:
    """Ask Vertex AI to cancel a tuning job; it may still end otherwise."""
    with google_call(f"cancel tuning job {name}"), genai_client(config.project, config.location) as client:
        client.tunings.cancel(name=name)


_ADAPTER_SIZES = {
    1: "ADAPTER_SIZE_ONE",
    2: "ADAPTER_SIZE_TWO",
    4: "ADAPTER_SIZE_FOUR",
    8: "ADAPTER_SIZE_EIGHT",
    16: "ADAPTER_SIZE_SIXTEEN",
    32: "ADAPTER_SIZE_THIRTY_TWO",
}
