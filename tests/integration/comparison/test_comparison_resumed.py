"""A contestant that is killed goes on where it stopped: no answer and no score is paid for twice."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from cloud import StandIns, until
from comparisons import asked, contest, one, plan, postings, recorded, result, whole
from evaluations import FILE, MODEL, die, pairs, write
from waiting import FOREVER_SECONDS

from genops_events.airflow.comparison import RunContestant, comparing_of, record_failed_contestant
from genops_events.config import Config
from genops_events.gcp.parts import read_parts
from genops_events.gcp.record_store import RecordStore
from genops_events.record import comparison_plan as places


def test_a_contestant_that_is_killed_loses_only_what_was_in_flight(
    cloud: StandIns, compared: Callable[..., Config], store: RecordStore
) -> None:
    compared(evaluation={"metrics": ["fluency"], "judge": {"samples": 1}})
    write(store, FILE, *pairs(60))
    run = asked(MODEL)
    plan(run)
    comparison = comparing_of(run).id
    prefix = places.scores_prefix(comparison, MODEL)
    # So many are judged; then the judge is silent.
    cloud.vertex.faults(delay_seconds=FOREVER_SECONDS, pass_calls=20, error_methods=["evaluateInstances"])
    work = f"from comparisons import asked, contest; contest(asked({MODEL!r}), {MODEL!r})"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[1]), *sys.path])}
    with subprocess.Popen([sys.executable, "-c", work], env=environment, stderr=subprocess.PIPE) as task:
        until(lambda: len(read_parts(store.bucket, prefix)) == 20, what="scores in the record")
        answers = places.answers_path(comparison, MODEL).removesuffix(".jsonl") + ".parts/"
        until(lambda: len(read_parts(store.bucket, answers)) == 60, what="answers in the record")
        task.kill()
    cloud.vertex.faults()
    before = cloud.vertex_calls("evaluateInstances"), cloud.vertex_calls("generateContent")
    assert contest(run, MODEL)
    assert cloud.vertex_calls("evaluateInstances") - before[0] == 60 - 20
    assert cloud.vertex_calls("generateContent") == before[1], "answers were kept, too"
    done = result(run, MODEL)
    assert done.metrics["fluency"].count == 60
    found = whole(run)
    (posting,) = postings(store, found).values()
    assert posting.spent_usd == done.cost_usd > 0
    assert read_parts(store.bucket, prefix) == [], "what is in the rows is not kept twice"


@pytest.mark.parametrize(
    "where",
    [
        "genops_events.comparison.contest.ContestantRun._write_rows",
        "genops_events.comparison.contest.ContestantRun._record",
        "genops_events.comparison.contest.ContestantRun._settle",
        "genops_events.evaluation.scored_run.remove_parts",
    ],
)
def test_whatever_step_it_dies_at_the_next_try_asks_nobody_again_and_settles_once(
    cloud: StandIns, compared: Callable[..., Config], store: RecordStore, where: str
) -> None:
    compared(evaluation={"metrics": ["exact_match", "fluency"], "judge": {"samples": 1}})
    write(store, FILE, *pairs(5))
    run = asked(MODEL)
    plan(run)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(where, die)
        with pytest.raises(KeyboardInterrupt):
            contest(run, MODEL)
    before = cloud.vertex_calls("evaluateInstances"), cloud.vertex_calls("generateContent")
    found = whole(run)
    assert (cloud.vertex_calls("evaluateInstances"), cloud.vertex_calls("generateContent")) == before
    (posting,) = postings(store, found).values()
    assert posting.settled
    assert posting.spent_usd == one(found, MODEL).cost_usd > 0


@pytest.mark.parametrize(
    "where",
    [
        "genops_events.comparison.conclude.write_part",
        "genops_events.comparison.conclude.render",
        "genops_events.comparison.conclude.announce_comparison",
    ],
)
def test_an_end_that_dies_is_made_whole_by_the_next_try(
    compared: Callable[..., Config], store: RecordStore, where: str
) -> None:
    compared()
    write(store, FILE, *pairs(2))
    run = asked(MODEL)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(where, die)
        with pytest.raises(KeyboardInterrupt):
            whole(run)
    found = whole(run)
    assert (found.outcome, found.number) == ("completed", 1)
    names = store.names(f"genops/comparisons/{found.id}/")
    assert sum("/events/" in name for name in names) == 1
    assert any(name.endswith("report.html") for name in names)
    parts = store.names("genops/tables/parts/")
    assert sum(f"{found.id}-comparison.parquet" in name for name in parts) == 2
    assert recorded(run) == found


def test_a_contestant_whose_task_dies_after_its_result_for_the_last_time_has_completed(
    compared: Callable[..., Config], store: RecordStore
) -> None:
    compared()
    write(store, FILE, *pairs(3))
    run = asked(MODEL)
    plan(run)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("genops_events.comparison.contest.ContestantRun._settle", die)
        with pytest.raises(KeyboardInterrupt):
            contest(run, MODEL)
    done = result(run, MODEL)
    record_failed_contestant({**run, "task": RunContestant(task_id="contest", contestant=MODEL), "exception": None})
    assert result(run, MODEL) == done
    assert done.status == "completed"
    found = whole(run)
    (posting,) = postings(store, found).values()
    assert (posting.settled, posting.spent_usd) == (True, done.cost_usd)
