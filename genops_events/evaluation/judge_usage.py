"""How often a judge model is asked, how many tokens it reads and writes, and what that costs: before it is spent, and after.

Vertex AI's evaluation service tells no usage. So what was spent is an estimate, too: by the calls that were made, and by
the texts that the judge was shown.
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
"""About as long as a judge's step-by-step explanation with its rating gets; Vertex AI documents no bound, and whether the
judge thinks before it."""


@dataclass(frozen=True, slots=True)
class JudgeTokens:
    """Tokens of all calls of the judge together, estimated."""

    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0


def judge_tokens(
    metrics: Iterable[Metric], examples: Iterable[EvaluationExample], *, answer_tokens: int
) -> JudgeTokens:
    """Return the tokens of judging the answers to `examples`: a call for each row, metric that is judged, and sample.

    Args:
        metrics: what is measured. `pairwise` shows the judge two answers.
        examples: of the evaluation file.
        answer_tokens: of each answer; at its longest, before there is one.
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
    """Return what a judge's calls cost in US dollars.

    Raises:
        UnknownModelError: there are calls, and the judge has no price.
    """
    if not tokens.calls:
        return Decimal(0)
    return rates_of(priced_as(evaluation)).generation_cost(tokens.input_tokens, tokens.output_tokens)
