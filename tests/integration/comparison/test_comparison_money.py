"""What a comparison costs: reserved per contestant before the first call, refused with what is missing, settled in the end."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException
from cloud import DATASET, Reader, StandIns
from comparisons import GONE, asked, conclude, contest, one, plan, postings, recorded, result, whole
from evaluations import FILE, MODEL, die, pairs, write
from made_up import now

from genops_events.airflow.comparison import RunContestant, comparing_of, record_failed_contestant, record_failed_plan
from genops_events.config import Config
from genops_events.errors import ConfigError
from genops_events.gcp import ledger_store
from genops_events.gcp.record_store import RecordStore
from genops_events.money.ceilings import OverCeiling
from genops_events.money.ledger import month_of, usd
from genops_events.record.comparison_plan import ComparisonPlan, plan_path, prompts_path

PRO, LITE = "gemini-2.5-pro", "gemini-2.5-flash-lite"
JUDGED = {"metrics": ["exact_match", "fluency"], "judge": {"samples": 2}}


def calls(cloud: StandIns) -> int:
    return cloud.vertex_calls("generateContent") + cloud.vertex_calls("evaluateInstances")


def test_each_contestant_reserves_its_own_most_and_settles_what_it_used(
    compared: Callable[..., Config], store: RecordStore
) -> None:
    compared(evaluation=JUDGED)
    write(store, FILE, *pairs(4))
    found = whole(asked(MODEL, PRO))
    paid = postings(store, found)
    assert set(paid) == {MODEL, PRO}
    for name, posting in paid.items():
        each = one(found, name)
        assert (posting.settled, posting.reserved_usd, posting.spent_usd) == (True, 0, each.cost_usd)
        assert each.estimated_usd == posting.estimated_usd
        assert each.judge_usd is not None
        assert each.answers_usd is not None
        assert each.cost_usd == each.answers_usd + each.judge_usd
        assert posting.estimated_usd is not None
        assert 0 < each.cost_usd < posting.estimated_usd


def test_over_its_own_budget_nobody_is_asked_and_the_missing_sum_is_named(
    cloud: StandIns, compared: Callable[..., Config], store: RecordStore, completions: Reader
) -> None:
    compared(evaluation=JUDGED, contestants=[MODEL, PRO], budget_usd=0.01)
    write(store, FILE, *pairs(4))
    before = calls(cloud)
    run = asked()
    with pytest.raises(AirflowFailException, match="refused: The comparison would cost at most "):
        plan(run)
    assert calls(cloud) == before
    found = recorded(run)
    assert found is not None
    assert found.outcome == "refused"
    assert found.estimated_usd is not None
    assert found.missing_usd == found.estimated_usd - Decimal("0.01") > 0
    assert f"{usd(found.missing_usd)} are missing" in found.reason
    assert [each.status for each in found.contestants] == ["refused", "refused"]
    assert sum(each.estimated_usd or 0 for each in found.contestants) == found.estimated_usd
    assert postings(store, found) == {}
    (event,) = completions.read_some()
    assert event.attributes["ce-type"] == "genops.comparison.refused.v1"
    assert event.data["missing_usd"] == str(found.missing_usd)
    compared(evaluation=JUDGED, contestants=[MODEL, PRO], budget_usd=5)
    again = whole(run)  # its Dag run is cleared
    assert (again.outcome, again.number) == ("completed", 2)


def test_a_budget_in_the_form_counts_and_nothing_is_a_budget_too(
    cloud: StandIns, compared: Callable[..., Config], store: RecordStore
) -> None:
    compared(budget_usd=5)
    write(store, FILE, *pairs(2))
    before = calls(cloud)
    with pytest.raises(AirflowFailException, match=r"over `comparison.budget_usd` of \$0.00"):
        plan(asked(MODEL, budget_usd=0))
    assert calls(cloud) == before


def test_a_form_lowers_what_genops_yaml_allows_and_never_raises_it(
    cloud: StandIns, compared: Callable[..., Config], store: RecordStore
) -> None:
    compared(budget_usd=0.5)
    write(store, FILE, *pairs(2))
    run = asked(MODEL, budget_usd=0.6)
    before = calls(cloud)
    with pytest.raises(OverCeiling, match=r"`budget_usd` is \$0.60, and genops.yaml allows \$0.50") as refused:
        plan(run)
    record_failed_plan({**run, "exception": refused.value})
    found = recorded(run)
    assert found is not None
    assert found.outcome == "failed"
    assert "it can be lowered here, never raised" in found.reason
    assert calls(cloud) == before
    run = asked(MODEL, budget_usd=0.4)
    assert plan(run) == [MODEL]
    compared(budget_usd=0)  # lowered in genops.yaml since
    with pytest.raises(AirflowFailException, match=r"over `comparison.budget_usd` of \$0.00"):
        plan(run)


@pytest.mark.parametrize("whose", ["dataset", "project"])
def test_over_the_months_limit_nobody_is_asked(
    *, cloud: StandIns, compared: Callable[..., Config], store: RecordStore, tmp_path: Any, whose: str
) -> None:
    compared(budget={"monthly_usd": "0.003"} if whose == "dataset" else {})
    if whose == "project":
        file = tmp_path / "genops.yaml"
        file.write_text(file.read_text(encoding="utf-8") + "budget: {monthly_usd: 0.003}\n", encoding="utf-8")
    write(store, FILE, *pairs(8))
    before = calls(cloud)
    run = asked(MODEL, PRO)
    with pytest.raises(AirflowFailException, match=r"too much\. By contestant: gemini-2.5-flash \$"):
        plan(run)
    assert calls(cloud) == before
    found = recorded(run)
    assert found is not None
    assert found.missing_usd is not None
    assert found.missing_usd == found.estimated_usd - Decimal("0.003")


def test_a_limit_that_others_reach_meanwhile_refuses_the_contestant_and_not_the_others(
    cloud: StandIns, compared: Callable[..., Config], store: RecordStore
) -> None:
    compared(budget={"monthly_usd": "2"})  # thoughts at their longest cost most of it
    write(store, FILE, *pairs(8))
    run = asked(MODEL, PRO)
    plan(run)
    contest(run, MODEL)
    spend = {"candidate": "other", "dataset": DATASET, "purpose": "tuning", "limit": Decimal(2), "at": now()}
    assert ledger_store.reserve(store, amount=Decimal("1.9"), **spend) is None
    before = calls(cloud)
    with pytest.raises(AirflowFailException, match=f"{PRO} refused: Comparison of .* too much"):
        contest(run, PRO)
    assert calls(cloud) == before
    with pytest.raises(AirflowFailException):
        conclude(run)
    found = recorded(run)
    assert found is not None
    assert [each.status for each in found.contestants] == ["completed", "refused"]
    assert one(found, PRO).cost_usd == 0
    assert month_of(found.started_at) == month_of(now())


def test_a_contestant_without_a_price_is_never_asked(
    cloud: StandIns, compared: Callable[..., Config], store: RecordStore
) -> None:
    compared()
    write(store, FILE, *pairs(2))
    before = calls(cloud)
    found = whole(asked("gemini-3.7-flash", f"other: {{model: {GONE}, base_model: gemini-3.7-flash}}"))
    assert found.outcome == "failed"
    assert calls(cloud) == before
    assert all("No price is known" in each.reason for each in found.contestants)


def one_has_completed(compared: Callable[..., Config], store: RecordStore) -> Any:
    """Return a Dag run in which MODEL has completed, and PRO has not begun."""
    compared(evaluation=JUDGED, contestants=[MODEL, PRO], budget_usd=5)
    write(store, FILE, *pairs(4))
    run = asked()
    plan(run)
    contest(run, MODEL)
    return run


def test_who_is_cleared_is_held_against_what_the_others_have_spent(
    cloud: StandIns, compared: Callable[..., Config], store: RecordStore
) -> None:
    run = one_has_completed(compared, store)
    spent = result(run, MODEL).cost_usd
    most = comparing_of(run).most(comparing_of(run).prepared(comparing_of(run).plan()))[PRO]
    assert spent > 0
    compared(evaluation=JUDGED, contestants=[MODEL, PRO], budget_usd=float(most + spent / 2))
    before = calls(cloud)
    with pytest.raises(AirflowFailException, match="refused: The comparison would cost at most "):
        plan(run)
    assert calls(cloud) == before
    compared(evaluation=JUDGED, contestants=[MODEL, PRO], budget_usd=float(most + spent))
    assert plan(run) == [MODEL, PRO]


def test_a_refusal_of_who_is_left_hides_nobody_who_has_completed(
    compared: Callable[..., Config], store: RecordStore
) -> None:
    run = one_has_completed(compared, store)
    compared(evaluation=JUDGED, contestants=[MODEL, PRO], budget_usd=0)
    with pytest.raises(AirflowFailException, match="refused: The comparison would cost at most "):
        plan(run)
    found = recorded(run)
    assert found is not None
    assert [each.status for each in found.contestants] == ["completed", "refused"]
    assert found.cost_usd == one(found, MODEL).cost_usd > 0
    record_failed_plan({**run, "exception": ConfigError("genops.yaml is being edited.")})
    assert recorded(run) == found


def test_a_contestant_that_is_refused_later_keeps_what_it_has_spent(
    compared: Callable[..., Config], store: RecordStore
) -> None:
    compared(evaluation=JUDGED, budget={"monthly_usd": "1000"})
    write(store, FILE, *pairs(4))
    run = asked(MODEL)
    plan(run)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("genops_events.comparison.contest.ContestantRun._write_rows", die)
        with pytest.raises(KeyboardInterrupt):
            contest(run, MODEL)
    record_failed_contestant({**run, "task": RunContestant(task_id="contest", contestant=MODEL), "exception": None})
    paid = result(run, MODEL).cost_usd
    assert paid > 0
    planned = store.read(plan_path(comparing_of(run).id), ComparisonPlan)
    assert planned is not None
    at = planned.written_at  # its month is the one that the comparison's money is of, whatever month it is by now
    spend = {"candidate": "other", "dataset": DATASET, "purpose": "tuning", "limit": Decimal(2000), "at": at}
    assert ledger_store.reserve(store, amount=Decimal("999.98"), **spend) is None
    with pytest.raises(AirflowFailException, match=f"{MODEL} refused: "):
        contest(run, MODEL)
    assert result(run, MODEL).cost_usd == paid
    ledger_store.settle(store, candidate="other", purpose="tuning", spent=Decimal(0), at=at)
    contest(run, MODEL)
    found = whole(run)
    assert sum(each.spent_usd for each in postings(store, found).values()) == found.cost_usd == paid


def test_what_a_contestant_cost_is_unknown_where_its_answers_are_kept_and_cannot_be_priced(
    compared: Callable[..., Config], store: RecordStore, completions: Reader
) -> None:
    compared()
    write(store, FILE, *pairs(2))
    run = asked(MODEL, LITE)
    plan(run)
    contest(run, LITE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("genops_events.comparison.contest.ContestantRun._write_rows", die)
        with pytest.raises(KeyboardInterrupt):
            contest(run, MODEL)
    store.bucket.blob(prompts_path(comparing_of(run).id)).delete()  # without them, nobody can tell what was answered
    record_failed_contestant({**run, "task": RunContestant(task_id="contest", contestant=MODEL), "exception": None})
    with pytest.raises(AirflowFailException):
        conclude(run)
    found = recorded(run)
    assert found is not None
    paid, spent = postings(store, found), one(found, LITE).cost_usd
    assert spent is not None
    assert (one(found, MODEL).cost_usd, found.cost_usd, found.cost_text) == (None, spent, f"at least ${spent:.4f}")
    assert (paid[MODEL].settled, paid[MODEL].reserved_usd > 0) == (False, True), "it stays reserved"
    [event] = completions.read_some()
    assert [each["cost_usd"] for each in event.data["contestants"]] == [None, str(spent)]
    page = store.bucket.blob(f"genops/comparisons/{found.id}/report.html").download_as_text()
    assert "at least $" in page
    assert "spent: unknown" in page


def test_functions_and_a_schema_of_the_answer_are_reserved_for_as_input(
    compared: Callable[..., Config], store: RecordStore
) -> None:
    compared()
    write(store, FILE, *pairs(4))
    described = "x" * 30_000  # 10,000 tokens with each of four prompts, at $0.30 for a million
    about = {
        "plain": {},
        "functions": {"functions": [{"name": "block_card", "description": described}]},
        "schema": {"response_json_schema": {"type": "object", "description": described}},
    }
    run = asked(*(json.dumps({name: {"model": MODEL, "generation_config": one}}) for name, one in about.items()))
    comparing = comparing_of(run)
    most = comparing.most(comparing.prepared(comparing.plan()))
    assert Decimal("0.012") < most["functions"] - most["plain"] < Decimal("0.0125")
    assert Decimal("0.012") < most["schema"] - most["plain"] < Decimal("0.0125")
