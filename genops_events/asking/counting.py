"""Count the tokens of prompts before any model is asked; counting by Vertex AI is free."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from genops_events.asking.form import FieldNames, WrongForm
from genops_events.catalogue.tokens import estimated_tokens
from genops_events.config.answers import AnswerSettings
from genops_events.config.thinking import ThinkingModel
from genops_events.gemini.prompts import BadRow, PromptRow, in_chunks
from genops_events.gemini.requests import Requests
from genops_events.gemini.token_budget import most_for_row
from genops_events.gemini.token_counts import count_tokens
from genops_events.record.asks import AskPlan

if TYPE_CHECKING:
    from genops_events.config import Config

COUNTED_AT_ONCE = 1000
"""Most prompts that are held in memory while tokens are counted; fewer where they are long."""


@dataclass(slots=True)
class _Sizes:
    rows: int = 0
    bad_rows: int = 0
    tokens: int = 0
    billable_characters: int = 0
    longest_answers: int = 0
    estimated_usd: Decimal = Decimal(0)
    first_bad: BadRow | None = None


def counted(config: Config, plan: AskPlan, found: Iterable[PromptRow | BadRow], names: FieldNames) -> AskPlan:
    """Return the plan with its tokens, and with the most that it can cost.

    Args:
        config: project, location and prices.
        plan: has the model and its settings.
        found: the rows of its prompts.
        names: of the fields, for error messages.

    Raises:
        WrongForm: no prompt can be asked.
        CloudUnavailable: the tokens could not be counted.
    """
    sizes = _Sizes()
    requests = _requests_of(config, plan)
    for some in in_chunks(found, most=COUNTED_AT_ONCE):
        _count(config, plan, requests, some, sizes)
    if sizes.rows == 0:
        field = names.prompt if plan.is_single else names.file
        why = "is empty" if sizes.first_bad is None else f"has no row that can be asked. {sizes.first_bad.reason}"
        raise WrongForm(f"{field}: {plan.source} {why.rstrip('.')}.", "Nothing was asked.")
    return plan.model_copy(
        update={
            "rows": sizes.rows + sizes.bad_rows,
            "bad_rows": sizes.bad_rows,
            "input_tokens": sizes.tokens,
            "billable_characters": sizes.billable_characters,
            "longest_answers": sizes.longest_answers,
            "most_usd": config.rates(plan.billed_model).most_for(sizes.tokens, sizes.longest_answers),
            "estimated_usd": sizes.estimated_usd,
        }
    )


def thinker_of_plan(config: Config, plan: AskPlan) -> ThinkingModel:
    """Return the rules about thinking of a plan's model: a champion is a tuned one."""
    return config.thinker(plan.billed_model, is_tuned=plan.champion is not None)


def _requests_of(config: Config, plan: AskPlan) -> Requests:
    """Return the maker of a plan's requests, without the contents that all of them share."""
    return Requests(
        AnswerSettings.model_validate(plan.settings),
        system_instruction=plan.system_instruction,
        thinker=thinker_of_plan(config, plan),
        model=config.catalogue.with_name(plan.billed_model),
    )


def common_tokens(plan: AskPlan) -> int:
    """Return the estimated tokens of the contents before every prompt."""
    texts = (part.get("text", "") for turn in plan.common for part in turn["parts"])
    return sum(map(estimated_tokens, texts))


def _count(
    config: Config, plan: AskPlan, requests: Requests, rows: Sequence[PromptRow | BadRow], sizes: _Sizes
) -> None:
    rates, common = config.rates(plan.billed_model), common_tokens(plan)
    alike: dict[tuple[str, str | None], list[PromptRow]] = {}
    for row in rows:
        if isinstance(row, BadRow):
            sizes.bad_rows += 1
            sizes.first_bad = sizes.first_bad or row
            continue
        sizes.rows += 1
        sizes.longest_answers += requests.longest_answer(row)
        sizes.tokens += requests.declared_tokens(row)
        sizes.estimated_usd += most_for_row(requests, row, rates, common_tokens=common)
        shows = row.has_files or bool(plan.common)
        key = requests.system_instruction(row), requests.media_resolution(row) if shows else None
        alike.setdefault(key, []).append(row)
    for (instruction, resolution), group in alike.items():
        found = count_tokens(
            config,
            model=plan.billed_model,
            prompts=[[*plan.common, *row.contents] for row in group],
            system_instruction=instruction or None,
            media_resolution=resolution,
        )
        sizes.tokens += found.tokens
        sizes.billable_characters += found.billable_characters
