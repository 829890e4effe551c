"""Read arrivals past a watermark: Airflow folds many asset events into one run and shows it only some of them."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from airflow.sdk import Context
from airflow.sdk.exceptions import AirflowRuntimeError
from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from genops_events.airflow.activity import event_pages
from genops_events.airflow.assets import TRAINING_ARRIVALS
from genops_events.config import Config
from genops_events.errors import TransientError
from genops_events.gcp.at_once import at_once
from genops_events.gcp.record_store import RecordStore
from genops_events.intake.admission import Admitted, admission
from genops_events.intake.notifications import Notice
from genops_events.intake.notified_objects import NotifiedObject, arrivals_of
from genops_events.intake.open_candidates import mint
from genops_events.record import paths as record_paths
from genops_events.record.holds import Intent
from genops_events.record.stages import Stage

log = logging.getLogger(__name__)

OVERLAP = timedelta(minutes=1)
"""How far before the watermark events are read again: some are stored later than their time stamp says."""

WOKEN_AT_ONCE = 1000
"""Keys that one task emits, about: Airflow stores them in the call that ends the task, which takes 20 ms for each."""

REMEMBERED_EVENTS = 5000
"""Ids of events read within the overlap that are kept: 40 KB of the 64 KB that a state may have."""

_KEY = "drained"


class ArrivalsUnreadable(TransientError):
    """Airflow does not hand out the arrivals just now."""


class Watermark(BaseModel):
    """How far the arrivals were read."""

    model_config = ConfigDict(frozen=True)

    until: AwareDatetime | None = None
    """Time of the newest event that was read."""
    seen: frozenset[int] = frozenset()
    """Ids of the events within the overlap that were read: an event that comes late is not among them."""

    @property
    def since(self) -> datetime | None:
        """From when on events are read again; None for all."""
        return None if self.until is None else self.until - OVERLAP

    def advanced(self, read: Sequence[tuple[datetime, int]]) -> Watermark:
        """Return the watermark after reading the events with these times and ids, in this order."""
        if not read:
            return self
        until = max(read[-1][0], self.until or read[-1][0])
        recent = [number for at, number in read if at >= until - OVERLAP]
        return Watermark(until=until, seen=frozenset(recent[-REMEMBERED_EVENTS:]))


def drain(context: Context, config: Config, store: RecordStore) -> set[str]:
    """Record all arrivals since the watermark as candidates, and move it; return those that this run has to wake.

    However many runs drain at once, each new candidate is returned to the one that recorded it. A task that is tried
    again reads what its first try read, and returns what no stage has taken on: the first try may have died before
    its wake-ups were stored.

    Where Airflow stops answering midway, what it has given is kept and the next run goes on from there. (Should the first try
    of this task have recorded more and died, a sweep wakes the rest.)

    Raises:
        ArrivalsUnreadable: Airflow tells nothing new just now; the watermark stays.
    """
    state = context["asset_state_store"][TRAINING_ARRIVALS]
    start = _start(context, _stored(state.get(_KEY)))
    retried = context["ti"].try_number > 1
    woken: set[str] = set()
    read: list[tuple[datetime, int]] = []
    is_further = False
    try:
        for events in event_pages(context, TRAINING_ARRIVALS, start.since):
            read += [(event.timestamp, event.id) for event in events]
            fresh = [event.extra for event in events if event.id not in start.seen]
            is_further = is_further or bool(fresh)
            arrived = {one.candidate: one for one in arrivals_of(store, _told(config, fresh))}
            woken |= mint(store, arrived.values())
            if retried:
                woken |= _never_begun(store, set(arrived) - woken)
            if len(woken) >= WOKEN_AT_ONCE:
                break  # the next run goes on here; at the latest that of the clock
    except AirflowRuntimeError as error:
        if not is_further:
            raise ArrivalsUnreadable(
                f"Airflow does not hand out the arrivals: {error}",
                "It cannot while a run of genops_intake is queued; the task is tried again.",
            ) from error
        log.warning(
            "Airflow hands out no arrivals after %s just now; the next run goes on from there: %s", read[-1][0], error
        )
    state.set(_KEY, start.advanced(read).model_dump(mode="json"))
    return woken


def _start(context: Context, current: Watermark) -> Watermark:
    """Return where the first try of this task began; a first try notes it, for others may move the watermark."""
    own = context["task_state_store"]
    noted = own.get(_KEY)
    if noted is not None:
        return _stored(noted)
    own.set(_KEY, current.model_dump(mode="json"))
    return current


def _stored(value: Any) -> Watermark:
    try:
        return Watermark.model_validate(value or {})
    except ValidationError:
        log.exception("The watermark cannot be read; all events are read again: %s", value)
        return Watermark()


def _told(config: Config, payloads: Iterable[Any]) -> Iterator[NotifiedObject]:
    """Yield the objects that the watcher announced, each once; an event from elsewhere wakes this task, and says nothing.

    Airflow marks what came by REST: all who may edit assets can post such an event, and with any payload
    (`CreateAssetEventsBody.set_from_rest_api` in airflow/api_fastapi/core_api/datamodels/assets.py, 3.3.2). What lies in
    the bucket is found by the sweep, whatever is posted.
    """
    seen: set[NotifiedObject] = set()
    for extra in payloads:
        if not isinstance(extra, Mapping) or extra.get("from_rest_api") or extra.get("from_trigger") is not True:
            log.warning("An event of training_arrivals was not made by the watcher and is passed over")
            continue
        try:
            notice = Notice.model_validate(extra.get("payload"))
        except ValidationError as error:
            wrong = ", ".join(str(one["loc"][0]) if one["loc"] else "payload" for one in error.errors())
            log.warning("An event of training_arrivals is no arrival and is passed over: %s missing or wrong", wrong)
            continue
        found = admission(config, notice.bucket, notice.object)
        if not isinstance(found, Admitted):
            log.warning("%r is no arrival: %s", f"gs://{notice.bucket}/{notice.object}", found.reason)
            continue
        one = NotifiedObject(notice, found.dataset)
        if one not in seen:
            seen.add(one)
            yield one


def _never_begun(store: RecordStore, candidates: set[str]) -> set[str]:
    wanted = sorted(candidates)
    intents = at_once(lambda one: store.read(record_paths.intent_path(one, Stage.TUNING), Intent), wanted)
    return {candidate for candidate, intent in zip(wanted, intents, strict=True) if intent is None}
