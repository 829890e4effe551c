"""A person decides from the shell: the answer, who is told of it, and what `genops watch` shows."""

from __future__ import annotations

import json

import pytest
from airflow.sdk.exceptions import AirflowSkipException
from airflow_context import Airflow
from cloud import DATASET
from made_up import context
from person_asked import AirflowServer, Supervisor, ask, go_on, verdict
from promotions import judged
from shell import genops
from sweeps import swept
from typer.testing import CliRunner

from genops_events.airflow.promotion import PromoteModel
from genops_events.cascade.candidate_reader import read_candidate
from genops_events.cli import app
from genops_events.config import Config
from genops_events.gcp.record_store import RecordStore
from genops_events.intake.open_candidates import mint
from genops_events.record.candidates import WAITS_FOR_A_PERSON
from genops_events.record.intake import Arrival
from genops_events.record.paths import arrival_path
from genops_events.record.promotion import PersonsAnswer, answer_path
from genops_events.record.stages import Outcome, Stage

pytestmark = pytest.mark.little_patience

ME = "operator@genops.local"


@pytest.mark.parametrize(("command", "option"), [("approve", "Approve"), ("reject", "Reject")])
def test_the_shell_records_the_answer_and_tells_the_task_that_waits(
    config: Config, store: RecordStore, *, asking: Supervisor, server: AirflowServer, command: str, option: str
) -> None:
    candidate = judged(config, store, 0.5)
    ask(candidate, run_id="asset_triggered__2026-11-23T12:00:00+00:00_x")
    code, text = genops(command, candidate, "--reason", "Looks\nright")
    assert code == 0
    assert text == (
        f"{candidate}: {option.removesuffix('e')}ed by {ME}: Looks right. The task in Airflow goes on. "
        f"Follow it with: genops watch {candidate}"
    ).replace("Rejectd", "Rejected")
    ((path, body),) = server.patched
    assert path == (
        "/api/v2/dags/genops_promotion/dagRuns/asset_triggered__2026-11-23T12%3A00%3A00%2B00%3A00_x"
        "/taskInstances/promote/-1/hitlDetails"
    )
    assert body == {"chosen_options": [option], "params_input": {"reason": "Looks right."}}
    # What Airflow brings back names its own user; the shell's answer was first, and counts.
    run_id = "asset_triggered__2026-11-23T12:00:00+00:00_x"
    if command == "reject":
        with pytest.raises(AirflowSkipException):
            go_on(candidate, option, user="Anonymous", run_id=run_id)
    else:
        go_on(candidate, option, user="Anonymous", run_id=run_id)
    assert verdict(store, candidate).answered_by == ME


@pytest.mark.parametrize(
    ("status", "said"), [(409, "goes on already"), (404, "goes on already"), (503, "Airflow could not be reached")]
)
def test_what_airflow_says_to_an_answer_is_told_and_the_answer_stays(
    config: Config, store: RecordStore, *, asking: Supervisor, server: AirflowServer, status: int, said: str
) -> None:
    server.status = status
    candidate = judged(config, store, 0.5)
    ask(candidate)
    code, text = genops("approve", candidate)
    assert (code, said in text) == (0, True)
    assert store.read(answer_path(candidate), PersonsAnswer) is not None


def test_whoever_answers_second_is_told_what_counts(config: Config, store: RecordStore, asking: Supervisor) -> None:
    candidate = judged(config, store, 0.5)
    ask(candidate)
    assert genops("reject", candidate, "--reason", "It swears.")[0] == 0
    code, text = genops("approve", candidate)
    assert code == 2
    assert f"{candidate} was answered before, and that counts: Rejected by {ME}: It swears." in text
    assert genops("reject", candidate)[0] == 0


def test_a_candidate_that_was_decided_is_not_answered_any_more(
    config: Config, store: RecordStore, asking: Supervisor
) -> None:
    candidate = judged(config, store, 0.5)
    ask(candidate)
    go_on(candidate, "Approve")
    code, text = genops("reject", candidate)
    assert code == 2
    assert f"Promotion of {candidate} has ended already, as promoted" in text
    assert genops("approve", f"{DATASET}-0123456789abcdef")[0] == 1
    done = CliRunner().invoke(app, ["reject", candidate, "--json"])
    assert json.loads(done.stdout)["accepted"] is False


