"""Check the inputs of later stages before tuning is paid for: a model that cannot be evaluated would be wasted money."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from genops_events.evaluation.examples import EvaluationDataError, InputMissing, evaluation_examples
from genops_events.evaluation.python_metrics import MetricMissing, functions_of
from genops_events.gcp.streams import UnusableObject
from genops_events.gemini.results import PromptsMissing, check_prompts
from genops_events.tuning.jobs import TUNING_JOBS

if TYPE_CHECKING:
    from genops_events.cascade.stage_run import StageRun


def unusable_inputs(run: StageRun) -> str | None:
    """Return a sentence that says why evaluation or inference cannot run; None where they can, or tuning is already paid for.

    Raises:
        CloudUnavailable: Cloud Storage does not answer.
    """
    if TUNING_JOBS.attempted_at(run.store, run.candidate) is not None:
        return None
    evaluation, prompts = run.dataset.evaluation, run.dataset.inference.prompts
    bucket = run.store.bucket
    reads: tuple[tuple[str, Callable[[], object]], ...] = (
        (
            f"evaluation file {run.config.uri(evaluation.file)}",
            lambda: evaluation_examples(bucket, evaluation.file, needs_reference=evaluation.needs_reference),
        ),
        ("prompt file", lambda: check_prompts(bucket, prompts, readable=run.config.addresses)),
        ("metrics", lambda: functions_of(evaluation.measured())),
    )
    for what, read in reads:
        try:
            read()
        except EvaluationDataError as error:
            hint = f"{error.hint} Fix it there, and upload the training file again."
            return f"The {what} cannot be used. {error.message} {hint} Nothing was spent."
        except (InputMissing, PromptsMissing, MetricMissing, UnusableObject) as error:
            return f"{error.message} {error.hint} Nothing was spent."
    return None
