from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from genops_events.errors import PermanentError
from genops_events.ledger import Ledger, LedgerError, Purpose, Refusal, committed, month_of, reserve, settle

NOW = datetime(2026, 3, 15, 12, tzinfo=UTC)
EMPTY = Ledger(month="2026-03")
CANDIDATES = ("banking77-1", "banking77-2", "other-1")
PURPOSES: tuple[Purpose, ...] = ("tuning", "evaluation", "inference")
AMOUNTS = st.decimals(min_value=0, max_value=100, places=6)


def reserved(  # noqa: PLR0917  # a test names only what matters to it
    ledger: Ledger,
    amount: str,
    candidate: str = "banking77-1",
    purpose: Purpose = "tuning",
    dataset: str = "banking77",
    limit: str = "200",
) -> Ledger:
    result = reserve(ledger, candidate, dataset, Decimal(amount), Decimal(limit), NOW, purpose=purpose)
    assert isinstance(result, Ledger)
    return result


def test_reservation_is_held_back() -> None:
    ledger = reserved(EMPTY, "12.5")
    entry = ledger.entries["banking77-1"]
    assert (entry.reserved_usd, entry.spent_usd) == (Decimal("12.5"), 0)
    assert entry.purposes["tuning"].reserved_at == NOW
    assert committed(ledger, "banking77") == Decimal("12.5")
    assert EMPTY.entries == {}


def test_reserving_twice_changes_nothing() -> None:
    ledger = reserved(EMPTY, "12.5")
    assert reserved(ledger, "99") is ledger
    assert reserved(ledger, "12.5", limit="1") is ledger


def test_reserving_again_after_settlement_changes_nothing() -> None:
    ledger = settle(reserved(EMPTY, "12.5"), "banking77-1", "tuning", Decimal(11))
    assert reserved(ledger, "12.5") is ledger


def test_purposes_add_up() -> None:
    ledger = reserved(reserved(EMPTY, "10"), "2", purpose="inference")
    assert committed(ledger, "banking77") == 12


def test_amount_that_just_reaches_the_limit_passes() -> None:
    assert committed(reserved(EMPTY, "200"), "banking77") == 200


def test_refusal_tells_the_figures() -> None:
    ledger = reserved(EMPTY, "190")
    refusal = reserve(ledger, "banking77-2", "banking77", Decimal("15.25"), Decimal(200), NOW, purpose="tuning")
    assert isinstance(refusal, Refusal)
    assert str(refusal) == (
        "Tuning of banking77-2 would cost $15.25, but banking77 has $190.00 of its $200.00 for 2026-03 "
        "reserved or spent: $5.25 too much."
    )
    assert (refusal.asked_usd, refusal.committed_usd, refusal.limit_usd) == (Decimal("15.25"), 190, 200)


def test_refusal_does_not_round_small_amounts_away() -> None:
    refusal = reserve(EMPTY, "a-1", "a", Decimal("0.000002"), Decimal(0), NOW, purpose="inference")
    assert isinstance(refusal, Refusal)
    assert "$0.000002 too much" in refusal.reason


def test_limit_is_that_of_one_dataset() -> None:
    ledger = reserved(EMPTY, "200")
    assert committed(reserved(ledger, "200", candidate="other-1", dataset="other"), "other") == 200


def test_settlement_releases_the_reservation_and_records_the_spend() -> None:
    ledger = settle(reserved(EMPTY, "12.5"), "banking77-1", "tuning", Decimal("10.1"))
    entry = ledger.entries["banking77-1"]
    assert (entry.reserved_usd, entry.spent_usd) == (0, Decimal("10.1"))
    assert committed(ledger, "banking77") == Decimal("10.1")


def test_settling_twice_changes_nothing() -> None:
    ledger = settle(reserved(EMPTY, "12.5"), "banking77-1", "tuning", Decimal(10))
    assert settle(ledger, "banking77-1", "tuning", Decimal(99)) is ledger


