"""Tuning jobs: accepted, run in the background, shown."""

from __future__ import annotations

import asyncio
import heapq
import logging
import random
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from genops_events.local.faults import FaultSwitch
from genops_events.local.vertex.documents import Database, Shelf
from genops_events.local.vertex.errors import ApiError, invalid, not_found
from genops_events.local.vertex.faults import VertexFaults
from genops_events.local.vertex.learner import LearnedModels
from genops_events.local.vertex.learning import INTERNAL, Learning
from genops_events.local.vertex.listing import fill_page, read_query
from genops_events.local.vertex.order import Creations
from genops_events.local.vertex.registry import Registry
from genops_events.local.vertex.training_data import StorageAway, TrainingData, Unreadable, split_uri
from genops_events.local.vertex.tuning_jobs import (
    MAKES_MODEL,
    MAX_CHECKPOINTS,
    DataResult,
    Fate,
    Stage,
    TuningJob,
    epochs_of,
    has_ended,
    history,
    stage_at,
    timestamp,
    view,
)
from genops_events.local.vertex.tuning_requests import method_of, publisher_model, read_create_request

log = logging.getLogger("genops.local.vertex")

_FILTER_FIELDS = {
    "state": "state",
    "tuned_model_display_name": "tunedModelDisplayName",
    "tunedModelDisplayName": "tunedModelDisplayName",
    "base_model": "baseModel",
    "baseModel": "baseModel",
}


