"""Who of the candidates that wait for a place gets the next one."""

from __future__ import annotations

import time
from typing import Any

from airflow.task.priority_strategy import PriorityWeightStrategy

_FIRST = 1_000_000_000
_EPOCH = 1_767_225_600
"""2026-01-01, in seconds since 1970: the weight has 32 bits, and stays positive until 2057."""


class OldestFirst(PriorityWeightStrategy):
    """Let the task whose Dag run was made first go first, and a task that comes back before one that never began.

    Airflow orders tasks of one weight by their run's logical date, which runs that an asset started do not have.
    """

    def get_weight(self, ti: Any) -> int:  # noqa: ARG002 - Airflow passes the task instance
        """Return the task's weight: the later it is made, the less, by one a second."""
        return _FIRST - int(time.time() - _EPOCH)
