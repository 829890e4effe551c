"""Estimate the calls, the tokens and the cost of a judge model, before an evaluation and after it.

Vertex AI's evaluation service reports no usage. So the cost after the evaluation is an estimate, too: by the calls that were
made, and by the texts that the judge was shown.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal

from genops_events.catalogue.metrics import PAIRWISE, Metric
from genops_events.catalogue.prices import Rates
from genops_events.catalogue.tokens import estimated_tokens
from genops_events.config.evaluation import Evaluation, priced_as
from genops_events.evaluation.examples import EvaluationExample
from genops_events.evaluation.rows import Row

EXPLANATION_TOKENS = 512
"""Estimated length of a judge's step-by-step explanation with its rating. Vertex AI documents neither a bound nor whether the
judge thinks first."""


@dataclass(frozen=True, slots=True)
class JudgeTokens:
    """Estimated tokens of all calls of the judge."""

    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0


def judge_tokens(
    metrics: Iterable[Metric], examples: Iterable[EvaluationExample], *, answer_tokens: int
) -> JudgeTokens:
    """Return the tokens of judging the answers to `examples`, with one call for each row, judged metric and sample.

    Args:
        metrics: of the evaluation; `pairwise` shows the judge two answers.
        examples: of the evaluation file.
        answer_tokens: of each answer; the most that it may have, as long as there is none.
    """
    judged = [metric for metric in metrics if metric.judged]
    return _all(
        _calls(metric, example.prompt, example.reference, (2 if metric.name == PAIRWISE else 1) * answer_tokens)
        for example in examples
        for metric in judged
    )


def judged_tokens(metrics: Iterable[Metric], rows: Iterable[Row]) -> JudgeTokens:
    """Return the tokens of the calls that were made for `rows`, by the answers that the judge was shown."""
    judged = [metric for metric in metrics if metric.judged]
    return _all(
        _calls(metric, row.prompt, row.reference, _shown(metric, row))
        for row in rows
        for metric in judged
        if metric.name in row.measures
    )


def _shown(metric: Metric, row: Row) -> int:
    other = row.champion_answer if metric.name == PAIRWISE else None
    return estimated_tokens(row.answer or "") + estimated_tokens(other or "")


def _calls(metric: Metric, prompt: str, reference: str | None, answer_tokens: int) -> JudgeTokens:
    shown = estimated_tokens(prompt) + estimated_tokens(reference or "") + answer_tokens
    asked = estimated_tokens(metric.template) + shown
    return JudgeTokens(metric.samples, metric.samples * asked, metric.samples * EXPLANATION_TOKENS)


def _all(every: Iterable[JudgeTokens]) -> JudgeTokens:
    calls = input_tokens = output_tokens = 0
    for one in every:
        calls += one.calls
        input_tokens += one.input_tokens
        output_tokens += one.output_tokens
    return JudgeTokens(calls, input_tokens, output_tokens)


def judge_cost(rates_of: Callable[[str], Rates], evaluation: Evaluation, tokens: JudgeTokens) -> Decimal:
    """Return the cost of a judge's calls in US dollars.

    Raises:
        UnknownModelError: there are calls, and the judge has no price.
    """
    if not tokens.calls:
        return Decimal(0)
    return rates_of(priced_as(evaluation)).generation_cost(tokens.input_tokens, tokens.output_tokens)
