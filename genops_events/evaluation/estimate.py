"""Estimate the most that an evaluation can cost, before any row is asked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from genops_events.catalogue.metrics import PAIRWISE, Metric
from genops_events.catalogue.prices import Rates
from genops_events.config.evaluation import priced_as
from genops_events.evaluation.examples import EvaluationExample
from genops_events.evaluation.judge_usage import judge_cost, judge_tokens
from genops_events.gemini.estimate import answers_step
from genops_events.gemini.requests import Requests
from genops_events.gemini.served import evaluation_requests
from genops_events.money.steps import PaidStep

if TYPE_CHECKING:
    from genops_events.config import Config, Dataset


def evaluation_steps(
    config: Config,
    dataset: Dataset,
    metrics: Sequence[Metric],
    examples: Sequence[EvaluationExample],
    *,
    champion_model: str | None = None,
    file_tokens: int | None = None,
) -> tuple[PaidStep, PaidStep]:
    """Return the most that an evaluation can cost, for the answers and for the judge. The same sum is reserved.

    Args:
        config: has prices, and the models' rules about thinking.
        dataset: the dataset that is evaluated; its candidate is billed as its model.
        metrics: of the evaluation; for `pairwise`, the champion answers, too.
        examples: the rows that are asked.
        champion_model: the model that the champion is billed as; None for the dataset's.
        file_tokens: as in `answers_step`.
    """
    evaluation = dataset.evaluation

    def asked(model: str) -> tuple[Rates, Requests]:
        return config.rates(model), evaluation_requests(config, dataset, model)

    compares = any(metric.name == PAIRWISE for metric in metrics)
    answers = answers_step(
        "evaluation",
        *asked(dataset.billed_model),
        [one.prompt for one in examples],
        champion=asked(champion_model or dataset.billed_model) if compares else None,
        file_tokens=file_tokens,
    )
    longest = asked(dataset.billed_model)[1].usual_judged_tokens
    tokens = judge_tokens(metrics, examples, answer_tokens=longest)
    usd = judge_cost(config.rates, evaluation, tokens)
    judged = ", ".join(metric.name for metric in metrics if metric.judged)
    why = f"{tokens.calls:,} calls of {priced_as(evaluation)} for {judged}" if judged else "no metric asks a judge"
    return answers, PaidStep("judge", usd, None, tokens.input_tokens, tokens.output_tokens, why)
