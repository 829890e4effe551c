from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from genops_events.errors import PermanentError
from genops_events.money.ledger import Ledger, LedgerError, Purpose, Refusal, committed, month_of, reserve, settle

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
    assert reserved(ledger, "12.5", limit="1") is ledger
    assert reserved(ledger, "3", limit="1") is ledger


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


# Limits beside that of the dataset's month


def asked(ledger: Ledger, amount: str, candidate: str = "banking77-1", **limits: object) -> Ledger | Refusal:
    given = {"purpose": "tuning", **limits}
    dataset = candidate.rpartition("-")[0]
    return reserve(ledger, candidate, dataset, Decimal(amount), Decimal(200), NOW, **given)  # type: ignore[arg-type]


def test_a_candidate_has_a_limit_of_its_own_over_all_purposes() -> None:
    ledger = settle(reserved(EMPTY, "12.5"), "banking77-1", "tuning", Decimal(10))
    refusal = asked(ledger, "5.01", purpose="inference", candidate_limit=Decimal(15))
    assert isinstance(refusal, Refusal)
    assert "but it has $10.00 of its $15.00 reserved or spent: $0.01 too much." in refusal.reason
    assert (refusal.missing_usd, refusal.limits) == (Decimal("0.01"), ("budget.candidate_usd",))
    assert isinstance(asked(ledger, "5", purpose="inference", candidate_limit=Decimal(15)), Ledger)
    assert isinstance(asked(ledger, "5.01", candidate="banking77-2", candidate_limit=Decimal(15)), Ledger)


def test_all_datasets_share_the_projects_month() -> None:
    ledger = reserved(reserved(EMPTY, "100"), "100", candidate="other-1", dataset="other")
    refusal = asked(ledger, "1", "other-2", project_limit=Decimal("200.5"))
    assert isinstance(refusal, Refusal)
    assert "but the project has $200.00 of its $200.50 for 2026-03 reserved or spent: $0.50 too much." in refusal.reason
    assert isinstance(asked(ledger, "0.5", "other-2", project_limit=Decimal("200.5")), Ledger)


def test_of_several_limits_all_are_named_and_what_is_missing_is_what_would_help() -> None:
    refusal = asked(reserved(EMPTY, "199"), "3", "banking77-2", candidate_limit=Decimal(1), project_limit=Decimal(201))
    assert isinstance(refusal, Refusal)
    assert len(refusal.limits) == 3
    assert refusal.missing_usd == 2


def test_what_somebody_approved_passes_and_the_ledger_says_who() -> None:
    ledger = asked(reserved(EMPTY, "200"), "50", "banking77-2", approved_by="ada@laptop")
    assert isinstance(ledger, Ledger)
    assert ledger.entries["banking77-2"].purposes["tuning"].approved_by == "ada@laptop"
    assert isinstance(asked(ledger, "0.01", "banking77-3"), Refusal), "an approval is for one candidate"


def test_the_estimate_stays_beside_what_was_spent() -> None:
    posting = settle(reserved(EMPTY, "12.5"), "banking77-1", "tuning", Decimal(11)).entries["banking77-1"].purposes
    assert (posting["tuning"].estimated_usd, posting["tuning"].spent_usd) == (Decimal("12.5"), 11)


def test_an_amount_of_more_than_six_places_is_rounded_up_so_that_the_ledger_can_be_read_again() -> None:
    ledger = settle(reserved(EMPTY, "0.0000001"), "banking77-1", "tuning", Decimal("0.0000011"))
    assert committed(Ledger.model_validate_json(ledger.to_json())) == Decimal("0.000002")


ENTRY = '{"schema": "genops.ledger.v1", "month": "2026-03", "entries": {"a-1": {"dataset": "a", "purposes": {%s}}}}'


@pytest.mark.parametrize(
    "changed",
    [
        '"tuning": {"reserved_usd": "-1", "reserved_at": "2026-03-01T00:00:00Z"}',
        '"tuning": {"reserved_usd": "NaN", "reserved_at": "2026-03-01T00:00:00Z"}',
        '"tuning": {"reserved_usd": "1e30", "reserved_at": "2026-03-01T00:00:00Z"}',
        '"tuning": {"reserved_usd": "0.0000001", "reserved_at": "2026-03-01T00:00:00Z"}',
        '"tuning": {"reserved_usd": "1", "settled": true}',
        '"tuning": {"reserved_usd": "1", "spent_usd": "1", "reserved_at": "2026-03-01T00:00:00Z"}',
        '"tuning": {"reserved_usd": "1"}',
        '"tuning": {"reserved_usd": "1", "estimated_usd": "2", "reserved_at": "2026-03-01T00:00:00Z"}',
        '"cooking": {"spent_usd": "1", "settled": true}',
    ],
)
def test_a_ledger_that_makes_no_sense_is_not_read(changed: str) -> None:
    with pytest.raises(ValidationError):
        Ledger.model_validate_json(ENTRY % changed)


def test_a_ledger_of_an_older_version_is_read() -> None:
    old = ENTRY % (
        '"tuning": {"reserved_usd": "0", "spent_usd": "3", "settled": true, "reserved_at": "2026-03-01T00:00:00Z"}, '
        '"inference": {"reserved_usd": "2", "spent_usd": "0", "settled": false, "reserved_at": "2026-03-01T00:00:00Z"}'
    )
    assert committed(Ledger.model_validate_json(old), "a") == 5


LIMITED = st.lists(
    st.tuples(st.booleans(), st.sampled_from(CANDIDATES), st.sampled_from(PURPOSES), AMOUNTS), max_size=30
)


@settings(deadline=None)
@given(LIMITED, AMOUNTS, AMOUNTS, AMOUNTS)
def test_no_limit_is_passed_by_a_cent_whatever_comes_in_whatever_order(
    steps: list, dataset_limit: Decimal, candidate_limit: Decimal, project_limit: Decimal
) -> None:
    ledger = EMPTY
    for is_reservation, candidate, purpose, amount in steps:
        dataset = candidate.rpartition("-")[0]
        if is_reservation:
            limits = {"candidate_limit": candidate_limit, "project_limit": project_limit}
            result = reserve(ledger, candidate, dataset, amount, dataset_limit, NOW, purpose=purpose, **limits)
            if isinstance(result, Refusal):
                assert result.missing_usd > 0
                # Exactly what is missing would have been enough.
                more = {name: limit + result.missing_usd for name, limit in limits.items()}
                raised = dataset_limit + result.missing_usd
                again = reserve(ledger, candidate, dataset, amount, raised, NOW, purpose=purpose, **more)
                assert isinstance(again, Ledger)
            else:
                ledger = result
        elif candidate in ledger.entries and purpose in ledger.entries[candidate].purposes:
            held = ledger.entries[candidate].purposes[purpose].reserved_usd
            ledger = settle(ledger, candidate, purpose, min(amount, held))
        assert committed(ledger) <= project_limit or not ledger.entries
        for one in ("banking77", "other"):
            assert committed(ledger, one) <= dataset_limit
        for entry in ledger.entries.values():
            assert entry.reserved_usd + entry.spent_usd <= candidate_limit