class Tuning:
    """All tuning jobs of this stand-in; what it has acknowledged is on disk.

    Args:
        database: where jobs are kept.
        registry: gets the models of the jobs that succeed.
        learned: gets what the jobs have learned.
        data: where training data is read from.
        switch: the fault settings, fixed into each job when it is created.
        learning: reads the training data.
    """

    def __init__(
        self,
        *,
        database: Database,
        registry: Registry,
        learned: LearnedModels,
        data: TrainingData,
        switch: FaultSwitch[VertexFaults],
        learning: Learning,
    ) -> None:
        self._jobs = Shelf(database, "job", TuningJob)
        self._registry = registry
        self._learned = learned
        self._data = data
        self._switch = switch
        self._learning = learning
        self._database = database
        self._order = Creations()
        # When each job that will leave a model behind ends, the next one first; entries that have become wrong stay.
        self._ends: list[tuple[float, str]] = []
        self._tasks: set[asyncio.Task[None]] = set()
        for job in sorted(self._jobs, key=lambda one: one.created):
            self._enter(job)
        self._last_created = max((job.created for job in self._jobs), default=0.0)

    def resume(self) -> None:
        """Go on with the jobs that a former process left unfinished."""
        for job in self._jobs:
            if job.data is None and not has_ended(job, time.time()):
                self._start(job)

    async def create(self, parent: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Accept a new job and return it, on disk already.

        Raises:
            ApiError: the request is not valid, or its data or model is not there.
        """
        request = read_create_request(body)
        base_model, continues, model_id = self._origin(parent, request)
        method, spec = method_of(request)
        teacher = self._teacher(parent, spec.get("tunedTeacherModelSource"))
        for field in (method.data, "validationDatasetUri"):
            if field in spec:
                await self._check_readable(spec[field], field)
        faults = self._switch.current
        last_only = spec.get("exportLastCheckpointOnly") or faults.job_outcome == "partially_succeeded"
        checkpoints = 1 if last_only else min(MAX_CHECKPOINTS, epochs_of(request))
        # Strictly increasing, so that "newest first" has one answer.
        self._last_created = max(time.time(), self._last_created + 1e-6)
        job = TuningJob(
            parent=parent,
            id=new_id(),
            created=self._last_created,
            request=request,
            base_model=base_model,
            fate=fate_of(faults),
            model_id=model_id,
            endpoint_ids=tuple(new_id() for _ in range(checkpoints)),
            continues=continues,
            teacher=teacher,
        )
        self._keep(job)
        self._enter(job)
        self._start(job)
        return view(job, job.created)

    def _origin(self, parent: str, request: Mapping[str, Any]) -> tuple[str, str | None, str]:
        """Return the publisher model, the job that is continued, and the id of the model to be made."""
        tuned = request.get("preTunedModel")
        if tuned is None:
            return publisher_model(request["baseModel"]), None, new_id()
        name = tuned.get("tunedModelName", "") if isinstance(tuned, dict) else ""
        prefix = f"{parent}/models/"
        if not name.startswith(prefix):
            raise invalid(f"pre_tuned_model.tuned_model_name must be {prefix}MODEL@VERSION; found {name!r}.")
        self.settle()
        origin = self._registry.model(parent, name.removeprefix(prefix))
        checkpoint = tuned.get("checkpointId")
        if checkpoint and checkpoint not in [one["checkpointId"] for one in origin.checkpoints]:
            raise invalid(f"The Model {name} has no checkpoint {checkpoint!r}.")
        # Output only, as the service fills it in.
        tuned["baseModel"] = origin.base_model
        return origin.base_model, origin.job_id, origin.model_id

    def _teacher(self, parent: str, name: object) -> str | None:
        """Return the job that made the tuned model which is to teach, None for a base model."""
        if name is None:
            return None
        prefix = f"{parent}/models/"
        if not isinstance(name, str) or not name.startswith(prefix):
            raise invalid(f"tuned_teacher_model_source must be {prefix}MODEL; found {name!r}.")
        self.settle()
        return self._registry.model(parent, name.removeprefix(prefix)).job_id

    async def _check_readable(self, uri: str, field: str) -> None:
        try:
            await self._data.check_lately(*split_uri(uri, field=field))
        except Unreadable as error:
            raise invalid(f"{field}: {error}") from None
        except StorageAway as error:
            # As at Google, where a job is accepted before its data is read; the job itself goes on asking.
            log.warning("could not check %s at creation: %s", field, error)

    def get(self, name: str) -> dict[str, Any]:
        """Return the job as it is now.

        Raises:
            ApiError: there is none of that name.
        """
        now = self.settle()
        return view(self._find(name), now)

    def list_jobs(self, parent: str, query: Mapping[str, str]) -> dict[str, object]:
        """Return a page of the jobs, newest first."""
        now = self.settle()
        asked = read_query(query, fields=_FILTER_FIELDS)

        def matching() -> Iterator[tuple[str, dict[str, Any]]]:
            for key, name in self._order.newest_first(parent, after=asked.after, label=asked.filter.label):
                job = self._jobs.get(name)
                if job is not None and asked.filter.matches(_Filtered(job, now)):
                    yield key, view(job, now)

        return fill_page(matching(), field="tuningJobs", size=asked.size)

    def cancel(self, name: str) -> None:
        """Ask a job to end; it is cancelling for a moment, and then cancelled.

        Raises:
            ApiError: there is none of that name, or it has ended.
        """
        now = self.settle()
        job = self._find(name)
        if has_ended(job, now):
            state = stage_at(job, now)[0].value[0]
            raise ApiError("FAILED_PRECONDITION", f"The tuning job {name} has ended: {state}. It cannot be cancelled.")
        if stage_at(job, now)[0] is not Stage.CANCELLING:
            self._keep(replace(job, cancelled=now))

    def resume_paused(self, name: str | None = None) -> list[str]:
        """Let paused jobs go on, all or the one of that name, and those that are still to pause never pause.

        Returns their names.
        """
        now, resumed = time.time(), []
        for job in self._jobs:
            waits = (
                job.fate.outcome == "paused"
                and job.resumed is None
                and job.cancelled is None
                and not has_ended(job, now)
            )
            if waits and name in (None, job.name):
                self._keep(replace(job, resumed=now))
                resumed.append(job.name)
        return resumed

    def overview(self) -> list[dict[str, object]]:
        """Return all jobs of all projects in order of creation, for tests."""
        now = self.settle()
        return [
            {
                "name": job.name,
                "state": stage_at(job, now)[0].value[0],
                "labels": job.labels,
                "createTime": timestamp(job.created),
                "vanished": job.fate.vanishes,
            }
            for job in sorted(self._jobs, key=lambda one: one.created)
        ]

    def settle(self) -> float:
        """Register the models of the jobs that have succeeded by now, and return what "now" was."""
        now = time.time()
        if not self._ends or self._ends[0][0] > now:
            return now
        with self._database.at_once():
            while self._ends and self._ends[0][0] <= now:
                job = self._jobs.get(heapq.heappop(self._ends)[1])
                if job is None or job.version is not None or stage_at(job, now)[0] not in MAKES_MODEL:
                    continue
                ended = history(job)[-1][1]
                version = self._registry.has_version_of(job) or self._registry.register(job, ended)
                self._keep(replace(job, version=version))
        return now

    async def stop(self) -> None:
        """End the background work; a later process resumes it."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _find(self, name: str) -> TuningJob:
        job = self._jobs.get(name)
        if job is None or job.fate.vanishes:
            raise not_found(f"The TuningJob {name} is not found.")
        return job

    def _keep(self, job: TuningJob) -> None:
        self._jobs.put(job.name, job)
        self._expect_end(job)

    def _enter(self, job: TuningJob) -> None:
        """Let lists show a job, unless it vanishes."""
        if not job.fate.vanishes:
            self._order.add(job.parent, job.name, job.created, job.labels)
        self._expect_end(job)

    def _expect_end(self, job: TuningJob) -> None:
        last, begins = history(job)[-1]
        if last in MAKES_MODEL and job.version is None and not job.fate.vanishes:
            heapq.heappush(self._ends, (begins, job.name))

    def _start(self, job: TuningJob) -> None:
        task = asyncio.get_running_loop().create_task(self._learn(job), name=job.name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _learn(self, job: TuningJob) -> None:
        """Read the job's training data when its time has come, and keep what came of it."""
        starts = next(begin for stage, begin in history(job) if stage is Stage.PROCESSING)
        await asyncio.sleep(max(0.0, starts - time.time()))
        try:
            result = await self._learning.read(job)
        except asyncio.CancelledError:
            raise
        except Exception:
            # The job must end, or its caller waits for ever.
            log.exception("tuning job %s: reading its data failed", job.name)
            result = DataResult(
                at=time.time(), rejection="Internal error while processing the dataset.", rejection_code=INTERNAL
            )
        current = self._jobs.get(job.name) or job
        if has_ended(current, time.time()):
            return
        self._keep(replace(current, data=result))
        if result.rejection is None and job.fate.outcome in ("succeeded", "partially_succeeded", "paused"):
            await self._learned.learner(job.id)


@dataclass(frozen=True, slots=True)
class _Filtered:
    """A job as a filter asks for it: quicker to make than a view."""

    job: TuningJob
    now: float

    def get(self, name: str, default: Any, /) -> Any:
        """Return the value of a field of the job's JSON."""
        if name == "state":
            return stage_at(self.job, self.now)[0].value[0]
        return self.job.request.get(name, default)


def fate_of(faults: VertexFaults) -> Fate:
    """Return the fate of a job that is created under these settings."""
    return Fate(
        seconds=faults.job_seconds,
        outcome=faults.job_outcome,
        vanishes=faults.job_vanishes,
        hangs=faults.job_hangs,
        error_code=faults.job_error_code,
        error_message=faults.job_error_message,
    )


def new_id() -> str:
    """Return a number for a new resource, 18 digits as Vertex AI gives them."""
    return str(random.randrange(10**17, 10**18))  # noqa: S311 - not a secret
