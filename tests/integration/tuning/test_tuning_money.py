"""What tuning costs: files in examples are reserved for and billed, and what nobody tells is not nothing."""

from __future__ import annotations

import json
import uuid
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from airflow.sdk.exceptions import TaskDeferred
from cloud import PREFIX, Reader, until
from made_up import arrived, context

from genops_events.airflow.tuning import TuneModel
from genops_events.cascade.candidate_reader import read_candidate
from genops_events.cascade.stage_end import account, settle_and_announce
from genops_events.cascade.stage_run import StageRun
from genops_events.config import Config
from genops_events.errors import StepAside
from genops_events.gcp import ledger_store
from genops_events.gcp.record_store import RecordStore
from genops_events.money.ledger import Posting, month_of
from genops_events.record import paths as record_paths
from genops_events.record.stages import Stage
from genops_events.record.tuning import Validation
from genops_events.record.verdicts import TuningVerdict
from genops_events.tuning import end as tuning_end
from genops_events.tuning import jobs as tuning_jobs
from genops_events.waiting.polling import JobEnd

if TYPE_CHECKING:
    from google.genai.types import TuningJob

pytestmark = pytest.mark.filterwarnings("ignore:The SDK's tuning implementation is experimental")


def candidate_of(config: Config, store: RecordStore, *parts: dict[str, Any], examples: int) -> str:
    turns = [{"role": "user", "parts": list(parts)}, {"role": "model", "parts": [{"text": "b"}]}]
    blob = store.bucket.blob(f"{PREFIX}{uuid.uuid4().hex}.jsonl")
    blob.upload_from_string("\n".join([json.dumps({"contents": turns})] * examples))
    return arrived(config, store, name=blob.name, generation=int(blob.generation)).candidate


def shown(config: Config, **beside: Any) -> dict[str, Any]:
    return {"fileData": {"fileUri": f"gs://{config.bucket}/a.mp4", "mimeType": "video/mp4"}, **beside}


def succeeded(config: Config, run: StageRun) -> TuningJob:
    """Let the stage submit its job, and return the job once it has succeeded."""
    with pytest.raises(TaskDeferred) as deferred:
        TuneModel(task_id="tune").work(run, context(run.candidate))
    name = str((deferred.value.kwargs or {})["job"])

    def ended() -> TuningJob | None:
        job = tuning_jobs.get(config, name)
        return job if job.state is not None and job.state.value == "JOB_STATE_SUCCEEDED" else None

    return until(ended)


def posting(store: RecordStore, run: StageRun) -> Posting:
    entry = ledger_store.account(store, month_of(run.month), run.candidate)
    assert entry is not None
    return entry.purposes["tuning"]


def test_videos_of_unknown_length_are_held_by_the_limit_on_tuning(config: Config, store: RecordStore) -> None:
    candidate = candidate_of(config, store, shown(config), {"text": "What happens?"}, examples=300)
    run = StageRun(Stage.TUNING, candidate, "run-1")
    with pytest.raises(StepAside, match=r"held: Tuning would cost about \$589\.824, over `budget.tuning_usd`"):
        TuneModel(task_id="tune").work(run, context(candidate))
    found = store.read(record_paths.validation_path(candidate), Validation)
    assert found is not None
    assert any(
        one.startswith("300 videos, length unknown: the most that an example may hold") for one in found.warnings
    )


def test_a_piece_of_video_is_billed_and_what_was_reserved_covers_it(config: Config, store: RecordStore) -> None:
    piece = shown(config, videoMetadata={"startOffset": "1s", "endOffset": "3s"})
    run = StageRun(Stage.TUNING, candidate_of(config, store, piece, {"text": "What happens?"}, examples=20), "run-1")
    job = succeeded(config, run)
    reserved = posting(store, run).reserved_usd
    verdict = tuning_end.ended(run, job, JobEnd.SUCCEEDED)
    assert isinstance(verdict, TuningVerdict)
    assert verdict.billable_tokens is not None
    assert verdict.billable_tokens > 20 * 2 * 290  # two seconds each, and the texts
    assert 0 < verdict.cost_usd <= reserved == verdict.estimated_usd


def test_a_job_that_does_not_say_what_it_is_billed_for_has_cost_what_was_reserved(
    config: Config, store: RecordStore
) -> None:
    run = StageRun(Stage.TUNING, candidate_of(config, store, {"text": "a"}, examples=20), "run-1")
    job = succeeded(config, run).model_copy(update={"tuning_data_stats": None})
    reserved = posting(store, run).reserved_usd
    verdict = tuning_end.ended(run, job, JobEnd.SUCCEEDED)
    assert verdict.cost_usd == reserved > 0
    assert verdict.reason.endswith("what was reserved for it is taken for its cost.")
    account(run, verdict)
    settled = posting(store, run)
    assert (settled.settled, settled.reserved_usd, settled.spent_usd) == (True, Decimal(0), reserved)


def test_a_job_that_is_gone_has_cost_nobody_knows_how_much_and_the_event_says_so(
    config: Config, store: RecordStore, completions: Reader
) -> None:
    run = StageRun(Stage.TUNING, candidate_of(config, store, {"text": "a"}, examples=20), "run-1")
    name = str(succeeded(config, run).name)
    reserved = posting(store, run).reserved_usd
    verdict = tuning_end.conclude(run, name, JobEnd.VANISHED)
    assert verdict is not None
    settle_and_announce(run, verdict, tuning_end.TUNING_END)
    [event] = completions.read_some()
    assert (event.attributes["ce-type"], event.data["cost_usd"]) == ("genops.tuning.failed.v1", None)
    found = read_candidate(store, run.candidate)
    assert found is not None
    assert (found.cost_usd, found.cost_text) == (None, "unknown")
    kept = posting(store, run)
    assert (kept.settled, kept.reserved_usd) == (False, reserved), "it stays reserved"
