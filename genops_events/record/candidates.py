"""A candidate with all its documents: its stages, figures and cost, and its state as a whole."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from genops_events.record.holds import Approval, Hold, Intent
from genops_events.record.inference import InferenceProgress
from genops_events.record.intake import Arrival
from genops_events.record.promotion import PersonsAnswer, Question
from genops_events.record.retries import Retry
from genops_events.record.stages import CandidateState, Outcome, Stage, candidate_state, ready_stages
from genops_events.record.tuning import Cancellation, TuningProgress
from genops_events.record.verdicts import Verdict

WAITS_FOR_A_PERSON = "waits for a person"
"""State of promotion while a person is asked."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One candidate with the documents of its record."""

    arrival: Arrival
    intents: Mapping[Stage, Intent]
    """Intents of the stages that a Dag run has taken on and not ended."""
    verdicts: Mapping[Stage, Verdict]
    champion: str | None
    """Id of the candidate whose model the dataset serves now."""
    progress: TuningProgress | None = None
    """Progress of its tuning job."""
    queued_behind: int | None = None
    """Number of candidates before it in the queue for tuning jobs; None where it does not wait there."""
    cancellation: Cancellation | None = None
    """Cancellation of its tuning."""
    question: Question | None = None
    """Question to a person, as long as promotion has no verdict."""
    answer: PersonsAnswer | None = None
    """The person's answer, as long as promotion has no verdict."""
    holds: Mapping[Stage, Hold] = field(default_factory=dict)
    """Holds of the stages that wait for a person's approval."""
    inference_progress: InferenceProgress | None = None
    """Progress of its answers, as long as inference has no verdict."""
    approvals: Mapping[Stage, Approval] = field(default_factory=dict)
    """Approvals of stages over a limit that have not ended."""
    retries: Mapping[Stage, Retry] = field(default_factory=dict)
    """Retries of stages whose failed verdict was set aside, and that have not ended since."""

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
        """Return the state of the candidate as a whole."""
        return candidate_state(self.outcomes)

    @property
    def cost_usd(self) -> Decimal | None:
        """Return the cost of the candidate so far in USD, by the price table; None where no cost is known.

        Where `cost_unknown` names stages, it is a lower bound.
        """
        known = sum((one.cost_usd for one in self.verdicts.values() if one.cost_usd is not None), Decimal(0))
        return None if self.cost_unknown and not known else known

    @property
    def cost_unknown(self) -> tuple[Stage, ...]:
        """Return the stages that have ended with an unknown cost."""
        return tuple(stage for stage, verdict in self.verdicts.items() if verdict.cost_usd is None)

    @property
    def cost_text(self) -> str:
        """Return the cost so far as text: `$0.4900`, `at least $0.4900`, or `unknown`."""
        if self.cost_usd is None:
            return "unknown"
        return f"{'at least ' if self.cost_unknown else ''}${self.cost_usd:.4f}"

    def to_json(self) -> dict[str, Any]:
        """Return the candidate as `genops watch --json` prints it."""
        return {
            "candidate": self.id,
            "dataset": self.arrival.dataset,
            "state": str(self.state),
            "object": f"gs://{self.arrival.bucket}/{self.arrival.object}",
            "generation": self.arrival.generation,
            "arrived_at": self.arrival.arrived_at.isoformat(),
            "cost_usd": _amount_json(self.cost_usd),
            "cost_unknown": [str(stage) for stage in self.cost_unknown],
            "stages": {str(stage): self.stage_json(stage) for stage in Stage},
            "champion": self.champion,
        }

    def stage_json(self, stage: Stage) -> dict[str, Any]:
        """Return one stage as JSON values: the figures of its verdict, or its present state."""
        verdict = self.verdicts.get(stage)
        if verdict is not None:
            return {
                "state": str(verdict.outcome),
                "started_at": verdict.started_at.isoformat(),
                "ended_at": verdict.ended_at.isoformat(),
                "reason": verdict.reason,
                "cost_usd": _amount_json(verdict.cost_usd),
                **verdict.figures(),
            }
        if self.state is not CandidateState.UNDER_WAY:
            return self._open(stage, "skipped")
        return self._before_its_run(stage) or self._under_way(stage)

    def _under_way(self, stage: Stage) -> dict[str, Any]:
        if stage is Stage.TUNING:
            return self._tuning()
        if stage is Stage.PROMOTION and self.question is not None:
            return self._with_question(self.question)
        if stage is Stage.INFERENCE and stage in self.intents and self.inference_progress is not None:
            seen = self.inference_progress.model_dump(
                mode="json", exclude={"schema_name", "candidate"}, exclude_none=True
            )
            return self._open(stage, "running") | {"progress": seen, "reason": self.inference_progress.summary}
        if stage in self.intents:
            return self._open(stage, "running")
        return self._open(stage, "queued" if stage in ready_stages(self.outcomes) else "waiting")

    def explained(self, stage: Stage) -> str:
        """Return the reason of a stage's state, and what to do about it; empty where there is none."""
        row = self.stage_json(stage)
        return " ".join(part for part in (row.get("reason"), row.get("help")) if part)

    def _before_its_run(self, stage: Stage) -> dict[str, Any] | None:
        """Return a stage that is held, or that was approved or retried and has not begun yet; None for any other."""
        hold, approval = self.holds.get(stage), self.approvals.get(stage)
        if hold is not None:
            kept = {"reason", "help", "asked_usd", "missing_usd", "limits", "prompts_over", "lines", "held_at"}
            return self._open(stage, "held") | hold.model_dump(mode="json", include=kept)
        if approval is not None and stage not in self.intents:
            reason = f"{approval.by} let it go on: {approval.reason}"
            return self._open(stage, "queued") | {"reason": reason, "approved_by": approval.by}
        retry = self.retries.get(stage)
        if retry is not None and stage not in self.intents:
            return self._open(stage, "queued") | {"reason": f"{retry.by} asked to try it again: {retry.reason}"}
        return None

    def _tuning(self) -> dict[str, Any]:
        """Return tuning, which takes longest, with its place in the queue and its progress."""
        if self.queued_behind is not None:
            row = self._open(Stage.TUNING, "queued") | {"queued_behind": self.queued_behind}
            reasons = [f"queued behind {self.queued_behind:,}" if self.queued_behind else "next in the queue"]
        elif Stage.TUNING in self.intents:
            row, reasons = self._open(Stage.TUNING, "running"), []
        else:
            row, reasons = self._open(Stage.TUNING, "queued"), []
        if self.progress is not None:
            seen = self.progress.model_dump(mode="json", exclude={"schema_name", "candidate"}, exclude_none=True)
            row["progress"] = seen
            reasons.append(self.progress.summary)
        if self.cancellation is not None:
            reasons.append(f"{self.cancellation.by} asked to cancel it")
        return row | ({"reason": "; ".join(reasons)} if reasons else {})

    def _with_question(self, question: Question) -> dict[str, Any]:
        """Return promotion while a person is asked, with the command to answer."""
        if self.answer is not None:
            return self._open(Stage.PROMOTION, "running") | {"reason": self.answer.sentence}
        otherwise = "approved" if question.on_timeout == "approve" else "rejected"
        reason = (
            f"{question.commands}, or answer in Airflow under Required Actions; without an answer it is {otherwise} at "
            f"{question.asked_until:%Y-%m-%d %H:%M} UTC"
        )
        asked = {"asked_until": question.asked_until.isoformat(), "on_timeout": question.on_timeout}
        return self._open(Stage.PROMOTION, WAITS_FOR_A_PERSON) | asked | {"reason": reason}

    def _open(self, stage: Stage, state: str) -> dict[str, Any]:
        intent = self.intents.get(stage)
        return {
            "state": state,
            "started_at": None if intent is None else intent.started_at.isoformat(),
            "ended_at": None,
        }


def _amount_json(amount: Decimal | None) -> str | None:
    """Return an amount for JSON: a string, or null where it is not known."""
    return None if amount is None else str(amount)
