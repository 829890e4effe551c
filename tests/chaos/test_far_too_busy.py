"""A machine that is far too busy, and killed components on it: what Airflow then says of its tasks ends no candidate.

At such a load a LocalExecutor reports ends that never were, schedulers come too late for their own heartbeat, and tries are
superseded while they work (apache/airflow 71580, 72716). Three losses came of that before; each is asserted against here.
"""

from __future__ import annotations

import signal

import pytest
from burst import mixed
from faults import Step, busy_loops, end_component
from scenario import Chaos

pytestmark = pytest.mark.chaos

UPLOADS = 60
LOOPS = 16
BUSY_SECONDS = 600.0
"""How long the loops run: through the uploads, both deaths, and most of the work."""


def test_sixty_uploads_beside_sixteen_busy_loops_and_two_deaths_lose_nothing_that_is_paid_for(chaos: Chaos) -> None:
    stack = chaos.stack()
    datasets = stack.datasets()
    settings, generator = chaos.settings, chaos.generator
    plan = mixed(generator, datasets, uploads=UPLOADS, seconds=settings.seconds, full_share=settings.full_share)
    first = generator.uniform(0.5, 1.5) * settings.seconds
    killed = ["triggerer", "scheduler"]
    generator.shuffle(killed)
    steps = [
        Step(at, end_component(name, signal.SIGKILL))
        for at, name in zip((first, first + settings.seconds), killed, strict=True)
    ]
    fault = f"{LOOPS} busy loops, and kill -9 of triggerer and scheduler"
    with busy_loops(LOOPS, seconds=BUSY_SECONDS):
        counted = chaos.endure(stack, fault, datasets=datasets, plan=plan, steps=steps, patience_factor=LOOPS / 4)
    assert not counted.failed, counted.failed
    assert not counted.forgotten, counted.forgotten
