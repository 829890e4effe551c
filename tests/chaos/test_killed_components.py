"""Scenarios 1 and 8: each component asked to end, and killed, in the middle of a burst."""

from __future__ import annotations

import signal

import pytest
from faults import Step, end_busy_worker, end_component
from scenario import Chaos

pytestmark = pytest.mark.chaos

COMPONENTS = ["triggerer", "scheduler", "api-server", "dag-processor", "worker", "postgres"]
APART_SECONDS = 10.0
WORKERS = 3
"""One of many is little harm, so more of them get the signal."""


def harm(chaos: Chaos, component: str) -> list[Step]:
    """Return both signals at random times of the burst, at least ten seconds apart, in random order."""
    generator, seconds = chaos.generator, chaos.settings.seconds
    first = generator.uniform(0.05, 0.4) * seconds
    second = first + max(APART_SECONDS, generator.uniform(0.1, 0.5) * seconds)
    signals = [signal.SIGTERM, signal.SIGKILL]
    generator.shuffle(signals)
    steps = list(zip((first, second), signals, strict=True))
    if component == "worker":
        return [Step(at, end_busy_worker(number, generator)) for at, number in steps for _ in range(WORKERS)]
    return [Step(at, end_component(component, number)) for at, number in steps]


def test_a_burst_without_any_harm_is_what_the_others_are_compared_with(chaos: Chaos) -> None:
    stack = chaos.stack()
    datasets = stack.datasets()
    counted = chaos.endure(stack, "none", datasets=datasets, plan=chaos.plan(datasets))
    assert counted.healed == 0, "without a fault, the notifications are enough"


@pytest.mark.parametrize("component", COMPONENTS)
def test_a_component_that_ends_in_a_burst_costs_time_and_nothing_else(component: str, chaos: Chaos) -> None:
    stack = chaos.stack()
    datasets = stack.datasets()
    steps = harm(chaos, component)
    fault = f"SIGTERM and kill -9: {component}"
    chaos.endure(stack, fault, datasets=datasets, plan=chaos.plan(datasets), steps=steps)


@pytest.mark.parametrize("component", COMPONENTS)
def test_the_same_with_two_schedulers_and_two_triggerers_on_one_database(component: str, chaos: Chaos) -> None:
    stack = chaos.stack(schedulers=2, triggerers=2)
    datasets = stack.datasets()
    doubled = component in {"scheduler", "triggerer"}
    steps = harm(chaos, chaos.generator.choice([component, f"{component}-2"]) if doubled else component)
    fault = f"SIGTERM and kill -9: {component}, of 2 schedulers and 2 triggerers"
    chaos.endure(stack, fault, datasets=datasets, plan=chaos.plan(datasets), steps=steps)
