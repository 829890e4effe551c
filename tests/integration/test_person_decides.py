# ruff: noqa: F401, F811 - fixtures are imported by name, and come back as arguments
"""A person decides: the question in Airflow, the answer from there, from the shell, or from the clock."""

from __future__ import annotations

import getpass
import json
import socket
import threading
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any
from uuid import UUID

import pytest
import yaml
from airflow.sdk.exceptions import AirflowSkipException, TaskAwaitingInput
from airflow.sdk.execution_time import task_runner
from airflow.sdk.execution_time.comms import CreateHITLDetailPayload
from airflow_context import Airflow
from cloud import DATASET, Reader, StandIns, cloud, completions, connections_closed, stand_ins, store
from cloud import config as whole_config
from made_up import arrived, context, ended, now, tuned
from sweeps import airflow, config, swept
from typer.testing import CliRunner

from genops_events.airflow.promotion import PromoteModel
from genops_events.airflow.stage import StageRun
from genops_events.candidates import WAITS_FOR_A_PERSON
from genops_events.cli import app
from genops_events.config import Config
from genops_events.gcp.open_candidates import mint
from genops_events.gcp.record_store import RecordStore
from genops_events.promotion_record import PersonsAnswer, Question, answer_path, question_path
from genops_events.record import Arrival
from genops_events.record_paths import arrival_path
from genops_events.stages import Outcome, Stage
from genops_events.verdicts import PromotionVerdict

METRIC = "exact_match"
ME = f"{getpass.getuser()}@{socket.gethostname()}"
TASK = UUID("0198c0de-0000-7000-8000-000000000001")


class TaskInstance:
    id = TASK


class Supervisor:
    """What a task says to Airflow, message by message."""

    def __init__(self) -> None:
        self.sent: list[CreateHITLDetailPayload] = []

    def send(self, msg: CreateHITLDetailPayload) -> None:
        self.sent.append(msg)


@pytest.fixture
def supervisor(monkeypatch: pytest.MonkeyPatch) -> Supervisor:
    made = Supervisor()
    monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", made, raising=False)
    return made


class AirflowServer:
    """Airflow's REST, as far as an answer goes."""

    def __init__(self) -> None:
        self.patched: list[tuple[str, Any]] = []
        self.status = 200
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_PATCH(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                server.patched.append((self.path, json.loads(body)))
                self.send_response(server.status)
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, *_: Any) -> None:
                pass

        self.http = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[AirflowServer]:
    made = AirflowServer()
    thread = threading.Thread(target=made.http.serve_forever, args=(0.02,))
    thread.start()
    monkeypatch.setenv("GENOPS_AIRFLOW_URL", made.url)
    yield made
    made.http.shutdown()
    thread.join()
    made.http.server_close()


def asks(config: Config, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: Any, **promotion: Any) -> None:
    """Let the dataset ask a person."""
    document = config.model_dump(mode="json", exclude_none=True)
    document["datasets"][DATASET]["promotion"] = {"approval": "person", **promotion}
    file = tmp_path_factory.mktemp("asks") / "genops.yaml"
    file.write_text(yaml.safe_dump(document))
    monkeypatch.setenv("GENOPS_CONFIG", str(file))


@pytest.fixture
def asking(
    config: Config, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory, supervisor: Supervisor
) -> Supervisor:
    asks(config, monkeypatch, tmp_path_factory)
    return supervisor


def judged(config: Config, store: RecordStore, score: float, **outcomes: Outcome) -> str:
    made = arrived(config, store).candidate
    tuned(store, made)
    ended(store, Stage.EVALUATION, outcomes.get("evaluation", Outcome.PASSED), made, scores={METRIC: score})
    ended(store, Stage.BUDGET, Outcome.APPROVED, made)
    return made


def ask(candidate: str, *, run_id: str = "run-1") -> TaskAwaitingInput:
    """Run the task until it waits, and return how Airflow is told to wait."""
    with pytest.raises(TaskAwaitingInput) as parked:
        PromoteModel(task_id="promote").execute(context(candidate, run_id=run_id, task_instance=TaskInstance()))
    return parked.value


