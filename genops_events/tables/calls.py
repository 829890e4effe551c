"""Call BigQuery, and say what to do where this account may not: nothing is lost meanwhile."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from genops_events.gcp.errors import CloudRefused, google_call
from genops_events.gcp.requirements import tables_grants

if TYPE_CHECKING:
    from genops_events.config import Config

NOT_LOST = "Nothing is lost: the rows are in the bucket, and `genops sql` shows them."
_FORBIDDEN = 403
DENIED = {"accessDenied", "forbidden"}
"""What BigQuery and Cloud Storage call a missing right; a full dataset and an API that is off are 403, too.

https://cloud.google.com/bigquery/docs/error-messages, https://cloud.google.com/storage/docs/json_api/v1/status-codes (read 2026-12-01)
"""


@contextmanager
def tables_call(config: Config, what: str) -> Iterator[None]:
    """Run one call that the tables in BigQuery need under this project's errors.

    Raises:
        CloudUnavailable: as `google_call`.
        CloudRefused: as `google_call`; of a missing right, its hint has the commands that grant it.
    """
    try:
        with google_call(what):
            yield
    except CloudRefused as error:
        if told_by(error).get("reason") not in DENIED:
            raise
        raise not_allowed(config, error.message) from error.__cause__


def not_allowed(config: Config, message: str) -> CloudRefused:
    """Return the error of a right that is missing: to be granted, and then the next run goes on."""
    refused = CloudRefused(
        message,
        f"{NOT_LOST} Grant the account that runs genops_tables (MEMBER) what it lacks of this, and its next run loads what is "
        f"missing: {'; '.join(f'`{one}`' for one in tables_grants(config))}. `tables: {{bigquery: off}}` does without.",
    )
    refused.status = _FORBIDDEN
    return refused


def told_by(error: CloudRefused) -> Mapping[str, Any]:
    """Return `reason` and `message` with which BigQuery refused a call; an empty mapping where it says none."""
    told: Sequence[Mapping[str, Any]] = getattr(error.__cause__, "errors", None) or [{}]
    return told[0]
