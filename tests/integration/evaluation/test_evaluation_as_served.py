"""An evaluation asks as the answers are served: with the dataset's `inference` settings, and with room for thoughts."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml
from cloud import DATASET, StandIns
from evaluations import FILE, evaluated, pairs, promoted, rows_of, write
from made_up import arrived, tuned

from genops_events.catalogue.tokens import estimated_tokens
from genops_events.config import Config, load_config
from genops_events.gcp.record_store import RecordStore
from genops_events.record.stages import Stage

Change = Callable[..., None]
BLOCK = {
    "name": "block_card",
    "description": "Blocks a card.",
    "parameters": {"properties": {"why": {"type": "string"}}},
}


@pytest.fixture
def change(config: Config, tmp_path: Path) -> Change:
    """Change the dataset: its part `evaluation` as a whole, keys of `inference`, and others of its own."""

    def changed(evaluation: dict[str, Any], inference: dict[str, Any], **own: Any) -> None:
        file = tmp_path / "genops.yaml"
        data = yaml.safe_load(file.read_text(encoding="utf-8"))
        entry = data["datasets"][DATASET]
        entry["evaluation"] = {"file": FILE, "metrics": ["exact_match"], **evaluation}
        entry["inference"] |= inference
        entry |= own
        file.write_text(yaml.safe_dump(data), encoding="utf-8")
        load_config()

    return changed


def test_safety_settings_are_those_of_inference(
    cloud: StandIns, change: Change, store: RecordStore, candidate: str
) -> None:
    cloud.vertex.faults(harmful_text="knife")
    change({}, {"safety": {"dangerous_content": "block_none"}})
    write(store, FILE, {"prompt": "a knife", "reference": "a knife"})
    _, told = evaluated(candidate)
    assert (told["outcome"], told["scores"]) == ("passed", {"exact_match": 1.0})


def test_functions_are_those_of_inference_and_their_calls_are_scored(
    change: Change, store: RecordStore, candidate: str
) -> None:
    change({"metrics": ["tool_name_match", "tool_call_valid"]}, {"functions": [BLOCK]})
    call = {"content": "", "tool_calls": [{"name": "block_card", "arguments": {"why": "please block it"}}]}
    write(store, FILE, {"prompt": "please block it", "reference": json.dumps(call)})
    _, told = evaluated(candidate)
    assert told["scores"] == {"tool_name_match": 1.0, "tool_call_valid": 1.0}
    (row,) = rows_of(store, candidate)
    assert json.loads(row["answer"]) == call


def test_schema_and_stop_sequences_are_those_of_inference(change: Change, store: RecordStore, candidate: str) -> None:
    schema = {"type": "object", "properties": {"intent": {"type": "string"}}}
    change({"metrics": ["rouge_l"]}, {"response_json_schema": schema, "stop_sequences": ["-"]})
    write(store, FILE, {"prompt": "a plan - and more", "reference": "x"})
    evaluated(candidate)
    (row,) = rows_of(store, candidate)
    assert row["answer"] == '{"intent": "a plan '


def test_the_longest_answer_is_that_of_inference_unless_the_evaluation_has_its_own(
    *, change: Change, store: RecordStore, candidate: str, config: Config, endpoint: str
) -> None:
    write(store, FILE, {"prompt": "one two three four", "reference": "one two three four"})
    change({"failed_rows": 1}, {"max_output_tokens": 2})
    _, told = evaluated(candidate)
    assert told["answers"]["cut"] == 1
    change({"max_output_tokens": 64}, {"max_output_tokens": 2})
    again = arrived(config, store).candidate
    tuned(store, again, endpoint=endpoint)
    _, told = evaluated(again)
    assert (told["answers"]["cut"], told["scores"]) == (0, {"exact_match": 1.0})


def test_a_tuned_model_does_not_think_and_one_that_is_told_to_has_room_for_it(
    *, change: Change, store: RecordStore, candidate: str, config: Config, endpoint: str
) -> None:
    write(store, FILE, *pairs(2))
    change({}, {"max_output_tokens": 16})
    _, told = evaluated(candidate)
    assert told["scores"] == {"exact_match": 1.0}
    assert told["output_tokens"] < 16 * 2, "nothing was thought"
    change({}, {"max_output_tokens": 16, "thinking": {"budget_tokens": 1_000}})
    again = arrived(config, store).candidate
    tuned(store, again, endpoint=endpoint)
    _, thought = evaluated(again)
    assert thought["scores"] == {"exact_match": 1.0}
    assert thought["output_tokens"] > told["output_tokens"] + 2 * 40, "thoughts are billed"
    assert Decimal(thought["estimated_usd"]) > Decimal(told["estimated_usd"])
    verdict = store.verdict(again, Stage.EVALUATION)
    assert verdict is not None
    assert verdict.cost_usd is not None
    assert verdict.cost_usd < Decimal(thought["estimated_usd"])


def test_a_tuned_pro_thinks_as_little_as_it_can_since_it_cannot_be_turned_off(
    *, change: Change, store: RecordStore, config: Config
) -> None:
    change({}, {"max_output_tokens": 16}, source_model="gemini-2.5-pro")
    write(store, FILE, *pairs(1))
    pro = f"projects/{config.project}/locations/{config.location}/publishers/google/models/gemini-2.5-pro"
    made = arrived(config, store).candidate
    tuned(store, made, endpoint=pro)
    _, told = evaluated(made)
    assert told["scores"] == {"exact_match": 1.0}
    assert 0 < told["output_tokens"] <= 128 + 16


def test_champion_and_candidate_are_asked_in_the_same_way_and_answers_to_other_settings_are_asked_for_anew(
    *, cloud: StandIns, change: Change, store: RecordStore, config: Config, endpoint: str
) -> None:
    change({"metrics": ["exact_match", "pairwise"], "judge": {"samples": 2}}, {})
    write(store, FILE, *pairs(2))
    promoted(config, store, endpoint)
    for settings, asked in (({}, 2), ({"temperature": 0.5}, 4), ({"safety": {"harassment": "off"}}, 4)):
        change({"metrics": ["exact_match", "pairwise"], "judge": {"samples": 2}}, settings)
        challenger = arrived(config, store).candidate
        tuned(store, challenger, endpoint=endpoint)
        before = cloud.vertex_calls("generateContent")
        _, told = evaluated(challenger)
        assert cloud.vertex_calls("generateContent") == before + asked
        assert told["metrics"]["pairwise"]["mean"] == 0.5


BOOK = "A long book. " * 700


def test_what_inference_keeps_in_a_cache_comes_before_each_prompt(
    *, cloud: StandIns, change: Change, store: RecordStore, config: Config, candidate: str
) -> None:
    change({}, {"cache": {"text": BOOK}}, system_instruction="Be kind.")
    write(store, FILE, *pairs(2))
    before = cloud.vertex_calls("cachedContents.create")
    _, told = evaluated(candidate)
    assert told["scores"] == {"exact_match": 1.0}, "the prompt comes last, and is what is answered"
    assert told["input_tokens"] > 2 * estimated_tokens(BOOK), "with each"
    assert cloud.vertex_calls("cachedContents.create") == before
    verdict = store.verdict(candidate, Stage.EVALUATION)
    assert verdict is not None
    assert verdict.cost_usd is not None
    assert verdict.cost_usd <= Decimal(told["estimated_usd"]), "what it costs was reserved"


def test_files_that_inference_keeps_in_a_cache_are_counted_and_reserved_for(
    *, change: Change, store: RecordStore, config: Config, candidate: str
) -> None:
    change({"failed_rows": 2}, {"cache": {"files": [f"gs://{config.bucket}/one.png", f"gs://{config.bucket}/two.png"]}})
    write(store, FILE, *pairs(2))
    _, told = evaluated(candidate)
    assert told["input_tokens"] > 2 * 2 * 258
    verdict = store.verdict(candidate, Stage.EVALUATION)
    assert verdict is not None
    assert verdict.cost_usd is not None
    assert verdict.cost_usd <= Decimal(told["estimated_usd"])


def test_answers_that_were_asked_for_without_the_cache_are_asked_for_anew(
    *, cloud: StandIns, change: Change, store: RecordStore, config: Config, endpoint: str
) -> None:
    pairwise = {"metrics": ["exact_match", "pairwise"], "judge": {"samples": 2}}
    change(pairwise, {})
    write(store, FILE, *pairs(2))
    promoted(config, store, endpoint)
    change(pairwise, {"cache": {"text": BOOK}})
    challenger = arrived(config, store).candidate
    tuned(store, challenger, endpoint=endpoint)
    before = cloud.vertex_calls("generateContent")
    evaluated(challenger)
    assert cloud.vertex_calls("generateContent") == before + 4, "of the challenger, and of the champion"
