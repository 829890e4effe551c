"""Make the events of all triggers here: what Airflow cannot store is refused, instead of ending every trigger."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow.triggers.base import TriggerEvent

from genops_events.reading.storable import check_storable


def event(payload: Mapping[str, Any]) -> TriggerEvent:
    """Return the event with this payload; a test sees to it that nothing else of this project makes one.

    Raises:
        NotStorable: Airflow cannot store it. Inside `run` only this trigger fails.
    """
    check_storable(payload)
    return TriggerEvent(dict(payload))
