"""Evaluation: let the tuned model answer the evaluation file, score the answers, hold them against the gate."""

from __future__ import annotations

from airflow.sdk import Context

from genops_events.airflow.stage import StageOperator, StageRun
from genops_events.gates import judge
from genops_events.gcp import generation, inputs
from genops_events.gcp.evaluation import Scored, mean_scores
from genops_events.pricing import generation_cost
from genops_events.record import EvaluationVerdict, Verdict
from genops_events.stages import Outcome, Stage


class EvaluateModel(StageOperator):
    """Score a tuned model through Vertex AI's evaluation service, under a throttle, once per candidate."""

    stage = Stage.EVALUATION

    def work(self, run: StageRun, context: Context) -> Verdict:  # noqa: ARG002
        """Return the verdict: passed, or refused with the scores that are below the gate."""
        run.take_on()
        dataset = run.dataset
        examples = inputs.evaluation_examples(run.store.bucket, dataset.evaluation.file)
        answers = generation.answer_all(
            run.config,
            model=run.endpoint,
            prompts=[example.prompt for example in examples],
            max_output_tokens=dataset.evaluation.max_output_tokens,
            system_instruction=dataset.system_instruction,
        )
        scores = mean_scores(
            run.config,
            metrics=dataset.evaluation.metrics,
            answers=[
                Scored(prompt=example.prompt, reference=example.reference, response=answer.text)
                for example, answer in zip(examples, answers, strict=True)
            ],
        )
        judgement = judge(scores, {str(metric): least for metric, least in dataset.evaluation.gate.items()})
        input_tokens = sum(answer.input_tokens for answer in answers)
        output_tokens = sum(answer.output_tokens for answer in answers)
        return run.conclude(
            EvaluationVerdict,
            Outcome.PASSED if judgement.passed else Outcome.REFUSED,
            judgement.reason,
            scores=scores,
            examples=len(examples),
            input_tokens=input_tokens,
            output_tokens=output_tokens,
            cost_usd=generation_cost(dataset.billed_model, input_tokens, output_tokens),
        )
