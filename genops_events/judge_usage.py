"""How often a judge model will be asked, and about how many tokens it reads and writes: what judging costs, before it is spent."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from genops_events.config_evaluation import Evaluation
from genops_events.evaluation_data import EvaluationExample
from genops_events.metrics import PAIRWISE
from genops_events.pricing import estimated_tokens

EXPLANATION_TOKENS = 512
"""About as long as a judge's step-by-step explanation with its rating gets; Vertex AI documents no bound."""


@dataclass(frozen=True, slots=True)
class JudgeTokens:
    """Tokens of all calls of the judge together, estimated."""

    calls: int
    input_tokens: int
    output_tokens: int


def judge_calls(evaluation: Evaluation, rows: int) -> int:
    """Return how often a judge is asked about `rows` rows: once for each sample of each metric that is judged.

    `pairwise` is counted whether there is a champion or not: it can only make the figure too high.
    """
    return rows * sum(metric.samples for metric in evaluation.measured() if metric.judged)


def judge_tokens(evaluation: Evaluation, examples: Iterable[EvaluationExample]) -> JudgeTokens:
    """Return the tokens of judging the answers to `examples`, each answer at its longest."""
    judged = [metric for metric in evaluation.measured() if metric.judged]
    calls = input_tokens = 0
    for example in examples:
        shown = estimated_tokens(example.prompt) + estimated_tokens(example.reference or "")
        for metric in judged:
            answers = 2 if metric.name == PAIRWISE else 1
            asked = estimated_tokens(metric.template) + shown + answers * evaluation.max_output_tokens
            input_tokens += metric.samples * asked
            calls += metric.samples
    return JudgeTokens(calls, input_tokens, calls * EXPLANATION_TOKENS)
