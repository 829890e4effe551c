"""One Dag run's work on one stage of one candidate: its documents, taking the stage on, and recording the verdict."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from functools import cached_property
from typing import Any, TypeVar

from genops_events.cascade.holds import began_before, is_released, rounds_of
from genops_events.config import Config, Dataset, load_config
from genops_events.errors import PermanentError, StepAside
from genops_events.gcp.record_store import RecordStore
from genops_events.intake.admission import NoCandidateId, check_arrival, check_candidate_id
from genops_events.record import paths as record_paths
from genops_events.record.holds import Intent, StageRounds
from genops_events.record.intake import Arrival
from genops_events.record.stages import STAGES, Outcome, Stage
from genops_events.record.verdicts import VERDICTS, TuningVerdict, Verdict

VerdictT = TypeVar("VerdictT", bound=Verdict)


class CandidateUnknown(PermanentError):
    """A Dag run's partition key is not a candidate of the record: nothing is done, and nothing recorded."""


@dataclass(frozen=True)
class StageRun:
    """One Dag run's work on one stage of one candidate."""

    stage: Stage
    candidate: str
    run_id: str
    _taken_on: Intent | None = field(default=None, init=False, repr=False, compare=False)
    """The intent that `take_on` has found or written."""

    @classmethod
    def of(cls, stage: Stage, *, key: str | None, run_id: str) -> StageRun:
        """Return the work of a Dag run.

        Args:
            stage: of its Dag.
            key: its partition key.
            run_id: its id.

        Raises:
            CandidateUnknown: the Dag run has no partition key, for instance because it was started by hand, or its key is
                not a candidate.
            ForeignArrival: the recorded arrival is wrong.
        """
        if not key:
            raise CandidateUnknown(
                "This Dag run has no partition key, so there is no candidate to work on.",
                "Start it with a candidate id as partition key, or upload a training file and let the cascade start it.",
            )
        try:
            candidate = check_candidate_id(key)
        except NoCandidateId as error:
            raise CandidateUnknown(f"The partition key of this Dag run: {error.message}", error.hint) from None
        run = cls(stage=stage, candidate=candidate, run_id=run_id)
        _ = run.arrival  # so that nothing is written about an unknown candidate
        return run

    @cached_property
    def config(self) -> Config:
        """Return the present configuration."""
        return load_config()

    @cached_property
    def store(self) -> RecordStore:
        """Return the record."""
        return RecordStore.open(self.config)

    @cached_property
    def arrival(self) -> Arrival:
        """Return the arrival that the candidate came from.

        Raises:
            CandidateUnknown: the record has none.
            ForeignArrival: it is of another bucket, or of another candidate.
        """
        arrival = self.store.read(record_paths.arrival_path(self.candidate), Arrival)
        if arrival is None:
            raise CandidateUnknown(
                f"The record in gs://{self.config.bucket} knows no candidate {self.candidate}.",
                "Compare `bucket` in genops.yaml with the bucket of the upload; `genops candidates` lists the known ones.",
            )
        return check_arrival(self.config, self.candidate, arrival)

    @property
    def dataset(self) -> Dataset:
        """Return the dataset's entry in genops.yaml.

        Raises:
            ConfigError: the entry was removed after the arrival.
        """
        return self.config.dataset(self.arrival.dataset)

    @cached_property
    def tuning(self) -> TuningVerdict:
        """Return tuning's verdict; later stages need its model.

        Raises:
            CandidateUnknown: there is none yet.
        """
        verdict = self.store.verdict(self.candidate, Stage.TUNING)
        if not isinstance(verdict, TuningVerdict):
            raise CandidateUnknown(f"Candidate {self.candidate} has no tuned model.", "Wait for its tuning to end.")
        return verdict

    @property
    def endpoint(self) -> str:
        """Return the endpoint of the candidate's tuned model.

        Raises:
            CandidateUnknown: tuning has made no model.
        """
        if self.tuning.endpoint is None:
            raise CandidateUnknown(f"Tuning of {self.candidate} left no model: {self.tuning.reason}", "")
        return self.tuning.endpoint

    def owner(self) -> Intent | None:
        """Return the intent of the Dag run that has taken the stage on, or None where none has."""
        return self._taken_on or self.store.read(
            record_paths.intent_path(self.candidate, self.stage, self.rounds.round), Intent
        )

    @cached_property
    def rounds(self) -> StageRounds:
        """Return how often the stage was held for an approval, and released."""
        return rounds_of(self.store, self.candidate, self.stage)

    def take_on(self) -> Intent:
        """Record that this Dag run does the stage, before the first call that costs money.

        Raises:
            StepAside: another Dag run of the same candidate does the stage already, or it waits for an approval.
        """
        if self.rounds.is_held:
            raise StepAside(f"{self.stage} of {self.candidate} is held until `genops approve` lets it go on")
        before_promotion = self.rounds.released and self.stage is not Stage.INFERENCE
        if before_promotion and self.store.verdict(self.candidate, Stage.PROMOTION) is not None:
            raise StepAside("the candidate has ended meanwhile, so there is nothing to pay for")
        intent = Intent(
            candidate=self.candidate,
            written_at=_now(),
            stage=self.stage,
            run_id=self.run_id,
            started_at=self._begun_at(),
        )
        owner = self.store.create_or_read(
            record_paths.intent_path(self.candidate, self.stage, self.rounds.round), intent
        )
        if owner.run_id != self.run_id:
            raise StepAside(f"{self.stage} of {self.candidate} is under way in Dag run {owner.run_id}")
        object.__setattr__(self, "_taken_on", owner)
        return owner

    def _begun_at(self) -> datetime:
        """Return when the stage began, maybe in an earlier round; now, where it begins with this one."""
        began = began_before(self.store, self.candidate, self.stage, self.rounds)
        return _now() if began is None else began

    def started_at(self) -> datetime:
        """Return when the stage began; now, where there is no intent."""
        intent = self.owner()
        return _now() if intent is None else intent.started_at

    def conclude(self, kind: type[VerdictT], outcome: Outcome, reason: str, **figures: Any) -> Verdict:
        """Record the stage's verdict and return it, or return the existing one: the first that is written counts.

        If the stage spends money, the cost of a failure is unknown unless `figures` have it: it is never taken for 0.
        """
        if outcome is Outcome.FAILED and STAGES[self.stage].spends is not None:
            figures = {"cost_usd": None, **figures}
        verdict = kind.model_validate(
            {
                "candidate": self.candidate,
                "written_at": _now(),
                "dataset": self.arrival.dataset,
                "outcome": outcome,
                "reason": reason,
                "started_at": self.started_at(),
                "ended_at": _now(),
                "retries": self.rounds.retries or None,
                **figures,
            }
        )
        path = record_paths.verdict_path(self.candidate, self.stage, self.rounds.retries)
        return self.store.create_or_read(path, verdict)

    @cached_property
    def month(self) -> datetime:
        """Return when the candidate's tuning began: its costs go to the ledger of that month."""
        if self.stage is Stage.TUNING:
            return self.started_at()
        return self.tuning.started_at


def conclude_failed(run: StageRun, reason: str) -> Verdict:
    """Record the failure of a stage that has bought nothing."""
    return run.conclude(VERDICTS[run.stage], Outcome.FAILED, reason, cost_usd=Decimal(0))


def leave_to_owner(run: StageRun, verdict: Verdict) -> None:
    """Step aside if another Dag run has just done the stage: that run wakes the next stage itself.

    Raises:
        StepAside: the verdict is younger than `intake.patience_minutes` and of another run. The asset event of an older
            verdict is emitted again, since this run may have been started in place of a lost one.
    """
    owner = run.owner()
    fresh = _now() - verdict.written_at < run.config.intake.patience
    # After an approval, the released stage comes after this one, so this run has to wake it.
    if owner is not None and owner.run_id != run.run_id and fresh and not is_released(run.store, run.candidate):
        raise StepAside(f"{verdict.stage} of {verdict.candidate} was just done by Dag run {owner.run_id}")


def _now() -> datetime:
    return datetime.now(UTC)
