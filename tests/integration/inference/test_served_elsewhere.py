"""A model of today from its tuning in us-central1 to its answers in `us`: counted, asked, batched and taken away where it is."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest
import yaml
from cloud import DATASET, PREFIX, until
from made_up import arrived, context
from test_inference_batch import answers, jobs, prompts, submitted, waited
from tuned import EXAMPLES, work
from usual import EXAMPLE

from genops_events.airflow.inference import AnswerPrompts
from genops_events.airflow.tuning import TuneModel
from genops_events.cascade.stage_run import StageRun
from genops_events.catalogue.locations import location_in
from genops_events.config import Config, load_config
from genops_events.gcp.record_store import RecordStore
from genops_events.gemini.token_counts import count_tokens
from genops_events.promotion.registry import set_champion_alias
from genops_events.record.stages import Stage
from genops_events.record.verdicts import TuningVerdict
from genops_events.tuning import jobs as tuning_jobs

pytestmark = pytest.mark.filterwarnings("ignore:The SDK's tuning implementation is experimental")

MODEL = "gemini-3.5-flash"


@pytest.fixture
def today(config: Config, tmp_path: Path) -> Config:
    """The configuration with a model of today."""
    file = tmp_path / "genops.yaml"
    found = yaml.safe_load(file.read_text(encoding="utf-8"))
    found["models"] = str(EXAMPLE.with_name("models.toml"))
    found["datasets"][DATASET]["source_model"] = MODEL
    found["datasets"][DATASET]["inference"] |= {"mode": "online", "batch": {"poll_seconds": 0.1, "timeout_hours": 1}}
    file.write_text(yaml.safe_dump(found), encoding="utf-8")
    return load_config()


@pytest.fixture
def tuned(today: Config, store: RecordStore) -> tuple[str, TuningVerdict]:
    """A candidate, and the verdict on its tuning."""
    blob = store.bucket.blob(f"{PREFIX}{uuid.uuid4().hex}.jsonl")
    blob.upload_from_string(EXAMPLES)
    candidate = arrived(today, store, name=blob.name, generation=int(blob.generation)).candidate
    job = work(StageRun(Stage.TUNING, candidate, "run-1"))
    until(lambda: tuning_jobs.get(today, job).has_ended, what="the tuning job has ended")
    TuneModel(task_id="tune").resume(context(candidate), {"job": job, "end": "succeeded"}, job)
    verdict = store.verdict(candidate, Stage.TUNING)
    assert isinstance(verdict, TuningVerdict)
    assert verdict.outcome == "succeeded", verdict.reason
    return candidate, verdict


def test_a_model_tuned_in_a_region_is_recorded_where_it_is_served(
    today: Config, tuned: tuple[str, TuningVerdict]
) -> None:
    _, verdict = tuned
    assert location_in(verdict.model or "") == "us-central1"
    assert location_in(verdict.endpoint or "") == "us"
    set_champion_alias(today, verdict.model or "")
    assert count_tokens(today, model=MODEL, prompts=["hello"], system_instruction=None).tokens > 0


@pytest.mark.parametrize("place", ["us", "eu"])
def test_it_answers_online_in_the_multi_region_that_genops_yaml_names(
    place: str, store: RecordStore, tuned: tuple[str, TuningVerdict], tmp_path: Path
) -> None:
    candidate, verdict = tuned
    assert verdict.endpoint is not None
    prompts(store, {"id": "one", "prompt": "a"})
    path = tmp_path / "genops.yaml"
    path.write_text(f"{path.read_text(encoding='utf-8')}locations: {{serving: {place}}}\n", encoding="utf-8")
    done = AnswerPrompts(task_id="answer").execute(context(candidate))
    assert done["answered"] == 1
    assert [row["id"] for row in answers(store, candidate)] == ["one"]


def test_its_batch_job_runs_where_it_is_served(
    today: Config, store: RecordStore, tuned: tuple[str, TuningVerdict], tmp_path: Path
) -> None:
    candidate, _ = tuned
    prompts(store, {"id": "one", "prompt": "a"}, {"id": "two", "prompt": "b"})
    file = tmp_path / "genops.yaml"
    found = yaml.safe_load(file.read_text(encoding="utf-8"))
    found["datasets"][DATASET]["inference"]["mode"] = "batch"
    file.write_text(yaml.safe_dump(found), encoding="utf-8")
    job = submitted(candidate)
    assert location_in(job) == "us"
    assert waited(candidate, job)["answered"] == 2
    assert jobs(today, candidate) == {job: "JOB_STATE_SUCCEEDED"}
    assert [row["id"] for row in answers(store, candidate)] == ["one", "two"]
