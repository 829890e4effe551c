"""Tuning jobs at the Vertex AI stand-in that hang until they are ended, one after the other."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Self

import httpx

from benchmarks.bench_stack import dataset_name

if TYPE_CHECKING:
    from genops_events.config import Config

EXAMPLES = 160
"""Ten steps of the stand-in: each job has news more often than its progress is told."""
TRAINING_FILE = "waiting.jsonl"
TUNING_BEGINS, HANGS_AFTER = 0.25, 0.575
"""Shares of a hanging job's duration: between them, its steps grow (`gcp_stand_ins/vertex/tuning_jobs.py`)."""
CANCELLING_SECONDS = 0.5
_TIMEOUT_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Job:
    """A job, and when it was created."""

    name: str
    created_at: datetime


class Jobs:
    """The jobs of one stand-in; use as a context manager.

    Args:
        config: of the stack.
        url: of the stand-in.
        admin_url: of its admin route.
    """

    def __init__(self, config: Config, url: str, admin_url: str) -> None:
        self._parent = f"{url}/v1beta1/projects/{config.project}/locations/{config.location}"
        self._base = self._parent.rpartition("projects/")[0]
        self._admin = admin_url
        self._model = config.dataset(dataset_name(0)).source_model
        self.training_uri = f"gs://{config.bucket}/{TRAINING_FILE}"
        self._http = httpx.Client(timeout=_TIMEOUT_SECONDS, trust_env=False)
        turns = [{"role": "user", "parts": [{"text": "where"}]}, {"role": "model", "parts": [{"text": "here"}]}]
        self._file = "\n".join([json.dumps({"contents": turns})] * EXAMPLES)
        self._config = config

    def __enter__(self) -> Self:
        from genops_events.gcp.clients import storage_client

        bucket = storage_client(self._config).bucket(self._config.bucket)
        bucket.blob(TRAINING_FILE).upload_from_string(self._file)
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def faults(self, **faults: Any) -> None:
        """Set the fate of the jobs that are created from now on."""
        self._http.put(f"{self._admin}/faults", json=faults).raise_for_status()

    def create(self, count: int, *, seconds: float) -> list[Job]:
        """Create jobs that hang half-way, and take `seconds` to get there twice."""
        self.faults(job_hangs=True, job_seconds=seconds)
        body = {
            "baseModel": self._model,
            "supervisedTuningSpec": {
                "trainingDatasetUri": self.training_uri,
                "hyperParameters": {"epochCount": "1"},
            },
        }
        made = []
        for _ in range(count):
            answer = self._http.post(f"{self._parent}/tuningJobs", json=body).raise_for_status().json()
            made.append(Job(answer["name"], datetime.fromisoformat(answer["createTime"])))
        return made

    def end(self, jobs: Sequence[Job], *, seconds: float) -> None:
        """End jobs in an order that is not that of their creation, spread evenly over so many seconds."""
        order = random.Random(4).sample(list(jobs), len(jobs))
        began = time.monotonic()
        for number, job in enumerate(order):
            time.sleep(max(0.0, began + seconds * number / len(order) - time.monotonic()))
            self._http.post(f"{self._base}{job.name}:cancel", json={}).raise_for_status()

    def ends(self) -> dict[str, datetime]:
        """Return when each job ended that has ended, by name."""
        found: dict[str, datetime] = {}
        query: dict[str, str] = {"pageSize": "100"}
        while True:
            page = self._http.get(f"{self._parent}/tuningJobs", params=query).raise_for_status().json()
            for one in page.get("tuningJobs", ()):
                if "endTime" in one:
                    found[one["name"]] = datetime.fromisoformat(one["endTime"])
            if "nextPageToken" not in page:
                return found
            query["pageToken"] = page["nextPageToken"]

    def newest(self) -> str | None:
        """Return the name of the job that was created last; None before the first."""
        page = self._http.get(f"{self._parent}/tuningJobs", params={"pageSize": "1"}).raise_for_status().json()
        return next((str(one["name"]) for one in page.get("tuningJobs", ())), None)

    def looks(self) -> int:
        """Return how often anybody asked for jobs since the stand-in's start, one or a page of them."""
        calls = self._http.get(f"{self._admin}/calls").raise_for_status().json()
        return int(calls.get("tuningJobs.list", 0)) + int(calls.get("tuningJobs.get", 0))
