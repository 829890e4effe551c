"""Let a candidate's model answer prompts, paying for each answer once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from genops_events.airflow.stage import StageRun
from genops_events.evaluation_data import Prompt
from genops_events.gcp import generation, inputs
from genops_events.gcp.generation import Answer


@dataclass(frozen=True, slots=True)
class Asked:
    """Answers in the order of their prompts, where they are kept, and what they cost."""

    answers: Sequence[Answer]
    uri: str
    input_tokens: int
    output_tokens: int
    cost_usd: Decimal


def ask(run: StageRun, prompts: Sequence[Prompt], *, name: str, max_output_tokens: int) -> Asked:
    """Return the model's answers to `prompts`: those that an earlier try kept, or new ones, kept at once.

    Args:
        run: the stage's run; its tuned model is asked.
        prompts: what to ask.
        name: of the object that keeps the answers.
        max_output_tokens: bound of one answer.
    """
    bucket = run.store.bucket
    kept = inputs.read_answers(bucket, name, prompts)
    before = len(kept)
    try:
        answers = generation.answer_all(
            run.config,
            model=run.endpoint,
            prompts=[prompt.prompt for prompt in prompts],
            max_output_tokens=max_output_tokens,
            system_instruction=run.dataset.system_instruction,
            kept=kept,
        )
    finally:
        if len(kept) > before:
            inputs.write_answers(bucket, name, prompts, kept, model=run.tuning.model or run.endpoint)
    input_tokens = sum(answer.input_tokens for answer in answers)
    output_tokens = sum(answer.output_tokens for answer in answers)
    thinking = sum(answer.thinking_tokens for answer in answers)
    return Asked(
        answers=answers,
        uri=f"gs://{bucket.name}/{name}",
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        cost_usd=run.config.rates(run.dataset.billed_model).generation_cost(
            input_tokens,
            output_tokens - thinking,
            cached_tokens=sum(answer.cached_tokens for answer in answers),
            thinking_tokens=thinking,
        ),
    )