def test_spend_above_the_reservation_is_recorded_as_it_was() -> None:
    ledger = settle(reserved(EMPTY, "1"), "banking77-1", "tuning", Decimal(3))
    assert committed(ledger, "banking77") == 3


def test_spend_without_a_reservation_is_recorded() -> None:
    ledger = settle(reserved(EMPTY, "1"), "banking77-1", "evaluation", Decimal("0.5"))
    assert committed(ledger, "banking77") == Decimal("1.5")


def test_unknown_candidate_cannot_be_settled() -> None:
    with pytest.raises(LedgerError, match="does not know"):
        settle(EMPTY, "banking77-1", "tuning", Decimal(1))
    assert issubclass(LedgerError, PermanentError)


def test_ledger_of_another_month_takes_no_new_reservation() -> None:
    april = datetime(2026, 4, 1, tzinfo=UTC)
    with pytest.raises(LedgerError, match="2026-04"):
        reserve(EMPTY, "a-1", "a", Decimal(1), Decimal(2), april, purpose="tuning")
    ledger = reserved(EMPTY, "1")
    again = reserve(ledger, "banking77-1", "banking77", Decimal(1), Decimal(2), april, purpose="tuning")
    assert again is ledger


def test_candidate_stays_with_its_dataset() -> None:
    with pytest.raises(LedgerError, match="under the dataset 'banking77'"):
        reserved(reserved(EMPTY, "1"), "1", dataset="other")


@pytest.mark.parametrize("amount", ["-1", "NaN", "Infinity"])
def test_amounts_are_numbers_from_zero_up(amount: str) -> None:
    with pytest.raises(ValueError, match="amount"):
        reserved(EMPTY, amount)
    with pytest.raises(ValueError, match="amount"):
        settle(reserved(EMPTY, "1"), "banking77-1", "tuning", Decimal(amount))


def test_month_is_utc() -> None:
    assert month_of(datetime(2026, 4, 1, 1, tzinfo=timezone(timedelta(hours=2)))) == "2026-03"
    with pytest.raises(ValueError, match="time zone"):
        month_of(datetime(2026, 4, 1))  # noqa: DTZ001
    with pytest.raises(ValidationError):
        Ledger(month="2026-13")


def test_fields_of_a_newer_version_are_kept() -> None:
    text = '{"schema": "genops.ledger.v1", "month": "2026-03", "closed_by": "someone"}'
    assert b"closed_by" in reserved(Ledger.model_validate_json(text), "1").to_json()


STEPS = st.lists(st.tuples(st.booleans(), st.sampled_from(CANDIDATES), st.sampled_from(PURPOSES), AMOUNTS), max_size=20)


def run(ledger: Ledger, steps: list[tuple[bool, str, Purpose, Decimal]], repeat: int = 1) -> Ledger:
    for is_reservation, candidate, purpose, amount in steps:
        for _ in range(repeat):
            if is_reservation:
                dataset = candidate.rpartition("-")[0]
                result = reserve(ledger, candidate, dataset, amount, Decimal(150), NOW, purpose=purpose)
                ledger = result if isinstance(result, Ledger) else ledger
            elif candidate in ledger.entries:
                # Never more than was reserved: the limit is kept by reservations, not by what jobs turn out to cost.
                held = ledger.entries[candidate].purposes.get(purpose)
                ledger = settle(ledger, candidate, purpose, min(amount, held.reserved_usd) if held else Decimal(0))
    return ledger


@settings(deadline=None)
@given(STEPS)
def test_limit_is_never_passed(steps: list) -> None:
    ledger = run(EMPTY, steps)
    for dataset in ("banking77", "other"):
        assert 0 <= committed(ledger, dataset) <= 150


@settings(deadline=None)
@given(STEPS)
def test_every_step_may_be_repeated(steps: list) -> None:
    assert run(EMPTY, steps, repeat=2) == run(EMPTY, steps)


@settings(deadline=None)
@given(STEPS)
def test_ledger_survives_being_stored(steps: list) -> None:
    ledger = run(EMPTY, steps)
    assert Ledger.model_validate_json(ledger.to_json()) == ledger
