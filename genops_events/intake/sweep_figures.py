"""Count what a sweep has seen and healed, with a log line for each healing."""

from __future__ import annotations

import logging
from collections import Counter
from datetime import datetime, timedelta
from typing import Literal

from genops_events.record.intake import Healed, Sweep
from genops_events.record.stages import Stage

log = logging.getLogger(__name__)

Kind = Literal["lost_arrival", "unannounced_verdict", "closed_stage", "returned_stage", "woken_stage"]
NAMED = 100
"""Most healings that the document names; further ones are only counted."""


class SweepFigures:
    """The figures of one running sweep.

    Args:
        run_id: the Dag run that sweeps.
        sweep_minutes: `intake.sweep_minutes`.
        now: when the sweep began, UTC.
    """

    def __init__(self, run_id: str, sweep_minutes: int, *, now: datetime) -> None:
        self.run_id = run_id
        self._sweep_minutes = sweep_minutes
        self._started_at = now
        self._counts: Counter[Kind] = Counter()
        self._named: list[Healed] = []
        self.woken: set[str] = set()
        """Candidates that the task has to wake."""
        self.left_alone: Counter[str] = Counter()
        self.objects = 0
        self.reached_end = False
        self.stands_at: str | None = None
        self.open_candidates = 0
        self.error: str | None = None

    def healed(self, kind: Kind, candidate: str, stage: Stage | None, reason: str) -> None:
        """Count one healing, and log it with its reason."""
        about = candidate if stage is None else f"{stage} of {candidate}"
        log.warning("Healed (%s) %s: %s", kind.replace("_", " "), about, reason)
        self._counts[kind] += 1
        if len(self._named) < NAMED:
            self._named.append(Healed(kind=kind, candidate=candidate, stage=stage, reason=reason))

    def document(self, *, now: datetime) -> Sweep:
        """Return the figures as a document; `now` is when the sweep ended."""
        return Sweep(
            run_id=self.run_id,
            started_at=self._started_at,
            ended_at=now,
            next_due_at=self._started_at + timedelta(minutes=self._sweep_minutes),
            sweep_minutes=self._sweep_minutes,
            objects=self.objects,
            reached_end=self.reached_end,
            stands_at=self.stands_at,
            open_candidates=self.open_candidates,
            left_alone=dict(self.left_alone),
            lost_arrivals=self._counts["lost_arrival"],
            unannounced_verdicts=self._counts["unannounced_verdict"],
            closed_stages=self._counts["closed_stage"],
            returned_stages=self._counts["returned_stage"],
            woken_stages=self._counts["woken_stage"],
            healed=tuple(self._named),
            error=self.error,
        )
