"""The part `promotion` of a dataset in `genops.yaml`: who decides about a new champion, and what is kept of former ones."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import Field

from genops_events.config.values import ConfigPart, PositiveFloat


class Promotion(ConfigPart):
    """How a candidate that passed gate and budget becomes champion."""

    approval: Literal["none", "person"] = "none"
    """`none`: gate and budget decide; `person`: a candidate that would be champion waits until a person approves it, in Airflow or
    with `genops approve`."""
    answer_hours: PositiveFloat = 72
    """How long a person may take to answer."""
    on_timeout: Literal["approve", "reject"] = "reject"
    """What counts as the answer when none came in `answer_hours`."""
    late_minutes: Annotated[float, Field(strict=True, ge=0, allow_inf_nan=False)] = 5
    """A candidate that arrived more than this before the champion is late: it takes its place only if a person says so."""
    keep: Annotated[int, Field(strict=True, ge=0, le=100)] = 3
    """Former champions whose models `genops prune` leaves for a rollback."""

    @property
    def late_after(self) -> timedelta:
        """`late_minutes` as a duration."""
        return timedelta(minutes=self.late_minutes)

    @property
    def answer_within(self) -> timedelta:
        """`answer_hours` as a duration."""
        return timedelta(hours=self.answer_hours)
