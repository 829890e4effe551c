"""Intake: make every arrival a candidate, and wake its tuning."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import BaseOperator, Context
from airflow.sdk.exceptions import AirflowSkipException
from pydantic import ValidationError

from genops_events import record
from genops_events.airflow.assets import TRAINING_ARRIVALS, TRAINING_DATA
from genops_events.airflow.healing import sweep
from genops_events.airflow.retries import STAGE_DEFAULTS
from genops_events.arrivals import Notice, arrival
from genops_events.config import Config, load_config
from genops_events.errors import GenopsError
from genops_events.gcp.record_store import RecordStore
from genops_events.record import Intent
from genops_events.stages import Stage

log = logging.getLogger(__name__)

OVERLAP = timedelta(minutes=5)
"""How far before the watermark events are read again: some are stored later than their time stamp says."""


class MintCandidates(BaseOperator):
    """Record each arrival as a candidate and emit its key, exactly once per object generation.

    Airflow folds many asset events into one run and shows it only some of them, so the events are read past
    a watermark. Runs that the clock or a person started sweep the bucket, too: whatever was lost on the way is found there.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{**STAGE_DEFAULTS, "inlets": [TRAINING_ARRIVALS], "outlets": [TRAINING_DATA], **kwargs})

    def execute(self, context: Context) -> dict[str, Any]:
        """Return the candidates that were woken.

        Raises:
            AirflowSkipException: there are none. (A task that succeeds emits its asset even without a key.)
        """
        config = load_config()
        store = RecordStore.open(config)
        watermark = _Watermark(context)
        woken, newest = _drain(context, config, store, watermark.since)
        if context["dag_run"].run_type != "asset_triggered":
            try:
                lost, stalled = sweep(context, config, store)
                for notice in lost:
                    woken |= _mint(config, store, notice, found_by="sweep", known=False)
                woken |= stalled
            except GenopsError:
                # What was drained must be woken whatever becomes of the sweep: the next one is ten minutes away.
                log.exception("The sweep ended early")
        watermark.advance(newest)
        if not woken:
            raise AirflowSkipException("no arrivals, and nothing to heal")
        context["outlet_events"][TRAINING_DATA].add_partitions(sorted(woken))
        log.info("Intake woke %d candidates", len(woken))
        return {"woken": sorted(woken)}


def _drain(
    context: Context, config: Config, store: RecordStore, since: datetime | None
) -> tuple[set[str], datetime | None]:
    """Return the candidates of all arrivals since the watermark, and the time of the newest."""
    events = context["inlet_events"][TRAINING_ARRIVALS]
    arrived: set[str] = set()
    newest = since
    for event in events if since is None else events.after((since - OVERLAP).isoformat()):
        newest = event.timestamp if newest is None else max(newest, event.timestamp)
        try:
            notice = Notice.model_validate((event.extra or {}).get("payload"))
        except ValidationError:
            log.exception("An event of training_arrivals is no arrival and is passed over: %s", event.extra)
            continue
        known = since is not None and event.timestamp <= since
        arrived |= _mint(config, store, notice, found_by="notification", known=known)
    return arrived, newest


class _Watermark:
    """How far the arrivals have been drained, in the asset's own state, so that a retried task drains again.

    The state names the run that wrote it: a retry of the same run starts where that run had started,
    since its candidates' keys are emitted only when the task succeeds.
    """

    _KEY = "drained"

    def __init__(self, context: Context) -> None:
        self._state = context["asset_state_store"][TRAINING_ARRIVALS]
        self._run_id = str(context["dag_run"].run_id)
        kept: Any = self._state.get(self._KEY) or {}
        begun = kept.get("from") if kept.get("run_id") == self._run_id else kept.get("until")
        self.since: datetime | None = None if begun is None else datetime.fromisoformat(begun)

    def advance(self, newest: datetime | None) -> None:
        """Remember `newest`, the time of the last event that was read."""
        begun = None if self.since is None else self.since.isoformat()
        until = None if newest is None else newest.isoformat()
        self._state.set(self._KEY, {"run_id": self._run_id, "from": begun, "until": until})


def _mint(config: Config, store: RecordStore, notice: Notice, *, found_by: str, known: bool) -> set[str]:
    """Record the arrival of `notice`; return its candidate if that has to be woken.

    Args:
        config: says which dataset the object belongs to.
        store: the record.
        notice: what arrived.
        found_by: goes into the arrival.
        known: an earlier run has been here: wake only what that run never recorded.
    """
    match = config.dataset_for(notice.object)
    if match is None:
        log.warning("gs://%s/%s is under no watched prefix any more; ignored", notice.bucket, notice.object)
        return set()
    came = arrival(notice, dataset=match[0], found_by=found_by, now=datetime.now(UTC))
    new = store.create(record.arrival_path(came.candidate), came)
    return {came.candidate} if new or (not known and not _begun(store, came.candidate)) else set()


def _begun(store: RecordStore, candidate: str) -> bool:
    """Return whether a Dag run has taken on the candidate's tuning, so that waking it again is of no use."""
    return store.read(record.intent_path(candidate, Stage.TUNING), Intent) is not None
