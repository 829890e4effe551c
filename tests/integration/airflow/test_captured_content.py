"""Prompts and answers stay in the bucket: a marker that stands in all of them is in no log, no XCom, no error, no event."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from answered_online import MODEL, answers
from asked import change
from cloud import DATASET, PREFIX, StandIns
from evaluations import rows_of, write
from held import check
from made_up import DagRun, Task, arrived, context

from genops_events.airflow.captured_content import returned_figures
from genops_events.airflow.evaluation import EvaluateModel
from genops_events.airflow.generate_content import GenerateContent
from genops_events.airflow.inference import AnswerPrompts
from genops_events.airflow.tuning import ValidateTrainingData
from genops_events.asking import generate
from genops_events.config import Config
from genops_events.gcp.record_store import RecordStore

MARKER = "xyzzy-4711"
BAD = b'{"prompt": "xyzzy-4711", "temperature": "xyzzy-4711"}\n{"prompt": "xyzzy-4711'
"""Rows that cannot be asked."""


def broken_metric(_prompt: str, response: str, _reference: str | None) -> float:
    """A metric of the user's that fails with the row's own words."""
    raise ValueError(response)


@pytest.fixture
def seen(caplog: pytest.LogCaptureFixture, store: RecordStore) -> Iterator[list[str]]:
    """All that Airflow and subscribers get to see is to be put here; the logs and the outbox are added, and looked through."""
    caplog.set_level(logging.INFO)
    shown: list[str] = []
    yield shown
    shown += caplog.messages + [str(one.exc_info) for one in caplog.records if one.exc_info]
    shown += [store.bucket.blob(name).download_as_text() for name in store.names("genops/") if "/events/" in name]
    assert MARKER not in "\n".join(shown)
    kept = [store.bucket.blob(name).download_as_bytes() for name in store.names("")]
    assert any(MARKER.encode() in one for one in kept), "the marker was nowhere, so nothing was looked for"


def tried(task: Any, here: Any, shown: list[str]) -> dict[str, Any] | None:
    """Execute a task; keep what it returns, pushes, raises, and would show as its traceback."""
    try:
        done = task.execute(here)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is what Airflow would show
        one: BaseException | None = error
        while one is not None:
            shown.append(str(one))
            one = one.__cause__ or (None if one.__suppress_context__ else one.__context__)
        return None
    finally:
        shown.append(json.dumps({key: str(value) for key, value in vars(here.get("ti", Task())).items()}))
    shown.append(json.dumps(done, default=str))
    return dict(done)


def asking(**fields: Any) -> Any:
    return {"dag_run": DagRun("run-1", None), "params": {"model": MODEL, **fields}}


@pytest.mark.parametrize(
    "fields",
    [
        {"prompt": f"say {MARKER}"},
        {"prompt": f"say {MARKER}", "count_only": True},
        {"prompt": f"say {MARKER}", "settings": {"max_output_tokens": 1}},
        {"prompt": f"say {MARKER}", "budget_usd": 0},
        {"prompt": [{"role": "user", "parts": [{"text": MARKER}, {"text": ""}]}]},
        {"prompt": f"say {MARKER}", "system_instruction": {"text": MARKER}},
        {"file": "mine.jsonl"},
        {"file": "bad.jsonl"},
    ],
    ids=["answered", "counted", "cut", "over budget", "wrong turns", "wrong instruction", "a file", "bad rows"],
)
def test_what_is_asked_by_the_form_is_told_by_counts_and_addresses(
    config: Config, cloud: StandIns, store: RecordStore, seen: list[str], fields: dict[str, Any]
) -> None:
    store.bucket.blob("mine.jsonl").upload_from_string(
        json.dumps({"prompt": MARKER}) + "\n" + json.dumps({"a": MARKER})
    )
    store.bucket.blob("bad.jsonl").upload_from_string(BAD)
    done = tried(GenerateContent(task_id="ask"), asking(**fields), seen)
    if done is not None and "run" in done and "file" not in fields:
        address = done["answer_uri"].removeprefix(f"gs://{store.bucket.name}/")
        assert MARKER[:4] in store.bucket.blob(address).download_as_text()


def test_with_capture_content_a_single_answer_stands_in_log_and_xcom(
    config: Config, cloud: StandIns, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    change(tmp_path, capture_content=True)
    caplog.set_level(logging.INFO)
    done = GenerateContent(task_id="ask").execute(asking(prompt=MARKER))
    assert done["answer"] == MARKER
    assert any(MARKER in one for one in caplog.messages)
    found = generate(MARKER, model=MODEL)
    assert returned_figures(found, {"explanation": found.text}, task="t")["explanation"] == MARKER


def test_what_a_dag_of_ones_own_asks_is_told_by_its_address(
    config: Config, cloud: StandIns, store: RecordStore, seen: list[str]
) -> None:
    found = generate(MARKER, model=MODEL)
    made = returned_figures(found, {"explanation": found.text}, task="t")
    assert made.keys() == {"task", "run", "state", "answer_uri", "cost_usd"}
    seen.append(json.dumps(made))


def test_inference_leaves_no_text_in_airflow(
    config: Config, cloud: StandIns, store: RecordStore, candidate: str, seen: list[str]
) -> None:
    cloud.vertex.faults(blocked_text="forbidden")
    rows = [{"prompt": MARKER}, {"prompt": f"{MARKER} forbidden"}, {"prompt": MARKER, "temperature": MARKER}]
    store.bucket.blob(f"prompts/{DATASET}.jsonl").upload_from_string("\n".join(map(json.dumps, rows)))
    seen.append(json.dumps(check(candidate), default=str))
    done = tried(AnswerPrompts(task_id="answer"), context(candidate), seen)
    assert done is not None
    assert (done["answered"], done["failed"]) == (2, 1)
    assert answers(store, candidate)[0]["answer"] == MARKER


def test_an_evaluation_leaves_no_text_in_airflow(
    store: RecordStore, candidate: str, seen: list[str], settings: Any
) -> None:
    settings(
        metrics=["exact_match", "broken"],
        python_metrics={"broken": "test_captured_content:broken_metric"},
        failed_rows=5,
    )
    write(store, "evaluation/own.jsonl", *({"prompt": f"{MARKER} {one}", "reference": MARKER} for one in range(3)))
    done = tried(EvaluateModel(task_id="evaluate"), context(candidate), seen)
    assert done is not None
    assert "broken failed: ValueError" in json.dumps(done)
    assert MARKER in rows_of(store, candidate)[0]["failures"]["broken"]


@pytest.mark.parametrize("name", [f"evaluation/{DATASET}.jsonl", f"prompts/{DATASET}.jsonl"])
def test_a_file_that_cannot_be_used_is_named_by_its_line_and_not_quoted(
    config: Config, cloud: StandIns, store: RecordStore, seen: list[str], name: str
) -> None:
    turns = [{"role": "user", "parts": [{"text": MARKER}]}, {"role": "model", "parts": [{"text": MARKER}]}]
    blob = store.bucket.blob(f"{PREFIX}mine.jsonl")
    blob.upload_from_string("\n".join([json.dumps({"contents": turns})] * 40))
    made = arrived(config, store, name=blob.name, generation=int(blob.generation)).candidate
    store.bucket.blob(name).upload_from_string(BAD)
    assert tried(ValidateTrainingData(task_id="validate"), context(made), seen) is None
    assert any("Line 1" in one for one in seen)


def test_a_training_file_that_cannot_be_used_is_not_quoted(
    config: Config, cloud: StandIns, store: RecordStore, seen: list[str]
) -> None:
    blob = store.bucket.blob(f"{PREFIX}mine.jsonl")
    blob.upload_from_string("\n".join([json.dumps({"contents": [{"role": "user", "parts": [{"text": MARKER}]}]})] * 40))
    made = arrived(config, store, name=blob.name, generation=int(blob.generation)).candidate
    assert tried(ValidateTrainingData(task_id="validate"), context(made), seen) is None
