"""Scenarios 3 (backlog), 6 and 7: no fault at all, only uploads that come at the worst of times."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import pytest
from burst import Burst, Uploaded, mixed, overwritten
from chaos_stack import ChaosStack
from faults import watching_triggerer
from scenario import END_SECONDS, Chaos
from seen import folders, until_ended
from waiting import until

pytestmark = pytest.mark.chaos

OBJECTS, TIMES = 5, 20
ROUNDS, AT_ONCE = 10, 10
TICK_SECONDS = 0.3
BACKLOG_FULL = 15
"""Of the backlog, so many go the whole way."""


def test_an_object_overwritten_twenty_times_in_a_second_is_twenty_candidates(chaos: Chaos) -> None:
    stack = chaos.stack()
    datasets = stack.datasets()
    stack.set_faults("storage", object_write_seconds=0)  # Cloud Storage refuses most of these: one a second of a name
    plan = list(overwritten(chaos.generator, datasets[0], objects=OBJECTS, times=TIMES, seconds=1.0))
    chaos.endure(stack, f"{OBJECTS} objects overwritten {TIMES} times in a second", datasets=datasets, plan=plan)


def test_ten_uploads_inside_one_tick_and_then_silence_strand_none(chaos: Chaos) -> None:
    stack = chaos.stack()
    datasets = stack.datasets()
    share = chaos.settings.full_share
    plan = mixed(chaos.generator, datasets, uploads=ROUNDS * AT_ONCE, seconds=TICK_SECONDS, full_share=share)
    uploaded: list[Uploaded] = []
    slowest = 0.0
    over = datetime.now(UTC)
    for number in range(ROUNDS):
        these = Burst(stack.bucket, plan[number::ROUNDS]).result()
        began, over = time.monotonic(), datetime.now(UTC)
        until(
            lambda candidates=[one.candidate for one in these]: recorded(stack, datasets, candidates),
            what="ten uploads within a tick, and none after them, are recorded",
        )
        slowest = max(slowest, time.monotonic() - began)
        until_ended(stack, these, datasets, seconds=END_SECONDS)
        uploaded += these
    counted = chaos.judge(
        stack,
        f"{AT_ONCE} uploads in one tick, then silence, {ROUNDS} times",
        datasets=datasets,
        uploaded=uploaded,
        over=over,
        notes=[f"the slowest round was recorded after {slowest:.1f} s"],
    )
    assert counted.healed == 0, "notifications are enough"


def recorded(stack: ChaosStack, datasets: list[str], candidates: list[str]) -> bool:
    """Tell whether the arrivals of all these candidates are in the record."""
    found = folders(stack.bucket, datasets)
    return all(one in found and "arrival.json" in found[one].written for one in candidates)


def test_a_backlog_that_waits_when_the_watcher_starts_is_worked_off(chaos: Chaos) -> None:
    stack = chaos.stack()
    datasets = stack.datasets()
    number = chaos.settings.backlog
    plan = mixed(chaos.generator, datasets, uploads=number, seconds=1.0, full_share=min(1.0, BACKLOG_FULL / number))
    stack.pause("genops_intake", paused=True)
    # The watcher goes when the Dag's file is parsed again.
    until(lambda: watching_triggerer(stack) is None, what="nobody watches")
    uploaded = Burst(stack.bucket, plan).result()
    stack.pause("genops_intake", paused=False)
    fault = f"Pub/Sub: {number} messages wait when the watcher starts"
    chaos.judge(stack, fault, datasets=datasets, uploaded=uploaded, over=datetime.now(UTC))
