"""A candidate that waits for money can be given up: what was reserved for it is released."""

from __future__ import annotations

from decimal import Decimal

import pytest
from airflow_context import Airflow
from cloud import DATASET
from made_up import arrived, ended, now, taken_on, tuned
from sweeps import swept
from typer.testing import CliRunner

from genops_events.cascade.candidate_reader import read_candidate
from genops_events.cli import app
from genops_events.config import Config
from genops_events.gcp import ledger_store
from genops_events.gcp.record_store import RecordStore
from genops_events.intake.open_candidates import mint
from genops_events.money.ledger import Posting, Purpose, month_of
from genops_events.record.holds import Hold
from genops_events.record.paths import hold_path
from genops_events.record.stages import CandidateState, Outcome, Stage
from genops_events.record.verdicts import PromotionVerdict

pytestmark = pytest.mark.little_patience


def reserve(store: RecordStore, candidate: str, purpose: Purpose) -> None:
    given = {"candidate": candidate, "dataset": DATASET, "purpose": purpose, "at": now()}
    assert ledger_store.reserve(store, amount=Decimal(3), limit=Decimal(100), **given) is None  # type: ignore[arg-type]


def posting(store: RecordStore, candidate: str, purpose: Purpose) -> Posting:
    entry = ledger_store.account(store, month_of(now()), candidate)
    assert entry is not None
    return entry.purposes[purpose]


def held(store: RecordStore, candidate: str, stage: Stage) -> Hold:
    hold = Hold(
        candidate=candidate,
        written_at=now(),
        stage=stage,
        number=1,
        dataset=DATASET,
        reason="over a limit",
        help="approve it",
        asked_usd=Decimal(2),
        missing_usd=Decimal(1),
        limits=("budget.candidate_usd",),
        held_at=now(),
        run_id="run-1",
    )
    taken_on(store, stage, candidate)
    assert store.create(hold_path(candidate, stage, 1), hold)
    return hold


@pytest.fixture
def waiting(config: Config, store: RecordStore) -> tuple[str, Hold]:
    """A candidate whose budget is approved, and whose evaluation is held."""
    arrival = arrived(config, store)
    mint(store, [arrival])
    reserve(store, arrival.candidate, "tuning")
    tuned(store, arrival.candidate, started_at=now())
    reserve(store, arrival.candidate, "inference")
    ended(store, Stage.BUDGET, Outcome.APPROVED, arrival.candidate)
    return arrival.candidate, held(store, arrival.candidate, Stage.EVALUATION)


def genops(*words: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, list(words))
    return done.exit_code, " ".join(done.stderr.split())


def test_a_rejected_candidate_that_waits_for_money_ends_and_its_reservation_is_released(
    config: Config, store: RecordStore, airflow: Airflow, waiting: tuple[str, Hold]
) -> None:
    candidate, _ = waiting
    code, text = genops("reject", candidate, "--reason", "Not worth it.")
    assert (code, "It ends with the next sweep" in text) == (0, True)
    _, figures = swept(airflow, config, store)
    assert ("closed_stage", Stage.PROMOTION) in {(one.kind, one.stage) for one in figures.healed}
    verdict = store.verdict(candidate, Stage.PROMOTION)
    assert isinstance(verdict, PromotionVerdict)
    assert (verdict.outcome, verdict.answer, verdict.answer_reason) == (Outcome.HELD, "rejected", "Not worth it.")
    found = read_candidate(store, candidate)
    assert found is not None
    assert found.state is CandidateState.HELD
    released = posting(store, candidate, "inference")
    assert (released.settled, released.reserved_usd, released.spent_usd) == (True, 0, 0)
    code, text = genops("approve", candidate, "--budget")
    assert (code, "has ended already, as held" in text) == (2, True)
