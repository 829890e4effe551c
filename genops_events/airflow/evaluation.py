"""Evaluation: let the tuned model answer the evaluation file, score the answers, hold them against the gate."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from airflow.sdk import Context

from genops_events.airflow.asking import ask
from genops_events.airflow.spending import pay_for
from genops_events.airflow.stage import StageOperator, StageRun
from genops_events.evaluation_data import EvaluationExample, Prompt
from genops_events.gates import judge
from genops_events.gcp import inputs
from genops_events.gcp.evaluation import Scored, mean_scores
from genops_events.pricing import estimated_tokens
from genops_events.record import EvaluationVerdict, Verdict, evaluation_answers_path
from genops_events.stages import Outcome, Stage


class EvaluateModel(StageOperator):
    """Score a tuned model through Vertex AI's evaluation service, under a throttle, once per candidate."""

    stage = Stage.EVALUATION

    def work(self, run: StageRun, context: Context) -> Verdict:  # noqa: ARG002
        """Return the verdict: passed, or refused with the scores that are below the gate."""
        run.take_on()
        dataset = run.dataset
        examples = inputs.evaluation_examples(run.store.bucket, dataset.evaluation.file)
        most = _most(run, examples)
        pay_for(run, "evaluation", most)
        asked = ask(
            run,
            [Prompt(id=str(number), prompt=example.prompt) for number, example in enumerate(examples, start=1)],
            name=evaluation_answers_path(run.candidate),
            max_output_tokens=dataset.evaluation.max_output_tokens,
        )
        scores = mean_scores(
            run.config,
            metrics=dataset.evaluation.metrics,
            answers=[
                Scored(prompt=example.prompt, reference=example.reference, response=answer.text)
                for example, answer in zip(examples, asked.answers, strict=True)
            ],
        )
        judgement = judge(scores, {str(metric): least for metric, least in dataset.evaluation.gate.items()})
        return run.conclude(
            EvaluationVerdict,
            Outcome.PASSED if judgement.passed else Outcome.REFUSED,
            judgement.reason,
            scores=scores,
            estimated_usd=most,
            examples=len(examples),
            input_tokens=asked.input_tokens,
            output_tokens=asked.output_tokens,
            cost_usd=asked.cost_usd,
        )


def _most(run: StageRun, examples: Sequence[EvaluationExample]) -> Decimal:
    """Return the most that the answers can cost, by an estimate of the prompts and every answer at its longest."""
    dataset = run.dataset
    each = estimated_tokens(dataset.system_instruction or "")
    prompts = sum(each + estimated_tokens(example.prompt) for example in examples)
    return run.config.rates(dataset.billed_model).generation_cost(
        prompts, len(examples) * dataset.evaluation.max_output_tokens
    )
