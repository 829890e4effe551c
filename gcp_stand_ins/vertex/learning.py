"""What tuning jobs do with their training data: read it, check it, keep what it teaches."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from gcp_stand_ins.vertex.dataset import Dataset, DatasetRejected, read_dataset
from gcp_stand_ins.vertex.errors import INTERNAL
from gcp_stand_ins.vertex.learner import LearnedModels, Learner, Pairs, extract
from gcp_stand_ins.vertex.training_data import (
    STORAGE_PATIENCE_SECONDS,
    StorageAway,
    TrainingData,
    Unreadable,
    patiently,
    split_uri,
)
from gcp_stand_ins.vertex.tuning_jobs import DataResult, TuningJob
from gcp_stand_ins.vertex.tuning_requests import PREFERENCE, method_of

_KEPT_STUDIES = 256

_Key = tuple[str, str, str, str, str]
"""Method, teacher, and bucket, name and generation of the object."""
_Study = tuple[str, DataResult, str | None]
"""The job that read an object, what came of it, and which generation of it was read."""


class Learning:
    """Reads each training file once, however many jobs learn from it.

    Args:
        learned: gets what the jobs have learned.
        data: where training data is read from.
        executor: threads for reading files.
        scratch: folder for downloads.
    """

    def __init__(self, *, learned: LearnedModels, data: TrainingData, executor: Executor, scratch: Path) -> None:
        self._learned = learned
        self._data = data
        self._executor = executor
        self._scratch = scratch
        self._studies: OrderedDict[_Key, asyncio.Task[_Study]] = OrderedDict()
        scratch.mkdir(parents=True, exist_ok=True)

    async def read(self, job: TuningJob) -> DataResult:
        """Return what came of the job's training data, its examples kept under the job's id."""
        method, spec = method_of(job.request)
        bucket, name = split_uri(spec[method.data], field=method.data)
        generation = None
        with suppress(StorageAway, Unreadable):  # The download says what is wrong.
            generation = await self._data.check(bucket, name)
        if generation is None or job.continues:
            return (await self._study(job, bucket, name))[1]
        key = (method.field, job.teacher or "", bucket, name, generation)
        known = self._studies.get(key)
        if known is not None:
            other, result, _ = await asyncio.shield(known)
            if result.rejection is None:
                self._learned.share(job.id, other)
            return replace(result, at=time.time())
        # A task of its own: those who wait for it get what this job gets, an error too.
        mine = asyncio.get_running_loop().create_task(self._study(job, bucket, name))
        self._studies[key] = mine
        while len(self._studies) > _KEPT_STUDIES:
            self._studies.popitem(last=False)
        keep = False
        try:
            _, result, read = await mine
            keep = result.rejection is None and read == generation
        finally:
            if not keep:
                self._studies.pop(key, None)
        return result

    async def _study(self, job: TuningJob, bucket: str, name: str) -> _Study:
        """Read the object and keep what it teaches under the job's id."""
        download = self._scratch / f"{job.id}.jsonl"
        try:
            generation = await patiently(lambda: self._data.download(bucket, name, download))
            dataset = await asyncio.get_running_loop().run_in_executor(self._executor, self._take_in, job, download)
        except StorageAway as error:
            message = f"The training dataset could not be read for {STORAGE_PATIENCE_SECONDS:.0f} s: {error}"
            return job.id, DataResult(at=time.time(), rejection=message, rejection_code=INTERNAL), None
        except (Unreadable, DatasetRejected) as error:
            return job.id, DataResult(at=time.time(), rejection=str(error)), None
        finally:
            with suppress(FileNotFoundError):
                download.unlink()
        return job.id, DataResult(at=time.time(), examples=dataset.examples, stats=dataset.stats), generation

    def _take_in(self, job: TuningJob, download: Path) -> Dataset:
        """Read the downloaded file and keep its examples, after those of the model that the job started from."""
        method, _ = method_of(job.request)
        teach = Learner(self._learned.pairs(job.teacher)).answer if job.teacher else extract
        with download.open("rb") as lines:
            dataset = read_dataset(lines, method, teach=teach)
        before: Pairs = self._learned.pairs(job.continues) if job.continues else []
        if method is PREFERENCE:
            # What is preferred now takes the place of what was answered before.
            asked = {question for question, _ in dataset.pairs}
            before = [pair for pair in before if pair[0] not in asked]
        self._learned.save(job.id, [*before, *dataset.pairs])
        return dataset