def go_on(candidate: str, option: str, *, user: str | None = "grace", reason: str = "", run_id: str = "run-1") -> Any:
    """Let Airflow resume the task with an answer, as `HITLDetail.as_resume_event_payload` gives it."""
    event = {
        "chosen_options": [option],
        "params_input": {"reason": reason},
        "responded_at": now(),
        "responded_by_user": None if user is None else {"id": "1", "name": user},
        "timedout": user is None,
    }
    made = PromoteModel(task_id="promote")
    return made.execute_complete(context(candidate, run_id=run_id, task_instance=TaskInstance()), event)


def verdict(store: RecordStore, candidate: str) -> PromotionVerdict:
    found = store.verdict(candidate, Stage.PROMOTION)
    assert isinstance(found, PromotionVerdict)
    return found


def genops(*words: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, list(words))
    return done.exit_code, " ".join(done.stderr.split())


# The question


def test_whoever_would_be_champion_waits_and_the_question_shows_the_figures(
    config: Config, store: RecordStore, asking: Supervisor
) -> None:
    first = judged(config, store, 0.5)
    ask(first)
    go_on(first, "Approve")
    second = judged(config, store, 0.6)
    parked = ask(second)
    assert parked.method_name == "execute_complete"
    assert timedelta(hours=71) < parked.timeout <= timedelta(hours=72)
    sent = asking.sent[-1]
    assert (sent.ti_id, sent.options, sent.defaults) == (TASK, ["Approve", "Reject"], ["Reject"])
    assert sent.subject == f"Shall {second} become champion of {DATASET}?"
    assert sent.body is not None
    assert f"| metric | {second} | {first} |" in sent.body
    assert "| exact_match (decisive) | 0.6 | 0.5 |" in sent.body
    assert "it is rejected." in sent.body
    assert set(sent.params or {}) == {"reason"}
    assert store.verdict(second, Stage.PROMOTION) is None
    champion = store.champion(DATASET)
    assert champion is not None
    assert champion.candidate == first


def test_nobody_is_asked_about_a_candidate_that_loses_anyway(
    config: Config, store: RecordStore, asking: Supervisor
) -> None:
    first = judged(config, store, 0.5)
    ask(first)
    go_on(first, "Approve")
    asked = len(asking.sent)
    for candidate in (judged(config, store, 0.4), judged(config, store, 0.9, evaluation=Outcome.REFUSED)):
        with pytest.raises(AirflowSkipException, match="held"):
            PromoteModel(task_id="promote").execute(context(candidate))
        assert verdict(store, candidate).answer is None
    assert len(asking.sent) == asked


def test_a_task_that_is_cleared_asks_the_same_again_with_the_time_that_is_left(
    config: Config, store: RecordStore, asking: Supervisor
) -> None:
    candidate = judged(config, store, 0.5)
    first = ask(candidate)
    again = ask(candidate)
    assert again.timeout < first.timeout
    assert asking.sent[0].body == asking.sent[1].body


def test_a_second_run_of_the_same_candidate_asks_nobody(config: Config, store: RecordStore, asking: Supervisor) -> None:
    candidate = judged(config, store, 0.5)
    ask(candidate)
    with pytest.raises(AirflowSkipException, match="under way in Dag run run-1"):
        PromoteModel(task_id="promote").execute(context(candidate, run_id="run-2"))
    assert len(asking.sent) == 1


# The answer


def test_an_approved_candidate_is_champion_and_the_record_says_who_and_why(
    config: Config, store: RecordStore, asking: Supervisor, completions: Reader
) -> None:
    candidate = judged(config, store, 0.5)
    ask(candidate)
    assert go_on(candidate, "Approve", reason="Reads well.")["outcome"] == "promoted"
    made = verdict(store, candidate)
    assert (made.answer, made.answered_by, made.answer_reason) == ("approved", "grace", "Reads well.")
    assert made.reason.startswith("Approved by grace: Reads well. No champion yet")
    kept = store.read(answer_path(candidate), PersonsAnswer)
    assert kept is not None
    assert (kept.approved, kept.by, kept.through) == (True, "grace", "airflow")


