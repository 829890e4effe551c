"""How answers are asked for online: settings of dataset and row, functions, grounding, files, cached content."""

from __future__ import annotations

import json

from answered_online import Settings, answer, answers, failures, prompts
from cloud import StandIns

from genops_events.gcp.record_store import RecordStore


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
