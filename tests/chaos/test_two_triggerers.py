"""Waits are taken over when a triggerer dies, hangs or is replaced: none is lost, no job is paid for twice, none is cancelled."""

from __future__ import annotations

import signal
import time
from datetime import UTC, datetime

import pytest
from chaos_stack import JOB_SECONDS, ChaosStack
from faults import Act, end_component, stop_triggerer, watching_triggerer
from kill_points import Field
from scenario import Chaos
from waiting import until

pytestmark = pytest.mark.chaos

WAITS = 20
HANGS_SECONDS = 45.0


def test_twenty_waits_outlast_a_kill_a_hang_and_a_deploy_of_the_triggerer_that_waits(chaos: Chaos) -> None:
    stack = chaos.stack(triggerers=2)
    datasets = stack.datasets()
    field = Field(stack, datasets[0], chaos.generator)
    stack.set_faults("vertex", job_seconds=JOB_SECONDS, job_outcome="paused")
    began = time.monotonic()
    candidates = field.upload(WAITS)
    until(lambda: len(waits(stack)) == WAITS, what=f"{WAITS} tasks wait: {len(waits(stack))}")
    stack.set_faults("vertex", job_seconds=JOB_SECONDS)
    notes = []
    for how in ("kill -9", "SIGSTOP", "SIGTERM"):
        before = waits(stack)
        triggerer = until(lambda: watching_triggerer(stack, "vertex"), what="a triggerer that polls")
        said = harm(how, triggerer)(stack)
        after = until(lambda was=before: taken_over(stack, was), what="the waits are taken over")
        moved = sum(before[one] != after[one] for one in after)
        notes.append(f"{said} after {time.monotonic() - began:.0f} s, with {len(before)} waits: {moved} taken over")
        assert moved, notes
    # As long as they wait, nothing was cancelled: whoever comes back from a hang finds its waits taken.
    of_ours = [job["state"] for job in stack.jobs() if job["labels"]["genops-candidate"] in candidates]
    assert of_ours == ["JOB_STATE_PAUSED"] * WAITS, notes
    stack.resume_jobs()
    over = datetime.now(UTC)
    chaos.judge(
        stack,
        f"kill -9, SIGSTOP for {HANGS_SECONDS:.0f} s, SIGTERM: the waiting one of 2 triggerers, {WAITS} waits",
        datasets=datasets,
        uploaded=field.uploaded,
        over=over,
        notes=notes,
    )
    ended = {job["state"] for job in stack.jobs() if job["labels"]["genops-candidate"] in candidates}
    assert ended == {"JOB_STATE_SUCCEEDED"}
    assert not [one for one in candidates if "cancellation.json" in field.written(one)]


def harm(how: str, triggerer: str) -> Act:
    """Return what to do to the triggerer."""
    if how == "SIGSTOP":
        return stop_triggerer(triggerer, HANGS_SECONDS)
    return end_component(triggerer, signal.SIGKILL if how == "kill -9" else signal.SIGTERM)


def waits(stack: ChaosStack) -> dict[int, int | None]:
    """Return the triggers that wait for tuning jobs, each with the triggerer's job that has it."""
    sql = "SELECT id, triggerer_id FROM trigger WHERE classpath LIKE 'triggers.tuning_job.%%'"
    return {int(one): None if triggerer is None else int(triggerer) for one, triggerer in stack.query(sql)}


def taken_over(stack: ChaosStack, before: dict[int, int | None]) -> dict[int, int | None] | None:
    """Return who has the waits, once each has somebody alive and some have somebody else; None before."""
    sql = (
        "SELECT id FROM job WHERE job_type = 'TriggererJob' AND state = 'running'"
        " AND latest_heartbeat > now() - interval '10 seconds'"
    )
    alive = {int(one) for (one,) in stack.query(sql)}
    now = waits(stack)
    settled = now.keys() == before.keys() and set(now.values()) <= alive
    return now if settled and any(now[one] != before[one] for one in now) else None
