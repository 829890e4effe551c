"""Intake: make every arrival a candidate, and wake its tuning."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import BaseOperator, Context
from airflow.sdk.exceptions import AirflowSkipException

from genops_events.airflow.assets import TRAINING_ARRIVALS, TRAINING_DATA, WOKEN_BY
from genops_events.airflow.drain import drain
from genops_events.airflow.healing import sweep
from genops_events.airflow.retries import INTAKE_RETRIES, STAGE_DEFAULTS
from genops_events.config import Intake, load_config
from genops_events.errors import TransientError
from genops_events.gcp.at_once import widen
from genops_events.gcp.record_store import RecordStore

log = logging.getLogger(__name__)

NAMED = 100
"""Woken candidates that the task's result names; the others are counted."""


class MintCandidates(BaseOperator):
    """Record each arrival as a candidate and emit its key, exactly once per object generation.

    Runs that the clock or a person started sweep first: whatever was lost on the way, also behind intake, is found there.
    Any number of these tasks may run at once.
    """

    def __init__(self, **kwargs: Any) -> None:
        # The sweep asks Airflow for the events of these assets; a task sees only those of its inlets.
        asked = dict.fromkeys(asset for assets in WOKEN_BY.values() for asset in assets)
        own = {"inlets": [TRAINING_ARRIVALS, *asked], "outlets": [TRAINING_DATA]}
        super().__init__(**{**STAGE_DEFAULTS, "retry_policy": INTAKE_RETRIES, **own, **kwargs})

    def execute(self, context: Context) -> dict[str, Any]:
        """Return how many candidates were woken, and the first of them.

        Raises:
            AirflowSkipException: there are none. (A task that succeeds emits its asset even without a key.)
        """
        config = load_config()
        store = RecordStore.open(config)
        widen(store.bucket.client)
        woken: set[str] = set()
        if context["dag_run"].run_type != "asset_triggered":
            figures = sweep(context, config, store)
            context["ti"].xcom_push(key="sweep", value=figures.document(now=datetime.now(UTC)).figures())
            woken |= figures.woken
        # After the sweep: what is woken is stored only when the task ends, and arrivals must not wait for a sweep.
        try:
            woken |= drain(context, config, store)
        except TransientError:
            if not woken:
                raise
            # Those that the drain recorded before it failed are new to no run: a sweep sees that nobody took them on.
            log.exception("What the sweep found is woken; arrivals are left to the next run, recorded ones to a sweep")
        if not woken:
            raise AirflowSkipException("no arrivals, and nothing to wake")
        context["outlet_events"][TRAINING_DATA].add_partitions(sorted(woken))
        log.info("Intake woke %d candidates", len(woken))
        return {"woken": len(woken), "candidates": sorted(woken)[:NAMED]}


def sweep_interval() -> timedelta:
    """Return `intake.sweep_minutes`; the default where genops.yaml cannot be read.

    A Dag file asks while it is parsed. One that fails takes the Dag's watcher with it, and arrivals wait: a typing error
    in genops.yaml must not do that.
    """
    try:
        intake = load_config().intake
    except Exception:  # noqa: BLE001 - whatever it is, the Dag stays; the task reports it when it loads the configuration
        intake = Intake()
    return timedelta(minutes=intake.sweep_minutes)
