"""Batch prediction jobs: answered row by row in the background, their predictions written when their time has come."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from gcp_stand_ins.faults import FaultSwitch
from gcp_stand_ins.vertex.answering import Answering
from gcp_stand_ins.vertex.base_models import check_batch
from gcp_stand_ins.vertex.batch_jobs import (
    WRITTEN,
    BatchJob,
    Written,
    due,
    history,
    outcome_of,
    read_create_request,
    state_at,
    view,
)
from gcp_stand_ins.vertex.documents import Database
from gcp_stand_ins.vertex.errors import INTERNAL, ApiError, invalid
from gcp_stand_ins.vertex.faults import VertexFaults
from gcp_stand_ins.vertex.job import TERMINAL, Kind, timestamp
from gcp_stand_ins.vertex.jobs import Jobs, fate_of, new_id, sleep_until
from gcp_stand_ins.vertex.training_data import StorageAway, TrainingData, Unreadable, patiently, split_uri

log = logging.getLogger("gcp_stand_ins.vertex")

_ROWS_AT_ONCE = 50
_REASONS = {400: "Bad Request", 404: "Not Found", 501: "Not Implemented"}
_SOURCE = "input_config.gcs_source.uris"
_KIND = Kind(
    of=BatchJob,
    shelf="batch",
    spoken="batch prediction job",
    title="displayName",
    filters={"state": "state", "display_name": "displayName", "displayName": "displayName", "model": "model"},
    state=state_at,
    view=view,
)


class Batches(Jobs[BatchJob]):
    """All batch prediction jobs of this stand-in.

    Args:
        answering: answers the rows.
        scratch: folder for downloads.
    """

    def __init__(
        self,
        *,
        database: Database,
        answering: Answering,
        data: TrainingData,
        switch: FaultSwitch[VertexFaults],
        listed_after_seconds: float,
        scratch: Path,
    ) -> None:
        super().__init__(_KIND, database=database, data=data, switch=switch, listed_after_seconds=listed_after_seconds)
        self._answering = answering
        self._scratch = scratch

    async def create(self, parent: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Accept a new job and return it, on disk already.

        Raises:
            ApiError: the request is not valid, or its model is not there. Rows that are not there fail the job later.
        """
        request = read_create_request(body)
        job_id, model = self._answering.served(request["model"])
        check_batch(model, parent, is_tuned=job_id is not None)
        fate = fate_of(self._switch.current)
        return self._accept(
            BatchJob(parent=parent, id=new_id(), created=self._now_created(), request=request, fate=fate)
        )

    def delete(self, name: str) -> None:
        """Forget a job that has ended; its predictions stay.

        Raises:
            ApiError: there is none of that name, or it has not ended.
        """
        job = self._find(name)
        state = state_at(job, time.time())
        if state not in TERMINAL:
            raise ApiError("FAILED_PRECONDITION", f"The batch prediction job {name} is {state}; cancel it first.")
        self._order.drop(job.parent, job.name, job.created, job.labels)
        self._jobs.drop(name)

    def _has_work(self, job: BatchJob) -> bool:
        # Only what ends with predictions has anything to do in the background.
        return not job.fate.hangs and job.written is None and outcome_of(job) in WRITTEN

    async def _work(self, job: BatchJob) -> None:
        """Answer the rows when the job begins, and write the predictions when its time has come."""
        await sleep_until(history(job)[1][1])
        try:
            answered = await self._answer(job)
            if isinstance(answered, Written):
                written = answered
            else:
                if not await self._wait_for_end(job.name):
                    return
                written = await self._write(job, *answered)
        except Exception:
            # The job must end, or its caller waits for ever.
            log.exception("batch prediction job %s failed", job.name)
            written = Written(at=time.time(), error="Internal error while predicting.", error_code=INTERNAL)
        current = self._jobs.get(job.name)
        if current is not None and not self._has_ended(current, time.time()):
            self._keep(replace(current, written=written))

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
                bucket, name = split_uri(uri, field=_SOURCE)
                await patiently(partial(self._data.download, bucket, name, download))
                with download.open("rb") as rows:
                    for row in rows:
                        if not row.strip():
                            continue
                        prediction = await self._predict(job, row, number=len(lines))
                        failed += bool(prediction["status"])
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
        return self._switch.current.row(shown)

    async def _write(self, job: BatchJob, lines: list[bytes], failed: int) -> Written:
        bucket, name = split_uri(f"{job.directory}/predictions.jsonl", field="output_uri_prefix")
        try:
            await patiently(partial(self._data.write, bucket, name, b"".join(lines)))
        except (Unreadable, StorageAway) as error:
            return Written(at=time.time(), error=f"The predictions could not be written: {error}")
        return Written(at=time.time(), successful=len(lines) - failed, failed=failed)


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
