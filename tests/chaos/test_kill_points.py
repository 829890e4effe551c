"""Never twice: a worker killed at each of the points between intent, create and record leaves one job, never none or two."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import pytest
from chaos_stack import JOB_SECONDS
from faults import watching_triggerer
from kill_points import (
    ANSWERED,
    APPLIED,
    ATTEMPT,
    DEFERRING,
    INTENT,
    RECORDED,
    SENT,
    Field,
    Victim,
    kill_with_all_its_processes,
    labelled_jobs,
    standing_still,
    stop_at,
)
from report import Kill
from scenario import Chaos
from seen import until_ended
from waiting import until

pytestmark = [pytest.mark.chaos, pytest.mark.filterwarnings("ignore:The SDK's tuning implementation is experimental")]

TASK = "task"
SCHEDULER = "scheduler, workers, tasks"
DEFERRED = "deferred"
DEFERRED_JOB_SECONDS = 120.0
END_SECONDS = 360.0


def test_a_process_killed_anywhere_between_intent_and_deferral_leaves_exactly_one_job(chaos: Chaos) -> None:
    stack = chaos.stack(triggerers=2)
    datasets = stack.datasets()
    field = Field(stack, datasets[0], chaos.generator)
    killed: dict[str, tuple[str, str, datetime]] = {}
    standing: list[tuple[str, Victim]] = []

    for point in (INTENT, ATTEMPT, APPLIED, ANSWERED, RECORDED):
        first, second = stop_at(field, point, 2)
        killed[first.candidate] = (point.words, TASK, first.kill())
        standing.append((point.words, second))

    # The executor's process talks to the API server for its task: both die while that does not answer.
    [victim] = stop_at(field, DEFERRING, 1)
    worker = field.worker(victim.candidate)
    assert worker is not None
    with standing_still(stack, "api-server"):
        victim.process.resume()
        time.sleep(4)  # a look into the record, which took three seconds until now, and the deferral
        worker.kill()
        killed[victim.candidate] = (DEFERRING.words, "worker and task", victim.kill())

    stack.set_faults("vertex", job_seconds=DEFERRED_JOB_SECONDS)
    waiting = field.upload(2)
    until(lambda: all(field.state(one) == DEFERRED for one in waiting), what="two tasks wait")
    stack.set_faults("vertex", job_seconds=JOB_SECONDS)

    first, second = stop_at(field, SENT, 2)
    killed[first.candidate] = (SENT.words, TASK, first.kill())
    standing.append((SENT.words, second))
    assert [field.state(one) for one in waiting] == [DEFERRED] * 2
    at = kill_with_all_its_processes(stack, "scheduler")
    assert [field.jobs(one.candidate) for one in (first, second)] == [0, 0], "the calls are applied after the death"
    for words, victim in standing:
        until(victim.is_dead, what=f"the death of the task {words}")
        killed[victim.candidate] = (words, SCHEDULER, at)
    killed[waiting[1]] = (DEFERRED, SCHEDULER, at)
    triggerer = until(lambda: watching_triggerer(stack, "vertex"), what="a triggerer that polls")
    killed[waiting[0]] = (DEFERRED, "triggerer", kill_with_all_its_processes(stack, triggerer))

    over = datetime.now(UTC)
    until_ended(stack, field.uploaded, [*datasets, ATTEMPT.dataset or ""], seconds=END_SECONDS)
    kills = [row(field, candidate, *how) for candidate, how in killed.items()]
    chaos.report.kills += sorted(kills, key=lambda one: one.killed == SCHEDULER)
    assert {(one.jobs, one.end) for one in kills} == {(1, "succeeded")}, chaos.report.markdown()
    chaos.judge(
        stack,
        "kill -9 between intent, create and record",
        datasets=[*datasets, ATTEMPT.dataset or ""],
        uploaded=field.uploaded,
        over=over,
    )


def row(field: Field, candidate: str, point: str, killed: str, at: datetime) -> Kill:
    """Return what became of a candidate whose process was killed."""
    verdict = field.stack.stack.document(f"genops/candidates/{candidate}/tuning.json")
    return Kill(
        point=point,
        killed=killed,
        jobs=labelled_jobs(field.stack, candidate),
        end="none" if verdict is None else verdict["outcome"],
        seconds=None if verdict is None else (datetime.fromisoformat(verdict["ended_at"]) - at).total_seconds(),
    )
