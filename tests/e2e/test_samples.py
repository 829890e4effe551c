"""Every sample and the Dag of a user downstream, on a real stack: started as a person starts them, judged by what they leave."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from google.cloud import pubsub_v1
from running_stack import DATASET, PROMPTS, ROOT, TRAIN, Stack, running_stack, training_subset
from waiting import HANG_SECONDS, until

pytestmark = pytest.mark.e2e

SAMPLES = {path.stem for path in (ROOT / "dags" / "samples").glob("*.py")}
DOWNSTREAM = ROOT / "examples" / "downstream"
SECRET = "s3cr3t-of-the-warehouse"
BROKEN = f"""
from airflow.sdk import DAG, task

with DAG("nightly_load", schedule=None):

    @task
    def load():
        print("connecting to postgresql://loader:{SECRET}@warehouse:5432/sales, as ada@example.org")
        raise KeyError("customer_id")

    load()
"""
PDF = b"""%PDF-1.4
1 0 obj << /Type /Catalog /Pages 2 0 R >> endobj
2 0 obj << /Type /Pages /Kids [3 0 R] /Count 1 >> endobj
3 0 obj << /Type /Page /Parent 2 0 R /MediaBox [0 0 200 100] >> endobj
trailer << /Root 1 0 R >>
%%EOF
"""
ENDED = {"success", "failed"}


@dataclass
class Run:
    """A Dag run that somebody has started."""

    stack: Stack
    dag: str
    id: str = ""
    states: dict[str, list[str]] = field(default_factory=dict)
    """Of its tasks, those of a mapped one by their index."""

    @property
    def path(self) -> str:
        return f"/dags/{self.dag}/dagRuns/{self.id}"

    def start(self, **params: Any) -> Run:
        made = self.stack.airflow("POST", f"/dags/{self.dag}/dagRuns", json={"logical_date": None, "conf": params})
        self.id = made["dag_run_id"]
        return self

    def ended(self) -> Run:
        """Wait until it has ended."""
        until(lambda: self.stack.airflow("GET", self.path)["state"] in ENDED, what=f"the end of {self.dag}")
        for one in self.stack.airflow("GET", f"{self.path}/taskInstances", params={"order_by": "map_index"})[
            "task_instances"
        ]:
            self.states.setdefault(one["task_id"], []).append(one["state"])
        return self

    def returned(self, task: str, index: int = -1) -> Any:
        """Return what a task has returned."""
        where = f"{self.path}/taskInstances/{task}/xcomEntries/return_value"
        return self.stack.airflow("GET", where, params={"map_index": index})["value"]

    def log(self, task: str, index: int = -1) -> str:
        """Return the log of a task's first try: messages and exceptions."""
        base = self.stack.variables["GENOPS_AIRFLOW_URL"].rstrip("/")
        answer = httpx.get(
            f"{base}/api/v2{self.path}/taskInstances/{task}/logs/1",
            params={"map_index": index, "full_content": "true"},
            headers={"Accept": "application/json", **self.stack.airflow_login()},
            timeout=HANG_SECONDS,
        )
        messages = answer.raise_for_status().json()["content"]
        return "\n".join(
            "\n".join([one["event"], *(error["exc_value"] for error in one.get("error_detail") or ())])
            for one in messages
        )


def configure(config: dict[str, Any]) -> None:
    dataset = config["datasets"][DATASET]
    dataset["evaluation"]["gate"] = {"exact_match": 0.0}
    dataset["inference"]["mode"] = "online"
    config["readable"] = ["gs://films/"]
    config["capture_content"] = True


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("stack")
    dags = folder / "dags"
    shutil.copytree(ROOT / "dags", dags, ignore=shutil.ignore_patterns("__pycache__"))
    # What the user does: copies one into the Dags folder.
    shutil.copy(DOWNSTREAM / "use_champion.py", dags)
    (dags / "nightly_load.py").write_text(BROKEN)
    with running_stack(folder, "--dags", str(dags), change=configure) as running:
        yield running