def test_a_candidate_may_be_rejected_before_its_turn_also_where_nobody_is_asked(
    config: Config, store: RecordStore
) -> None:
    candidate = judged(config, store, 0.9)
    code, text = genops("reject", candidate, "--reason", "Wrong file.")
    assert code == 0
    assert "the answer counts when promotion comes to it" in text
    with pytest.raises(AirflowSkipException, match="Wrong file"):
        PromoteModel(task_id="promote").execute(context(candidate))
    assert store.champion(DATASET) is None


def test_an_answer_that_airflow_was_not_told_of_is_acted_on_by_the_sweep(
    config: Config, store: RecordStore, asking: Supervisor, airflow: Airflow
) -> None:
    candidate = judged(config, store, 0.5)
    arrival = store.read(arrival_path(candidate), Arrival)
    assert arrival is not None
    mint(store, [arrival])
    ask(candidate)
    airflow.task_states["run-1"] = {"promote": "awaiting_input"}
    swept(airflow, config, store)  # announces what `judged` left unannounced
    assert swept(airflow, config, store)[1].healed == (), "who waits for a person is left alone"
    _, text = genops("approve", candidate, "--reason", "Reads well.")
    assert "GENOPS_AIRFLOW_URL is not set. The next sweep goes on with the answer." in text
    _, figures = swept(airflow, config, store)
    assert [(one.kind, one.candidate, one.stage) for one in figures.healed] == [
        ("closed_stage", candidate, Stage.PROMOTION)
    ]
    assert verdict(store, candidate).outcome is Outcome.PROMOTED
    # The task that asked finds it done when its time is up, and wakes what comes next.
    assert go_on(candidate, "Reject", user=None)["outcome"] == "promoted"


def test_a_task_that_still_asks_though_all_is_decided_goes_on_when_the_command_is_repeated(
    config: Config,
    store: RecordStore,
    *,
    asking: Supervisor,
    airflow: Airflow,
    server: AirflowServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    candidate = judged(config, store, 0.5)
    arrival = store.read(arrival_path(candidate), Arrival)
    assert arrival is not None
    mint(store, [arrival])
    ask(candidate)
    monkeypatch.delenv("GENOPS_AIRFLOW_URL")
    genops("approve", candidate, "--reason", "Reads well.")
    airflow.task_states["run-1"] = {"promote": "awaiting_input"}
    swept(airflow, config, store)
    swept(airflow, config, store)
    assert verdict(store, candidate).outcome is Outcome.PROMOTED
    assert server.patched == []
    monkeypatch.setenv("GENOPS_AIRFLOW_URL", server.url)
    code, text = genops("reject", candidate)
    assert (code, "Its task in Airflow still asked, and goes on now." in text) == (2, True)
    assert [body for _, body in server.patched] == [
        {"chosen_options": ["Approve"], "params_input": {"reason": "Reads well."}}
    ]
    server.status = 409
    assert "still asked" not in genops("approve", candidate)[1]


# What the user sees


def test_watch_and_candidates_show_that_it_waits_for_a_person_and_the_command(
    config: Config, store: RecordStore, asking: Supervisor
) -> None:
    candidate = judged(config, store, 0.5)
    ask(candidate)
    code, text = genops("watch", candidate, "--timeout", "0")
    assert code == 3
    assert f"promotion {WAITS_FOR_A_PERSON}" in text
    assert f"`genops approve {candidate}` or `genops reject {candidate}`" in text
    assert "without an answer it is rejected at" in text
    assert f"genops approve {candidate}" in genops("candidates")[1]
    found = read_candidate(store, candidate)
    assert found is not None
    assert found.to_json()["stages"]["promotion"]["state"] == WAITS_FOR_A_PERSON
    genops("reject", candidate, "--reason", "It swears.")
    assert f"Rejected by {ME}: It swears." in genops("watch", candidate, "--timeout", "0")[1]
