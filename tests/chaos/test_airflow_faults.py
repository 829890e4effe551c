"""Scenarios 2 and 5: a triggerer that hangs, Dags paused, and Dags deployed anew, in the middle of a burst."""

from __future__ import annotations

import pytest
from faults import Step, paused, redeployed, stop_watching_triggerer
from scenario import Chaos

pytestmark = pytest.mark.chaos

HANGS_SECONDS = 45.0
LONG_JOB_SECONDS = 40.0
DEPLOYED_APART_SECONDS = 35.0
"""Airflow overlooks a change within `min_serialized_dag_update_interval` (30 s) of the last until it parses anew."""


def test_a_triggerer_that_hangs_is_replaced_and_cancels_nothing_when_it_comes_back(chaos: Chaos) -> None:
    stack = chaos.stack(triggerers=2)
    # Jobs are under way when it stops, and when it goes on.
    stack.set_faults("vertex", job_seconds=LONG_JOB_SECONDS)
    datasets = stack.datasets()
    at = chaos.generator.uniform(0.3, 0.5) * chaos.settings.seconds
    chaos.endure(
        stack,
        f"SIGSTOP for {HANGS_SECONDS:.0f} s: the watching one of 2 triggerers",
        datasets=datasets,
        plan=chaos.plan(datasets),
        steps=[Step(at, stop_watching_triggerer(HANGS_SECONDS))],
    )
    states = {job["state"] for job in stack.jobs() if job["labels"]["genops-candidate"].startswith(tuple(datasets))}
    assert states == {"JOB_STATE_SUCCEEDED"}


def test_dags_paused_and_unpaused_in_a_burst_lose_nothing(chaos: Chaos) -> None:
    stack = chaos.stack(triggerers=2)
    datasets = stack.datasets()
    dags = stack.dags_known()
    chaos.generator.shuffle(dags)
    # One by one, and in the middle all together; each act begins when the one before is over.
    turns = [[one] for one in dags]
    turns.insert(len(turns) // 2, dags)
    share = chaos.settings.seconds / len(turns)
    steps = [
        Step(number * share, paused(turn, seconds=chaos.generator.uniform(0.5, 1.0) * share))
        for number, turn in enumerate(turns)
    ]
    chaos.endure(stack, "Dags paused and unpaused", datasets=datasets, plan=chaos.plan(datasets), steps=steps)


def test_a_dag_folder_that_is_redeployed_in_a_burst_loses_nothing(chaos: Chaos) -> None:
    stack = chaos.stack(triggerers=2)
    datasets = stack.datasets()
    first = chaos.generator.uniform(0.1, 0.3) * chaos.settings.seconds
    steps = [Step(at, redeployed(chaos.generator)) for at in (first, first + DEPLOYED_APART_SECONDS)]
    chaos.endure(stack, "Dag folder redeployed, twice", datasets=datasets, plan=chaos.plan(datasets), steps=steps)
