"""Inference: let the champion answer the dataset's prompts."""

from __future__ import annotations

from airflow.sdk import Context

from genops_events.airflow.asking import ask
from genops_events.airflow.spending import estimated
from genops_events.airflow.stage import StageOperator, StageRun
from genops_events.gcp import inputs
from genops_events.record_paths import answers_path
from genops_events.stages import Outcome, Stage
from genops_events.verdicts import InferenceVerdict, Verdict


class AnswerPrompts(StageOperator):
    """Answer every prompt of the dataset with the promoted model, under a throttle, and leave JSONL in the bucket."""

    stage = Stage.INFERENCE

    def work(self, run: StageRun, context: Context) -> Verdict:  # noqa: ARG002
        """Return the verdict, with where the answers are."""
        run.take_on()
        dataset = run.dataset
        prompts = inputs.prompts(run.store.bucket, dataset.inference.prompts)
        asked = ask(
            run,
            prompts,
            name=answers_path(run.candidate),
            max_output_tokens=dataset.inference.max_output_tokens,
        )
        return run.conclude(
            InferenceVerdict,
            Outcome.COMPLETED,
            f"Answered {len(prompts)} prompts.",
            prompts=len(prompts),
            estimated_usd=estimated(run, "inference"),
            answers_uri=asked.uri,
            input_tokens=asked.input_tokens,
            output_tokens=asked.output_tokens,
            cost_usd=asked.cost_usd,
        )
