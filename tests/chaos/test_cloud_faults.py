"""Scenarios 3 and 4: Pub/Sub and Cloud Storage that do what their contracts allow, all of it at once."""

from __future__ import annotations

import pytest
from faults import Step, stand_in
from scenario import Chaos

pytestmark = pytest.mark.chaos

HARM_SECONDS = 60.0
READS = ["objects.get", "objects.list"]
CHANGES = ["objects.insert", "objects.patch"]

# One begins when the one before is over.
FAULTS = {
    "Pub/Sub: all delivered twice, out of order": [
        stand_in("pubsub", seconds=HARM_SECONDS, duplicate=1.0, reorder=True)
    ],
    "Pub/Sub: acks fail, then half are forgotten": [
        stand_in("pubsub", seconds=HARM_SECONDS / 2, error_share=1.0, error_methods=["Acknowledge"]),
        stand_in("pubsub", seconds=HARM_SECONDS / 2, drop_acks=0.5),
    ],
    "Pub/Sub: unavailable for 60 s": [stand_in("pubsub", seconds=60.0, unavailable_seconds=60.0)],
    "Storage: 503 and 429 on 20 % of calls": [
        stand_in("storage", seconds=HARM_SECONDS / 4, error_share=0.2, error_code=code)
        for code in ("503", "429", "503", "429")
    ],
    "Storage: reads take 2 s": [stand_in("storage", seconds=HARM_SECONDS, delay_seconds=2.0, error_methods=READS)],
    # A client that repeats such a write is told 412 for its own.
    "Storage: 30 % of writes applied, their answers lost": [
        stand_in("storage", seconds=HARM_SECONDS, lose_answers=0.3, error_methods=CHANGES)
    ],
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_cloud_at_its_worst_costs_time_and_nothing_else(fault: str, chaos: Chaos) -> None:
    stack = chaos.stack()
    datasets = stack.datasets()
    at = chaos.generator.uniform(0, 0.3) * chaos.settings.seconds
    steps = [Step(at, act) for act in FAULTS[fault]]
    chaos.endure(stack, fault, datasets=datasets, plan=chaos.plan(datasets), steps=steps)
