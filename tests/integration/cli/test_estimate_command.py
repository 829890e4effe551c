"""`genops estimate` as a user runs it: a process of its own, without a cloud."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml
from test_validate_command import ROOT, TRAIN
from typer.testing import CliRunner
from usual import usual_config, usual_settings

from genops_events.catalogue.tokens import estimated_tokens
from genops_events.cli import app
from genops_events.evaluation.judge_usage import EXPLANATION_TOKENS
from genops_events.money.unpriced import GROUNDING

BUCKET = ROOT / "examples" / "bucket"
EVALUATION = BUCKET / "evaluation" / "banking77.jsonl"


def estimate(*words: object) -> tuple[int, str, str]:
    done = CliRunner().invoke(app, ["estimate", *map(str, words), "--dataset", "banking77"])
    return done.exit_code, done.stdout, " ".join(done.stderr.split())


@pytest.fixture
def document(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.setenv("GENOPS_CONFIG", str(usual_config(tmp_path)))
    code, out, _ = estimate(TRAIN, "--json")
    assert code == 0
    return dict(json.loads(out))


def changed(folder: Path, monkeypatch: pytest.MonkeyPatch, **parts: dict[str, Any]) -> None:
    settings = usual_settings()
    for part, keys in parts.items():
        settings["datasets"]["banking77"][part] |= keys
    file = folder / "genops.yaml"
    file.write_text(yaml.safe_dump(settings), encoding="utf-8")
    monkeypatch.setenv("GENOPS_CONFIG", str(file))


def test_every_paid_step_is_estimated_and_they_add_up(document: dict[str, Any]) -> None:
    steps = document["steps"]
    assert list(steps) == ["tuning", "evaluation", "judge", "inference"]
    assert Decimal(steps["tuning"]["usd"]) == 3 * 5 * Decimal(steps["tuning"]["input_tokens"]) / 3 / 1_000_000
    assert steps["judge"]["usd"] == "0"
    prompts = len((BUCKET / "prompts" / "banking77.jsonl").read_text().splitlines())
    assert steps["inference"]["output_tokens"] == 64 * prompts
    assert Decimal(document["total_usd"]) == sum(Decimal(one["usd"]) for one in steps.values())
    assert (document["complete"], document["over_limit"]) == (True, False)


def test_the_table_names_the_day_of_the_prices_and_the_sum(
    document: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    code, out, said = estimate(TRAIN)
    assert (code, out) == (0, "")
    assert "prices as of 2026-11-23" in said
    for word in ("tuning", "evaluation", "judge", "inference", "$25.00"):
        assert word in said


def test_a_judge_is_paid_for_each_row_and_metric(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    metrics = {"metrics": ["exact_match", "pointwise"], "judge": {"samples": 2, "model": "gemini-2.5-flash-lite"}}
    changed(tmp_path, monkeypatch, evaluation=metrics | {"max_output_tokens": 300})
    evaluation = BUCKET / "evaluation" / "banking77.jsonl"
    rows = len(evaluation.read_text().splitlines())
    code, out, _ = estimate(TRAIN, "--json", "--evaluation", evaluation)
    judge = json.loads(out)["steps"]["judge"]
    assert code == 0
    assert judge["output_tokens"] == 2 * EXPLANATION_TOKENS * rows
    assert judge["input_tokens"] > 2 * rows * 300, "each answer at its longest"
    in_usd = judge["input_tokens"] * Decimal("0.10") + judge["output_tokens"] * Decimal("0.40")
    assert Decimal(judge["usd"]) == pytest.approx(in_usd / 1_000_000, abs=Decimal("0.000001"))
    assert f"{2 * rows} calls of gemini-2.5-flash-lite for pointwise" in judge["why"]


def test_where_the_champion_is_compared_with_it_answers_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    evaluation = BUCKET / "evaluation" / "banking77.jsonl"
    tokens = {}
    for metrics in (["exact_match"], ["exact_match", "pairwise"]):
        changed(tmp_path, monkeypatch, evaluation={"metrics": metrics})
        steps = json.loads(estimate(TRAIN, "--json", "--evaluation", evaluation)[1])["steps"]
        tokens[len(metrics)] = steps["evaluation"]["output_tokens"], steps["evaluation"]["input_tokens"]
    assert tokens[2] == (2 * tokens[1][0], 2 * tokens[1][1])
    assert steps["evaluation"]["why"].endswith("by the candidate and the champion")


def test_what_cannot_be_told_is_not_known_and_never_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    changed(tmp_path, monkeypatch)
    code, out, _ = estimate(TRAIN, "--json")
    document = json.loads(out)
    assert code == 0
    assert document["complete"] is False
    for step in ("evaluation", "judge", "inference"):
        assert document["steps"][step]["usd"] is None
        assert "cannot be read: No such file" in document["steps"][step]["why"]
    assert "all at least $" in estimate(TRAIN)[2]


def test_each_prompt_is_estimated_with_its_own_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "prompts.jsonl"
    usd = {}
    for mode in ("online", "batch"):
        changed(tmp_path, monkeypatch, inference={"mode": mode, "max_output_tokens": 100, "cache": None})
        plain = {"prompt": "Line\u2028separated."}
        longer = {"prompt": "x", "max_output_tokens": 1000, "candidate_count": 2, "system_instruction": "y" * 400}
        lines = [json.dumps(one, ensure_ascii=False).encode() for one in (plain, longer)]
        file.write_bytes(b"\n".join([*lines, b"\xff is no row"]))
        step = json.loads(estimate(TRAIN, "--json", "--prompts", file)[1])["steps"]["inference"]
        assert step["output_tokens"] == 100 + 2 * 1000
        assert step["input_tokens"] > 100
        assert "2 prompts, answers of at most 2,100 tokens together" in step["why"]
        usd[mode] = Decimal(step["usd"])
    assert usd["batch"] == pytest.approx(usd["online"] / 2, abs=Decimal("0.000001"))


def test_what_prompts_have_in_common_is_estimated_with_each_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompts = BUCKET / "prompts" / "banking77.jsonl"
    rows = len(prompts.read_text().splitlines())
    asked = []
    for cache in (None, {"text": "x" * 40_000}):
        changed(tmp_path, monkeypatch, inference={"mode": "online", "cache": cache})
        files = ("--prompts", prompts, "--evaluation", EVALUATION)
        steps = json.loads(estimate(TRAIN, "--json", *files)[1])["steps"]
        asked.append((steps["inference"]["input_tokens"], steps["evaluation"]["input_tokens"]))
    evaluated = len(EVALUATION.read_text().splitlines())
    assert asked[1][0] - asked[0][0] == 13_334 * (rows + 1)
    assert asked[1][1] - asked[0][1] == 13_334 * evaluated, "an evaluation sends it with each prompt"


@pytest.mark.parametrize(
    ("inference", "row", "told"),
    [
        ({}, {"prompt": "What is it?", "files": ["gs://genops-data/a.pdf"]}, "1 have files"),
        ({"cache": {"files": ["gs://genops-data/a.pdf"]}}, {"prompt": "What is it?"}, "`inference.cache` has files"),
    ],
)
def test_the_tokens_of_files_are_not_guessed(
    inference: dict[str, Any], row: dict[str, Any], told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed(tmp_path, monkeypatch, inference=inference)
    file = tmp_path / "prompts.jsonl"
    file.write_text(json.dumps(row))
    code, out, _ = estimate(TRAIN, "--json", "--prompts", file, "--evaluation", EVALUATION)
    document = json.loads(out)
    assert code == 0
    assert document["complete"] is False
    assert document["steps"]["inference"]["usd"] is None
    assert told in document["steps"]["inference"]["why"]
    evaluation = document["steps"]["evaluation"]
    assert (evaluation["usd"] is None, told in (evaluation["why"] or "")) == (("cache" in inference,) * 2)


def test_a_prompt_file_without_a_row_that_can_be_asked_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed(tmp_path, monkeypatch)
    file = tmp_path / "prompts.jsonl"
    file.write_text('{"question": "x"}')
    step = json.loads(estimate(TRAIN, "--json", "--prompts", file)[1])["steps"]["inference"]
    assert step["usd"] is None
    assert "Line 1: the key `question` is not known" in step["why"]


@pytest.mark.parametrize("limit", ["tuning_usd", "candidate_usd"])
def test_a_file_that_would_be_held_is_said_to_be_and_exits_with_2(
    limit: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed(tmp_path, monkeypatch, budget={limit: 0.1})
    code, out, _ = estimate(TRAIN, "--json")
    document = json.loads(out)
    assert (code, document["over_limit"]) == (2, True)
    assert document["steps"]["tuning"]["over_limit"] is (limit == "tuning_usd")


def test_a_file_that_cannot_be_tuned_on_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    changed(tmp_path, monkeypatch)
    bad = tmp_path / "bad.jsonl"
    bad.write_text("{}\n")
    code, _, said = estimate(bad)
    assert code == 1
    assert "cannot be tuned on, so it costs nothing" in said
    code, _, said = estimate(tmp_path / "none.jsonl")
    assert code == 1
    assert "none.jsonl cannot be read: No such file" in said


def training_file(path: Path, *parts: Any, answer: str = "Yes.", examples: int = 300) -> Path:
    turns = [{"role": "user", "parts": list(parts)}, {"role": "model", "parts": [{"text": answer}]}]
    line = json.dumps({"contents": turns}, ensure_ascii=False)
    path.write_text(f"{line}\n" * examples, encoding="utf-8")
    return path


def test_videos_of_unknown_length_are_estimated_at_the_most_and_that_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed(tmp_path, monkeypatch)
    video = {"fileData": {"fileUri": "gs://genops-data/a.mp4", "mimeType": "video/mp4"}}
    file = training_file(tmp_path / "videos.jsonl", video, {"text": "What happens?"})
    code, out, _ = estimate(file, "--json")
    document = json.loads(out)
    tuning = document["steps"]["tuning"]
    assert code == 2
    assert (tuning["over_limit"], tuning["limit_usd"]) == (True, "25")
    assert tuning["input_tokens"] == 300 * 131_072 * 3
    assert Decimal(tuning["usd"]) == Decimal("589.824")  # it was $0.03
    said = "300 videos, length unknown: the most that an example may hold, 131,072 tokens, was taken for each example"
    assert document["notes"][0].startswith(said)
    assert f"note: {said}" in estimate(file)[2]


def test_a_piece_of_video_is_estimated_by_its_seconds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    changed(tmp_path, monkeypatch)
    video = {
        "fileData": {"fileUri": "gs://genops-data/a.mp4", "mimeType": "video/mp4"},
        "videoMetadata": {"endOffset": "10s"},
    }
    file = training_file(tmp_path / "videos.jsonl", video, {"text": "What happens?"})
    code, out, _ = estimate(file, "--json")
    assert code == 0
    assert json.loads(out)["notes"] == ["3,000 seconds of video, by the offsets given: 290 tokens each."]
    assert 300 * 2_900 * 3 < json.loads(out)["steps"]["tuning"]["input_tokens"] < 300 * 2_950 * 3


def test_japanese_is_counted_alike_in_a_training_file_and_in_prompts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed(tmp_path, monkeypatch, inference={"mode": "online", "max_output_tokens": 1})
    text = "私のカードはどこにありますか。" * 40
    training = training_file(tmp_path / "japanese.jsonl", {"text": text}, answer="はい。")
    prompts = tmp_path / "prompts.jsonl"
    prompts.write_text(
        json.dumps({"prompt": text, "system_instruction": ""}, ensure_ascii=False) + "\n", encoding="utf-8"
    )
    steps = json.loads(estimate(training, "--json", "--prompts", prompts)[1])["steps"]
    assert steps["inference"]["input_tokens"] == len(text) == 600
    assert steps["tuning"]["input_tokens"] == 3 * 300 * (600 + 3)  # it was a quarter of that


def test_what_has_no_price_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    changed(tmp_path, monkeypatch, inference={"grounding": "google_search"})
    _, out, _ = estimate(TRAIN, "--json")
    assert json.loads(out)["notes"] == [GROUNDING]
    assert f"note: {GROUNDING}" in estimate(TRAIN)[2]


def test_keeping_a_context_cache_is_in_the_figure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def inference_usd(**cache: object) -> Decimal:
        changed(tmp_path, monkeypatch, inference={"mode": "online", "cache": {"text": "x" * 40_000, **cache}})
        _, out, _ = estimate(TRAIN, "--json", "--prompts", BUCKET / "prompts" / "banking77.jsonl")
        assert json.loads(out)["notes"] == []
        return Decimal(json.loads(out)["steps"]["inference"]["usd"])

    more = inference_usd(ttl_minutes=180) - inference_usd(ttl_minutes=60)
    assert more == 2 * Decimal("1.00") * estimated_tokens("x" * 40_000) / 1_000_000


def test_files_in_prompts_are_estimated_where_that_can_be_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    changed(tmp_path, monkeypatch, inference={"mode": "online", "max_output_tokens": 1})
    prompts = tmp_path / "prompts.jsonl"
    image = {"prompt": "What?", "files": ["gs://genops-data/a.png"], "system_instruction": ""}
    piece = {"fileUri": "gs://genops-data/a.mp4", "mimeType": "video/mp4"}
    parts = [{"fileData": piece, "videoMetadata": {"endOffset": "10s"}}, {"text": "What?"}]
    video = {"contents": [{"role": "user", "parts": parts}], "system_instruction": ""}
    prompts.write_text("\n".join(map(json.dumps, (image, video))), encoding="utf-8")
    step = json.loads(estimate(TRAIN, "--json", "--prompts", prompts)[1])["steps"]["inference"]
    assert step["input_tokens"] == 2_304 + 10 * 290 + 2 * 3
    assert "1 image: 2,304 tokens, the most that one can have, each; 10 seconds of video" in step["why"]
    unknown = {"prompt": "What?", "files": ["gs://genops-data/a.pdf"]}
    prompts.write_text("\n".join(map(json.dumps, (image, unknown))), encoding="utf-8")
    step = json.loads(estimate(TRAIN, "--json", "--prompts", prompts)[1])["steps"]["inference"]
    assert step["usd"] is None
    assert "1 have files of unknown length, which the budget stage counts" in step["why"]
