"""Batch prediction jobs: accepted, answered row by row in the background, shown."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from genops_events.local.faults import FaultSwitch
from genops_events.local.vertex.answering import Answering
from genops_events.local.vertex.batch_jobs import (
    CANCELLING,
    WRITTEN,
    BatchJob,
    Written,
    due,
    has_ended,
    history,
    outcome_of,
    read_create_request,
    state_at,
    view,
)
from genops_events.local.vertex.documents import Database, Shelf
from genops_events.local.vertex.errors import ApiError, invalid, not_found
from genops_events.local.vertex.faults import VertexFaults
from genops_events.local.vertex.learning import INTERNAL, STORAGE_PATIENCE_SECONDS
from genops_events.local.vertex.listing import fill_page, read_query
from genops_events.local.vertex.order import Creations
from genops_events.local.vertex.training_data import StorageAway, TrainingData, Unreadable, split_uri
from genops_events.local.vertex.tuning import fate_of, new_id
from genops_events.local.vertex.tuning_jobs import timestamp

log = logging.getLogger("genops.local.vertex")

_RETRY_SECONDS = 0.5
_ROWS_AT_ONCE = 50
_REASONS = {400: "Bad Request", 404: "Not Found", 501: "Not Implemented"}
_FILTER_FIELDS = {
    "state": "state",
    "display_name": "displayName",
    "displayName": "displayName",
    "model": "model",
}


class Batches:
    """All batch prediction jobs of this stand-in; what it has acknowledged is on disk.

    Args:
        database: where jobs are kept.
        answering: answers the rows.
        data: where rows are read from and predictions written to.
        switch: the fault settings, fixed into each job when it is created.
        scratch: folder for downloads.
    """

    def __init__(
        self,
        *,
        database: Database,
        answering: Answering,
        data: TrainingData,
        switch: FaultSwitch[VertexFaults],
        scratch: Path,
    ) -> None:
        self._jobs = Shelf(database, "batch", BatchJob)
        self._answering = answering
        self._data = data
        self._switch = switch
        self._scratch = scratch
        self._order = Creations()
        self._tasks: set[asyncio.Task[None]] = set()
        for job in sorted(self._jobs, key=lambda one: one.created):
            self._enter(job)
        self._last_created = max((job.created for job in self._jobs), default=0.0)

    def resume(self) -> None:
        """Go on with the jobs that a former process left unfinished."""
        for job in self._jobs:
            if not has_ended(job, time.time()):
                self._start(job)

    async def create(self, parent: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Accept a new job and return it, on disk already.

        Raises:
            ApiError: the request is not valid, or its rows or model are not there.
        """
        request = read_create_request(body)
        self._answering.served(request["model"])
        for uri in request["inputConfig"]["gcsSource"]["uris"]:
            try:
                await self._data.check_lately(*split_uri(uri, field="input_config.gcs_source.uris"))
            except Unreadable as error:
                raise invalid(f"input_config: {error}") from None
            except StorageAway as error:
                log.warning("could not check %s at creation: %s", uri, error)
        self._last_created = max(time.time(), self._last_created + 1e-6)
        fate = fate_of(self._switch.current)
        job = BatchJob(parent=parent, id=new_id(), created=self._last_created, request=request, fate=fate)
        self._jobs.put(job.name, job)
        self._enter(job)
        self._start(job)
        return view(job, job.created)

    def get(self, name: str) -> dict[str, Any]:
        """Return the job as it is now.

        Raises:
            ApiError: there is none of that name.
        """
        return view(self._find(name), time.time())

    def list_jobs(self, parent: str, query: Mapping[str, str]) -> dict[str, object]:
        """Return a page of the jobs, newest first."""
        now = time.time()
        asked = read_query(query, fields=_FILTER_FIELDS)

        def matching() -> Iterator[tuple[str, dict[str, Any]]]:
            for key, name in self._order.newest_first(parent, after=asked.after, label=asked.filter.label):
                job = self._jobs.get(name)
                if job is not None and asked.filter.matches(_Filtered(job, now)):
                    yield key, view(job, now)

        return fill_page(matching(), field="batchPredictionJobs", size=asked.size)

    def cancel(self, name: str) -> None:
        """Ask a job to end; it is cancelling for a moment, and then cancelled.

        Raises:
            ApiError: there is none of that name, or it has ended.
        """
        job, now = self._find(name), time.time()
        state, _ = state_at(job, now)
        if has_ended(job, now):
            raise ApiError("FAILED_PRECONDITION", f"The batch prediction job {name} has ended: {state}.")
        if state != CANCELLING:
            self._jobs.put(name, replace(job, cancelled=now))

    def delete(self, name: str) -> None:
        """Forget a job that has ended; its predictions stay.

        Raises:
            ApiError: there is none of that name, or it has not ended.
        """
        job, now = self._find(name), time.time()
        if not has_ended(job, now):
            state = state_at(job, now)[0]
            raise ApiError("FAILED_PRECONDITION", f"The batch prediction job {name} is {state}; cancel it first.")
        self._order.drop(job.parent, job.name, job.created, job.labels)
        self._jobs.drop(name)

    def resume_paused(self, name: str | None = None) -> list[str]:
        """Let paused jobs go on, all or the one of that name, and return their names."""
        now, resumed = time.time(), []
        for job in self._jobs:
            waits = job.fate.outcome == "paused" and job.resumed is None and job.cancelled is None
            if waits and not has_ended(job, now) and name in (None, job.name):
                self._jobs.put(job.name, replace(job, resumed=now))
                resumed.append(job.name)
        return resumed

    def overview(self) -> list[dict[str, object]]:
        """Return all jobs of all projects in order of creation, for tests."""
        now = time.time()
        return [
            {
                "name": job.name,
                "state": state_at(job, now)[0],
                "displayName": job.request.get("displayName", ""),
                "labels": job.labels,
                "createTime": timestamp(job.created),
                "vanished": job.fate.vanishes,
            }
            for job in sorted(self._jobs, key=lambda one: one.created)
        ]

    async def stop(self) -> None:
        """End the background work; a later process resumes it."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _find(self, name: str) -> BatchJob:
        job = self._jobs.get(name)
        if job is None or job.fate.vanishes:
            raise not_found(f"The BatchPredictionJob {name} is not found.")
        return job

    def _enter(self, job: BatchJob) -> None:
        if not job.fate.vanishes:
            self._order.add(job.parent, job.name, job.created, job.labels)

    def _start(self, job: BatchJob) -> None:
        # Only what ends with predictions has anything to do in the background.
        if job.fate.hangs or job.written is not None or outcome_of(job) not in WRITTEN:
            return
        task = asyncio.get_running_loop().create_task(self._run(job), name=job.name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, job: BatchJob) -> None:
        """Answer the rows when the job begins, and write the predictions when its time has come."""
        await _sleep_until(history(job)[1][1])
        try:
            answered = await self._answer(job)
            if isinstance(answered, Written):
                written = answered
            else:
                if not await self._wait_for_end(job.name):
                    return
                written = await self._write(job, *answered)
        except asyncio.CancelledError:
            raise
        except Exception:
            # The job must end, or its caller waits for ever.
            log.exception("batch prediction job %s failed", job.name)
            written = Written(at=time.time(), error="Internal error while predicting.", error_code=INTERNAL)
        current = self._jobs.get(job.name)
        if current is not None and not has_ended(current, time.time()):
            self._jobs.put(job.name, replace(current, written=written))

    async def _wait_for_end(self, name: str) -> bool:
        """Return whether the job has come to its end without being cancelled; a paused one takes as long as it takes."""
        while True:
            job = self._jobs.get(name)
            if job is None or job.cancelled is not None:
                return False
            end = due(job)
            if end is not None and end <= time.time():
                return True
            await asyncio.sleep(min(0.1, end - time.time()) if end is not None else 0.1)

    async def _answer(self, job: BatchJob) -> tuple[list[bytes], int] | Written:
        """Return the lines of predictions, and how many of them are errors, or what is wrong with the source."""
        lines: list[bytes] = []
        failed = 0
        for at, uri in enumerate(job.request["inputConfig"]["gcsSource"]["uris"]):
            download = self._scratch / f"{job.id}-{at}.jsonl"
            try:
                bucket, name = split_uri(uri, field="input_config.gcs_source.uris")
                await _patiently(partial(self._data.download, bucket, name, download))
                with download.open("rb") as rows:
                    for row in rows:
                        if not row.strip():
                            continue
                        prediction = await self._predict(job, row, number=len(lines))
                        failed += prediction["status"] != ""
                        lines.append(msgspec.json.encode(prediction) + b"\n")
                        if len(lines) % _ROWS_AT_ONCE == 0:
                            await asyncio.sleep(0)  # others are waiting for the event loop
            except (Unreadable, StorageAway) as error:
                code = 3 if isinstance(error, Unreadable) else INTERNAL
                return Written(at=time.time(), error=f"The input could not be read: {error}", error_code=code)
            finally:
                with suppress(FileNotFoundError):
                    download.unlink()
        if not lines:
            return Written(at=time.time(), error="The input has no rows.")
        return lines, failed

    async def _predict(self, job: BatchJob, row: bytes, *, number: int) -> dict[str, Any]:
        """Return one line of predictions in Vertex AI's form."""
        shown: dict[str, Any] = {"status": "", "processed_time": timestamp(time.time()), "request": {}, "response": {}}
        try:
            shown["request"] = request = _request_of(row)
            if number % 2:
                _fail_in_part(job)
            shown["response"] = await self._answering.generate(job.request["model"], request)
        except ApiError as error:
            reason = _REASONS.get(error.http_status, "Internal Server Error")
            shown["status"] = f"{reason}: {msgspec.json.encode(error.document()).decode()}"
        return shown

    async def _write(self, job: BatchJob, lines: list[bytes], failed: int) -> Written:
        bucket, name = split_uri(f"{job.directory}/predictions.jsonl", field="output_uri_prefix")
        try:
            await _patiently(partial(self._data.write, bucket, name, b"".join(lines)))
        except (Unreadable, StorageAway) as error:
            return Written(at=time.time(), error=f"The predictions could not be written: {error}")
        return Written(at=time.time(), successful=len(lines) - failed, failed=failed)


