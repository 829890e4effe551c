"""Ask a running Airflow whether its components are alive and its Dags are parsed."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from genops_events.stack.loopback_http import LoginRequired, get_json, post_json

JobType = Literal["SchedulerJob", "TriggererJob", "DagProcessorJob"]

# A file that holds no Dag at all is waited for no longer than this once the Dag processor works.
_NO_DAG_SECONDS = 25.0


@dataclass(frozen=True, slots=True)
class Probe:
    """What a look at a component showed."""

    ready: bool
    note: str | None = None
    """What is still missing or, of a ready component, what is wrong with what it serves."""


class AirflowApi:
    """The API server, asked as the stack's own user.

    Args:
        url: where it is.
        user: its name.
        password: its password, exchanged for a token when it is needed, and again when that is good no more.
    """

    def __init__(self, url: str, *, user: str, password: str) -> None:
        self.url = url
        self._user = user
        self._password = password
        self._token: str | None = None

    async def get(self, path: str) -> Any:
        """Return the JSON at `path`.

        Raises:
            OSError: it cannot be asked.
        """
        if self._token is not None:
            try:
                return await get_json(f"{self.url}{path}", token=self._token)
            except LoginRequired:  # a day old, or of a server with another secret
                self._token = None
        body = {"username": self._user, "password": self._password}
        self._token = str((await post_json(f"{self.url}/auth/token", body))["access_token"])
        return await get_json(f"{self.url}{path}", token=self._token)


async def api_server(url: str) -> Probe:
    """Tell whether the API server answers and reaches the database."""
    try:
        health = await get_json(f"{url}/api/v2/monitor/health")
    except OSError as error:
        return Probe(ready=False, note=str(error))
    status = health["metadatabase"]["status"]
    return Probe(ready=status == "healthy", note=None if status == "healthy" else f"its database is {status}")


async def job(api: AirflowApi, job_type: JobType, *, since: datetime, count: int) -> Probe:
    """Tell whether `count` jobs of this type that started after `since` have a fresh heartbeat."""
    try:
        jobs = await api.get(f"/api/v2/jobs?job_type={job_type}&job_state=running&is_alive=true&limit=100")
    except OSError as error:
        return Probe(ready=False, note=f"the API server cannot be asked: {error}")
    young = [one for one in jobs["jobs"] if datetime.fromisoformat(one["start_date"]) >= since]
    return Probe(ready=len(young) >= count, note=None if len(young) >= count else "no heartbeat yet")


def dag_files(folder: Path) -> set[str]:
    """Return the files that Airflow will take for Dag files, by its own rule of thumb."""
    found = set()
    for path in folder.rglob("*.py"):
        if any(part.startswith((".", "__")) for part in path.relative_to(folder).parts):
            continue
        text = path.read_bytes().lower()
        if b"dag" in text and b"airflow" in text:
            found.add(str(path))
    return found


class DagsParsed:
    """Tells whether every Dag file of a folder was parsed since the Dag processor started.

    Args:
        api: the API server.
        folder: the Dags folder.
    """

    def __init__(self, api: AirflowApi, folder: Path) -> None:
        self._api = api
        self._folder = folder
        self._waiting_since: float | None = None
        self._since: datetime | None = None

    async def look(self, *, since: datetime) -> Probe:
        """Look once. `since` is when the Dag processor started."""
        alive = await job(self._api, "DagProcessorJob", since=since, count=1)
        if not alive.ready:
            return alive
        if self._since != since:
            self._since, self._waiting_since = since, time.monotonic()
        try:
            dags = (await self._api.get("/api/v2/dags?limit=100"))["dags"]
            errors = (await self._api.get("/api/v2/importErrors?limit=100"))["import_errors"]
        except OSError as error:
            return Probe(ready=False, note=f"the API server cannot be asked: {error}")
        broken = {self._path(one): one for one in errors if _at(one["timestamp"]) >= since}
        parsed = {one["fileloc"] for one in dags if one["last_parsed_time"] and _at(one["last_parsed_time"]) >= since}
        missing = sorted(dag_files(self._folder) - parsed - broken.keys())
        waited = time.monotonic() - (self._waiting_since or 0.0)
        if missing and waited < _NO_DAG_SECONDS:
            return Probe(ready=False, note=f"{len(missing)} Dag files to parse")
        return Probe(ready=True, note=_complaint(broken) if broken else None)

    async def import_errors(self) -> str | None:
        """Return what is wrong with the Dags now.

        Raises:
            OSError: the API server does not answer.
        """
        errors = (await self._api.get("/api/v2/importErrors?limit=100"))["import_errors"]
        return _complaint({self._path(one): one for one in errors}) if errors else None

    def _path(self, error: dict[str, Any]) -> str:
        name = str(error["filename"])
        return name if Path(name).is_absolute() else str(self._folder / name)


def _at(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _complaint(broken: dict[str, dict[str, Any]]) -> str:
    path, error = min(broken.items(), key=lambda one: one[0])
    lines = [line.strip() for line in str(error["stack_trace"]).splitlines() if line.strip()]
    others = f" (and {len(broken) - 1} more)" if len(broken) > 1 else ""
    last = re.sub(r"\s+", " ", lines[-1]) if lines else "no reason given"
    return f"Dag import error in {path}: {last}{others}"
