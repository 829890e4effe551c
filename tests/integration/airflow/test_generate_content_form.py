"""The form genops_generate_content: what Airflow shows, what its task does, and what it leaves when it ends badly."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk import DAG
from airflow.sdk.exceptions import AirflowFailException
from asked import (
    AT_ONCE,
    FOLDERS,
    MODEL,
    answered_then_silent,
    champion_of,
    change,
    entries,
    lines,
    objects,
    reserved,
    spent,
)
from cloud import DATASET, ROOT, StandIns, until
from made_up import DagRun
from waiting import HANG_SECONDS

from genops_events.airflow.generate_content import GenerateContent, release_money
from genops_events.asking.form import WrongForm
from genops_events.asking.planning import OverBudget
from genops_events.config import Config
from genops_events.gcp.errors import CloudUnavailable
from genops_events.gcp.record_store import RecordStore
from genops_events.gemini import calls
from genops_events.money.ceilings import NoLimit

SHORT = {"max_output_tokens": 100, "thinking": {"budget_tokens": 0}}
"""Costs little at most: without thoughts."""


def form() -> DAG:
    """Return the Dag as Airflow finds it."""
    bag = DagBag(ROOT / "dags" / "genops_generate_content.py")
    assert bag.import_errors == {}
    return bag.dags["genops_generate_content"]


def context(run_id: str = "run-1", **fields: Any) -> Any:
    """Return the context of the task where these fields are filled in, and the others are left as they are."""
    params = form().params.dump() | fields
    return {"dag_run": DagRun(run_id, None), "params": params}


def ask(run_id: str = "run-1", **fields: Any) -> dict[str, Any]:
    return GenerateContent(task_id="ask").execute(context(run_id, **fields))


def test_every_field_has_a_title_a_description_and_a_default_that_is_valid(config: Config) -> None:
    params = form().params
    assert list(params) == [
        "prompt",
        "files",
        "file",
        "model",
        "champion_of",
        "system_instruction",
        "settings",
        "budget_usd",
        "count_only",
    ]
    for name in params:
        param = params.get_param(name)
        assert param.description
        assert param.schema["title"]
        param.resolve()
    assert params["budget_usd"] == 1.0
    assert MODEL in params.get_param("model").schema["enum"]
    assert params.get_param("champion_of").schema["enum"] == [None, DATASET]


def test_the_form_is_there_without_a_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GENOPS_CONFIG", "nowhere.yaml")
    params = form().params
    assert params.get_param("champion_of").schema["enum"] == [None]
    assert MODEL in params.get_param("model").schema["enum"]


def test_the_dag_file_imports_no_client_and_calls_nobody(config: Config) -> None:
    # What Airflow itself costs comes first; no cloud is reachable from the second process.
    code = "import airflow.sdk, json, runpy, sys; runpy.run_path(sys.argv[1]); "
    code += "heavy = ('google.cloud.storage', 'google.cloud.pubsub', 'google.genai', 'aiohttp', 'duckdb'); "
    code += "print(json.dumps([one for one in heavy if one in sys.modules]))"
    nowhere = {"STORAGE_EMULATOR_HOST": "http://127.0.0.1:9", "GOOGLE_VERTEX_BASE_URL": "http://127.0.0.1:9"}
    path = str(ROOT / "dags" / "genops_generate_content.py")
    done = subprocess.run(
        [sys.executable, "-c", code, path], env=os.environ | nowhere, capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout.splitlines()[-1]) == []


def test_a_prompt_is_answered_with_tokens_and_cost_and_a_cleared_task_pays_nothing(
    config: Config, cloud: StandIns, store: RecordStore, tmp_path: Path
) -> None:
    change(tmp_path, capture_content=True)
    before = cloud.vertex_calls("generateContent")
    done = ask(prompt="where is my card", model=MODEL, settings=SHORT)
    assert (done["answer"], done["state"], done["cost_usd"]) == ("where is my card", "complete", "0.000017")
    assert (done["input_tokens"], done["output_tokens"]) == (6, 6)
    assert ask(prompt="where is my card", model=MODEL, settings=SHORT) == done
    assert cloud.vertex_calls("generateContent") == before + 1
    assert ask("run-2", prompt="where", model=MODEL)["run"] != done["run"]
    assert (len(entries(store)), reserved(store)) == (2, Decimal(0))


def test_a_file_is_answered_by_the_champion_into_the_bucket(
    config: Config, cloud: StandIns, store: RecordStore
) -> None:
    champion = champion_of(config, store)
    cloud.vertex.faults(blocked_text="forbidden")
    rows = [{"prompt": "one"}, {"prompt": "the forbidden one"}]
    store.bucket.blob("mine.jsonl").upload_from_string("\n".join(map(json.dumps, rows)) + "\n{")
    done = ask(file="mine.jsonl", champion_of=DATASET)
    assert (done["champion"], done["prompts"], done["answered"], done["blocked"]) == (champion, 3, 2, 1)
    assert "answer" not in done
    answered = lines(store, done["answers_uri"].removeprefix(f"gs://{store.bucket.name}/"))
    assert [(row["answer"], row["state"]) for row in answered] == [("one", "complete"), ("", "blocked")]
    [failed] = lines(store, done["failures_uri"].removeprefix(f"gs://{store.bucket.name}/"))
    assert failed["reason"].startswith("Line 3: it is not JSON")


def test_counting_alone_asks_nobody(config: Config, cloud: StandIns, store: RecordStore) -> None:
    before = cloud.vertex_calls("generateContent")
    done = ask(prompt="where is my card", model=MODEL, budget_usd=0.0001, count_only=True)
    assert (done["input_tokens"], done["billable_characters"], done["over_budget"]) == (6, 13, True)
    assert cloud.vertex_calls("generateContent") == before
    assert (entries(store), objects(store)) == ({}, [])


def test_what_is_wrong_or_over_budget_fails_at_once_and_costs_nothing(
    config: Config, cloud: StandIns, store: RecordStore
) -> None:
    before = cloud.vertex_calls("generateContent")
    with pytest.raises(WrongForm, match="Both `prompt` and `file` are filled in"):
        ask(prompt="x", file="y.jsonl", model=MODEL)
    with pytest.raises(OverBudget, match=r"The budget is \$0\.0001: "):
        ask(prompt="one two", model=MODEL, budget_usd=0.0001)
    assert cloud.vertex_calls("generateContent") == before
    assert entries(store) == {}


def test_a_form_lowers_what_genops_yaml_allows_and_never_raises_it(
    config: Config, cloud: StandIns, store: RecordStore, tmp_path: Path
) -> None:
    before = cloud.vertex_calls("generateContent")
    with pytest.raises(
        WrongForm, match=r"`budget_usd` is \$100.00, and genops.yaml allows \$1.00 \(`ask.budget_usd`\)"
    ):
        ask(prompt="one two", model=MODEL, budget_usd=100)
    change(tmp_path, ask={})
    with pytest.raises(NoLimit, match=r"Nothing in genops\.yaml limits what asking a model costs"):
        ask(prompt="one two", model=MODEL, budget_usd=0.01)
    assert cloud.vertex_calls("generateContent") == before
    assert entries(store) == {}


def test_a_prompt_that_is_refused_fails_the_task_without_another_try(
    config: Config, cloud: StandIns, store: RecordStore
) -> None:
    cloud.vertex.faults(refused_text="unlucky", error_methods=["generateContent"])
    with pytest.raises(AirflowFailException, match="the request holds 'unlucky'"):
        ask(prompt="the unlucky one", model=MODEL)
    assert (reserved(store), spent(store)) == (Decimal(0), Decimal(0))


def test_between_tries_the_money_stays_reserved_and_after_the_last_it_is_released(
    config: Config, cloud: StandIns, store: RecordStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calls, "TRIES", 1)
    cloud.vertex.faults(error_share=1, error_methods=["generateContent"])
    for _ in range(2):
        with pytest.raises(CloudUnavailable):
            ask(prompt="where", model=MODEL, settings=SHORT)
    assert len(entries(store)) == 1
    assert reserved(store) > 0
    release_money(context(prompt="where", model=MODEL, settings=SHORT))
    release_money(context(prompt="where", model=MODEL, settings=SHORT))
    assert (reserved(store), spent(store)) == (Decimal(0), Decimal(0))
    cloud.vertex.faults()
    assert ask(prompt="where", model=MODEL, settings=SHORT)["state"] == "complete"  # cleared by hand
    assert reserved(store) == 0
    assert spent(store) == Decimal("0.000006")


_TASK = """
import signal, sys
signal.signal(signal.SIGINT, signal.SIG_DFL)
sys.path[:0] = sys.argv[1].split(':')
from asked import few_at_once
from genops_events.airflow.generate_content import GenerateContent
few_at_once()
from test_generate_content_form import context
task = GenerateContent(task_id="ask")
signal.signal(signal.SIGTERM, lambda *_: task.on_kill())
task.execute(context(file="long.jsonl", model="gemini-2.5-flash", budget_usd=100))
"""


def test_ending_the_task_settles_what_is_answered(
    config: Config, cloud: StandIns, store: RecordStore, tmp_path: Path
) -> None:
    change(tmp_path, requests_per_minute=6000, ask={"budget_usd": 100})
    rows = "\n".join(json.dumps({"prompt": f"prompt number {number}"}) for number in range(400))
    store.bucket.blob("long.jsonl").upload_from_string(rows)
    answered_then_silent(cloud, 100)
    # Airflow's worker ends a task with SIGTERM, and has taken SIGINT's handler away.
    folders = f"{FOLDERS}:{Path(__file__).parent}"
    with subprocess.Popen([sys.executable, "-c", _TASK, folders], stderr=subprocess.PIPE) as task:
        until(lambda: task.poll() is not None or cloud.vertex.delayed() == {"generateContent": AT_ONCE})
        assert task.poll() is None, task.communicate(timeout=HANG_SECONDS)
        task.send_signal(signal.SIGTERM)
        task.communicate(timeout=HANG_SECONDS)  # it waits for no answer: Airflow would kill it
    [entry] = entries(store).values()
    posting = entry.purposes["asking"]
    assert posting.settled
    assert posting.estimated_usd is not None
    assert Decimal(0) < posting.spent_usd < posting.estimated_usd
