"""Limits on one prompt in the budget stage: every prompt that is over one is listed by its line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from airflow.sdk.exceptions import AirflowSkipException
from cloud import DATASET, StandIns
from made_up import arrived, context, tuned
from typer.testing import CliRunner

from genops_events.airflow.budget import CheckBudget
from genops_events.cascade import holds
from genops_events.cli import app
from genops_events.config import Config
from genops_events.gcp.record_store import RecordStore
from genops_events.record.holds import Hold
from genops_events.record.paths import prompts_over_path
from genops_events.record.stages import Stage

SYSTEM = "Be short."


@pytest.fixture
def settings(config: Config, tmp_path: Path) -> Any:
    """Change budget and limits in genops.yaml."""

    def change(window: int | None = None, **budget: Any) -> None:
        file = tmp_path / "genops.yaml"
        found = yaml.safe_load(file.read_text(encoding="utf-8"))
        found["datasets"][DATASET] |= {"system_instruction": SYSTEM}
        found["datasets"][DATASET]["budget"] |= budget
        if window is not None:
            row = f'[models."gemini-2.5-flash".calls]\ncontext_window_tokens = {window}\nmax_output_tokens = 64'
            (tmp_path / "models.toml").write_text(f'as_of = 2026-11-01\nsource = "us"\n{row}\n')
            found["models"] = "models.toml"
        file.write_text(yaml.safe_dump(found), encoding="utf-8")

    return change


@pytest.fixture
def candidate(config: Config, store: RecordStore) -> str:
    made = arrived(config, store).candidate
    tuned(store, made)
    return made


def prompts(store: RecordStore, *texts: str) -> None:
    """Write a prompt file whose first line is blank."""
    lines = [""] + [json.dumps({"id": f"id-{number}", "prompt": text}) for number, text in enumerate(texts)]
    store.bucket.blob(f"prompts/{DATASET}.jsonl").upload_from_string("\n".join(lines))


def check(candidate: str, run_id: str = "run-1") -> dict[str, Any] | None:
    try:
        return CheckBudget(task_id="check").execute(context(candidate, run_id=run_id))
    except AirflowSkipException:
        return None


def approve(candidate: str) -> None:
    assert CliRunner().invoke(app, ["approve", candidate, "--budget"]).exit_code == 0


def the_hold(store: RecordStore, candidate: str) -> Hold:
    (found,) = holds.held(store, candidate)
    return found


def listed(store: RecordStore, candidate: str) -> list[dict[str, Any]]:
    text = store.bucket.blob(prompts_over_path(candidate)).download_as_text()
    return [json.loads(line) for line in text.splitlines()]


def test_every_prompt_over_a_limit_is_listed_by_line_with_its_figure(
    settings: Any, store: RecordStore, candidate: str
) -> None:
    settings(prompt_tokens=25, prompt_characters=60)
    prompts(store, "short", "x" * 200, "short too", "y " * 30, "z" * 100)
    assert check(candidate) is None
    hold = the_hold(store, candidate)
    # The system instruction has 5 tokens, and 8 billable characters.
    assert [(one["line"], one["id"], one["unit"], one["found"], one["limit"]) for one in hold.lines] == [
        (3, "id-1", "tokens", 72, 25),
        (3, "id-1", "billable characters", 208, 60),
        (6, "id-4", "tokens", 39, 25),
        (6, "id-4", "billable characters", 108, 60),
    ]
    assert listed(store, candidate) == list(hold.lines)
    assert hold.limits == ("budget.prompt_characters", "budget.prompt_tokens")
    assert hold.prompts_over == 2
    assert (
        "2 prompts are over a limit on one prompt: line 3 (id-1) has 72 tokens, at most 25 are allowed" in hold.reason
    )
    assert hold.missing_usd == 0
    approve(candidate)
    done = check(candidate, "run-2")
    assert done is not None
    assert (done["outcome"], done["prompts_over"]) == ("approved", 2)
    assert store.verdict(candidate, Stage.BUDGET) is not None


def test_a_prompt_that_just_reaches_a_limit_passes(settings: Any, store: RecordStore, candidate: str) -> None:
    settings(prompt_tokens=39, prompt_characters=108)
    prompts(store, "z" * 100)
    done = check(candidate)
    assert done is not None
    assert "prompts_over" not in done


def test_more_prompts_over_a_limit_than_were_approved_are_held_again(
    settings: Any, store: RecordStore, candidate: str
) -> None:
    settings(prompt_characters=60)
    prompts(store, "x" * 100)
    assert check(candidate) is None
    approve(candidate)
    prompts(store, "x" * 100, "y" * 100)
    assert check(candidate, "run-2") is None
    assert the_hold(store, candidate).prompts_over == 2


def test_what_the_model_cannot_read_is_approved_by_nobody_and_passes_once_it_is_shortened(
    settings: Any, store: RecordStore, candidate: str
) -> None:
    settings(window=40)
    prompts(store, "fine", "x" * 200)
    assert check(candidate) is None
    hold = the_hold(store, candidate)
    assert hold.limits == ("context window",)
    assert f"Shorten the prompts that the model cannot read in gs://{store.bucket.name}/prompts/" in hold.help
    approve(candidate)
    assert check(candidate, "run-2") is None
    assert the_hold(store, candidate).number == 2
    prompts(store, "fine", "x" * 100)
    approve(candidate)
    done = check(candidate, "run-3")
    assert done is not None
    assert done["outcome"] == "approved"


def test_prompts_that_cannot_be_too_long_are_not_counted_one_by_one(
    settings: Any, cloud: StandIns, store: RecordStore, candidate: str
) -> None:
    calls = cloud.vertex.admin("GET", "/calls")
    settings(prompt_tokens=400)
    prompts(store, *["short"] * 50, "x" * 600)
    assert check(candidate) is not None
    after = cloud.vertex.admin("GET", "/calls")
    made = {name: count - calls.get(name, 0) for name, count in after.items() if count != calls.get(name, 0)}
    # One for all of them, and one for the only prompt that has more than 400 bytes.
    assert made == {"countTokens": 2}


def test_files_are_counted_by_the_resolution_in_which_they_are_read(
    settings: Any, store: RecordStore, candidate: str
) -> None:
    settings()
    image = {"fileData": {"fileUri": f"gs://{store.bucket.name}/a.png", "mimeType": "image/png"}}
    shown = {"contents": [{"role": "user", "parts": [image, {"text": "What?"}]}]}
    rows = [shown, {**shown, "media_resolution": "low"}, {**shown, "media_resolution": "high"}]
    store.bucket.blob(f"prompts/{DATASET}.jsonl").upload_from_string("\n".join(map(json.dumps, rows)))
    done = check(candidate)
    assert done is not None
    texts = 3 + 5  # What? and the system instruction
    assert done["input_tokens"] == 258 + 66 + 2_304 + 3 * texts


def test_a_short_prompt_with_a_long_file_is_over_a_limit(settings: Any, store: RecordStore, candidate: str) -> None:
    settings(prompt_tokens=1000)
    video = {"fileData": {"fileUri": f"gs://{store.bucket.name}/a.mp4", "mimeType": "video/mp4"}}
    piece = {**video, "videoMetadata": {"endOffset": "3s"}}
    call = {"functionCall": {"name": "find", "args": {"city": "x" * 4000}}}
    rows = [
        {"contents": [{"role": "user", "parts": [piece, {"text": "What?"}]}]},
        {"contents": [{"role": "user", "parts": [video, {"text": "What?"}]}]},
        {"contents": [{"role": "user", "parts": [call, {"text": "Go on."}]}]},
    ]
    store.bucket.blob(f"prompts/{DATASET}.jsonl").upload_from_string("\n".join(map(json.dumps, rows)))
    assert check(candidate) is None
    found = [(one["line"], one["unit"], one["limit"]) for one in the_hold(store, candidate).lines]
    assert found == [(2, "tokens", 1000), (3, "tokens", 1000)]
    assert the_hold(store, candidate).lines[0]["found"] > 60 * 290
