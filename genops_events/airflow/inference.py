"""Inference: let the champion answer the dataset's prompts."""

from __future__ import annotations

from airflow.sdk import Context

from genops_events.airflow.stage import StageOperator, StageRun
from genops_events.gcp import generation, inputs
from genops_events.pricing import generation_cost
from genops_events.record import InferenceVerdict, Verdict, answers_path
from genops_events.stages import Outcome, Stage


class AnswerPrompts(StageOperator):
    """Answer every prompt of the dataset with the promoted model, under a throttle, and leave JSONL in the bucket."""

    stage = Stage.INFERENCE

    def work(self, run: StageRun, context: Context) -> Verdict:  # noqa: ARG002
        """Return the verdict, with where the answers are."""
        run.take_on()
        dataset = run.dataset
        prompts = inputs.prompts(run.store.bucket, dataset.inference.prompts)
        answers = generation.answer_all(
            run.config,
            model=run.endpoint,
            prompts=[prompt.prompt for prompt in prompts],
            max_output_tokens=dataset.inference.max_output_tokens,
            system_instruction=dataset.system_instruction,
        )
        uri = inputs.write_answers(
            run.store.bucket, answers_path(run.candidate), prompts, answers, model=run.tuning.model or run.endpoint
        )
        input_tokens = sum(answer.input_tokens for answer in answers)
        output_tokens = sum(answer.output_tokens for answer in answers)
        return run.conclude(
            InferenceVerdict,
            Outcome.COMPLETED,
            f"Answered {len(prompts)} prompts.",
            prompts=len(prompts),
            answers_uri=uri,
            input_tokens=input_tokens,
            output_tokens=output_tokens,
            cost_usd=generation_cost(dataset.billed_model, input_tokens, output_tokens),
        )
