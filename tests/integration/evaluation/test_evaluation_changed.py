"""What changes between two tries of an evaluation, or between champion and candidate: nothing is unpaid, or compared askew."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml
from airflow.sdk.exceptions import AirflowSkipException
from cloud import DATASET, StandIns
from made_up import arrived, context, now, tuned

from genops_events.airflow.evaluation import EvaluateModel
from genops_events.cascade import holds
from genops_events.config import Config
from genops_events.gcp import ledger_store
from genops_events.gcp.record_store import RecordStore
from genops_events.money.ledger import month_of
from genops_events.record.evaluation import champion_answers_path
from genops_events.record.paths import champion_path
from genops_events.record.promotion import Champion
from genops_events.record.stages import Stage

FILE = "evaluation/changed.jsonl"


@pytest.fixture
def endpoint(config: Config) -> str:
    """A model that repeats what it is asked."""
    return f"projects/{config.project}/locations/{config.location}/publishers/google/models/gemini-2.5-flash"


@pytest.fixture
def change(config: Config, tmp_path: Path) -> Callable[..., None]:
    """Change parts of the dataset's entry in genops.yaml."""

    def changed(*, system_instruction: str | None = None, **parts: dict[str, Any]) -> None:
        file = tmp_path / "genops.yaml"
        data = yaml.safe_load(file.read_text(encoding="utf-8"))
        entry = data["datasets"][DATASET]
        for name, values in parts.items():
            entry[name] = {**entry[name], **values}
        if system_instruction is not None:
            entry["system_instruction"] = system_instruction
        file.write_text(yaml.safe_dump(data), encoding="utf-8")

    changed(evaluation={"file": FILE, "metrics": ["exact_match"], "gate": {}})
    return changed


def write(store: RecordStore, rows: int) -> None:
    lines = ({"prompt": f"word {number}", "reference": f"word {number}"} for number in range(rows))
    store.bucket.blob(FILE).upload_from_string("".join(json.dumps(line) + "\n" for line in lines))


def candidate_of(config: Config, store: RecordStore, endpoint: str, **figures: Any) -> str:
    made = arrived(config, store).candidate
    tuned(store, made, endpoint=endpoint, **figures)
    return made


def evaluate(candidate: str, *, run_id: str = "run-1") -> dict[str, Any]:
    return EvaluateModel(task_id="evaluate").execute(context(candidate, run_id=run_id))


def die(candidate: str, at: str) -> None:
    """Evaluate, and be killed at `at`."""

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(at, killed)
        with pytest.raises(KeyboardInterrupt):
            evaluate(candidate)


def crown(store: RecordStore, candidate: str, endpoint: str, *, model: str, scores: dict[str, float]) -> None:
    made = Champion(
        candidate=candidate,
        written_at=now(),
        dataset=DATASET,
        model=model,
        endpoint=endpoint,
        metric="exact_match",
        score=scores["exact_match"],
        scores=scores,
        promoted_at=now(),
    )
    store.put(champion_path(DATASET), made)


def reserved(store: RecordStore, candidate: str) -> Any:
    entry = ledger_store.account(store, month_of(now()), candidate)
    assert entry is not None
    return entry.purposes["evaluation"].reserved_usd


def spent(store: RecordStore, candidate: str) -> Decimal:
    verdict = store.verdict(candidate, Stage.EVALUATION)
    assert verdict is not None
    return verdict.cost_usd


def test_an_evaluation_file_that_grows_between_two_tries_is_paid_for_or_held_before_it_is_asked(
    *, cloud: StandIns, config: Config, change: Callable[..., None], store: RecordStore, endpoint: str
) -> None:
    candidate = candidate_of(config, store, endpoint)
    write(store, 2)
    die(candidate, "genops_events.evaluation.scored_run.ScoredRun.ask_and_score")
    first = reserved(store, candidate)
    write(store, 2_000)
    change(budget={"candidate_usd": str(first * 2)})
    before = cloud.vertex_calls("generateContent")
    with pytest.raises(AirflowSkipException, match="held: Evaluation of "):
        evaluate(candidate)
    assert cloud.vertex_calls("generateContent") == before
    assert reserved(store, candidate) == first
    (hold,) = holds.held(store, candidate)
    assert "what was reserved before stays" in hold.help
    write(store, 4)
    holds.approve(store, hold, by="ada@laptop", reason="It is worth it.")
    assert evaluate(candidate, run_id="run-2")["examples"] == 4


