"""What is answered is what the budget was checked by, and no answer costs more than was reserved."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml
from airflow.sdk.exceptions import AirflowSkipException
from cloud import DATASET, Reader, StandIns
from made_up import arrived, context, ended, now, tuned

from genops_events.airflow.budget import CheckBudget
from genops_events.airflow.inference import AnswerPrompts
from genops_events.cascade import holds
from genops_events.cascade.candidate_reader import read_candidate
from genops_events.config import Config
from genops_events.gcp import ledger_store
from genops_events.gcp.record_store import RecordStore
from genops_events.money.ledger import Posting, month_of
from genops_events.record.stages import Outcome, Stage

FILE = f"prompts/{DATASET}.jsonl"


@pytest.fixture
def candidate(config: Config, store: RecordStore) -> str:
    made = arrived(config, store).candidate
    model = "gemini-2.5-flash"
    endpoint = f"projects/{config.project}/locations/{config.location}/publishers/google/models/{model}"
    tuned(store, made, endpoint=endpoint)
    return made


@pytest.fixture
def change(config: Config, tmp_path: Path) -> Any:
    """Change the dataset's entry in genops.yaml."""

    def changed(**parts: dict[str, Any]) -> None:
        file = tmp_path / "genops.yaml"
        data = yaml.safe_load(file.read_text(encoding="utf-8"))
        for name, values in parts.items():
            data["datasets"][DATASET][name] |= values
        file.write_text(yaml.safe_dump(data), encoding="utf-8")

    return changed


def prompts(store: RecordStore, count: int) -> None:
    lines = (json.dumps({"prompt": f"question {number}"}) for number in range(count))
    store.bucket.blob(FILE).upload_from_string("\n".join(lines))


def check(candidate: str, *, run_id: str = "run-1") -> dict[str, Any]:
    return CheckBudget(task_id="check").execute(context(candidate, run_id=run_id))


def answer(candidate: str, *, run_id: str = "run-1") -> dict[str, Any]:
    return AnswerPrompts(task_id="answer").execute(context(candidate, run_id=run_id))


def promoted(store: RecordStore, candidate: str) -> None:
    ended(store, Stage.EVALUATION, Outcome.PASSED, candidate, scores={"exact_match": 1.0})
    ended(store, Stage.PROMOTION, Outcome.PROMOTED, candidate)


def posting(store: RecordStore, candidate: str) -> Posting:
    entry = ledger_store.account(store, month_of(now()), candidate)
    assert entry is not None
    return entry.purposes["inference"]


def test_a_prompt_file_that_grows_after_its_budget_was_checked_is_answered_as_it_was(
    cloud: StandIns, store: RecordStore, candidate: str
) -> None:
    prompts(store, 2)
    check(candidate)
    promoted(store, candidate)
    prompts(store, 50)
    before = cloud.vertex_calls("generateContent")
    assert answer(candidate)["prompts"] == 2
    assert cloud.vertex_calls("generateContent") == before + 2
    store.bucket.blob(FILE).delete()
    paid = posting(store, candidate)
    assert paid.estimated_usd is not None
    assert paid.settled
    assert paid.spent_usd <= paid.estimated_usd


