"""Thousands of jobs at once: what they cost, and what they share."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from google.genai import types

if TYPE_CHECKING:
    from vertex_stand_in import VertexStandIn

pytest_plugins = ["vertex_stand_in"]
pytestmark = pytest.mark.filterwarnings("ignore:The SDK's tuning implementation is experimental")

FEW = 100
JOBS = 1000


async def create(vertex: VertexStandIn, uri: str, numbers: range) -> None:
    """Create the jobs, eight at a time."""
    left = iter(numbers)

    async def some(client: httpx.AsyncClient) -> None:
        for number in left:
            body = {
                "baseModel": vertex.base_model,
                "supervisedTuningSpec": {"trainingDatasetUri": uri},
                "labels": {"number": str(number)},
            }
            answer = await client.post(f"{vertex.url}/v1beta1/{vertex.parent}/tuningJobs", json=body)
            answer.raise_for_status()

    async with httpx.AsyncClient(trust_env=False, timeout=30.0) as client, asyncio.TaskGroup() as group:
        for _ in range(8):
            group.create_task(some(client))


def listed(vertex: VertexStandIn) -> list[types.TuningJob]:
    """Return all jobs, read in pages of a hundred."""
    query: dict[str, Any] = {"page_size": FEW}
    return list(vertex.client.tunings.list(config=types.ListTuningJobsConfig(**query)))


def read_first_page(vertex: VertexStandIn) -> None:
    """Read the page of the newest hundred, which has all other jobs behind it, often enough to be measured."""
    with httpx.Client(trust_env=False, timeout=30.0) as client:
        for _ in range(100):
            address = f"{vertex.url}/v1beta1/{vertex.parent}/tuningJobs"
            answer = client.get(address, params={"pageSize": FEW}).raise_for_status()
            assert len(answer.json()["tuningJobs"]) == FEW


def cost(vertex: VertexStandIn, work: Callable[[], object]) -> float:
    """Return the core-seconds that the stand-in spends on `work`: what else the machine does is not in them."""
    before = vertex.core_seconds()
    work()
    return vertex.core_seconds() - before


def test_a_job_and_a_page_cost_as_much_with_a_thousand_jobs_as_with_a_hundred(own_vertex: VertexStandIn) -> None:
    from vertex_stand_in import examples, jsonl

    uri = own_vertex.bucket.put("shared.jsonl", jsonl(examples()))
    own_vertex.faults(job_seconds=100_000)  # none of them begins to learn meanwhile
    few = cost(own_vertex, lambda: asyncio.run(create(own_vertex, uri, range(FEW))))
    page_of_few = cost(own_vertex, lambda: read_first_page(own_vertex))
    many = cost(own_vertex, lambda: asyncio.run(create(own_vertex, uri, range(FEW, JOBS))))
    page_of_many = cost(own_vertex, lambda: read_first_page(own_vertex))
    # Ten times as many jobs: what looks at each of them would take ten times as long.
    assert many / (JOBS - FEW) < 3 * few / FEW
    assert page_of_many < 3 * page_of_few
    jobs = listed(own_vertex)
    created = [job.create_time for job in jobs if job.create_time]
    assert len({job.name for job in jobs}) == len(created) == JOBS
    assert created == sorted(created, reverse=True)
    found = own_vertex.found('labels.number="17" AND state="JOB_STATE_PENDING"')
    found += own_vertex.found('labels.number="17"')
    assert len(set(found)) == 1


def test_jobs_on_one_object_read_it_once_and_learn_the_same(vertex: VertexStandIn) -> None:
    from vertex_stand_in import examples, jsonl

    uri = vertex.bucket.put("read once.jsonl", jsonl(examples()))
    before = vertex.bucket.downloads
    jobs = [vertex.ended(job) for job in [vertex.tune(uri) for _ in range(3)]]
    assert vertex.bucket.downloads == before + 1
    endpoints = [job.tuned_model.endpoint for job in jobs if job.tuned_model]
    assert len(set(endpoints)) == 3
    for endpoint in endpoints:
        assert endpoint
        assert vertex.answers(endpoint, [("phone stolen", "")]) == ["lost_phone"]
    assert len({str(job.tuning_data_stats) for job in jobs}) == 1


def test_a_file_that_is_replaced_is_read_again(vertex: VertexStandIn) -> None:
    from vertex_stand_in import jsonl

    for answer in ("one", "two"):
        uri = vertex.bucket.put("replaced.jsonl", jsonl([("alpha", answer)] * 16))
        job = vertex.ended(vertex.tune(uri))
        assert job.tuned_model
        assert job.tuned_model.endpoint
        assert vertex.answers(job.tuned_model.endpoint, [("alpha", "")]) == [answer]


def test_unusable_data_fails_every_job_that_reads_it(vertex: VertexStandIn) -> None:
    uri = vertex.bucket.put("bad for all.jsonl", b"nonsense\n")
    jobs = [vertex.ended(job) for job in [vertex.tune(uri) for _ in range(3)]]
    assert [job.error.code for job in jobs if job.error] == [3, 3, 3]
