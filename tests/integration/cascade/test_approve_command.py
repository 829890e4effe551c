"""A candidate that a limit holds, as the record, the events, the command line and the sweep know it; and its approval."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from airflow.api_fastapi.core_api.datamodels.dag_run import TriggerDAGRunPostBody
from airflow_context import Airflow
from cloud import DATASET, Reader
from held import approve, check, prompts, the_hold, tune
from made_up import context, ended, now, taken_on, tuned
from sweeps import swept
from typer.testing import CliRunner

from genops_events.airflow.tuning import TuneModel
from genops_events.cascade import holds
from genops_events.cascade.candidate_reader import read_candidate
from genops_events.cli import app
from genops_events.cli.caller import me
from genops_events.config import Config, Intake
from genops_events.gcp import ledger_store
from genops_events.gcp.outbox import announce
from genops_events.gcp.record_store import RecordStore
from genops_events.intake.open_candidates import traces_of
from genops_events.intake.traces import is_settled
from genops_events.money.ledger import month_of
from genops_events.record import paths as record_paths
from genops_events.record.events import publication_path
from genops_events.record.holds import Approval
from genops_events.record.stages import CandidateState, Outcome, Stage
from genops_events.tuning import jobs as tuning_jobs

pytestmark = [
    pytest.mark.little_patience,
    pytest.mark.filterwarnings("ignore:The SDK's tuning implementation is experimental"),
]


def test_over_a_limit_a_candidate_is_held_before_anything_is_spent_and_everybody_is_told(
    budget: Any, config: Config, store: RecordStore, candidate: str, completions: Reader
) -> None:
    budget(tuning_usd="0.001")
    assert tune(candidate) is None
    hold = the_hold(store, candidate)
    assert hold.asked_usd == Decimal("0.0012")
    assert (hold.missing_usd, hold.limits) == (Decimal("0.0002"), ("budget.tuning_usd",))
    assert store.verdict(candidate, Stage.TUNING) is None
    assert tuning_jobs.find_all(config, candidate) == []
    assert ledger_store.read(store, month_of(now())) is None
    (event,) = completions.read_some()
    assert event.attributes["ce-type"] == "genops.tuning.held.v1"
    assert (event.data["outcome"], event.data["missing_usd"]) == ("held", "0.000200")
    found = read_candidate(store, candidate)
    assert found is not None
    assert found.state is CandidateState.UNDER_WAY
    row = found.stage_json(Stage.TUNING)
    assert (row["state"], row["missing_usd"]) == ("held", "0.000200")
    assert f"`genops approve {candidate} --budget`" in found.explained(Stage.TUNING)
    assert "$0.0002 too much" in CliRunner().invoke(app, ["candidates"]).stderr
    # Whoever starts the stage again, finds it held.
    assert tune(candidate) is None
    assert tune(candidate, "run-2") is None
    assert completions.read() == []


def test_an_approval_is_recorded_and_the_candidate_goes_on_from_where_it_stood(
    budget: Any, airflow: Airflow, config: Config, store: RecordStore, candidate: str
) -> None:
    budget(tuning_usd="0.001")
    assert tune(candidate) is None
    assert swept(airflow, config, store)[0] == set(), "what waits for a person is left in peace"
    code, answer = approve(candidate, "--reason", "It is\nworth it")
    assert (code, answer["goes_on"]) == (0, True)
    assert "Tuning may cost $0.0012, $0.0002 more than the limits allow." in answer["text"]
    kept = store.read(record_paths.approval_path(candidate, Stage.TUNING, 1), Approval)
    assert kept is not None
    assert (kept.by, kept.reason, kept.approved_usd) == (me().by, "It is worth it.", Decimal("0.0012"))
    found = read_candidate(store, candidate)
    assert found is not None
    assert found.stage_json(Stage.TUNING)["state"] == "queued"
    assert "It is worth it." in found.explained(Stage.TUNING)
    # At once, though all this happened a moment ago; and once.
    patient = config.model_copy(update={"intake": Intake()})
    assert swept(airflow, patient, store, impatient=True)[0] == {candidate}
    assert swept(airflow, patient, store, impatient=True)[0] == set()
    assert tune(candidate, "run-2") is not None
    entry = ledger_store.account(store, month_of(now()), candidate)
    assert entry is not None
    posting = entry.purposes["tuning"]
    assert (posting.reserved_usd, posting.approved_by) == (Decimal("0.0012"), me().by)
    # The run that went on is the one that a sweep asks about.
    airflow.task_states["run-2"] = {"tune": "deferred"}
    assert swept(airflow, config, store)[1].healed == ()
    airflow.task_states["run-2"] = {"tune": "failed"}
    returned, woken = swept(airflow, config, store)[1].healed
    assert woken.kind == "woken_stage"
    assert (returned.kind, "Dag run run-2" in returned.reason) == ("returned_stage", True)


def test_the_run_that_was_held_may_not_go_on_beside_the_one_that_was_woken(
    budget: Any, store: RecordStore, config: Config, candidate: str
) -> None:
    budget(tuning_usd="0.001")
    assert tune(candidate) is None
    approve(candidate)
    job = tune(candidate, "run-2")
    assert job is not None
    assert tune(candidate, "run-1") is None
    assert tune(candidate, "run-2") == job
    assert len(tuning_jobs.find_all(config, candidate)) == 1


def test_an_approval_survives_a_crash_before_anybody_was_woken(
    budget: Any, airflow: Airflow, config: Config, store: RecordStore, candidate: str
) -> None:
    budget(tuning_usd="0.001")
    tune(candidate)
    hold = the_hold(store, candidate)
    mine = Approval(
        candidate=candidate,
        written_at=now(),
        stage=Stage.TUNING,
        number=1,
        by="ada@laptop",
        reason="Yes.",
        approved_usd=hold.asked_usd,
    )
    assert store.create(
        record_paths.approval_path(candidate, Stage.TUNING, 1), mine
    )  # and died before noting the marker
    assert swept(airflow, config, store)[0] == {candidate}
    code, answer = approve(candidate)
    assert (code, answer["goes_on"]) == (0, True)
    assert "Tuning was approved already, by ada@laptop: yes." in answer["text"]
    assert swept(airflow, config, store, impatient=True)[0] == {candidate}


def test_of_two_who_approve_the_first_is_the_one_that_counts(budget: Any, store: RecordStore, candidate: str) -> None:
    budget(tuning_usd="0.001")
    tune(candidate)
    hold = the_hold(store, candidate)
    first = holds.approve(store, hold, by="ada@laptop", reason="Yes.")
    assert holds.approve(store, hold, by="bob@laptop", reason="Me too.") == first


def test_more_than_was_approved_is_held_again(
    budget: Any, store: RecordStore, config: Config, candidate: str, completions: Reader
) -> None:
    budget(tuning_usd="0.001")
    tune(candidate)
    hold = the_hold(store, candidate)
    holds.approve(store, hold.model_copy(update={"asked_usd": Decimal("0.0011")}), by="ada@laptop", reason="Less.")
    assert tune(candidate, "run-2") is None
    again = the_hold(store, candidate)
    assert (again.number, again.run_id) == (2, "run-2")
    kinds = [one.attributes["ce-id"] for one in completions.read_some()]
    kinds += [one.attributes["ce-id"] for one in completions.read()]
    assert kinds == [f"{candidate}/genops.tuning.held.v1/{number}" for number in (1, 2)]
    assert approve(candidate)[0] == 0
    assert tune(candidate, "run-3") is not None


def test_a_raised_limit_alone_wakes_nobody_but_an_approval_then_costs_no_exception(
    budget: Any, store: RecordStore, candidate: str
) -> None:
    budget(tuning_usd="0.001")
    tune(candidate)
    budget(tuning_usd="25")
    assert tune(candidate, "run-2") is None
    approve(candidate)
    assert tune(candidate, "run-2") is not None
    entry = ledger_store.account(store, month_of(now()), candidate)
    assert entry is not None
    assert entry.purposes["tuning"].approved_by is None


def test_a_held_candidate_can_be_cancelled(
    budget: Any, airflow: Airflow, config: Config, store: RecordStore, candidate: str
) -> None:
    budget(tuning_usd="0.001")
    tune(candidate)
    assert CliRunner().invoke(app, ["cancel", candidate]).exit_code == 0
    woken, figures = swept(airflow, config, store)
    assert (woken, figures.closed_stages, figures.woken_stages) == (set(), 1, 0), "the sweep ends it, and wakes nobody"
    verdict = store.verdict(candidate, Stage.TUNING)
    assert verdict is not None
    assert verdict.outcome is Outcome.REJECTED
    assert verdict.reason.startswith(f"Cancelled by {me().by}")
    assert tune(candidate, "run-2") is None


def test_a_candidate_that_is_cancelled_after_its_approval_ends_when_its_turn_comes(
    budget: Any, config: Config, store: RecordStore, candidate: str
) -> None:
    budget(tuning_usd="0.001")
    tune(candidate)
    approve(candidate)
    assert CliRunner().invoke(app, ["cancel", candidate]).exit_code == 0
    assert tune(candidate, "run-2") is None
    verdict = store.verdict(candidate, Stage.TUNING)
    assert verdict is not None
    assert verdict.outcome is Outcome.REJECTED
    assert tuning_jobs.find_all(config, candidate) == []


def test_the_budget_stage_is_held_and_goes_on_as_tuning_does(
    budget: Any, airflow: Airflow, config: Config, store: RecordStore, candidate: str
) -> None:
    taken_on(store, Stage.TUNING, candidate)
    announce(config, store, tuned(store, candidate))
    prompts(store, "one", "two")
    budget(inference_usd="0.0001", candidate_usd="0.0002")
    assert check(candidate) is None
    hold = the_hold(store, candidate)
    assert hold.stage is Stage.BUDGET
    assert hold.limits == ("budget.inference_usd", "budget.candidate_usd")
    assert store.verdict(candidate, Stage.BUDGET) is None
    assert approve(candidate)[0] == 0
    assert swept(airflow, config, store, impatient=True)[0] == {candidate}
    # Tuning has ended a moment ago: it must emit all the same, since what was woken waits behind it.
    assert TuneModel(task_id="tune").execute(context(candidate, run_id="run-2"))["outcome"] == "succeeded"
    done = check(candidate, "run-2")
    assert done is not None
    assert done["outcome"] == "approved"


def test_a_sweep_announces_a_hold_that_was_never_published_and_closes_nothing(  # noqa: PLR0917
    budget: Any,
    airflow: Airflow,
    config: Config,
    store: RecordStore,
    candidate: str,
    completions: Reader,
) -> None:
    budget(tuning_usd="0.001")
    tune(candidate)
    completions.read_some()
    (path,) = [name for name in store.names(record_paths.folder(candidate)) if "/events/" in name]
    for name in (path, publication_path(path)):
        store.bucket.delete_blob(name)
    _, figures = swept(airflow, config, store)
    assert (figures.unannounced_verdicts, figures.closed_stages, figures.woken_stages) == (1, 0, 0)
    (event,) = completions.read_some()
    assert event.attributes["ce-type"] == "genops.tuning.held.v1"
    assert swept(airflow, config, store)[1].healed == ()
    assert not is_settled(traces_of(store, candidate), now=now(), patience=config.intake.patience)


def test_what_nothing_holds_cannot_be_approved(store: RecordStore, config: Config, candidate: str) -> None:
    code, answer = approve(candidate)
    assert (code, answer["goes_on"], answer["approvals"]) == (2, False, [])
    assert f"No limit holds {candidate}" in answer["text"]
    ended(store, Stage.TUNING, Outcome.FAILED, candidate)
    code, answer = approve(candidate)
    assert code == 2
    assert "has ended already, as failed" in answer["text"]
    assert store.names(record_paths.holds_folder(candidate)) == []


@pytest.mark.parametrize("words", [(), ("--budget",)])
def test_the_command_wants_to_know_whom_it_approves(store: RecordStore, words: tuple[str, ...]) -> None:
    done = CliRunner().invoke(app, ["approve", f"{DATASET}-0123456789abcdef", *words])
    assert done.exit_code == 1
    assert "The record knows no candidate" in done.stderr


@pytest.fixture
def airflow_asked(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[str, Any]]]:
    """An Airflow that notes what it is asked to do."""
    asked: list[tuple[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            asked.append((self.path, body))
            answer = b"{}"
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: Any) -> None:
            """Write nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        monkeypatch.setenv("GENOPS_AIRFLOW_URL", f"http://127.0.0.1:{server.server_port}")
        yield asked
        server.shutdown()
        thread.join()


def test_airflow_is_told_after_the_approval_is_written(
    budget: Any, store: RecordStore, candidate: str, airflow_asked: list[tuple[str, Any]]
) -> None:
    budget(tuning_usd="0.001")
    tune(candidate)
    code, answer = approve(candidate)
    assert code == 0
    assert "A sweep was started, and it goes on in a moment." in answer["text"]
    ((path, body),) = airflow_asked
    assert path == "/api/v2/dags/genops_intake/dagRuns"
    TriggerDAGRunPostBody.model_validate(body)
    assert store.bucket.blob(record_paths.approval_path(candidate, Stage.TUNING, 1)).exists()


def test_an_airflow_that_does_not_answer_changes_nothing_about_the_approval(
    budget: Any, store: RecordStore, candidate: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    budget(tuning_usd="0.001")
    tune(candidate)
    monkeypatch.setenv("GENOPS_AIRFLOW_URL", "http://127.0.0.1:9")
    code, answer = approve(candidate)
    assert code == 0
    assert "It goes on with the next sweep, within 10 minutes: no sweep could be started" in answer["text"]
    assert store.bucket.blob(record_paths.approval_path(candidate, Stage.TUNING, 1)).exists()
