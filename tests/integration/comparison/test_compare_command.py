"""`genops compare`: starts the Dag run by Airflow's REST, follows it, and prints the summary."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from airflow.api_fastapi.core_api.datamodels.dag_run import TriggerDAGRunPostBody
from cloud import DATASET
from comparisons import GONE, asked, whole
from evaluations import FILE, MODEL, pairs, write
from shell import genops, genops_json

from genops_events.cli import compare as command
from genops_events.config import Config
from genops_events.gcp.record_store import RecordStore
from genops_events.record.comparison_plan import comparison_id

RUNS = "/api/v2/dags/genops_comparison/dagRuns"
LITE = "gemini-2.5-flash-lite"


@dataclass
class FakeAirflow:
    """An Airflow that notes which Dag runs it is to create."""

    bodies: list[dict[str, Any]] = field(default_factory=list)
    on_run: Callable[[dict[str, Any]], None] = lambda _: None
    state: str = "running"
    is_paused: bool = False


@pytest.fixture
def airflow(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeAirflow]:
    fake = FakeAirflow()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.path == RUNS
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            fake.bodies.append(body)
            fake.on_run(body)
            self._answer({})

        def do_GET(self) -> None:
            if self.path == RUNS.removesuffix("/dagRuns"):
                self._answer({"is_paused": fake.is_paused})
            else:
                self._answer({"state": fake.state})

        def _answer(self, document: Any) -> None:
            content = json.dumps(document).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            """Write nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        monkeypatch.setenv("GENOPS_AIRFLOW_URL", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setattr(command, "RUN_LOOK_SECONDS", 0.0)
        monkeypatch.setattr(command, "LOOK_SECONDS", 0.05)
        yield fake
        server.shutdown()
        thread.join()


def runs_it(airflow: FakeAirflow) -> None:
    """Let the Dag run that is asked for be done by the Dag's own tasks."""

    def run(body: dict[str, Any]) -> None:
        conf = dict(body["conf"])
        whole(asked(*conf.pop("contestants"), run_id=body["dag_run_id"], **conf))

    airflow.on_run = run


def test_a_comparison_is_started_and_its_id_is_told(
    compared: Callable[..., Config], store: RecordStore, airflow: FakeAirflow
) -> None:
    compared(contestants=["champion"])
    code, told = genops_json("compare", "--contestant", "a: {model: champion}", "--metric", "bleu", "--budget", "0.5")
    assert code == 0
    (body,) = airflow.bodies
    TriggerDAGRunPostBody.model_validate(body)
    expected = {"dataset": DATASET, "contestants": ["a: {model: champion}"], "metrics": ["bleu"], "budget_usd": 0.5}
    assert body["conf"] == expected
    assert told["comparison"] == comparison_id(DATASET, body["dag_run_id"])
    assert genops("compare", "--dataset", DATASET)[0] == 0
    assert airflow.bodies[1]["conf"] == {"dataset": DATASET}, "who is compared stands in genops.yaml"


def test_a_comparison_that_may_cost_more_than_genops_yaml_allows_is_not_started(
    compared: Callable[..., Config], airflow: FakeAirflow
) -> None:
    compared(contestants=["champion"], budget_usd=0.4)
    code, text = genops("compare", "--budget", "0.5")
    assert code == 1
    assert "--budget is $0.50, and genops.yaml allows $0.40 (`comparison.budget_usd`)" in " ".join(text.split())
    assert airflow.bodies == []
    assert genops("compare", "--budget", "0.4")[0] == 0


def test_whoever_waits_gets_the_summary_and_where_the_report_is(
    compared: Callable[..., Config], store: RecordStore, airflow: FakeAirflow
) -> None:
    compared()
    write(store, FILE, *pairs(3, 1))
    runs_it(airflow)
    code, text = genops("compare", "--contestant", MODEL, "--contestant", LITE, "--wait", "--timeout", "3600")
    assert code == 0
    found = comparison_id(DATASET, airflow.bodies[0]["dag_run_id"])
    assert f"{found}: completed, 4 prompts" in text
    assert "0.750 [" in text
    assert "All 2 contestants answered and were scored." in text
    assert f"gs://{store.bucket.name}/genops/comparisons/{found}/report.html" in text
    code, shown = genops_json("compare", "--show", found)
    assert (code, shown["outcome"], len(shown["contestants"])) == (0, "completed", 2)


def test_somebody_who_failed_shows_in_the_exit_code_and_in_words(
    compared: Callable[..., Config], store: RecordStore, airflow: FakeAirflow
) -> None:
    compared()
    write(store, FILE, *pairs(2))
    runs_it(airflow)
    theirs = f"theirs: {{model: {GONE}, base_model: {MODEL}}}"
    code, text = genops("compare", "--contestant", MODEL, "--contestant", theirs, "--wait", "--timeout", "3600")
    assert code == 2
    assert "1 of 2 contestants answered and was scored. theirs failed: Could not ask" in text
    assert f"{MODEL} completed exact_match 1" in text


def test_a_file_of_prompts_is_taken_along(
    compared: Callable[..., Config], store: RecordStore, airflow: FakeAirflow, tmp_path: Path
) -> None:
    compared()
    file = tmp_path / "own.jsonl"
    file.write_text("".join(json.dumps(one) + "\n" for one in pairs(3)), encoding="utf-8")
    runs_it(airflow)
    assert genops("compare", str(file), "--contestant", MODEL, "--wait")[0] == 0
    code, told = genops_json("compare", "--show", comparison_id(DATASET, airflow.bodies[0]["dag_run_id"]))
    assert (code, told["rows"]) == (0, 3)
    assert told["prompts"].startswith(f"gs://{store.bucket.name}/genops/comparison-prompts/")


def test_a_run_that_ends_without_a_comparison_is_an_error_and_time_that_is_up_is_not(
    compared: Callable[..., Config], airflow: FakeAirflow
) -> None:
    compared()
    code, text = genops("compare", "--contestant", MODEL, "--wait", "--timeout", "0.2")
    assert code == 3
    assert "Time is up; the comparison goes on." in text
    airflow.state = "failed"
    code, text = genops("compare", "--contestant", MODEL, "--wait", "--timeout", "3600")
    assert code == 1
    assert "has ended, and left no comparison" in text


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--contestant", "gemini-2.5-flsh"], "did you mean `gemini-2.5-flash`"),
        (
            ["--contestant", f"x: {{model: {MODEL}, generation_config: {{thinking: {{level: low}}}}}}"],
            "refuses a level and takes `thinking.budget_tokens`",
        ),
        (["--contestant", "champion", "--contestant", "champion"], "a name that no other contestant has"),
        (["--contestant", MODEL, "--metric", "exact_mtch"], "Did you mean `exact_match`?"),
        (["--contestant", MODEL, "--metric", "pairwise"], "each has a score of its own"),
        (["--contestant", MODEL, "--dataset", "bankin77"], "Did you mean `banking77`?"),
        ([], "There are no contestants to compare"),
        (["no-such-file.jsonl", "--contestant", MODEL], "no-such-file.jsonl is no file"),
        (["--show", f"{DATASET}-{'0' * 16}"], "knows no comparison"),
    ],
)
def test_what_cannot_be_compared_is_refused_before_a_run_is_started(
    compared: Callable[..., Config], airflow: FakeAirflow, words: list[str], says: str
) -> None:
    compared()
    code, text = genops("compare", *words)
    assert code == 1
    assert says in text
    assert airflow.bodies == []


def test_where_the_dag_is_paused_nothing_is_started_and_nobody_waits_for_ever(
    airflow: FakeAirflow, compared: Callable[..., Config], store: RecordStore
) -> None:
    compared()
    write(store, FILE, *pairs(2))
    airflow.is_paused = True
    code, text = genops("compare", "--contestant", MODEL, "--wait", "--timeout", "3600")
    assert code == 1, text
    assert "genops_comparison is paused in Airflow" in text
    assert "airflow dags unpause genops_comparison" in text
    assert airflow.bodies == []


def test_without_an_airflow_the_command_says_what_is_missing(
    compared: Callable[..., Config], monkeypatch: pytest.MonkeyPatch
) -> None:
    compared()
    monkeypatch.delenv("GENOPS_AIRFLOW_URL", raising=False)
    code, text = genops("compare", "--contestant", MODEL)
    assert code == 1
    assert "GENOPS_AIRFLOW_URL is not set" in text
