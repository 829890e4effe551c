"""Tuning jobs: what they start from, what they learn in the background, and the models they leave behind."""

from __future__ import annotations

import heapq
import logging
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from gcp_stand_ins.faults import FaultSwitch
from gcp_stand_ins.vertex.base_models import check_tuning, publisher_model
from gcp_stand_ins.vertex.documents import Database
from gcp_stand_ins.vertex.errors import INTERNAL, invalid
from gcp_stand_ins.vertex.faults import VertexFaults
from gcp_stand_ins.vertex.job import Kind
from gcp_stand_ins.vertex.jobs import Jobs, fate_of, new_id, sleep_until
from gcp_stand_ins.vertex.learner import LearnedModels
from gcp_stand_ins.vertex.learning import Learning
from gcp_stand_ins.vertex.registry import Registry
from gcp_stand_ins.vertex.training_data import TrainingData
from gcp_stand_ins.vertex.tuning_jobs import (
    MAKES_MODEL,
    MAX_CHECKPOINTS,
    DataResult,
    Stage,
    TuningJob,
    epochs_of,
    history,
    stage_at,
    state_at,
    view,
)
from gcp_stand_ins.vertex.tuning_requests import adapter_of, method_of, read_create_request

log = logging.getLogger("gcp_stand_ins.vertex")

_KIND = Kind(
    of=TuningJob,
    shelf="job",
    spoken="tuning job",
    title="tunedModelDisplayName",
    filters={
        "state": "state",
        "tuned_model_display_name": "tunedModelDisplayName",
        "tunedModelDisplayName": "tunedModelDisplayName",
        "base_model": "baseModel",
        "baseModel": "baseModel",
    },
    state=state_at,
    view=view,
)


class Tuning(Jobs[TuningJob]):
    """All tuning jobs of this stand-in.

    Args:
        registry: gets the models of the jobs that succeed.
        learned: gets what the jobs have learned.
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
        listed_after_seconds: float,
        learning: Learning,
    ) -> None:
        super().__init__(_KIND, database=database, data=data, switch=switch, listed_after_seconds=listed_after_seconds)
        self._registry = registry
        self._learned = learned
        self._learning = learning
        self._database = database
        # When each job that will leave a model behind ends, the next one first; entries that have become wrong stay.
        self._ends: list[tuple[float, str]] = []
        for job in self._jobs:
            self._expect_end(job)

    async def create(self, parent: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Accept a new job and return it, on disk already.

        Raises:
            ApiError: the request is not valid, or its data or model is not there.
        """
        request = read_create_request(body)
        base_model, continues, model_id = self._origin(parent, request)
        check_tuning(base_model, parent, adapter=adapter_of(request), own_key="encryptionSpec" in request)
        method, spec = method_of(request)
        teacher = self._teacher(parent, spec.get("tunedTeacherModelSource"))
        for field in (method.data, "validationDatasetUri"):
            if field in spec:
                await self._check_readable(spec[field], field)
        faults = self._switch.current
        last_only = spec.get("exportLastCheckpointOnly") or faults.job_outcome == "partially_succeeded"
        checkpoints = 1 if last_only else min(MAX_CHECKPOINTS, epochs_of(request))
        job = TuningJob(
            parent=parent,
            id=new_id(),
            created=self._now_created(),
            request=request,
            base_model=base_model,
            fate=fate_of(faults),
            model_id=model_id,
            endpoint_ids=tuple(new_id() for _ in range(checkpoints)),
            continues=continues,
            teacher=teacher,
        )
        return self._accept(job)

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

    def _keep(self, job: TuningJob) -> None:
        super()._keep(job)
        self._expect_end(job)

    def _expect_end(self, job: TuningJob) -> None:
        last, begins = history(job)[-1]
        if last in MAKES_MODEL and job.version is None and not job.fate.vanishes:
            heapq.heappush(self._ends, (begins, job.name))

    def _has_work(self, job: TuningJob) -> bool:
        return job.data is None

    async def _work(self, job: TuningJob) -> None:
        """Read the job's training data when its time has come, and keep what came of it."""
        starts = next(begin for stage, begin in history(job) if stage is Stage.PROCESSING)
        await sleep_until(starts)
        try:
            result = await self._learning.read(job)
        except Exception:
            # The job must end, or its caller waits for ever.
            log.exception("tuning job %s: reading its data failed", job.name)
            result = DataResult(
                at=time.time(), rejection="Internal error while processing the dataset.", rejection_code=INTERNAL
            )
        current = self._jobs.get(job.name) or job
        if self._has_ended(current, time.time()):
            return
        self._keep(replace(current, data=result))
        if result.rejection is None and job.fate.outcome in ("succeeded", "partially_succeeded", "paused"):
            await self._learned.learner(job.id)
