"""Read from a tuning job its examples, its billed tokens, and the checkpoint that is served."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from genops_events.errors import PermanentError

if TYPE_CHECKING:
    from google.genai.types import (
        DatasetStats,
        PreferenceOptimizationDataStats,
        SupervisedTuningDataStats,
        TunedModel,
        TunedModelCheckpoint,
        TuningJob,
    )

    from genops_events.config.tuning import Tuning

    Stats: TypeAlias = SupervisedTuningDataStats | PreferenceOptimizationDataStats | DatasetStats


UNSERVED = "`genops prune` takes the model away; upload the training file again to tune anew."
"""Help for a model that no endpoint serves."""


class NoSuchCheckpoint(PermanentError):
    """The tuning job made no checkpoint of the epoch that genops.yaml asks for."""


@dataclass(frozen=True, slots=True)
class ServedModel:
    """The tuned model that is evaluated, promoted and called."""

    model: str
    """`projects/…/models/ID@VERSION`: the same for all checkpoints of a job."""
    endpoint: str
    """Resource name of the endpoint that serves this checkpoint."""
    checkpoint: str | None
    """Id of the checkpoint; None where the job kept none beside the model itself."""
    epoch: int | None


def examples_of(job: TuningJob) -> int | None:
    """Return how many examples were tuned on; None while the job does not report it."""
    stats = _stats(job)
    return None if stats is None else _number(stats.tuning_dataset_example_count)


def billable_tokens_of(job: TuningJob) -> int | None:
    """Return the billed tokens of one pass over the training file; None where the job does not report them.

    For distillation they are never known: its statistics "do not include the responses sampled from the teacher model"
    (google-genai, `DistillationDataStats`), and the tokens of the prompts alone would understate the cost.
    """
    stats = _stats(job)
    if stats is None or job.distillation_spec is not None:
        return None
    return _number(stats.total_billable_token_count)


def steps_of(job: TuningJob) -> int | None:
    """Return how many tuning steps the job makes in all; None while the job does not report it."""
    stats = _stats(job)
    return None if stats is None else _number(stats.tuning_step_count)


def epochs_of(job: TuningJob) -> int | None:
    """Return the number of epochs that the job was submitted with; None where none was given."""
    spec = job.supervised_tuning_spec or job.preference_optimization_spec or job.distillation_spec
    parameters = None if spec is None else spec.hyper_parameters
    return None if parameters is None else _number(parameters.epoch_count)


def served(job: TuningJob, tuning: Tuning) -> ServedModel:
    """Return the checkpoint that `tuning.serve_checkpoint` asks for, of a job that succeeded.

    Raises:
        NoSuchCheckpoint: there is none of this epoch; the message names the existing ones.
        PermanentError: the job has no tuned model, or one without an endpoint.
    """
    tuned = job.tuned_model
    if tuned is None or not tuned.model:
        raise PermanentError(f"Tuning job {job.name} has no tuned model.", "Look at the job in the console.")
    if not tuned.endpoint:
        raise PermanentError(
            f"Tuning job {job.name} has a tuned model, but no endpoint that serves it: {tuned.model}.", UNSERVED
        )
    wanted = tuning.serve_checkpoint
    checkpoints = tuned.checkpoints or []
    if wanted == "last":
        last = _last(tuned, checkpoints)
        return ServedModel(
            tuned.model, tuned.endpoint, last.checkpoint_id if last else None, last.epoch if last else None
        )
    of_epoch = [one for one in checkpoints if one.epoch == wanted and one.endpoint]
    if of_epoch:
        # If an epoch should have more than one, the later one has seen more of it.
        found = max(of_epoch, key=lambda one: one.step or 0)
        assert found.endpoint
        return ServedModel(tuned.model, found.endpoint, found.checkpoint_id, found.epoch)
    if wanted == epochs_of(job):
        return ServedModel(tuned.model, tuned.endpoint, None, wanted)  # the last epoch is the model itself
    there = sorted({one.epoch for one in checkpoints if one.epoch is not None and one.endpoint})
    raise NoSuchCheckpoint(
        f"Tuning job {job.name} has no checkpoint of epoch {wanted}, which `tuning.serve_checkpoint` asks for; "
        + (f"there are those of the epochs {', '.join(map(str, there))}." if there else "it kept the last one only."),
        "Name one of these in genops.yaml, or `last`, and upload the training file again.",
    )


def _last(tuned: TunedModel, checkpoints: list[TunedModelCheckpoint]) -> TunedModelCheckpoint | None:
    """Return the checkpoint behind the endpoint of the model itself: its default, which is the last one."""
    return next((one for one in checkpoints if one.endpoint == tuned.endpoint), None)


def _stats(job: TuningJob) -> Stats | None:
    stats = job.tuning_data_stats
    if stats is None:
        return None
    distillation = stats.distillation_data_stats
    return (
        stats.supervised_tuning_data_stats
        or stats.preference_optimization_data_stats
        or (distillation.training_dataset_stats if distillation is not None else None)
    )


def _number(value: int | None) -> int | None:
    # An int64 is a string in Google's JSON, and google-genai does not always convert it.
    return None if value is None else int(value)
