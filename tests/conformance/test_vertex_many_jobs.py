"""Thousands of jobs at once: what they cost, and what they share."""

from __future__ import annotations

import asyncio
import statistics
import time
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


async def create(vertex: VertexStandIn, uri: str, numbers: range) -> float:
    """Create the jobs, eight at a time; return seconds per job. The official client would cost more than what is measured."""
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

    start = time.monotonic()
    async with httpx.AsyncClient(trust_env=False, timeout=30.0) as client, asyncio.TaskGroup() as group:
        for _ in range(8):
            group.create_task(some(client))
    return (time.monotonic() - start) / len(numbers)


def listed(vertex: VertexStandIn) -> tuple[list[types.TuningJob], float]:
    """Return all jobs, and the median of the seconds that a page of a hundred took."""
    jobs: list[types.TuningJob] = []
    pages: list[float] = []
    query: dict[str, Any] = {"page_size": FEW}
    start = time.monotonic()
    pager = vertex.client.tunings.list(config=types.ListTuningJobsConfig(**query))
    while True:
        pages.append(time.monotonic() - start)
        jobs += pager.page
        start = time.monotonic()
        try:
            pager.next_page()
        except IndexError:
            return jobs, statistics.median(pages)


def test_a_job_and_a_page_cost_as_much_with_a_thousand_jobs_as_with_a_hundred(own_vertex: VertexStandIn) -> None:
    from vertex_stand_in import examples, jsonl

    uri = own_vertex.bucket.put("shared.jsonl", jsonl(examples()))
    own_vertex.faults(job_seconds=60)
    one_of_few = asyncio.run(create(own_vertex, uri, range(FEW)))
    page_of_few = statistics.median(listed(own_vertex)[1] for _ in range(5))
    one_of_many = asyncio.run(create(own_vertex, uri, range(FEW, JOBS)))
    jobs, page_of_many = listed(own_vertex)
    # Ten times as many jobs: what looks at each of them would take ten times as long.
    assert one_of_many < 4 * one_of_few
    assert page_of_many < 4 * page_of_few
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
