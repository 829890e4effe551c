"""Let a candidate's model answer prompts, paying for each answer once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from genops_events.airflow.stage import StageRun
from genops_events.evaluation_data import Prompt
from genops_events.gcp import generation, inputs
from genops_events.gcp.generation import Answer
from genops_events.gcp.kept_answers import KeptAnswers


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
    instruction = run.dataset.system_instruction
    settings = inputs.settings_of(system_instruction=instruction, max_output_tokens=max_output_tokens)
    model = run.tuning.model or run.endpoint
    with KeptAnswers(run.store.bucket, name, prompts, model=model, settings=settings) as kept:
        answers = generation.answer_all(
            run.config,
            model=run.endpoint,
            prompts=[prompt.prompt for prompt in prompts],
            max_output_tokens=max_output_tokens,
            system_instruction=instruction,
            kept=kept.answers,
            on_answer=kept.add,
        )
    return Asked(
        answers=answers,
        uri=kept.uri,
        input_tokens=sum(answer.input_tokens for answer in answers),
        output_tokens=sum(answer.output_tokens for answer in answers),
        cost_usd=answers_cost(run, answers),
    )


def answers_cost(run: StageRun, answers: Sequence[Answer], *, model: str | None = None) -> Decimal:
    """Return what these answers cost in US dollars, by what the service says was used; as `model`, or as the dataset's."""
    thinking = sum(answer.thinking_tokens for answer in answers)
    return run.config.rates(model or run.dataset.billed_model).generation_cost(
        sum(answer.input_tokens for answer in answers),
        sum(answer.output_tokens for answer in answers) - thinking,
        cached_tokens=sum(answer.cached_tokens for answer in answers),
        thinking_tokens=thinking,
    )
