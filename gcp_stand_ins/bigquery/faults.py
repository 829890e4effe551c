"""What this stand-in can be told to do wrong, beyond what every stand-in can."""

from __future__ import annotations

import random
from http import HTTPStatus

from pydantic import Field, field_validator

from gcp_stand_ins.bigquery.errors import ApiError
from gcp_stand_ins.bigquery.rights import Rights
from gcp_stand_ins.faults import HttpFaults


class BigQueryFaults(HttpFaults):
    """Faults of BigQuery; methods are named as in its REST API: `jobs.insert`, `tabledata.insertAll`."""

    lose_answers: float = Field(default=0.0, ge=0, le=1)
    """Share of changes that are applied and then answered with 503; `error_methods` applies.

    A client that repeats such a `jobs.insert` with the same job id is told 409.
    """
    full: bool = False
    """No table takes a row more: jobs and `insertAll` that would add rows end with `quotaExceeded`."""
    job_seconds: float = Field(default=0.0, ge=0)
    """From creation until the job is done; one of 0 is done before its creation is answered."""
    job_error_reason: str = ""
    """Jobs created from now on fail with this reason, such as `backendError`, and change nothing."""

    permissions: list[str] | None = None
    """What the caller may do: permissions (`bigquery.jobs.create`) and roles (`roles/bigquery.jobUser`, as granted on the project).

    Everything else is refused with 403 `accessDenied`, by a call or by a job. None: everything is allowed.
    """

    @property
    def rights(self) -> Rights:
        """What the caller may do."""
        return Rights.of(self.permissions)

    @field_validator("permissions")
    @classmethod
    def _are_known(cls, permissions: list[str] | None) -> list[str] | None:
        Rights.of(permissions)
        return permissions

    def loses_answer(self, method: str) -> bool:
        """Tell whether the answer to an applied call of `method` is to be lost."""
        if self.error_methods and method not in self.error_methods:
            return False
        return random.random() < self.lose_answers  # noqa: S311 - not a secret

    def check_job(self) -> None:
        """Fail a job that is about to run, where the settings say so.

        Raises:
            ApiError: they do.
        """
        if self.job_error_reason:
            raise ApiError(self.job_error_reason, "Injected fault: this job fails.")

    @field_validator("error_code")
    @classmethod
    def _is_an_error_status(cls, code: str) -> str:
        if not code.isdecimal() or not HTTPStatus.BAD_REQUEST <= int(code) <= 599:  # noqa: PLR2004 - the last 5xx
            raise ValueError(f"{code!r} is not an HTTP error status (400 to 599)")
        return code