def test_a_rejected_candidate_is_held_whatever_it_scored(
    config: Config, store: RecordStore, asking: Supervisor, completions: Reader
) -> None:
    candidate = judged(config, store, 0.9)
    ask(candidate)
    with pytest.raises(AirflowSkipException, match="Rejected by grace: It swears"):
        go_on(candidate, "Reject", reason="It swears.")
    made = verdict(store, candidate)
    assert (made.outcome, made.answer, made.reason) == (Outcome.HELD, "rejected", "Rejected by grace: It swears.")
    assert store.champion(DATASET) is None
    seen = [one for _ in range(3) for one in completions.read(seconds=1.0)]
    assert [one.data["reason"] for one in seen if one.attributes["ce-type"] == "genops.promotion.held.v1"] == [
        "Rejected by grace: It swears."
    ]


@pytest.mark.parametrize(("on_timeout", "outcome"), [("reject", Outcome.HELD), ("approve", Outcome.PROMOTED)])
def test_without_an_answer_the_configured_one_counts(
    config: Config,
    store: RecordStore,
    *,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path_factory: pytest.TempPathFactory,
    supervisor: Supervisor,
    on_timeout: str,
    outcome: Outcome,
) -> None:
    asks(config, monkeypatch, tmp_path_factory, on_timeout=on_timeout, answer_hours=0.5)
    candidate = judged(config, store, 0.5)
    assert ask(candidate).timeout <= timedelta(minutes=30)
    (default,) = supervisor.sent[0].defaults or []
    assert default.lower() == on_timeout
    if outcome is Outcome.HELD:
        with pytest.raises(AirflowSkipException):
            go_on(candidate, default, user=None)
    else:
        go_on(candidate, default, user=None)
    made = verdict(store, candidate)
    assert (made.outcome, made.answered_by) == (outcome, "nobody")
    assert "because nobody answered in time, as `promotion.on_timeout` says" in made.reason


def test_an_approved_candidate_that_is_overtaken_while_it_waits_is_held_and_both_are_explained(
    config: Config, store: RecordStore, asking: Supervisor
) -> None:
    slow, quick = judged(config, store, 0.5), judged(config, store, 0.8)
    ask(slow)
    ask(quick)
    go_on(quick, "Approve")
    with pytest.raises(AirflowSkipException):
        go_on(slow, "Approve")
    made = verdict(store, slow)
    assert (made.outcome, made.answer, made.champion_before) == (Outcome.HELD, "approved", quick)
    assert made.reason.startswith("Approved by grace: No reason was given. The candidate's 0.5 does not exceed")


def test_a_late_candidate_is_asked_about_and_takes_the_place_once_it_is_approved(
    config: Config, store: RecordStore, asking: Supervisor
) -> None:
    newer = judged(config, store, 0.5)
    ask(newer)
    go_on(newer, "Approve")
    older = judged(config, store, 0.9)
    arrival = store.read(arrival_path(older), Arrival)
    assert arrival is not None
    store.put(arrival_path(older), arrival.model_copy(update={"arrived_at": arrival.arrived_at - timedelta(hours=3)}))
    ask(older)
    go_on(older, "Approve")
    assert verdict(store, older).outcome is Outcome.PROMOTED
    assert f"Although it arrived 3 hours before {newer}" in verdict(store, older).reason


# From the shell


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
    ("status", "said"), [(409, "goes on already"), (404, "goes on already"), (503, "Airflow could not be told")]
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
    assert "the answer counts when its turn comes" in text
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
    found = store.candidate(candidate)
    assert found is not None
    assert found.to_json()["stages"]["promotion"]["state"] == WAITS_FOR_A_PERSON
    genops("reject", candidate, "--reason", "It swears.")
    assert f"Rejected by {ME}: It swears." in genops("watch", candidate, "--timeout", "0")[1]
