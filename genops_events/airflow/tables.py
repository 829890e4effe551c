"""Tables for analysis: bring them up to date in the bucket, and in BigQuery if genops.yaml names a dataset."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

from airflow.sdk import BaseOperator, Context
from airflow.sdk.exceptions import AirflowSkipException

from genops_events.airflow.priorities import WAITED_FOR_PRIORITY
from genops_events.airflow.retries import INTAKE_RETRIES, STAGE_DEFAULTS
from genops_events.config import load_config
from genops_events.config.tables import AnalysisTables
from genops_events.errors import PermanentError
from genops_events.gcp.at_once import widen
from genops_events.gcp.record_store import RecordStore
from genops_events.tables.parts import WrittenParts, write_parts

log = logging.getLogger(__name__)

_ROUNDS = 20
"""Rounds of `write_parts` in one run: what was never written before, such as a record of years, takes many."""


_NAMED = 10
"""Problems that the error names; the log has all."""


class TablesIncomplete(PermanentError):
    """Documents of the record cannot be read; everything else is in the tables."""


class ExportTables(BaseOperator):
    """Write what has changed in the record into the tables, however often it is started and wherever it dies."""

    def __init__(self, **kwargs: Any) -> None:
        own = {"retry_policy": INTAKE_RETRIES, "priority_weight": WAITED_FOR_PRIORITY}
        super().__init__(**{**STAGE_DEFAULTS, **own, **kwargs})

    def execute(self, context: Context) -> dict[str, Any]:  # noqa: ARG002
        """Return how much was written and loaded.

        Raises:
            AirflowSkipException: nothing has changed.
        """
        config = load_config()
        store = RecordStore.open(config)
        widen(store.bucket.client)
        written = WrittenParts()
        for _ in range(_ROUNDS):
            found = write_parts(config, store)
            written.candidates += found.candidates
            written.ledgers += found.ledgers
            written.rows += found.rows
            written.problems = found.problems
            written.left_out = found.left_out
            if not found.more:
                break
        from genops_events.tables.bigquery import load_tables

        # Also without a dataset: it is forgotten then how far one was.
        loaded = load_tables(config, store)
        figures = {
            "candidates": written.candidates,
            "ledgers": written.ledgers,
            "rows": written.rows,
            "left_out": written.left_out,
            "loaded_parts": loaded.parts,
            "loaded_rows": loaded.rows,
        }
        log.info("Tables: %s", figures)
        if written.problems:
            named = " ".join(written.problems[:_NAMED])
            more = f" And {len(written.problems) - _NAMED} more." if len(written.problems) > _NAMED else ""
            raise TablesIncomplete(
                f"{len(written.problems)} rows, candidates or ledgers are not in the tables as they are: {named}{more}",
                "Fix what the message names; the next run goes on. Everything else is in the tables.",
            )
        if not (written.candidates or written.ledgers or loaded.parts):
            raise AirflowSkipException("nothing has changed")
        return figures


def tables_interval() -> timedelta:
    """Return `tables.every_minutes`; the default where genops.yaml cannot be read, as the sweep's interval."""
    try:
        tables = load_config().tables
    except Exception:  # noqa: BLE001 - whatever it is, the Dag stays; the task reports it when it loads the configuration
        tables = AnalysisTables()
    return timedelta(minutes=tables.every_minutes)
