"""Jobs: taken once by their id, run, and told of; what was acknowledged is run, also after a kill."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import duckdb

from gcp_stand_ins.bigquery.catalog import LOCATION, Catalog, now_ms
from gcp_stand_ins.bigquery.database import Document
from gcp_stand_ins.bigquery.errors import ApiError, duplicate, from_result, invalid, not_found, not_implemented
from gcp_stand_ins.bigquery.faults import BigQueryFaults
from gcp_stand_ins.bigquery.gcs import CloudStorage
from gcp_stand_ins.bigquery.loads import Loads
from gcp_stand_ins.bigquery.names import TableName, checked_job_id
from gcp_stand_ins.bigquery.parameters import as_answered
from gcp_stand_ins.bigquery.queries import Queries
from gcp_stand_ins.bigquery.streaming import number_of, rows_page
from gcp_stand_ins.faults import FaultSwitch

log = logging.getLogger("gcp_stand_ins.bigquery")

_KINDS = ("query", "load")
_WAIT_SECONDS = 10.0
_OWN = ("media", "runs_at", "rows_in")
"""Parts of a job's document that are not sent."""


class Jobs:
    """All jobs of all projects.

    Args:
        catalog: what they read and change.
        faults: may delay or fail them.
        storage: where `gs://` addresses lead.
        base_url: of links.
    """

    def __init__(
        self, catalog: Catalog, faults: FaultSwitch[BigQueryFaults], storage: CloudStorage, base_url: str
    ) -> None:
        self._catalog = catalog
        self._database = catalog.database
        self._faults = faults
        self._storage = storage
        self._base_url = base_url
        self._queries = Queries(catalog)
        self._loads = Loads(catalog)
        self._under_way: dict[str, asyncio.Task[None]] = {}

    async def insert(self, project: str, body: Mapping[str, Any], media: Path | None = None) -> Document:
        """Take a job, and run it; the answer does not wait for one that a fault setting delays.

        Args:
            project: that pays.
            body: a `Job` with `configuration`, and `jobReference` where the client chose the id.
            media: what was uploaded with it; removed when the job is done.

        Raises:
            ApiError: the id is taken, or the configuration cannot be.
        """
        if (body.get("configuration") or {}).get("dryRun"):
            return await self._database.run(self._dry_run, project, body)
        name = await self._database.run(self._accept, project, body, media)
        await self._start(name)
        return await self._database.run(self.get, project, name.partition(":")[2])

    async def resume(self) -> None:
        """Go on with the jobs that a kill has interrupted."""
        jobs = await self._database.run(self._database.all, "job")
        for name, document in jobs.items():
            if document["status"]["state"] != "DONE":
                self._under_way[name] = asyncio.create_task(self._run_at(name, document.get("runs_at") or 0))

    async def stop(self) -> None:
        """Leave delayed jobs to the next life."""
        for task in list(self._under_way.values()):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    def get(self, project: str, job: str) -> Document:
        """Return a job.

        Raises:
            ApiError: there is none.
        """
        document = self._database.get("job", f"{project}:{job}")
        if document is None:
            raise not_found("Job", f"{project}:{job}")
        return {key: value for key, value in document.items() if key not in _OWN}

    def page(self, project: str, query: Mapping[str, str]) -> dict[str, Any]:
        """Return a page of a project's jobs, the newest first."""
        states = {one.upper() for one in (query.get("stateFilter") or "").split(",") if one}
        names = [
            (document["statistics"]["creationTime"], name)
            for name, document in self._database.all("job").items()
            if name.startswith(f"{project}:") and (not states or document["status"]["state"] in states)
        ]
        names.sort(reverse=True)
        start, most = number_of(query, "pageToken") or 0, number_of(query, "maxResults") or 50
        found = [self.get(project, name.partition(":")[2]) for _, name in names[start : start + most]]
        # JobList.jobs in Google's discovery document: neither link nor etag, and the state once more.
        listed = [
            {
                **{key: value for key, value in one.items() if key not in ("etag", "selfLink")},
                "state": one["status"]["state"],
            }
            for one in found
        ]
        more = {"nextPageToken": str(start + most)} if start + most < len(names) else {}
        return {"kind": "bigquery#jobList", "jobs": listed, **more}

    async def cancel(self, project: str, job: str) -> dict[str, Any]:
        """Cancel a job that is not done yet."""
        await self._database.run(self.get, project, job)
        task = self._under_way.pop(f"{project}:{job}", None)
        if task is not None:
            task.cancel()
            stopped = ApiError("stopped", "Job execution was cancelled: User requested cancellation")
            await self._database.run(self._end, f"{project}:{job}", {}, stopped)
        return {"kind": "bigquery#jobCancelResponse", "job": await self._database.run(self.get, project, job)}

    def delete(self, project: str, job: str) -> None:
        """Forget a job; its id stays free."""
        self.get(project, job)
        with self._database.transaction():
            self._database.put("job", f"{project}:{job}", None)

    async def results(self, project: str, job: str, query: Mapping[str, str]) -> dict[str, Any]:
        """Return a page of what a query job has found, once it is done.

        Raises:
            ApiError: there is no such job, it was no query, or it failed.
        """
        await self._database.run(self.get, project, job)
        timeout = number_of(query, "timeoutMs")
        task = self._under_way.get(f"{project}:{job}")
        if task is not None:
            await asyncio.wait({task}, timeout=_WAIT_SECONDS if timeout is None else timeout / 1000)
        return await self._database.run(self._results, project, job, query)

    async def query(self, project: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Run a query and return its first page of rows (`jobs.query`)."""
        outside = {"maxResults", "timeoutMs", "formatOptions", "location", "requestId", "kind", "dryRun", "labels"}
        outside |= {"jobCreationMode", "jobTimeoutMs", "reservation", "writeIncrementalResults"}
        config: Document = {"query": {key: value for key, value in body.items() if key not in outside}}
        job_id = f"job_{body['requestId']}" if body.get("requestId") else None
        reference = {"location": body.get("location"), "jobId": job_id}
        if body.get("dryRun"):
            done = await self.insert(project, {"configuration": {**config, "dryRun": True}, "jobReference": reference})
            figures = done["statistics"]["query"]
            schema = {"schema": figures["schema"]} if "schema" in figures else {}
            return {**_DONE, "jobReference": done["jobReference"], "totalBytesProcessed": "0", **schema}
        try:
            job = await self.insert(project, {"configuration": config, "jobReference": reference})
        except ApiError as error:
            if error.reason != "duplicate" or job_id is None:
                raise
            job = await self._database.run(self.get, project, job_id)  # the same request came before
        options = body.get("formatOptions") or {}
        wanted = {f"formatOptions.{key}": str(value) for key, value in options.items()}
        wanted |= {key: str(body[key]) for key in ("maxResults", "timeoutMs") if body.get(key) is not None}
        found = await self.results(project, job["jobReference"]["jobId"], wanted)
        return {**{name: value for name, value in found.items() if name != "etag"}, "kind": "bigquery#queryResponse"}

    def _accept(self, project: str, body: Mapping[str, Any], media: Path | None) -> str:
        """Write down that the job is taken; return its name."""
        kind, config = _kind(body)
        reference = body.get("jobReference") or {}
        job = checked_job_id(reference.get("jobId") or f"job_{uuid.uuid4().hex}")
        name = f"{project}:{job}"
        if self._database.get("job", name) is not None:
            raise duplicate("Job", f"{project}:{job}")
        if kind == "load":
            self._loads.check(config, project)
        now = now_ms()
        delay = self._faults.current.job_seconds
        document: Document = {
            "kind": "bigquery#job",
            "etag": uuid.uuid4().hex,
            "id": f"{project}:{reference.get('location') or LOCATION}.{job}",
            "selfLink": f"{self._base_url}/bigquery/v2/projects/{project}/jobs/{job}",
            "user_email": "local@genops.invalid",
            "jobReference": {"projectId": project, "jobId": job, "location": reference.get("location") or LOCATION},
            "configuration": {**as_answered(body["configuration"]), "jobType": kind.upper()},
            "status": {"state": "RUNNING"},
            "statistics": {"creationTime": str(now), "startTime": str(now)},
            "media": None if media is None else str(media),
            "runs_at": now + int(delay * 1000) if delay else 0,
        }
        with self._database.transaction():
            self._database.put("job", name, document)
        return name

    def _dry_run(self, project: str, body: Mapping[str, Any]) -> Document:
        kind, config = _kind(body)
        if kind != "query":
            raise not_implemented(f"a dry run of a {kind} job")
        try:
            figures = self._queries.plan(config, project, self._faults.current.rights)
        except duckdb.Error as error:
            raise _refused(error) from error
        reference = {"projectId": project, "jobId": f"dry_{uuid.uuid4().hex}", "location": LOCATION}
        now = str(now_ms())
        return {
            "kind": "bigquery#job",
            "jobReference": reference,
            "configuration": {**as_answered(body["configuration"]), "jobType": "QUERY"},
            "status": {"state": "DONE"},
            "statistics": {"creationTime": now, "totalBytesProcessed": "0", "query": figures},
        }

    async def _start(self, name: str) -> None:
        document = await self._database.run(self._database.get, "job", name)
        assert document is not None
        task = asyncio.create_task(self._run_at(name, document["runs_at"]))
        self._under_way[name] = task
        if not document["runs_at"]:
            await asyncio.shield(task)

    async def _run_at(self, name: str, when_ms: int) -> None:
        await asyncio.sleep(max(0.0, (when_ms - now_ms()) / 1000))
        document = await self._database.run(self._database.get, "job", name)
        if document is None:
            return
        fetched: list[Path] = []
        try:
            media = document.get("media")
            config = document["configuration"].get("load")
            if media is None and config is not None:
                fetched = await self._storage.fetch(config.get("sourceUris") or [], self._database.scratch)
            await self._database.run(self._execute, name, [Path(media)] if media else fetched)
        except ApiError as error:
            await self._database.run(self._end, name, {}, error)
        finally:
            self._under_way.pop(name, None)
            for file in fetched:
                file.unlink(missing_ok=True)

    def _execute(self, name: str, files: Sequence[Path]) -> None:
        """Run a job: its changes and its end are one transaction."""
        document = self._database.get("job", name)
        assert document is not None
        project, _, job = name.partition(":")
        kind, config = _kind(document)
        faults = self._faults.current
        try:
            with self._database.transaction():
                faults.check_job()
                rows_in = None
                if kind == "load":
                    figures = self._loads.run(config, project, files, rights=faults.rights, full=faults.full)
                else:
                    figures, rows_in = self._queries.run(config, project, job, rights=faults.rights, full=faults.full)
                self._put_end(name, {kind: figures}, None, rows_in)
        except ApiError as error:
            self._end(name, {}, error)
        except duckdb.Error as error:
            self._end(name, {}, _refused(error))
        except Exception as error:
            # Never an internal error: the official client would repeat the job for many minutes.
            log.exception("Job %s failed inside the stand-in; this is a bug in it", name)
            self._end(name, {}, not_implemented(f"this job: it failed with {type(error).__name__}: {error}"))
        if document.get("media"):
            Path(document["media"]).unlink(missing_ok=True)

    def _end(self, name: str, figures: Document, error: ApiError | None) -> None:
        with self._database.transaction():
            self._put_end(name, figures, error, None)

    def _put_end(self, name: str, figures: Document, error: ApiError | None, rows_in: TableName | None) -> None:
        document = self._database.get("job", name)
        if document is None:
            return
        status: Document = {"state": "DONE"}
        if error is not None:
            causes = error.causes or [error]
            status |= {"errorResult": error.detail(), "errors": [one.detail() for one in causes]}
        statistics = {**document["statistics"], "endTime": str(now_ms()), **figures}
        statistics["totalBytesProcessed"] = "0"
        ended = {**document, "status": status, "statistics": statistics}
        if rows_in is not None:
            ended["rows_in"] = rows_in.reference()
            config = document["configuration"]
            ended["configuration"] = {**config, "query": {**config["query"], "destinationTable": rows_in.reference()}}
        self._database.put("job", name, ended)

    def _results(self, project: str, job: str, query: Mapping[str, str]) -> dict[str, Any]:
        document = self._database.get("job", f"{project}:{job}")
        if document is None:
            raise not_found("Job", f"{project}:{job}")
        if "query" not in document["configuration"]:
            raise invalid(f"Job {project}:{job} is no query.")
        answer: dict[str, Any] = {**_DONE, "jobReference": document["jobReference"], "etag": document["etag"]}
        if document["status"]["state"] != "DONE":
            return {**answer, "jobComplete": False}
        if "errorResult" in document["status"]:
            raise from_result(document["status"]["errorResult"])
        figures = document["statistics"]["query"]
        answer |= {"cacheHit": False, "totalBytesProcessed": "0"}
        if "numDmlAffectedRows" in figures:
            answer |= {"numDmlAffectedRows": figures["numDmlAffectedRows"]}
        if document.get("rows_in") is None:
            return {**answer, "totalRows": "0"}
        source = TableName.of(document["rows_in"], project)
        fields = self._catalog.fields(source)
        return {**answer, "schema": {"fields": fields}, **rows_page(self._database, source.sql, fields, query)}


_DONE: Document = {"kind": "bigquery#getQueryResultsResponse", "jobComplete": True}


def _kind(body: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    """Return the kind of a job and its configuration.

    Raises:
        ApiError: it has none, or one that is not implemented.
    """
    config = body.get("configuration")
    if not isinstance(config, Mapping):
        raise invalid("Required parameter is missing: configuration")
    for kind in _KINDS:
        if isinstance(config.get(kind), Mapping):
            return kind, config[kind]
    others = sorted(name for name in ("copy", "extract") if name in config)
    if others:
        raise not_implemented(f"{others[0]} jobs")
    raise invalid("Job configuration must contain exactly one job-specific configuration object (e.g., query, load).")


def _refused(error: duckdb.Error) -> ApiError:
    said = str(error)
    if isinstance(error, duckdb.ConstraintException) and "NOT NULL" in said:
        return ApiError("invalid", f"Required field cannot be null: {said.rpartition('.')[2]}")
    if isinstance(error, duckdb.ParserException):
        # What it gets has been read as BigQuery's SQL before.
        return not_implemented(f"a part of this SQL: {said}")
    return ApiError("invalidQuery", said, location="query")
