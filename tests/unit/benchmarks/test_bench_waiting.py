"""The figures of waiting, and how they are judged."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from benchmarks.waiting_figures import AIRFLOW, OURS, TARGET_JOBS, Waiting, judge, since_end


def measured(way: str = OURS, **changed: Any) -> Waiting:
    good = Waiting(
        way,
        TARGET_JOBS,
        10.0,
        calls_per_minute=60.0,
        memory_bytes=19_000_000,
        cores=0.4,
        started=TARGET_JOBS,
        started_seconds=19.5,
        resumed_seconds=[12.9] * TARGET_JOBS,
    )
    return replace(good, **changed)


def missed(*found: Waiting) -> list[str]:
    return [one.target for one in judge(found) if not one.met]


def test_what_keeps_every_target_is_judged_so() -> None:
    assert len(judge([measured()])) == 8
    assert missed(measured()) == []


@pytest.mark.parametrize(
    ("changed", "target"),
    [
        ({"calls_per_minute": 60.1}, "calls"),
        ({"memory_bytes": 20_000_000}, "memory"),
        ({"cores": 0.5}, "processor"),
        ({"workers_held": 1}, "workers held"),
        ({"resumed_seconds": [5.0] * 940 + [13.0] * 60}, "job end to task resumed"),
        ({"resumed_seconds": [5.0] * (TARGET_JOBS - 1)}, "job end to task resumed"),
        ({"resumed_seconds": []}, "job end to task resumed"),
        ({"wrong": 1}, "job end to task resumed"),
        ({"started_seconds": 20.1}, "started within 20 s"),
        ({"started": 999, "started_seconds": None}, "started within 20 s"),
        ({"blocked_starting_seconds": [0.21]}, "event loop never blocked for over 0.2 s: until all"),
        ({"blocked_seconds": [0.21]}, "event loop never blocked for over 0.2 s: from then on"),
    ],
)
def test_each_target_can_be_missed(changed: dict[str, Any], target: str) -> None:
    (found,) = missed(measured(**changed))
    assert found.startswith(target)


def test_what_airflow_alone_takes_is_told_beside_what_cannot_be_less() -> None:
    told = [one.figure for one in judge([measured(), measured(AIRFLOW, memory_bytes=15_000_000)])]
    assert "19.0 kB (Airflow alone: 15.0 kB)" in told
    assert "0 warnings (Airflow alone: 0)" in told


def test_only_the_number_of_jobs_that_the_targets_are_for_is_judged() -> None:
    assert judge([measured(jobs=100)]) == []


def test_a_task_that_was_resumed_before_its_job_ended_has_no_time_and_is_told() -> None:
    assert since_end([10.0, 10.0, None, 10.0], [12.5, 9.0, 11.0, None]) == ([2.5], 2)


def test_cost_per_job_is_what_all_cost_by_their_number() -> None:
    one = measured(jobs=10, memory_bytes=150_000, cores=0.02)
    assert one.kb_per_job == pytest.approx(15.0)
    assert one.core_share_per_job == pytest.approx(0.002)


def test_figures_without_a_resumed_task_can_be_written_down() -> None:
    document = json.loads(json.dumps(measured(resumed_seconds=[], started_seconds=None).to_json()))
    assert document["resumed_seconds"] is None
    assert document["started_seconds"] is None
