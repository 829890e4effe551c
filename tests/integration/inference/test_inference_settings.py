"""How answers are asked for online: settings of dataset and row, functions, grounding, files, cached content."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from answered_online import MODEL, Settings, answer, answers, failures, prompts
from cloud import DATASET, StandIns
from made_up import context

from genops_events.airflow.inference import AnswerPrompts
from genops_events.airflow.stage import record_failure
from genops_events.catalogue.tokens import estimated_tokens
from genops_events.config import Config, load_config
from genops_events.gcp.errors import CloudUnavailable
from genops_events.gcp.record_store import RecordStore
from genops_events.gemini import calls
from genops_events.inference import cache
from genops_events.inference.cache import cached, find_all
from genops_events.record.stages import Stage


def test_a_row_says_how_it_is_answered_in_place_of_the_dataset(
    settings: Settings, store: RecordStore, candidate: str
) -> None:
    settings(stop_sequences=["stop"], dataset={"system_instruction": "Be kind."})
    prompts(
        store,
        {"prompt": "go and stop here"},
        {"prompt": "go and stop here", "stop_sequences": ["here"]},
        {"prompt": "go and stop here", "stop_sequences": None, "system_instruction": ""},
        {"prompt": "many words are cut", "max_output_tokens": 2},
        {"prompt": "a form", "response_json_schema": {"type": "object", "properties": {"intent": {"type": "string"}}}},
    )
    answer(candidate)
    plain, own, without, cut, formed = answers(store, candidate)
    assert [row["answer"] for row in (plain, own, without)] == ["go and ", "go and stop ", "go and stop here"]
    assert without["input_tokens"] < plain["input_tokens"]
    assert (cut["state"], cut["reason"]) == ("cut", "the answer reached max_output_tokens")
    assert json.loads(formed["answer"]) == {"intent": "a form"}


def test_what_is_blocked_is_marked_with_its_reason(
    settings: Settings, cloud: StandIns, store: RecordStore, candidate: str
) -> None:
    cloud.vertex.faults(blocked_text="bomb", harmful_text="knife")
    prompts(
        store,
        {"prompt": "a bomb"},
        {"prompt": "a knife"},
        {"prompt": "a knife, please", "safety": {"dangerous_content": "block_none"}},
    )
    done = answer(candidate)
    prompt, stopped, passed = answers(store, candidate)
    assert (prompt["state"], prompt["answer"]) == ("blocked", "")
    assert prompt["reason"] == "the prompt was blocked: SAFETY (DANGEROUS_CONTENT HIGH)"
    assert stopped["reason"] == "the answer was stopped: SAFETY (DANGEROUS_CONTENT HIGH)"
    assert (passed["state"], passed["answer"]) == ("complete", "a knife, please")
    assert (done["answered"], done["blocked"]) == (3, 2)
    assert done["reason"] == "Answered 3 prompts. Of the answers, 2 blocked."


def test_an_answer_that_says_nothing_is_marked_and_counted(
    settings: Settings, cloud: StandIns, store: RecordStore, candidate: str
) -> None:
    cloud.vertex.faults(empty_text="riddle")
    prompts(store, {"prompt": "a riddle"}, {"prompt": "a plan"})
    done = answer(candidate)
    nothing, said = answers(store, candidate)
    assert (nothing["state"], nothing["answer"]) == ("empty", "")
    assert nothing["reason"] == "the answer is empty: the model ended and said nothing"
    assert said["state"] == "complete"
    assert (done["answered"], done["empty"]) == (2, 1)
    assert done["reason"] == "Answered 2 prompts. Of the answers, 1 empty."


def test_functions_grounding_and_files_reach_the_model_and_come_back(
    settings: Settings, store: RecordStore, candidate: str
) -> None:
    function = {
        "name": "block_card",
        "description": "Blocks a card.",
        "parameters": {"properties": {"why": {"type": "string"}}},
    }
    settings(functions=[function])
    prompts(
        store,
        {"prompt": "please block it"},
        {"prompt": "what is new", "functions": None, "grounding": "google_search"},
        {"prompt": "what is here", "files": [f"gs://{store.bucket.name}/{name}" for name in ("a.pdf", "b.png")]},
        {"prompt": "and this", "grounding": "google_search"},
    )
    answer(candidate)
    called, found, seen = answers(store, candidate)
    assert called["function_calls"] == [{"name": "block_card", "arguments": {"why": "please block it"}}]
    assert found["sources"][0]["uri"].startswith("https://")
    assert seen["input_tokens"] > 2 * 258
    assert "contents" in seen
    (failed,) = failures(store, candidate)
    assert "`grounding`, with the dataset's settings" in failed["reason"]


def test_the_cache_is_made_once_used_by_every_call_and_removed(
    settings: Settings, cloud: StandIns, config: Config, store: RecordStore, candidate: str
) -> None:
    settings(cache={"text": "A long book. " * 700}, dataset={"system_instruction": "Be kind."})
    prompts(store, *({"prompt": f"page {number}"} for number in range(5)), {"prompt": "x", "system_instruction": "y"})
    cloud.vertex.faults(error_code="503", error_share=1.0, error_methods=["generateContent"])
    before = cloud.vertex_calls("cachedContents.create")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(calls, "TRIES", 1)
        for _ in range(2):
            with pytest.raises(CloudUnavailable):
                answer(candidate)
    assert len(find_all(config, candidate)) == 1  # making another for each try would be billed each time
    cloud.vertex.faults()
    done = answer(candidate)
    assert cloud.vertex_calls("cachedContents.create") == before + 1
    assert find_all(config, candidate) == []
    kept = answers(store, candidate)
    assert len(kept) == 5
    in_cache = estimated_tokens("A long book. " * 700) + estimated_tokens("Be kind.")
    assert {row["cached_tokens"] for row in kept} == {in_cache}
    rates = config.rates(MODEL)
    read = rates.generation_cost(done["input_tokens"], done["output_tokens"], cached_tokens=5 * in_cache)
    verdict = store.verdict(candidate, Stage.INFERENCE)
    assert verdict is not None
    assert verdict.cost_usd == read + rates.generation_cost(in_cache, 0)
    (failed,) = failures(store, candidate)
    assert "`system_instruction` cannot be a row's own where the dataset has a cache" in failed["reason"]


def test_a_refused_cache_costs_no_candidate_its_contents_go_before_each_prompt_and_are_paid(
    settings: Settings, cloud: StandIns, config: Config, store: RecordStore, candidate: str
) -> None:
    settings(cache={"text": "A long book. " * 700}, dataset={"system_instruction": "Be kind."})
    prompts(store, *({"prompt": f"page {number}"} for number in range(3)))
    cloud.vertex.faults(error_code="400", error_share=1.0, error_methods=["cachedContents.create"])
    done = answer(candidate)
    assert (done["answered"], done["failed"]) == (3, 0)
    kept = answers(store, candidate)
    book = estimated_tokens("A long book. " * 700)
    assert all(row["input_tokens"] > book and row["cached_tokens"] == 0 for row in kept)
    verdict = store.verdict(candidate, Stage.INFERENCE)
    assert verdict is not None
    assert "Asked without `inference.cache`, since Vertex AI refused it: Could not create the cache" in verdict.reason
    assert verdict.cost_usd == config.rates(MODEL).generation_cost(done["input_tokens"], done["output_tokens"])
    assert Decimal(done["estimated_usd"]) >= verdict.cost_usd, "it was reserved"


def test_the_cache_of_a_run_whose_tries_are_used_up_is_removed(
    settings: Settings, cloud: StandIns, config: Config, store: RecordStore, candidate: str
) -> None:
    settings(cache={"text": "A long book. " * 700})
    prompts(store, {"prompt": "page 1"})
    cloud.vertex.faults(error_code="503", error_share=1.0, error_methods=["generateContent"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(calls, "TRIES", 1)
        with pytest.raises(CloudUnavailable) as caught:
            answer(candidate)
    assert len(find_all(config, candidate)) == 1
    record_failure(context(candidate, task=AnswerPrompts(task_id="answer"), exception=caught.value))
    assert find_all(config, candidate) == []


def test_the_cache_of_a_try_that_died_is_found_again_unless_its_time_is_nearly_over(
    settings: Settings, cloud: StandIns, candidate: str
) -> None:
    settings(cache={"text": "A long book. " * 700, "ttl_minutes": 5}, dataset={"system_instruction": "Be kind."})
    config = load_config()
    inference = config.dataset(DATASET).inference
    given: dict[str, Any] = {"model": MODEL, "candidate": candidate, "system_instruction": "Be kind."}
    dying = cached(config, inference, **given)
    died = dying.__enter__()  # and never left
    assert died is not None
    before = cloud.vertex_calls("cachedContents.create")
    with cached(config, inference, **given) as again:
        assert again is not None
        assert again.name == died.name
        # It may be near its end, and this run only begins.
        (left,) = find_all(config, candidate)
        again.extend()
        (extended,) = find_all(config, candidate)
        assert left.expire_time is not None
        assert extended.expire_time is not None
        assert extended.expire_time > left.expire_time
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(cache, "_LEAST_LEFT_SECONDS", 301.0)
            with cached(config, inference, **given) as new:
                assert new is not None
                assert new.name != died.name
        again.extend()
    assert cloud.vertex_calls("cachedContents.create") == before + 1
    assert find_all(config, candidate) == []
