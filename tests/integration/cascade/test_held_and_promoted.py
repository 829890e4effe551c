"""One command, two approvals: of money that a limit holds back, and of the champion's place. Neither stands for the other."""

from __future__ import annotations

from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowSkipException
from airflow_context import Airflow
from cloud import DATASET
from held import approve, check, prompts, the_hold, tune
from made_up import context, ended, taken_on, tuned
from sweeps import swept
from typer.testing import CliRunner

from genops_events.airflow.promotion import PromoteModel
from genops_events.cli import app
from genops_events.config import Config
from genops_events.gcp.outbox import announce
from genops_events.gcp.record_store import RecordStore
from genops_events.record.stages import Outcome, Stage

pytestmark = [
    pytest.mark.little_patience,
    pytest.mark.filterwarnings("ignore:The SDK's tuning implementation is experimental"),
]


def test_without_the_word_budget_it_is_the_promotion_that_is_approved_and_the_money_is_still_missing(
    budget: Any, airflow: Airflow, config: Config, store: RecordStore, candidate: str
) -> None:
    budget(tuning_usd="0.001")
    tune(candidate)
    done = CliRunner().invoke(app, ["approve", candidate])
    assert done.exit_code == 0
    said = " ".join(done.stderr.split())
    assert (
        f"But its tuning waits for money, and its turn does not come before `genops approve {candidate} --budget`"
        in said
    )
    assert the_hold(store, candidate).stage is Stage.TUNING
    assert swept(airflow, config, store)[0] == set()
    assert store.verdict(candidate, Stage.PROMOTION) is None


def test_promotion_finds_no_verdict_where_a_limit_holds_the_budget_whatever_a_person_has_said(
    budget: Any, airflow: Airflow, config: Config, store: RecordStore, candidate: str
) -> None:
    taken_on(store, Stage.TUNING, candidate)
    announce(config, store, tuned(store, candidate))
    prompts(store, "one", "two")
    budget(inference_usd="0.0001")
    assert check(candidate) is None
    announce(config, store, ended(store, Stage.EVALUATION, Outcome.PASSED, candidate, scores={"exact_match": 0.9}))
    assert CliRunner().invoke(app, ["approve", candidate]).exit_code == 0
    with pytest.raises(AirflowSkipException, match="waiting for the verdict of budget"):
        PromoteModel(task_id="promote").execute(context(candidate))
    assert swept(airflow, config, store)[0] == set()
    assert store.verdict(candidate, Stage.PROMOTION) is None
    assert store.champion(DATASET) is None
    assert approve(candidate)[0] == 0
    done = check(candidate, "run-2")
    assert done is not None
    promoted = PromoteModel(task_id="promote").execute(context(candidate, run_id="run-2"))
    assert (done["outcome"], promoted["outcome"]) == ("approved", "promoted")
