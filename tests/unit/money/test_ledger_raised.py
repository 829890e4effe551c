"""A reservation that a later try finds too small: raised within the limits, or refused."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from genops_events.money.ledger import Ledger, Purpose, Refusal, committed, reserve, settle

NOW = datetime(2026, 3, 15, 12, tzinfo=UTC)
LATER = datetime(2026, 3, 15, 13, tzinfo=UTC)
A = "banking77-1"


def asked(
    ledger: Ledger, amount: str, *, limit: str = "20", purpose: Purpose = "evaluation", **more: object
) -> Ledger | Refusal:
    given = {"purpose": purpose, "now": LATER, **more}
    return reserve(ledger, A, "banking77", Decimal(amount), Decimal(limit), **given)  # type: ignore[arg-type]


@pytest.fixture
def ledger() -> Ledger:
    made = asked(Ledger(month="2026-03"), "10", now=NOW)
    assert isinstance(made, Ledger)
    return made


def test_a_reservation_is_raised_to_what_a_later_try_needs(ledger: Ledger) -> None:
    raised = asked(ledger, "20")
    assert isinstance(raised, Ledger)
    posting = raised.entries[A].purposes["evaluation"]
    assert (posting.reserved_usd, posting.estimated_usd, posting.reserved_at) == (20, 20, NOW)
    assert committed(raised) == 20
    assert Ledger.model_validate_json(raised.to_json()) == raised


@pytest.mark.parametrize("limit", ["limit", "candidate_limit", "project_limit"])
def test_what_is_added_must_be_within_every_limit_and_what_is_reserved_counts_once(ledger: Ledger, limit: str) -> None:
    value = "15" if limit == "limit" else Decimal(15)
    refusal = asked(ledger, "15.01", **{limit: value})
    assert isinstance(refusal, Refusal)
    assert (refusal.missing_usd, refusal.committed_usd) == (Decimal("0.01"), 0)
    assert isinstance(asked(ledger, "15", **{limit: value}), Ledger)


def test_an_approval_lets_it_be_raised_over_a_limit_and_is_kept_by_what_raises_it_again(ledger: Ledger) -> None:
    raised = asked(ledger, "30", approved_by="ada@laptop")
    assert isinstance(raised, Ledger)
    again = asked(raised, "31", limit="100")
    assert isinstance(again, Ledger)
    assert again.entries[A].purposes["evaluation"].approved_by == "ada@laptop"


def test_what_is_settled_is_never_raised(ledger: Ledger) -> None:
    settled = settle(ledger, A, "evaluation", Decimal(1))
    assert asked(settled, "15") is settled
