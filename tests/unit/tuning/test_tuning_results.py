"""What a tuning job says of itself in the end, whichever method it tuned by."""

from __future__ import annotations

from typing import Any

import pytest
from google.genai.types import TuningJob

from genops_events.config.tuning import Tuning
from genops_events.errors import PermanentError
from genops_events.tuning.results import (
    NoSuchCheckpoint,
    ServedModel,
    billable_tokens_of,
    epochs_of,
    examples_of,
    served,
    steps_of,
)

MODEL = "projects/p/locations/us-central1/models/7@1"
STATS = {"tuning_dataset_example_count": 40, "total_billable_token_count": 1234, "tuning_step_count": 9}
PARAMETERS = {"hyper_parameters": {"epoch_count": 3}}


def endpoint(number: int) -> str:
    return f"projects/p/locations/us-central1/endpoints/{number}"


def checkpoint(number: int, epoch: int, **more: Any) -> dict[str, Any]:
    return {"checkpoint_id": str(number), "epoch": epoch, "step": number * 3, "endpoint": endpoint(number), **more}


def job(*checkpoints: dict[str, Any], last: int = 3, **more: Any) -> TuningJob:
    tuned = {"model": MODEL, "endpoint": endpoint(last), "checkpoints": list(checkpoints)}
    return TuningJob.model_validate(
        {"name": "projects/p/locations/us-central1/tuningJobs/1", "tuned_model": tuned, **more}
    )


THREE = (checkpoint(1, 1), checkpoint(2, 2), checkpoint(3, 3))


@pytest.mark.parametrize(
    ("stats", "spec"),
    [
        ({"supervised_tuning_data_stats": STATS}, "supervised_tuning_spec"),
        ({"preference_optimization_data_stats": STATS}, "preference_optimization_spec"),
    ],
)
def test_figures_are_read_whatever_the_method(stats: dict[str, Any], spec: str) -> None:
    made = job(tuning_data_stats=stats, **{spec: PARAMETERS})
    assert (examples_of(made), billable_tokens_of(made), steps_of(made), epochs_of(made)) == (40, 1234, 9, 3)


def test_the_tokens_of_a_distillations_prompts_are_not_taken_for_all_that_is_billed() -> None:
    stats = {"distillation_data_stats": {"training_dataset_stats": STATS}}
    made = job(tuning_data_stats=stats, distillation_spec=PARAMETERS)
    assert (examples_of(made), billable_tokens_of(made), steps_of(made), epochs_of(made)) == (40, None, 9, 3)


def test_a_job_that_has_said_nothing_yet_has_no_figures() -> None:
    assert (examples_of(job()), billable_tokens_of(job()), steps_of(job()), epochs_of(job())) == (None,) * 4
    for stats in ({}, {"distillation_data_stats": {}}, {"supervised_tuning_data_stats": {}}):
        made = job(tuning_data_stats=stats, supervised_tuning_spec={})
        assert (examples_of(made), billable_tokens_of(made), steps_of(made), epochs_of(made)) == (None,) * 4


def test_a_count_of_nothing_is_not_taken_for_an_unknown_one() -> None:
    assert (
        billable_tokens_of(
            job(tuning_data_stats={"supervised_tuning_data_stats": STATS | {"total_billable_token_count": 0}})
        )
        == 0
    )


def test_the_model_itself_is_served_unless_an_epoch_is_asked_for() -> None:
    assert served(job(*THREE), Tuning()) == ServedModel(MODEL, endpoint(3), "3", 3)
    assert served(job(), Tuning()) == ServedModel(MODEL, endpoint(3), None, None)


def test_the_checkpoint_of_an_epoch_is_served_from_its_own_endpoint() -> None:
    assert served(job(*THREE), Tuning(serve_checkpoint=2)) == ServedModel(MODEL, endpoint(2), "2", 2)


def test_of_two_checkpoints_of_an_epoch_the_later_one_is_served() -> None:
    made = job(checkpoint(1, 1), checkpoint(5, 2), checkpoint(4, 2))
    assert served(made, Tuning(serve_checkpoint=2)).checkpoint == "5"


def test_the_last_epoch_is_served_where_only_the_last_checkpoint_was_kept() -> None:
    tuning = Tuning(checkpoints="last", serve_checkpoint=3)
    assert served(job(supervised_tuning_spec=PARAMETERS), tuning) == ServedModel(MODEL, endpoint(3), None, 3)


def test_an_epoch_without_a_checkpoint_is_refused_with_those_that_are_there() -> None:
    made = job(THREE[0], THREE[2], checkpoint(2, 2, endpoint=None), supervised_tuning_spec=PARAMETERS)
    with pytest.raises(NoSuchCheckpoint, match=r"no checkpoint of epoch 2, .* there are those of the epochs 1, 3"):
        served(made, Tuning(serve_checkpoint=2))
    with pytest.raises(NoSuchCheckpoint, match="it kept the last one only"):
        served(job(), Tuning(serve_checkpoint=2))


def test_a_job_without_a_tuned_model_serves_nothing() -> None:
    with pytest.raises(PermanentError, match="has no tuned model"):
        served(TuningJob(name="x"), Tuning())