def test_a_check_that_is_tried_again_prices_the_same_prompts(store: RecordStore, candidate: str) -> None:
    prompts(store, 2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("genops_events.cascade.stage_run.StageRun.conclude", _die)
        with pytest.raises(KeyboardInterrupt):
            check(candidate)
    prompts(store, 50)
    assert check(candidate)["prompts"] == 2


def test_a_record_of_before_without_a_copy_is_answered_from_the_file(store: RecordStore, candidate: str) -> None:
    prompts(store, 3)
    ended(store, Stage.BUDGET, Outcome.APPROVED, candidate)
    promoted(store, candidate)
    assert answer(candidate)["prompts"] == 3
    assert posting(store, candidate).settled


def test_answers_that_may_be_longer_than_the_budget_was_checked_for_are_held_and_go_on_once_approved(
    *, cloud: StandIns, store: RecordStore, candidate: str, change: Any, completions: Reader
) -> None:
    prompts(store, 2)
    check(candidate)
    promoted(store, candidate)
    first = posting(store, candidate)
    change(inference={"max_output_tokens": 8_192}, budget={"candidate_usd": "0.001"})
    before = cloud.vertex_calls("generateContent")
    with pytest.raises(AirflowSkipException, match="held: Inference of "):
        answer(candidate)
    assert cloud.vertex_calls("generateContent") == before
    assert posting(store, candidate) == first
    (hold,) = holds.held(store, candidate)
    assert (hold.stage, hold.limits) == (Stage.INFERENCE, ("budget.candidate_usd",))
    found = read_candidate(store, candidate)
    assert found is not None
    assert found.stage_json(Stage.INFERENCE)["state"] == "held"
    completions.read_until("genops.inference.held.v1")
    holds.approve(store, hold, by="ada@laptop", reason="It is worth it.")
    assert answer(candidate, run_id="run-2")["prompts"] == 2
    assert posting(store, candidate).approved_by == "ada@laptop"


def test_answers_that_were_priced_for_a_batch_job_and_are_asked_online_are_paid_in_full_or_held(
    cloud: StandIns, store: RecordStore, candidate: str, change: Any
) -> None:
    prompts(store, 2)
    change(inference={"mode": "batch"})
    check(candidate)
    promoted(store, candidate)
    half = posting(store, candidate).reserved_usd
    change(inference={"mode": "online"}, budget={"inference_usd": str(half * Decimal("1.9"))})
    with pytest.raises(AirflowSkipException, match="held: Inference would cost about"):
        answer(candidate)
    change(budget={"inference_usd": str(half * Decimal("2.1"))})
    (hold,) = holds.held(store, candidate)
    assert hold.limits == ("budget.inference_usd",)
    assert abs(hold.asked_usd - 2 * half) < half / 50
    holds.approve(store, hold, by="ada@laptop", reason="There is more money now.")
    assert answer(candidate, run_id="run-2")["way"] == "online"


def test_what_prompts_cost_without_their_refused_cache_is_reserved_first_or_held(
    *, cloud: StandIns, store: RecordStore, candidate: str, change: Any
) -> None:
    change(inference={"mode": "online", "max_output_tokens": 1, "cache": {"text": "A long book. " * 700}})
    prompts(store, 40)
    check(candidate)
    promoted(store, candidate)
    with_cache = posting(store, candidate).reserved_usd
    change(budget={"inference_usd": str(with_cache * Decimal("1.1"))})
    cloud.vertex.faults(error_code="400", error_share=1.0, error_methods=["cachedContents.create"])
    before = cloud.vertex_calls("generateContent")
    with pytest.raises(AirflowSkipException, match="held: Inference would cost about"):
        answer(candidate)
    assert cloud.vertex_calls("generateContent") == before, "nothing was asked"
    (hold,) = holds.held(store, candidate)
    assert hold.asked_usd > with_cache * 2, "a cached token costs a fraction of what is sent anew"
    holds.approve(store, hold, by="ada@laptop", reason="It is worth it.")
    assert answer(candidate, run_id="run-2")["answered"] == 40


def test_prompts_that_were_shortened_for_an_approval_are_those_that_are_answered(
    *, store: RecordStore, candidate: str, change: Any
) -> None:
    change(budget={"prompt_characters": 5})
    prompts(store, 3)
    with pytest.raises(AirflowSkipException, match="held"):
        check(candidate)
    (hold,) = holds.held(store, candidate)
    store.bucket.blob(FILE).upload_from_string(json.dumps({"prompt": "why"}))
    holds.approve(store, hold, by="ada@laptop", reason="They are short now.")
    assert check(candidate, run_id="run-2")["prompts"] == 1
    promoted(store, candidate)
    assert answer(candidate)["prompts"] == 1


def _die(*_: object, **__: object) -> None:
    raise KeyboardInterrupt
