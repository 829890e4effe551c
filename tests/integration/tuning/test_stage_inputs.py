"""What evaluation and inference read is looked at before tuning is paid for."""

from __future__ import annotations

import json
import uuid
from pathlib import Path

import pytest
import yaml
from airflow.sdk.exceptions import AirflowSkipException
from cloud import DATASET, PREFIX
from made_up import arrived, context, now

from genops_events.airflow.tuning import ValidateTrainingData
from genops_events.cascade.candidate_reader import read_candidate
from genops_events.config import Config
from genops_events.gcp.record_store import RecordStore
from genops_events.money.ledger import Ledger, month_of
from genops_events.record.paths import attempt_path, ledger_path
from genops_events.record.stages import CandidateState, Outcome, Stage
from genops_events.record.tuning import Attempt

TURNS = [{"role": "user", "parts": [{"text": "a"}]}, {"role": "model", "parts": [{"text": "b"}]}]
EVALUATION, PROMPTS = f"evaluation/{DATASET}.jsonl", f"prompts/{DATASET}.jsonl"


@pytest.fixture
def candidate(config: Config, store: RecordStore) -> str:
    blob = store.bucket.blob(f"{PREFIX}{uuid.uuid4().hex}.jsonl")
    blob.upload_from_string("\n".join([json.dumps({"contents": TURNS})] * 40))
    return arrived(config, store, name=blob.name, generation=int(blob.generation)).candidate


def validate(candidate: str) -> None:
    ValidateTrainingData(task_id="validate").execute(context(candidate))


def rejected(store: RecordStore, candidate: str) -> str:
    with pytest.raises(AirflowSkipException, match="rejected"):
        validate(candidate)
    verdict = store.verdict(candidate, Stage.TUNING)
    found = read_candidate(store, candidate)
    assert verdict is not None
    assert found is not None
    assert (verdict.outcome, found.state) == (Outcome.REJECTED, CandidateState.REJECTED)
    assert store.read(ledger_path(month_of(now())), Ledger) is None
    return verdict.reason


@pytest.mark.parametrize("name", [EVALUATION, PROMPTS])
def test_a_file_that_is_missing_rejects_the_candidate_before_its_tuning_is_paid_for(
    store: RecordStore, candidate: str, name: str
) -> None:
    store.bucket.blob(name).delete()
    reason = rejected(store, candidate)
    assert reason.startswith(f"gs://{store.bucket.name}/{name} is not there, but genops.yaml names it. Upload the file")
    assert reason.endswith("then upload the training file again. Nothing was spent.")


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        (EVALUATION, "", "holds no example"),
        (EVALUATION, '{"prompt": "a"}', "Line 1: the key `reference` is missing, which exact_match"),
        (EVALUATION, '{"prompt": "a", "reference": "b"}\nnot JSON', "Line 2: it is not JSON"),
    ],
)
def test_a_file_that_cannot_be_read_rejects_it_and_is_named_with_its_line(
    store: RecordStore, candidate: str, name: str, text: str, said: str
) -> None:
    store.bucket.blob(name).upload_from_string(text)
    reason = rejected(store, candidate)
    assert f"file gs://{store.bucket.name}/{name} cannot be used. " in reason
    assert said in reason


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", " is empty."),
        ('{"question": "a"}\nnot JSON', " has no row that can be asked. Line 1: the key `question` is not known"),
    ],
)
def test_a_prompt_file_without_a_row_that_can_be_asked_rejects_it(
    store: RecordStore, candidate: str, text: str, said: str
) -> None:
    store.bucket.blob(PROMPTS).upload_from_string(text)
    assert rejected(store, candidate).startswith(f"gs://{store.bucket.name}/{PROMPTS}{said}")


def test_bad_rows_beside_a_good_one_do_not_reject_it(store: RecordStore, candidate: str) -> None:
    store.bucket.blob(PROMPTS).upload_from_string('not JSON\n{"prompt": "a"}')
    validate(candidate)
    assert store.verdict(candidate, Stage.TUNING) is None


@pytest.mark.parametrize("name", [EVALUATION, PROMPTS])
def test_a_text_may_hold_what_ends_a_line_elsewhere(store: RecordStore, candidate: str, name: str) -> None:
    row = {"prompt": "one\u2028two\x85three"} | ({"reference": "a"} if name == EVALUATION else {})
    store.bucket.blob(name).upload_from_string(json.dumps(row, ensure_ascii=False) + "\r\n")
    validate(candidate)
    assert store.verdict(candidate, Stage.TUNING) is None


def test_a_metric_that_cannot_be_imported_rejects_it(
    config: Config, store: RecordStore, candidate: str, tmp_path: Path
) -> None:
    file = tmp_path / "genops.yaml"
    data = yaml.safe_load(file.read_text(encoding="utf-8"))
    part = data["datasets"][DATASET]["evaluation"]
    part |= {"metrics": ["mine"], "python_metrics": {"mine": "no_such_module:f"}, "gate": {}, "decisive": "mine"}
    file.write_text(yaml.safe_dump(data), encoding="utf-8")
    assert "The metric mine of genops.yaml cannot be used" in rejected(store, candidate)


def test_a_candidate_whose_job_may_be_under_way_is_not_rejected_any_more(store: RecordStore, candidate: str) -> None:
    store.create(attempt_path(candidate), Attempt(candidate=candidate, written_at=now()))
    store.bucket.blob(EVALUATION).delete()
    validate(candidate)
    assert store.verdict(candidate, Stage.TUNING) is None
