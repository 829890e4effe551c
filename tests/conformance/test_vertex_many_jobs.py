"""Thousands of jobs at once: what they cost, and what they share."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from google.genai import types
from waiting import HANG_SECONDS

if TYPE_CHECKING:
    from vertex_stand_in import VertexStandIn

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

    async with httpx.AsyncClient(trust_env=False, timeout=HANG_SECONDS) as client, asyncio.TaskGroup() as group:
        for _ in range(8):
            group.create_task(some(client))


def listed(vertex: VertexStandIn) -> list[types.TuningJob]:
    """Return all jobs, read in pages of a hundred."""
    query: dict[str, Any] = {"page_size": FEW}
    return list(vertex.client.tunings.list(config=types.ListTuningJobsConfig(**query)))


def test_a_thousand_jobs_are_listed_newest_first_and_found_by_their_label(own_vertex: VertexStandIn) -> None:
    from vertex_stand_in import examples, jsonl

    uri = own_vertex.bucket.put("shared.jsonl", jsonl(examples()))
    own_vertex.faults(job_seconds=100_000)  # none of them begins to learn meanwhile
    asyncio.run(create(own_vertex, uri, range(JOBS)))
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
