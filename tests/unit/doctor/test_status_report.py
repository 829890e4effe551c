"""The status report as people read it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

from genops_events.doctor.status_report import Period, Section, Waiting, report, waiting_of
from genops_events.record.candidates import Candidate
from genops_events.record.holds import Hold
from genops_events.record.intake import Arrival
from genops_events.record.promotion import PersonsAnswer, Question
from genops_events.record.stages import Stage

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
ID = "banking77-2cdbbb2a21d6eddc"


def candidate(**more: object) -> Candidate:
    arrival = Arrival(
        candidate=ID,
        written_at=NOON,
        dataset="banking77",
        bucket="b",
        object="o",
        generation=1,
        arrived_at=NOON,
        found_by="notification",
    )
    return Candidate(arrival=arrival, intents={}, verdicts={}, champion=None, **more)  # type: ignore[arg-type]


def test_a_period_is_the_same_wherever_its_end_is_told() -> None:
    here, there = (Period.before(at, hours=24) for at in (NOON, NOON.astimezone(timezone(timedelta(hours=5)))))
    assert here.since == there.since == datetime(2026, 11, 22, 12, tzinfo=UTC)
    assert here.path == there.path == "genops/reports/2026-11-23T12-00-00.md"
    assert (
        here.in_sql("a >= $since AND a < $until")
        == there.in_sql("a >= $since AND a < $until")
        == ("a >= TIMESTAMPTZ '2026-11-22T12:00:00+00:00' AND a < TIMESTAMPTZ '2026-11-23T12:00:00+00:00'")
    )


def test_a_report_is_a_table_for_each_query_and_says_what_to_do() -> None:
    rows = [("banking77", Decimal("1.500000000"), None, NOON), ("a|b", Decimal("200.000000000"), "two\nlines", NOON)]
    sections = [Section("Spent", ("dataset", "usd", "why", "at"), rows), Section("Failed", ("candidate",), [])]
    text = report(Period.before(NOON, hours=24), sections, [Waiting(ID, "tuning: too dear", "genops approve X")], 3)
    assert text.splitlines() == [
        "# Status of the cascade, 2026-11-22 12:00 UTC to 2026-11-23 12:00 UTC",
        "",
        "## Spent",
        "",
        "| dataset   | usd | why       | at                  |",
        "| --------- | --- | --------- | ------------------- |",
        "| banking77 | 1.5 |           | 2026-11-23 12:00:00 |",
        "| a\\|b      | 200 | two lines | 2026-11-23 12:00:00 |",
        "",
        "## Failed",
        "",
        "None.",
        "",
        "## Waiting for a person, now",
        "",
        "| candidate                  | what it waits for | command            |",
        "| -------------------------- | ----------------- | ------------------ |",
        f"| {ID} | tuning: too dear  | `genops approve X` |",
        "",
        "## Dead letters, now",
        "",
        "3. `genops dead-letters` shows what each is, and why.",
    ]


def test_a_long_table_and_a_long_reason_are_cut_and_say_so() -> None:
    sections = [Section("Failed", ("why",), [("x" * 500,)] * 70)]
    text = report(Period.before(NOON, hours=1), sections, [], None)
    assert "And 20 more." in text
    assert text.count("xxx…") == 50
    assert "Not known" in text


def test_money_and_a_question_wait_for_a_person_and_an_answered_question_does_not() -> None:
    hold = Hold.model_construct(candidate=ID, reason="$5 too much")
    question = Question(
        candidate=ID, written_at=NOON, run_id="r", text="?", asked_until=NOON + timedelta(hours=1), on_timeout="reject"
    )
    answer = PersonsAnswer(candidate=ID, written_at=NOON, approved=True, by="ada", reason="good", through="shell")
    money, asked = waiting_of(candidate(holds={Stage.BUDGET: hold}, question=question))
    assert (money.what, money.command) == ("budget: $5 too much", f"genops approve {ID} --budget")
    assert "Until 2026-11-23 13:00 UTC, then reject" in asked.what
    assert not list(waiting_of(candidate(question=question, answer=answer)))
    assert not list(waiting_of(candidate()))