@dataclass(frozen=True, slots=True)
class _Filtered:
    """A job as a filter asks for it: quicker to make than a view."""

    job: BatchJob
    now: float

    def get(self, name: str, default: Any, /) -> Any:
        """Return the value of a field of the job's JSON."""
        return state_at(self.job, self.now)[0] if name == "state" else self.job.request.get(name, default)


def _request_of(row: bytes) -> dict[str, Any]:
    try:
        read = msgspec.json.decode(row)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise invalid(f"The row is not JSON in UTF-8: {error}.") from None
    request = read.get("request") if isinstance(read, dict) else None
    if not isinstance(request, dict):
        raise invalid("The row has no object `request`.")
    return request


def _fail_in_part(job: BatchJob) -> None:
    """Raise for a row of a job that is to succeed only in part."""
    if job.fate.outcome == "partially_succeeded":
        raise ApiError("INTERNAL", "Injected fault: job_outcome=partially_succeeded.")


async def _sleep_until(moment: float) -> None:
    await asyncio.sleep(max(0.0, moment - time.time()))


async def _patiently(call: Callable[[], Awaitable[object]]) -> None:
    """Call until Cloud Storage answers, for as long as a job is patient.

    Raises:
        Unreadable: it refuses.
        StorageAway: it stayed away.
    """
    patience = time.monotonic() + STORAGE_PATIENCE_SECONDS
    while True:
        try:
            await call()
        except StorageAway:
            if time.monotonic() > patience:
                raise
            await asyncio.sleep(_RETRY_SECONDS)
        else:
            return
