"""A candidate that waits for money which cannot help it: a person or the gate has decided against it, and it ends."""

from __future__ import annotations

from decimal import Decimal

import pytest
from airflow.sdk.exceptions import AirflowSkipException
from airflow_context import Airflow, stage_run
from cloud import DATASET, Reader
from made_up import context, ended, now, taken_on, tuned
from shell import genops
from sweeps import minted, swept

from genops_events.airflow.assets import EVALUATED_MODEL
from genops_events.airflow.budget import CheckBudget
from genops_events.airflow.promotion import PromoteModel
from genops_events.cascade import holds
from genops_events.cascade.candidate_reader import read_candidate
from genops_events.cli.caller import me
from genops_events.config import Config, Intake
from genops_events.gcp import ledger_store
from genops_events.gcp.outbox import announce, announce_hold
from genops_events.gcp.record_store import RecordStore
from genops_events.money.ledger import month_of
from genops_events.record import paths as record_paths
from genops_events.record.holds import Hold
from genops_events.record.promotion import PersonsAnswer, answer_path
from genops_events.record.stages import CandidateState, Outcome, Stage
from genops_events.record.verdicts import PromotionVerdict

pytestmark = pytest.mark.little_patience

HELD = "genops.promotion.held.v1"


def waits(config: Config, store: RecordStore, candidate: str, stage: Stage) -> Hold:
    """Let a stage wait for money, as it does itself."""
    taken_on(store, stage, candidate)
    hold = Hold(
        candidate=candidate,
        written_at=now(),
        stage=stage,
        number=1,
        dataset=DATASET,
        reason="Over a limit.",
        help=f"`genops approve {candidate} --budget`",
        asked_usd=Decimal(2),
        missing_usd=Decimal(1),
        limits=("budget.candidate_usd",),
        held_at=now(),
        run_id="run-1",
    )
    assert store.create(record_paths.hold_path(candidate, stage, 1), hold)
    announce_hold(config, store, hold)
    return hold


def judged(config: Config, store: RecordStore, outcome: Outcome, *, waiting: Stage = Stage.BUDGET) -> str:
    """Return a candidate that is tuned, waits for money in one stage, and has the other one's verdict."""
    candidate = minted(config, store)
    taken_on(store, Stage.TUNING, candidate)
    announce(config, store, tuned(store, candidate))
    waits(config, store, candidate, waiting)
    other = Stage.EVALUATION if waiting is Stage.BUDGET else Stage.BUDGET
    scores = {"scores": {"exact_match": 0.5}} if other is Stage.EVALUATION else {}
    announce(config, store, ended(store, other, outcome, candidate, **scores))
    return candidate


def promotion(store: RecordStore, candidate: str) -> PromotionVerdict:
    found = store.verdict(candidate, Stage.PROMOTION)
    assert isinstance(found, PromotionVerdict)
    return found


@pytest.fixture
def patient(config: Config) -> Config:
    """With the usual patience: what has moved a moment ago is left alone."""
    return config.model_copy(update={"intake": Intake()})


@pytest.mark.parametrize("waiting", [Stage.BUDGET, Stage.EVALUATION])
def test_who_rejects_a_candidate_that_waits_for_money_ends_it_with_the_next_sweep(
    airflow: Airflow, patient: Config, store: RecordStore, *, completions: Reader, waiting: Stage
) -> None:
    candidate = judged(patient, store, Outcome.PASSED if waiting is Stage.BUDGET else Outcome.APPROVED, waiting=waiting)
    completions.read_some()
    code, text = genops("reject", candidate, "--reason", "Wrong file.")
    assert code == 0
    assert text.startswith(f"{candidate}: Rejected by {me().by}: Wrong file. It ends with the next sweep")
    _, figures = swept(airflow, patient, store, impatient=True)
    assert [(one.kind, one.candidate, one.stage) for one in figures.healed] == [
        ("closed_stage", candidate, Stage.PROMOTION)
    ]
    made = promotion(store, candidate)
    assert (made.outcome, made.answer, made.answered_by) == (Outcome.HELD, "rejected", me().by)
    assert (
        made.reason == f"Rejected by {me().by}: Wrong file. What its {waiting} would cost needs no approval any more."
    )
    seen = completions.read_until(HELD)
    assert [one.data["reason"] for one in seen if one.attributes["ce-type"] == HELD] == [made.reason]
    assert swept(airflow, patient, store, impatient=True)[1].healed == ()
    found = read_candidate(store, candidate)
    assert found is not None
    assert (found.state, found.stage_json(waiting)["state"]) == (CandidateState.HELD, "skipped")
    assert "(held)" not in genops("candidates")[1]
    code, text = genops("approve", candidate, "--budget")
    assert (code, "has ended already, as held: nothing was approved" in text) == (2, True)


