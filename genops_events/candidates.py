"""A candidate as its record tells it: stages, figures, cost, and where it stands as a whole."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from genops_events.record import Arrival, Intent, Verdict
from genops_events.stages import CandidateState, Outcome, Stage, candidate_state, ready_stages


@dataclass(frozen=True, slots=True)
class Candidate:
    """One candidate, as far as the record knows it."""

    arrival: Arrival
    intents: Mapping[Stage, Intent]
    """Of the stages that a Dag run has taken on and not ended."""
    verdicts: Mapping[Stage, Verdict]
    champion: str | None
    """Id of the candidate whose model the dataset serves now."""

    @property
    def id(self) -> str:
        """Return the candidate id."""
        return self.arrival.candidate

    @property
    def outcomes(self) -> dict[Stage, Outcome]:
        """Return the outcomes of the stages that have ended."""
        return {stage: verdict.outcome for stage, verdict in self.verdicts.items()}

    @property
    def state(self) -> CandidateState:
        """Return where the candidate stands as a whole."""
        return candidate_state(self.outcomes)

    @property
    def cost_usd(self) -> Decimal:
        """Return what was spent on the candidate so far, by the price table."""
        return sum((verdict.cost_usd for verdict in self.verdicts.values()), Decimal(0))

    def to_json(self) -> dict[str, Any]:
        """Return the candidate as `genops watch --json` prints it."""
        return {
            "candidate": self.id,
            "dataset": self.arrival.dataset,
            "state": str(self.state),
            "object": f"gs://{self.arrival.bucket}/{self.arrival.object}",
            "generation": self.arrival.generation,
            "arrived_at": self.arrival.arrived_at.isoformat(),
            "cost_usd": str(self.cost_usd),
            "stages": {str(stage): self.stage_json(stage) for stage in Stage},
            "champion": self.champion,
        }

    def stage_json(self, stage: Stage) -> dict[str, Any]:
        """Return one stage: its verdict's figures, or what it waits for."""
        verdict = self.verdicts.get(stage)
        if verdict is not None:
            return {
                "state": str(verdict.outcome),
                "started_at": verdict.started_at.isoformat(),
                "ended_at": verdict.ended_at.isoformat(),
                "reason": verdict.reason,
                "cost_usd": str(verdict.cost_usd),
                **verdict.figures(),
            }
        intent = self.intents.get(stage)
        running = intent is not None and self.state is CandidateState.UNDER_WAY
        begun = None if intent is None else intent.started_at.isoformat()
        return {"state": "running" if running else self._not_begun(stage), "started_at": begun, "ended_at": None}

    def _not_begun(self, stage: Stage) -> str:
        if self.state is not CandidateState.UNDER_WAY:
            return "skipped"
        return "queued" if stage in ready_stages(self.outcomes) else "waiting"
