"""The stand-in as an ASGI application: every call of the REST API that it answers."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import duckdb
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from gcp_stand_ins.bigquery.catalog import Catalog
from gcp_stand_ins.bigquery.definitions import view_from_resource
from gcp_stand_ins.bigquery.errors import ApiError, injected, invalid, not_implemented
from gcp_stand_ins.bigquery.faults import BigQueryFaults
from gcp_stand_ins.bigquery.jobs import Jobs
from gcp_stand_ins.bigquery.names import DatasetName, TableName
from gcp_stand_ins.bigquery.rights import refusal
from gcp_stand_ins.bigquery.streaming import Streaming, number_of
from gcp_stand_ins.bigquery.uploads import Uploads
from gcp_stand_ins.faults import AnswerGivenError, FaultSwitch, InjectedError

log = logging.getLogger("gcp_stand_ins.bigquery")

Handler = Callable[..., Awaitable[Response]]
_API = "/bigquery/v2/projects/{project}"
_DATASET = _API + "/datasets/{dataset}"
_TABLE = _DATASET + "/tables/{table}"
_JOB = _API + "/jobs/{job}"
_UPLOAD = "/upload" + _API + "/jobs"
_MOST_BYTES = 256 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class _Route:
    verb: str
    pattern: re.Pattern[str]
    name: str
    handler: Handler


class BigQueryApplication:
    """Answers HTTP as BigQuery's REST API does.

    Args:
        catalog: datasets and tables.
        jobs: queries and loads.
        uploads: load jobs with their files.
        faults: may delay or fail any call.
    """

    def __init__(self, catalog: Catalog, jobs: Jobs, uploads: Uploads, faults: FaultSwitch[BigQueryFaults]) -> None:
        self._catalog = catalog
        self._database = catalog.database
        self._streaming = Streaming(catalog)
        self._jobs = jobs
        self._uploads = uploads
        self._faults = faults
        self._routes = [
            _route("GET", f"{_API}/datasets", "datasets.list", self._list_datasets),
            _route("POST", f"{_API}/datasets", "datasets.insert", self._insert_dataset),
            _route("GET", _DATASET, "datasets.get", self._get_dataset),
            _route("PATCH", _DATASET, "datasets.patch", self._change_dataset),
            _route("PUT", _DATASET, "datasets.update", self._change_dataset),
            _route("DELETE", _DATASET, "datasets.delete", self._delete_dataset),
            _route("GET", f"{_DATASET}/tables", "tables.list", self._list_tables),
            _route("POST", f"{_DATASET}/tables", "tables.insert", self._insert_table),
            _route("GET", _TABLE, "tables.get", self._get_table),
            _route("PATCH", _TABLE, "tables.patch", self._change_table),
            _route("PUT", _TABLE, "tables.update", self._change_table),
            _route("DELETE", _TABLE, "tables.delete", self._delete_table),
            _route("POST", f"{_TABLE}/insertAll", "tabledata.insertAll", self._insert_all),
            _route("GET", f"{_TABLE}/data", "tabledata.list", self._list_rows),
            _route("GET", f"{_API}/jobs", "jobs.list", self._list_jobs),
            _route("POST", f"{_API}/jobs", "jobs.insert", self._insert_job),
            _route("GET", _JOB, "jobs.get", self._get_job),
            _route("POST", f"{_JOB}/cancel", "jobs.cancel", self._cancel_job),
            _route("DELETE", f"{_JOB}/delete", "jobs.delete", self._delete_job),
            _route("POST", f"{_API}/queries", "jobs.query", self._query),
            _route("GET", f"{_API}/queries/{{job}}", "jobs.getQueryResults", self._results),
            _route("POST", _UPLOAD, "jobs.insert", self._upload),
            _route("PUT", _UPLOAD, "jobs.insert", self._go_on_uploading),
        ]

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one request."""
        request = Request(scope, receive)
        try:
            answer = await self._answer(request)
        except ApiError as error:
            answer = JSONResponse(error.document(), error.status)
        except duckdb.Error as error:
            answer = JSONResponse(invalid(str(error)).document(), 400)
        except Exception as error:
            # Never a 500: the official client repeats such a call for ten minutes, and looks hung.
            log.exception("%s %s failed inside the stand-in; this is a bug in it", request.method, request.url.path)
            told = not_implemented(f"this call: it failed with {type(error).__name__}: {error}")
            answer = JSONResponse(told.document(), told.status)
        await answer(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        for route in self._routes:
            match = route.pattern.fullmatch(request.url.path) if route.verb == request.method else None
            if match is None:
                continue
            place = match.groupdict()
            try:
                await self._faults.before(route.name)
            except AnswerGivenError as given:
                return Response(given.answer.body, given.answer.status, given.answer.all_headers)
            except InjectedError as error:
                denied = error.code == str(HTTPStatus.FORBIDDEN.value)
                raise refusal(route.name, place) if denied else injected(error.code, route.name) from None
            self._faults.current.rights.check_call(route.name, place)
            answer = await route.handler(request, **place)
            applied = (
                request.method != "GET" and "location" not in answer.headers
            )  # a session of an upload is no change
            if applied and self._faults.current.loses_answer(route.name):
                lost = f"{route.name}: applied, but its answer is lost; see the fault settings of the stand-in."
                raise ApiError("backendError", lost)
            return answer
        raise not_implemented(f"{request.method} {request.url.path}")

    async def _step(self, work: Callable[..., Any], *given: Any) -> Any:
        """Return what `work` returns: one transaction of the database."""

        def step() -> Any:
            with self._database.transaction():
                return work(*given)

        return await self._database.run(step)

    # Datasets

    async def _list_datasets(self, request: Request, project: str) -> Response:
        found = await self._database.run(self._catalog.datasets, project)
        page = _page(request, "datasets", found)
        return JSONResponse({"kind": "bigquery#datasetList", **page})

    async def _insert_dataset(self, request: Request, project: str) -> Response:
        body = await _body(request)
        name = DatasetName.of(body.get("datasetReference"), project)
        return JSONResponse(await self._step(self._catalog.create_dataset, name, body))

    async def _get_dataset(self, request: Request, project: str, dataset: str) -> Response:  # noqa: ARG002
        return JSONResponse(await self._database.run(self._catalog.dataset, DatasetName(project, dataset)))

    async def _change_dataset(self, request: Request, project: str, dataset: str) -> Response:
        name, body, change = DatasetName(project, dataset), await _body(request), self._catalog.change_dataset
        etag, replace = request.headers.get("if-match"), request.method == "PUT"
        return JSONResponse(await self._step(lambda: change(name, body, replace=replace, etag=etag)))

    async def _delete_dataset(self, request: Request, project: str, dataset: str) -> Response:
        contents = request.query_params.get("deleteContents", "").lower() == "true"
        name = DatasetName(project, dataset)
        await self._step(lambda: self._catalog.delete_dataset(name, contents=contents))
        return Response(status_code=204)

    # Tables

    async def _list_tables(self, request: Request, project: str, dataset: str) -> Response:
        found = await self._database.run(self._catalog.tables, DatasetName(project, dataset))
        page = _page(request, "tables", found)
        return JSONResponse({"kind": "bigquery#tableList", "totalItems": len(found), **page})

    async def _insert_table(self, request: Request, project: str, dataset: str) -> Response:
        body = await _body(request)
        name = TableName.of({"projectId": project, "datasetId": dataset, **(body.get("tableReference") or {})}, project)
        if body.get("view"):
            return JSONResponse(await self._step(view_from_resource, self._catalog, name, body))
        for what in ("materializedView", "externalDataConfiguration", "rangePartitioning", "snapshotDefinition"):
            if body.get(what):
                raise not_implemented(f"tables with {what}")
        return JSONResponse(await self._step(self._catalog.create_table, name, body))

    async def _get_table(self, request: Request, project: str, dataset: str, table: str) -> Response:  # noqa: ARG002
        return JSONResponse(await self._database.run(self._catalog.table, _table(project, dataset, table)))

    async def _change_table(self, request: Request, project: str, dataset: str, table: str) -> Response:
        name, body, change = _table(project, dataset, table), await _body(request), self._catalog.change_table
        etag, replace = request.headers.get("if-match"), request.method == "PUT"
        return JSONResponse(await self._step(lambda: change(name, body, replace=replace, etag=etag)))

    async def _delete_table(self, request: Request, project: str, dataset: str, table: str) -> Response:  # noqa: ARG002
        await self._step(self._catalog.delete_table, _table(project, dataset, table))
        return Response(status_code=204)

    async def _insert_all(self, request: Request, project: str, dataset: str, table: str) -> Response:
        name, body = _table(project, dataset, table), await _body(request)
        full = self._faults.current.full
        return JSONResponse(await self._database.run(lambda: self._streaming.insert_all(name, body, full=full)))

    async def _list_rows(self, request: Request, project: str, dataset: str, table: str) -> Response:
        name, query = _table(project, dataset, table), dict(request.query_params)
        return JSONResponse(await self._database.run(self._streaming.page, name, query))

    # Jobs

    async def _list_jobs(self, request: Request, project: str) -> Response:
        return JSONResponse(await self._database.run(self._jobs.page, project, dict(request.query_params)))

    async def _insert_job(self, request: Request, project: str) -> Response:
        return JSONResponse(await self._jobs.insert(project, await _body(request)))

    async def _get_job(self, request: Request, project: str, job: str) -> Response:  # noqa: ARG002
        return JSONResponse(await self._database.run(self._jobs.get, project, job))

    async def _cancel_job(self, request: Request, project: str, job: str) -> Response:  # noqa: ARG002
        return JSONResponse(await self._jobs.cancel(project, job))

    async def _delete_job(self, request: Request, project: str, job: str) -> Response:  # noqa: ARG002
        await self._database.run(self._jobs.delete, project, job)
        return Response(status_code=204)

    async def _query(self, request: Request, project: str) -> Response:
        return JSONResponse(await self._jobs.query(project, await _body(request)))

    async def _results(self, request: Request, project: str, job: str) -> Response:
        return JSONResponse(await self._jobs.results(project, job, dict(request.query_params)))

    async def _upload(self, request: Request, project: str) -> Response:
        body = await _bytes(request)
        match request.query_params.get("uploadType"):
            case "multipart":
                resource, file = self._uploads.split(request.headers.get("content-type", ""), body)
                return JSONResponse(await self._jobs.insert(project, resource, file))
            case "resumable":
                session = self._uploads.begin(body)
                where = request.url.include_query_params(upload_id=session)
                return Response(headers={"location": str(where), "x-guploader-uploadid": session})
            case other:
                raise not_implemented(f"uploadType {other}")

    async def _go_on_uploading(self, request: Request, project: str) -> Response:
        session = request.query_params.get("upload_id", "")
        done = self._uploads.go_on(session, request.headers, await _bytes(request))
        if isinstance(done, int):
            return Response(status_code=308, headers={"range": f"bytes=0-{done - 1}"} if done else {})
        return JSONResponse(await self._jobs.insert(project, *done))


def _route(verb: str, pattern: str, name: str, handler: Handler) -> _Route:
    segment = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", pattern)
    return _Route(verb, re.compile(segment), name, handler)


def _table(project: str, dataset: str, table: str) -> TableName:
    return TableName.of({"datasetId": dataset, "tableId": table}, project)


def _page(request: Request, name: str, found: list[Any]) -> dict[str, Any]:
    query: Mapping[str, str] = dict(request.query_params)
    start, most = number_of(query, "pageToken") or 0, number_of(query, "maxResults") or 1000
    more = {"nextPageToken": str(start + most)} if start + most < len(found) else {}
    return {name: found[start : start + most], **more}


async def _bytes(request: Request) -> bytes:
    if int(request.headers.get("content-length") or 0) > _MOST_BYTES:
        raise ApiError("uploadTooLarge", f"The body is larger than the {_MOST_BYTES} bytes that the stand-in takes.")
    return await request.body()


async def _body(request: Request) -> dict[str, Any]:
    try:
        found = json.loads(await _bytes(request) or b"{}")
    except ValueError as error:
        raise ApiError("parseError", f"Parse Error: the body is not JSON: {error}") from None
    if not isinstance(found, dict):
        raise ApiError("parseError", "Parse Error: the body has to be a JSON object.")
    return found
