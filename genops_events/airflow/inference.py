"""Inference: let the champion answer the dataset's prompts."""

from __future__ import annotations

from airflow.sdk import Context

from genops_events.airflow.asking import ask
from genops_events.airflow.budget import inference_limit, priced
from genops_events.airflow.spending import estimated, pay_for
from genops_events.airflow.stage import StageOperator, StageRun
from genops_events.gcp import inputs
from genops_events.gcp.holds import standing_of
from genops_events.record_paths import answers_path, prompts_path
from genops_events.stages import Outcome, Stage
from genops_events.verdicts import InferenceVerdict, Verdict


class AnswerPrompts(StageOperator):
    """Answer every prompt of the dataset with the promoted model, under a throttle, and leave JSONL in the bucket."""

    stage = Stage.INFERENCE

    def work(self, run: StageRun, context: Context) -> Verdict:  # noqa: ARG002
        """Return the verdict, with where the answers are.

        Raises:
            AirflowSkipException: genops.yaml was changed since the budget was checked, the answers may cost more than was
                reserved then, and a limit is in the way: held until somebody approves it.
        """
        run.take_on()
        dataset = run.dataset
        # Those that the budget was checked by, whatever has become of the file since.
        checked_in = standing_of(run.store, run.candidate, Stage.BUDGET).round
        copy = prompts_path(run.candidate, checked_in)
        prompts = inputs.prompts_to_answer(run.store.bucket, dataset.inference.prompts, copy)
        _, most = priced(run, prompts)
        pay_for(run, "inference", most, limit=inference_limit(run))
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