def test_who_rejects_a_candidate_that_waits_for_money_before_its_tuning_ends_it_as_rejected(
    airflow: Airflow, patient: Config, store: RecordStore
) -> None:
    candidate = minted(patient, store)
    waits(patient, store, candidate, Stage.TUNING)
    assert genops("reject", candidate, "--reason", "Wrong file.")[0] == 0
    swept(airflow, patient, store, impatient=True)
    found = read_candidate(store, candidate)
    assert found is not None
    assert found.state is CandidateState.REJECTED
    assert found.verdicts[Stage.TUNING].reason.startswith(f"Cancelled by {me().by}")
    assert "Wrong file." in found.verdicts[Stage.TUNING].reason


def test_whom_the_gate_refuses_while_it_waits_for_money_ends_at_once(
    config: Config, store: RecordStore, airflow: Airflow
) -> None:
    candidate = judged(config, store, Outcome.REFUSED)
    with pytest.raises(AirflowSkipException, match="held: evaluation says so"):
        PromoteModel(task_id="promote").execute(context(candidate))
    made = promotion(store, candidate)
    assert made.reason == "evaluation says so What its budget would cost needs no approval any more."
    assert (made.score, made.answer) == (0.5, None)
    assert swept(airflow, config, store)[1].healed == ()


def test_a_sweep_ends_whom_the_gate_has_refused_where_no_wake_up_came(
    airflow: Airflow, config: Config, patient: Config, store: RecordStore
) -> None:
    candidate = judged(config, store, Outcome.REFUSED)
    assert swept(airflow, patient, store, impatient=True)[1].healed == (), "its wake-up may be on its way"
    assert [one.stage for one in swept(airflow, config, store)[1].healed] == [Stage.PROMOTION]
    assert promotion(store, candidate).outcome is Outcome.HELD


def test_who_may_still_win_goes_on_waiting_for_money(airflow: Airflow, config: Config, store: RecordStore) -> None:
    candidate = judged(config, store, Outcome.PASSED)
    code, text = genops("approve", candidate, "--reason", "Reads well.")
    assert (code, "its budget waits for money" in text) == (0, True)
    with pytest.raises(AirflowSkipException, match="waiting for the verdict of budget"):
        PromoteModel(task_id="promote").execute(context(candidate))
    _, figures = swept(airflow, config, store)
    assert (figures.healed, figures.error) == ((), None)
    assert store.verdict(candidate, Stage.PROMOTION) is None
    assert holds.held(store, candidate) != ()


def test_what_was_approved_in_the_moment_of_the_rejection_is_not_paid_for(
    airflow: Airflow, patient: Config, store: RecordStore
) -> None:
    candidate = judged(patient, store, Outcome.PASSED)
    (hold,) = holds.held(store, candidate)
    assert genops("reject", candidate)[0] == 0
    swept(airflow, patient, store, impatient=True)
    holds.approve(store, hold, by="ada@laptop", reason="Yes.")  # she had looked before
    with pytest.raises(AirflowSkipException, match="nothing to pay for"):
        CheckBudget(task_id="check").execute(context(candidate, run_id="run-2"))
    assert store.verdict(candidate, Stage.BUDGET) is None
    assert ledger_store.account(store, month_of(now()), candidate) is None


def test_a_task_that_still_asks_does_not_keep_the_answers_from_the_champion(
    airflow: Airflow, config: Config, store: RecordStore
) -> None:
    candidate = judged(config, store, Outcome.PASSED)
    announce(config, store, ended(store, Stage.BUDGET, Outcome.APPROVED, candidate))
    taken_on(store, Stage.PROMOTION, candidate)
    airflow.task_states["run-1"] = {"promote": "awaiting_input"}
    airflow.wake(EVALUATED_MODEL, candidate, stage_run(Stage.PROMOTION, "running", "run-1"))
    kept = PersonsAnswer(
        candidate=candidate, written_at=now(), approved=True, by="ada@laptop", reason="Yes.", through="shell"
    )
    assert store.create(answer_path(candidate), kept)
    assert swept(airflow, config, store)[0] == set()
    assert promotion(store, candidate).outcome is Outcome.PROMOTED
    # The run that asked goes on for days, if nobody tells it.
    assert swept(airflow, config, store)[0] == {candidate}
