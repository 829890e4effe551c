"""Run a job of BigQuery once, however often the task that wants it is repeated."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from genops_events.errors import PermanentError
from genops_events.gcp.clients import CALL_TIMEOUT_SECONDS, idempotent_retry
from genops_events.gcp.errors import CloudRefused, CloudUnavailable
from genops_events.record.tables import Loading
from genops_events.tables.calls import DENIED, NOT_LOST, not_allowed, tables_call, told_by

if TYPE_CHECKING:
    from google.cloud import bigquery

    from genops_events.config import Config
    from genops_events.gcp.record_store import RecordStore

JOB_SECONDS = 600.0
"""How long a job is waited for; a retry of the task finds it by its id."""
_FULL = "quotaExceeded"
_PASSING = {"backendError", "internalError", "rateLimitExceeded", "jobBackendError", "jobInternalError", "stopped"}


class DatasetFull(PermanentError):
    """BigQuery takes no more rows."""


class Jobs:
    """The jobs of one table.

    Args:
        client: of BigQuery.
        config: names project and bucket, for errors.
        store: the record, which counts failed jobs.
        loading: where it does.
        location: of the dataset.
    """

    def __init__(
        self, client: bigquery.Client, config: Config, store: RecordStore, loading: str, location: str
    ) -> None:
        self._client = client
        self._config = config
        self._store = store
        self._loading = loading
        self._location = location

    def once(self, what: str, base: str, start: Callable[[str], Any]) -> Any:
        """Return the job of this id when it is done: started now, or found there from a try that died.

        Args:
            what: in words, for errors.
            base: beginning of its id, the same for the same work.
            start: starts the job of an id.

        Raises:
            DatasetFull: BigQuery takes no more rows.
            CloudUnavailable: it failed for a cause that passes, or is not done yet.
            CloudRefused: it failed.
        """
        from google.api_core.exceptions import Conflict

        number = self._failed()
        while True:
            job_id = f"{base}-{number}"
            found = False
            try:
                with tables_call(self._config, what):
                    try:
                        job = start(job_id)
                    except Conflict:
                        found = True
                        job = self._look(job_id)
            except CloudRefused as error:
                raise self._error(what, told_by(error), error) from error.__cause__
            if found and job.state == "DONE" and job.error_result:
                number += 1  # of an earlier try: its id is used up
                self._note_failure(number)
                continue
            try:
                with tables_call(self._config, what):
                    job.result(timeout=JOB_SECONDS, retry=idempotent_retry())
            except (CloudRefused, CloudUnavailable) as error:
                with tables_call(self._config, what):
                    job = self._look(job_id)
                if job.state == "DONE" and job.error_result:
                    self._note_failure(number + 1)
                    raise self._error(what, job.error_result, error) from error.__cause__
                raise
            return job

    def _look(self, job_id: str) -> Any:
        return self._client.get_job(
            job_id, location=self._location, retry=idempotent_retry(), timeout=CALL_TIMEOUT_SECONDS
        )

    def _error(self, what: str, result: Mapping[str, Any], error: CloudRefused | CloudUnavailable) -> Exception:
        """Return a failed job's error in words that say what to do."""
        reason, message = str(result.get("reason")), str(result.get("message"))
        if reason == _FULL:
            return DatasetFull(
                f"Could not {what}: BigQuery takes no more rows ({reason}): {message}",
                f"{NOT_LOST} Raise the quota or remove what is not needed; the next run of genops_tables loads what is missing. "
                "`tables: {bigquery: off}` does without.",
            )
        if reason in _PASSING:
            return CloudUnavailable(f"Could not {what}: {reason}: {message}", "It is retried with back-off.")
        if isinstance(error, CloudRefused):
            return error
        if reason in DENIED:
            return not_allowed(self._config, f"Could not {what}: {message}")
        refused = CloudRefused(f"Could not {what}: {reason}: {message}", NOT_LOST)
        refused.status = error.status
        return refused

    def _failed(self) -> int:
        known = self._store.read(self._loading, Loading)
        return 0 if known is None else known.failed_jobs

    def _note_failure(self, number: int) -> None:
        def change(found: Loading | None) -> Loading | None:
            if found is None or found.failed_jobs >= number:
                return None
            return found.model_copy(update={"failed_jobs": number})

        self._store.update(self._loading, Loading, change)


def job_base(table: str, step: str, work: Sequence[Any]) -> str:
    """Return the beginning of a job id that is the same for the same work."""
    digest = hashlib.sha256(json.dumps(list(work)).encode()).hexdigest()[:32]
    return f"genops-{table}-{step}-{digest}"