def test_the_champions_answers_are_asked_for_again_where_it_was_asked_in_another_way(
    *, cloud: StandIns, config: Config, change: Callable[..., None], store: RecordStore, endpoint: str
) -> None:
    change(evaluation={"metrics": ["exact_match", "pairwise"], "judge": {"samples": 2}})
    write(store, 3)
    champion = candidate_of(config, store, endpoint)
    scores = evaluate(champion)["scores"]
    crown(store, champion, endpoint, model="projects/p/locations/l/models/1@1", scores=scores)
    change(system_instruction="Answer in one word.")
    before = cloud.vertex_calls("generateContent")
    told = evaluate(candidate_of(config, store, endpoint))
    assert cloud.vertex_calls("generateContent") == before + 3 + 3, "both answer to the same instruction"
    assert told["metrics"]["pairwise"]["mean"] == 0.5


def test_the_answers_of_the_champion_of_an_earlier_round_are_not_taken_for_those_of_the_one_now(
    *, cloud: StandIns, config: Config, change: Callable[..., None], store: RecordStore, endpoint: str
) -> None:
    change(evaluation={"metrics": ["exact_match", "pairwise"], "judge": {"samples": 2}})
    write(store, 3)
    where = "projects/genops-local/locations/us-central1/models"
    crown(store, "banking77-0000000000000001", endpoint, model=f"{where}/7@1", scores={"exact_match": 1.0})
    candidate = candidate_of(config, store, endpoint)
    die(candidate, "genops_events.cascade.stage_run.StageRun.conclude")
    assert store.bucket.blob(champion_answers_path(candidate)).exists()
    # The try before has spent; the next one needs more than it reserved, and is held. Meanwhile, another is champion.
    write(store, 4)
    change(budget={"candidate_usd": "0.0001"})
    with pytest.raises(AirflowSkipException, match="held"):
        evaluate(candidate)
    (hold,) = holds.held(store, candidate)
    crown(store, "banking77-0000000000000002", endpoint, model=f"{where}/8@1", scores={"exact_match": 1.0})
    holds.approve(store, hold, by="ada@laptop", reason="It is worth it.")
    before = cloud.vertex_calls("generateContent")
    evaluate(candidate, run_id="run-2")
    assert cloud.vertex_calls("generateContent") == before + 1 + 4, "one new row, and four answers of the new champion"
    kept = store.bucket.blob(champion_answers_path(candidate)).download_as_text()
    assert {json.loads(line)["model"] for line in kept.splitlines()} == {f"{where}/8@1"}


def test_a_champion_that_was_tuned_from_a_dearer_model_is_reserved_and_paid_at_its_price(
    *, cloud: StandIns, config: Config, change: Callable[..., None], store: RecordStore, endpoint: str
) -> None:
    change(evaluation={"metrics": ["exact_match", "pairwise"], "judge": {"samples": 2}})
    write(store, 3)
    costs, estimates = [], []
    for source in (None, "gemini-2.5-flash", "gemini-2.5-pro", "projects/p/locations/l/models/9@1"):
        figures = {} if source is None else {"source_model": source}
        champion = candidate_of(config, store, endpoint, **figures)  # never evaluated: it has to answer
        crown(store, champion, endpoint, model="projects/p/locations/l/models/9@2", scores={"exact_match": 1.0})
        candidate = candidate_of(config, store, endpoint)
        told = evaluate(candidate)
        costs.append(spent(store, candidate))
        estimates.append(Decimal(told["estimated_usd"]))
    assert costs[0] == costs[1] == costs[3] < costs[2]
    assert estimates[0] == estimates[1] == estimates[3] < estimates[2]
