"""What somebody may let a run cost: what genops.yaml allows, or less; and without a limit nothing is asked."""

from __future__ import annotations

import copy
from decimal import Decimal
from typing import Any

import pytest
import yaml
from config_texts import example

from genops_events.asking.form import COMMAND, WrongForm, read_form
from genops_events.config import Config, parse_config
from genops_events.money.ceilings import NoLimit, OverCeiling, ask_budget, comparison_budget

EXAMPLE = example()
MODEL = "gemini-2.5-flash"


def configured(**keys: Any) -> Config:
    data = {key: value for key, value in copy.deepcopy(EXAMPLE).items() if key not in {"ask", "budget"}}
    return parse_config(yaml.safe_dump(data | keys))


@pytest.mark.parametrize(
    ("keys", "asked", "dataset", "budget"),
    [
        ({"ask": {"budget_usd": 5}}, None, None, "5"),
        ({"ask": {"budget_usd": 5}}, "4.99", None, "4.99"),
        ({"ask": {"budget_usd": 5}}, "5", "banking77", "5"),
        ({"ask": {"budget_usd": 5}}, "0", None, "0"),
        ({"ask": {"budget_usd": 0}}, None, None, "0"),
        ({"budget": {"monthly_usd": 50}}, None, None, "1"),
        ({"budget": {"monthly_usd": 50}}, "70", None, "70"),  # what a month allows, its ledger says
        ({}, None, "banking77", "1"),
        ({}, "3", "banking77", "3"),
    ],
)
def test_a_budget_is_what_is_asked_for_or_what_is_allowed(
    keys: dict[str, Any], asked: str | None, dataset: str | None, budget: str
) -> None:
    found = ask_budget(configured(**keys), None if asked is None else Decimal(asked), dataset=dataset)
    assert found == Decimal(budget)


@pytest.mark.parametrize("dataset", [None, "banking77"])
def test_nobody_raises_what_genops_yaml_allows(dataset: str | None) -> None:
    config = configured(ask={"budget_usd": "0.25"}, budget={"monthly_usd": 1000})
    with pytest.raises(OverCeiling) as refused:
        ask_budget(config, Decimal("0.250001"), dataset=dataset, name="--budget")
    assert refused.value.message == (
        "--budget is $0.250001, and genops.yaml allows $0.25 (`ask.budget_usd`): it can be lowered here, never raised."
    )
    assert refused.value.hint == "Name at most $0.25, or have `ask.budget_usd` raised in genops.yaml."


def test_without_any_limit_nothing_is_asked_and_the_keys_are_named() -> None:
    for asked in (None, Decimal("0.01")):
        with pytest.raises(NoLimit) as refused:
            ask_budget(configured(), asked, dataset=None)
        assert "`ask: {budget_usd: 1}`" in refused.value.hint
        assert "`budget: {monthly_usd: 50}`" in refused.value.hint


def test_a_form_a_command_and_a_call_are_held_to_it_with_their_own_words() -> None:
    config = configured(ask={"budget_usd": "0.25"})
    for names, said in ((None, "`budget_usd`"), (COMMAND, "--budget")):
        more = {} if names is None else {"names": names}
        with pytest.raises(WrongForm) as refused:
            read_form({"prompt": "x", "model": MODEL, "budget_usd": "0.3"}, config, **more)
        assert refused.value.message.startswith(f"{said} is $0.30, and genops.yaml allows $0.25 (`ask.budget_usd`)")


def test_counting_costs_nothing_and_needs_no_limit() -> None:
    with pytest.raises(NoLimit):
        read_form({"prompt": "x", "model": MODEL}, configured())
    counted = read_form({"prompt": "x", "model": MODEL}, configured(), is_counted_only=True)
    assert counted.budget_usd == 1
    assert read_form({"prompt": "x", "champion_of": "banking77"}, configured()).budget_usd == 1


def test_a_comparison_costs_no_more_than_its_dataset_allows() -> None:
    data = copy.deepcopy(EXAMPLE)
    dataset = parse_config(yaml.safe_dump(data)).datasets["banking77"]
    assert comparison_budget(dataset, None) is None
    assert comparison_budget(dataset, Decimal(7)) == 7  # the month's limit counts
    data["datasets"]["banking77"]["comparison"] = {"budget_usd": 2}
    dataset = parse_config(yaml.safe_dump(data)).datasets["banking77"]
    assert comparison_budget(dataset, None) == 2
    assert comparison_budget(dataset, Decimal("0.5")) == Decimal("0.5")
    with pytest.raises(OverCeiling, match=r"`budget_usd` is \$2.01, and genops.yaml allows \$2.00"):
        comparison_budget(dataset, Decimal("2.01"))