@pytest.fixture(scope="module")
def service(stack: Stack) -> Iterator[subprocess.Popen[str]]:
    """The other service, with the subscription that the page tells to make."""
    page = (ROOT / "docs" / "how-to" / "subscribe.md").read_text()
    [wanted] = re.findall(r"--message-filter='(.+)'", page)
    environment = {**os.environ, **stack.variables}
    os.environ["PUBSUB_EMULATOR_HOST"] = stack.variables["PUBSUB_EMULATOR_HOST"]
    project = stack.variables["GOOGLE_CLOUD_PROJECT"]
    with pubsub_v1.SubscriberClient() as client:
        client.create_subscription(
            request={
                "name": client.subscription_path(project, "my-service"),
                "topic": f"projects/{project}/topics/genops-completions",
                "filter": wanted,
                "enable_message_ordering": True,
            }
        )
    with subprocess.Popen(
        [sys.executable, str(DOWNSTREAM / "subscribe.py")], env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        yield process
        process.terminate()


@pytest.fixture(scope="module")
def candidate(stack: Stack, service: subprocess.Popen[str], tmp_path_factory: pytest.TempPathFactory) -> str:
    """A candidate that has just arrived."""
    return stack.upload(training_subset(tmp_path_factory.mktemp("files"), "a.jsonl", seed=1, examples=16))


@pytest.fixture(scope="module")
def runs(stack: Stack, candidate: str) -> dict[str, Run]:
    """Every sample, started and ended; the report once the candidate is champion and has answered."""
    found = until(lambda: _samples(stack), what="the samples are parsed")
    assert all(one["is_paused"] for one in found.values())
    assert not any(stack.dag_runs(one) for one in found)
    for one in found:
        stack.airflow("PATCH", f"/dags/{one}", json={"is_paused": False})
    stack.bucket().blob("letters/a.pdf").upload_from_string(PDF, content_type="application/pdf")
    broken = Run(stack, "nightly_load").start()
    files = [f"gs://{stack.variables['GENOPS_BUCKET']}/letters/a.pdf", "gs://films/b.mp4", "gs://films/c.doc"]
    started = {
        "feedback": Run(stack, "genops_sample_feedback").start(),
        "summaries": Run(stack, "genops_sample_summaries").start(files=files),
        "grounded": Run(stack, "genops_sample_grounded_answer").start(question="Where is the Eiffel tower?"),
    }
    assert broken.ended().states == {"load": ["failed"]}
    # Without a name it would take whatever failed last, and one of the summaries does.
    started["shown"] = Run(stack, "genops_sample_failure_explanation").start(dag_id="nightly_load")
    started["explained"] = Run(stack, "genops_sample_failure_explanation").start(
        send=True, run_id=broken.id, dag_id="nightly_load"
    )
    code, seen = stack.watch(candidate)
    assert (code, seen["state"]) == (0, "answered"), seen
    started["report"] = Run(stack, "genops_sample_status_report").start()
    return {name: one.ended() for name, one in started.items()}


@pytest.fixture(scope="module")
def champion(candidate: str, runs: dict[str, Run]) -> str:
    """The candidate, once it is champion."""
    return candidate


def _samples(stack: Stack) -> dict[str, Any] | None:
    found = stack.airflow("GET", "/dags", params={"tags": "sample"})["dags"]
    return {one["dag_id"]: one for one in found} if {one["dag_id"] for one in found} == SAMPLES else None


def test_feedback_is_sorted_and_counted(runs: dict[str, Run]) -> None:
    run = runs["feedback"]
    assert run.states == {"classify": ["success"], "count": ["success"]}
    counts = run.returned("count")
    assert sum(counts.values()) == len(PROMPTS.read_text().splitlines())
    topics = {name.partition(", ")[0] for name in counts}
    assert {"card", "transfer"} <= topics <= {"card", "transfer", "cash", "top up", "account", "other"}
    assert float(run.returned("classify")["cost_usd"]) > 0
    assert f"{max(counts.values()):5,}  " in run.log("count")


def test_each_file_is_summed_up_and_a_bad_one_hides_no_other(runs: dict[str, Run]) -> None:
    run = runs["summaries"]
    assert run.states == {"files": ["success"], "summarize": ["success", "success", "failed"]}
    for index, shown in ((0, "1 document"), (1, "1 video")):
        found = run.returned("summarize", index)
        assert shown in found["summary"]
        assert isinstance(found["key_points"], list)
    assert "c.doc" in run.log("summarize", 2)


def test_an_answer_comes_with_its_sources(runs: dict[str, Run]) -> None:
    run = runs["grounded"]
    assert run.states == {"answer": ["success"]}
    found = run.returned("answer")
    assert found["answer"] == "Where is the Eiffel tower?"
    assert found["sources"] == ["The stand-in found nothing: it cannot search: https://example.com/stand-in"]


def test_the_report_has_the_candidate_its_cost_and_the_new_champion(
    stack: Stack, runs: dict[str, Run], champion: str
) -> None:
    run = runs["report"]
    assert run.states == {"report": ["success"]}
    address = run.returned("report")
    text = stack.bucket().blob(address.partition("/genops/")[2].join(["genops/", ""])).download_as_text()
    squeezed = " ".join(text.split())
    assert f"| {DATASET} | answered | 1 |" in squeezed
    assert f"| {DATASET} | {champion} | exact_match |" in squeezed
    assert f"| {DATASET} | tuning |" in squeezed
    assert text.splitlines()[0] in run.log("report")


def test_a_log_is_shown_and_not_sent_unless_one_says_so(runs: dict[str, Run]) -> None:
    run = runs["shown"]
    assert run.states == {"explain": ["skipped"]}
    log = run.log("explain")
    assert "nightly_load.load, try 1" in log
    assert "KeyError: 'customer_id'" in log
    assert "Nothing was sent" in log
    assert SECRET not in log
    assert "ada@example.org" not in log


def test_what_is_sent_has_no_secrets_and_the_answer_is_paid_for(stack: Stack, runs: dict[str, Run]) -> None:
    run = runs["explained"]
    assert run.states == {"explain": ["success"]}
    found = run.returned("explain")
    assert found["task"].startswith("nightly_load.load, try 1")
    assert found["explanation"]
    sent = [
        stack.bucket().blob(listed.name).download_as_text()
        for listed in stack.bucket().list_blobs(prefix="genops/asks/")
        if listed.name.endswith("prompts.jsonl")
    ]
    [prompt] = [one for one in sent if "nightly_load" in one]
    assert "KeyError" in prompt
    assert "postgresql://***@warehouse:5432/sales" in prompt
    assert not any(SECRET in one or "ada@example.org" in one for one in sent)
    # Nothing was asked for the run that did not send.
    assert sum("nightly_load" in one for one in sent) == 1


def test_a_dag_downstream_is_woken_by_the_new_champion_and_asks_its_endpoint(stack: Stack, champion: str) -> None:
    [woken] = until(lambda: stack.dag_runs("use_champion"), what="a run of the Dag downstream")
    run = Run(stack, "use_champion", woken["dag_run_id"]).ended()
    assert run.states == {"use": ["success"]}
    found = run.returned("use")
    document = stack.document(f"genops/datasets/{DATASET}/champion.json")
    assert (found["champion"], found["endpoint"]) == (champion, document["endpoint"])
    examples = [json.loads(line) for line in TRAIN.read_text().splitlines()]
    labels = {one["contents"][-1]["parts"][0]["text"] for one in examples}
    assert found["answer"] in labels


def test_another_service_is_told_of_the_champion_in_ten_lines(
    stack: Stack, service: subprocess.Popen[str], champion: str
) -> None:
    source = (DOWNSTREAM / "subscribe.py").read_text()
    assert len([line for line in source.splitlines() if line.strip()]) == 10
    assert source in (ROOT / "docs" / "how-to" / "subscribe.md").read_text()
    assert service.stdout is not None
    line = service.stdout.readline()
    endpoint = stack.document(f"genops/datasets/{DATASET}/champion.json")["endpoint"]
    assert line.split() == [DATASET, champion, endpoint]
