"""The budget of a run while it asks: no prompt begins that might take it over."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genops_events.catalogue.models import shipped
from genops_events.catalogue.prices import rates_of
from genops_events.config.answers import AnswerSettings
from genops_events.gemini.prompts import PromptRow, read_rows
from genops_events.gemini.requests import CannotAsk, Requests
from genops_events.gemini.token_budget import TokenBudget, most_for_row
from genops_events.reading.addresses import Readable

RATES = rates_of(shipped(), "gemini-2.5-flash")  # 0.30 in, 2.50 out, in USD per million
REQUESTS = Requests(AnswerSettings(max_output_tokens=1000))
MOST = Decimal("0.0025003")


def prompt(number: int, text: str = "four") -> PromptRow:
    [row] = read_rows([b'{"prompt": "%s"}' % text.encode()], readable=Readable("bucket"))
    assert isinstance(row, PromptRow)
    return PromptRow(number=number, line=number + 1, id=f"line-{number + 1}", contents=row.contents, size_bytes=1)


def answered(number: int, *, tokens: int = 1000, asked: int = 1) -> dict[str, Any]:
    figures = {"input_tokens": asked, "output_tokens": tokens, "cached_tokens": 0, "thinking_tokens": 0}
    return {"number": number, "answer": "x", "state": "complete", **figures}


def test_a_prompt_costs_at_most_its_text_and_the_longest_answer() -> None:
    assert most_for_row(REQUESTS, prompt(0), RATES) == Decimal("0.002501")
    with_more = Requests(AnswerSettings(max_output_tokens=1000), system_instruction="x" * 4000)
    assert most_for_row(with_more, prompt(0), RATES, common_tokens=1000) == Decimal("0.003201")


def test_prompts_under_way_count_at_their_most_and_what_they_have_cost_after() -> None:
    budget = TokenBudget(3 * MOST + Decimal("0.0001"), RATES)
    for number in range(3):
        budget.begin(prompt(number), MOST)
    with pytest.raises(
        CannotAsk, match=r"the budget of \$0\.0076009 is used up: \$0\.007501 of it is spent or under way"
    ):
        budget.begin(prompt(3), MOST)
    assert (budget.spent_usd, budget.under_way_usd) == (Decimal(0), 3 * MOST)
    budget.kept([answered(0, tokens=10)])
    assert budget.under_way_usd == 2 * MOST
    budget.begin(prompt(3), MOST)
    with pytest.raises(CannotAsk):
        budget.begin(prompt(4), MOST)


def test_a_failure_costs_nothing() -> None:
    budget = TokenBudget(MOST, RATES)
    budget.begin(prompt(0), MOST)
    budget.kept([{"number": 0, "reason": "refused"}])
    budget.begin(prompt(1), MOST)
    assert budget.spent_usd == 0


def test_a_service_that_bills_more_than_anybody_could_count_is_asked_no_more() -> None:
    budget = TokenBudget(10 * MOST, RATES)
    budget.begin(prompt(0), MOST)
    budget.kept([answered(0, asked=100_000)])  # a tool brought them in
    assert budget.spent_usd > 10 * MOST
    with pytest.raises(CannotAsk, match="used up"):
        budget.begin(prompt(1), MOST)


def test_what_an_earlier_try_has_kept_counts() -> None:
    budget = TokenBudget(2 * MOST, RATES)
    budget.kept([answered(0), answered(1)])
    with pytest.raises(CannotAsk):
        budget.begin(prompt(2), MOST)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 20), st.integers(1, 4), st.data())
def test_a_budget_that_just_covers_all_prompts_fails_none(rows: int, dearer: int, data: st.DataObject) -> None:
    # What was counted is another figure than the sum of the estimates; each prompt has its share of it.
    estimated = sum((most_for_row(REQUESTS, prompt(number), RATES) for number in range(rows)), Decimal(0))
    most = RATES.most_for(dearer * rows, 1000 * rows)
    budget = TokenBudget(most, RATES, share=most / estimated)
    waiting: list[int] = []
    for number in range(rows):
        budget.begin(prompt(number), most_for_row(REQUESTS, prompt(number), RATES))
        waiting.append(number)
        if data.draw(st.booleans()):
            budget.kept([answered(one, asked=dearer) for one in waiting])
            waiting = []
