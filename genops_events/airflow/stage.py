"""What all stage operators share: look at the record, do the stage once, write the verdict, announce it."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from functools import cached_property
from typing import Any, ClassVar, TypeVar

from airflow.sdk import BaseOperator, Context
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from genops_events import record_paths
from genops_events.admission import ForeignArrival, NoCandidateId, check_arrival, check_candidate_id
from genops_events.airflow import failing
from genops_events.airflow.priorities import STAGE_PRIORITIES
from genops_events.airflow.retries import STAGE_DEFAULTS
from genops_events.config import Config, Dataset, load_config
from genops_events.errors import PermanentError
from genops_events.gcp import tuning_jobs, tuning_queue
from genops_events.gcp.cancellation import cancel_jobs
from genops_events.gcp.holds import began_before, is_released, standing_of
from genops_events.gcp.inference import batch_jobs
from genops_events.gcp.inference.batch_cancellation import cancel_batches
from genops_events.gcp.inference.cache import remove_all
from genops_events.gcp.ledger_store import settle
from genops_events.gcp.outbox import announce
from genops_events.gcp.record_store import RecordStore
from genops_events.holds import Standing
from genops_events.money.ledger import Purpose
from genops_events.record import Arrival, Intent, Submission
from genops_events.stages import Outcome, Stage
from genops_events.verdicts import InferenceVerdict, TuningVerdict, Verdict

log = logging.getLogger(__name__)

_PURPOSES: dict[Stage, Purpose] = {
    Stage.TUNING: "tuning",
    Stage.EVALUATION: "evaluation",
    Stage.INFERENCE: "inference",
}

VerdictT = TypeVar("VerdictT", bound=Verdict)


class CandidateUnknown(PermanentError):
    """A Dag run's partition key is no candidate of the record: nothing is done, and nothing recorded."""


@dataclass(frozen=True)
class StageRun:
    """One Dag run's work on one stage of one candidate."""

    stage: Stage
    candidate: str
    run_id: str
    _taken_on: Intent | None = field(default=None, init=False, repr=False, compare=False)
    """What `take_on` found or wrote: nobody writes another."""

    @classmethod
    def of(cls, stage: Stage, context: Context) -> StageRun:
        """Return the work that the Dag run of `context` is about.

        Raises:
            CandidateUnknown: the Dag run has no partition key, for instance because it was started by hand, or none that
                is a candidate.
            ForeignArrival: what has arrived is recorded wrongly.
        """
        dag_run = context["dag_run"]
        key = context.get("partition_key") or getattr(dag_run, "partition_key", None)
        if not key:
            raise CandidateUnknown(
                "This Dag run has no partition key, so there is no candidate to work on.",
                "Start it with a candidate id as partition key, or upload a training file and let the cascade start it.",
            )
        try:
            candidate = check_candidate_id(str(key))
        except NoCandidateId as error:
            raise CandidateUnknown(f"The partition key of this Dag run: {error.message}", error.hint) from None
        run = cls(stage=stage, candidate=candidate, run_id=str(dag_run.run_id))
        _ = run.arrival  # before anything is written about a candidate that nobody knows
        return run

    @cached_property
    def config(self) -> Config:
        """Return the configuration as it is now."""
        return load_config()

    @cached_property
    def store(self) -> RecordStore:
        """Return the record."""
        return RecordStore.open(self.config)

    @cached_property
    def arrival(self) -> Arrival:
        """Return the arrival that the candidate came from.

        Raises:
            CandidateUnknown: the record knows none.
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
            CandidateUnknown: there is none.
        """
        verdict = self.store.verdict(self.candidate, Stage.TUNING)
        if not isinstance(verdict, TuningVerdict):
            raise CandidateUnknown(f"Candidate {self.candidate} has no tuned model.", "Wait for its tuning to end.")
        return verdict

    @property
    def endpoint(self) -> str:
        """Return the endpoint that the candidate's tuned model is called by.

        Raises:
            CandidateUnknown: tuning left none.
        """
        if self.tuning.endpoint is None:
            raise CandidateUnknown(f"Tuning of {self.candidate} left no model: {self.tuning.reason}", "")
        return self.tuning.endpoint

    def owner(self) -> Intent | None:
        """Return the intent of the Dag run that has taken the stage on, or None where none has."""
        return self._taken_on or self.store.read(
            record_paths.intent_path(self.candidate, self.stage, self.standing.round), Intent
        )

    @cached_property
    def standing(self) -> Standing:
        """Return how often the stage was held for an approval, and released."""
        return standing_of(self.store, self.candidate, self.stage)

    def take_on(self) -> Intent:
        """Write that this Dag run does the stage, before the first call that costs money.

        Raises:
            AirflowSkipException: another Dag run of the same candidate does it already, or it waits for an approval.
        """
        if self.standing.is_held:
            raise AirflowSkipException(f"{self.stage} of {self.candidate} is held until `genops approve` lets it go on")
        before_promotion = self.standing.released and self.stage is not Stage.INFERENCE
        if before_promotion and self.store.verdict(self.candidate, Stage.PROMOTION) is not None:
            raise AirflowSkipException("the candidate has ended meanwhile, so there is nothing to pay for")
        mine = Intent(
            candidate=self.candidate,
            written_at=_now(),
            stage=self.stage,
            run_id=self.run_id,
            started_at=self._begun_at(),
        )
        owner = self.store.create_or_read(
            record_paths.intent_path(self.candidate, self.stage, self.standing.round), mine
        )
        if owner.run_id != self.run_id:
            raise AirflowSkipException(f"{self.stage} of {self.candidate} is under way in Dag run {owner.run_id}")
        object.__setattr__(self, "_taken_on", owner)
        return owner

    def _begun_at(self) -> datetime:
        """Return when the stage began that goes on in this round; now, where it begins with it."""
        began = began_before(self.store, self.candidate, self.stage, self.standing)
        return _now() if began is None else began

    def started_at(self) -> datetime:
        """Return when the stage began; now, where it never wrote an intent."""
        intent = self.owner()
        return _now() if intent is None else intent.started_at

    def conclude(self, kind: type[VerdictT], outcome: Outcome, reason: str, **figures: Any) -> Verdict:
        """Record the stage's verdict, or return the one that is there: whoever writes it has done the stage."""
        verdict = kind.model_validate(
            {
                "candidate": self.candidate,
                "written_at": _now(),
                "dataset": self.arrival.dataset,
                "outcome": outcome,
                "reason": reason,
                "started_at": self.started_at(),
                "ended_at": _now(),
                "retries": self.standing.retries or None,
                **figures,
            }
        )
        path = record_paths.verdict_path(self.candidate, self.stage, self.standing.retries)
        return self.store.create_or_read(path, verdict)

    @cached_property
    def month(self) -> datetime:
        """Return an instant of the month whose ledger the candidate's costs go to: when its tuning began."""
        if self.stage is Stage.TUNING:
            return self.started_at()
        return self.tuning.started_at

    def account(self, verdict: Verdict) -> None:
        """Settle what the stage spent, and release what will not be spent; repeating it changes nothing."""
        failed = verdict.outcome is Outcome.FAILED
        # What a failed stage cost is often unknown: what was reserved for it stays reserved, unless nothing was bought.
        known = not failed or bool(verdict.cost_usd) or not self._bought(verdict.stage)
        known = known or (isinstance(verdict, InferenceVerdict) and verdict.answered == 0)
        if known and verdict.stage in _PURPOSES:
            self._settle(verdict.stage, verdict.cost_usd, again=bool(verdict.retries))
        if verdict.outcome is Outcome.HELD or (failed and verdict.stage is not Stage.INFERENCE):
            self._settle(Stage.INFERENCE, Decimal(0))

    def _bought(self, stage: Stage) -> bool:
        """Return whether a stage that failed may have cost something: a job, or an answer or a score that is kept.

        Answers and scores are kept within a second; what was in flight in that second is not seen.
        """
        if stage is Stage.TUNING:
            return self._submitted()
        if any(self.store.names(prefix) for prefix in record_paths.bought_prefixes(self.candidate, stage)):
            return True
        return stage is Stage.INFERENCE and batch_jobs.was_submitted(self.config, self.store, self.candidate)

    def _submitted(self) -> bool:
        recorded = self.store.read(record_paths.submission_path(self.candidate), Submission)
        return recorded is not None or tuning_jobs.find(self.config, self.candidate) is not None

    def _settle(self, stage: Stage, spent: Decimal, *, again: bool = False) -> None:
        purpose = _PURPOSES[stage]
        settle(self.store, candidate=self.candidate, purpose=purpose, spent=spent, at=self.month, again=again)


class StageOperator(BaseOperator):
    """Do one stage of the candidate that the Dag run's partition key names, once, however often it is started."""

    stage: ClassVar[Stage]

    def __init__(self, **kwargs: Any) -> None:
        own = {
            "on_failure_callback": record_failure,
            "on_retry_callback": note_failed_try,
            "priority_weight": STAGE_PRIORITIES.get(self.stage, 1),
        }
        super().__init__(**{**STAGE_DEFAULTS, **own, **kwargs})

    def execute(self, context: Context) -> dict[str, Any]:
        """Return the verdict; do the work only where there is none.

        Raises:
            AirflowSkipException: there is nothing to do (yet), or the verdict ends the candidate.
            AirflowFailException: the verdict is that the stage failed.
        """
        run = StageRun.of(self.stage, context)
        verdict = run.store.verdict(run.candidate, self.stage)
        if verdict is None:
            verdict = self.work(run, context)
        else:
            leave_to_owner(run, verdict)
        return finish(run, verdict)

    def work(self, run: StageRun, context: Context) -> Verdict:
        """Do the stage and return its recorded verdict; may skip or defer instead."""
        raise NotImplementedError


def leave_to_owner(run: StageRun, verdict: Verdict) -> None:
    """Skip where another Dag run has just done the stage: its own end wakes what comes next.

    Raises:
        AirflowSkipException: the verdict is younger than `intake.patience_minutes` and another run's. An older one is
            emitted again, since whoever started this run may have found its wake-up lost.
    """
    owner = run.owner()
    fresh = _now() - verdict.written_at < run.config.intake.patience
    # What somebody approved waits behind this stage, and was woken for it.
    if owner is not None and owner.run_id != run.run_id and fresh and not is_released(run.store, run.candidate):
        raise AirflowSkipException(f"{verdict.stage} of {verdict.candidate} was just done by Dag run {owner.run_id}")


def finish(run: StageRun, verdict: Verdict) -> dict[str, Any]:
    """Announce `verdict`, and end the task as it says.

    A refusal is a verdict and a normal end. What stops the cascade shows as skipped, only a failure as failed.
    """
    settle_and_announce(run, verdict)
    told = verdict.told
    log.info("%s of %s: %s. %s", verdict.stage, verdict.candidate, verdict.outcome, told)
    if verdict.outcome is Outcome.FAILED:
        raise AirflowFailException(told)
    if verdict.outcome in {Outcome.REJECTED, Outcome.HELD}:
        raise AirflowSkipException(f"{verdict.outcome}: {verdict.reason}")
    return {"outcome": str(verdict.outcome), "reason": verdict.reason, **verdict.figures()}


def settle_and_announce(run: StageRun, verdict: Verdict) -> None:
    """Enter the verdict's cost, cancel what nobody will wait for any more, then publish the event; all may be repeated.

    In this order, since the sweep goes by the event: for a verdict that was published, the rest is done, too.
    """
    run.account(verdict)
    if verdict.stage is Stage.TUNING:
        tuning_queue.leave(run.store, run.candidate)
        if verdict.outcome is Outcome.FAILED:
            cancel_jobs(run.config, run.candidate)
    if verdict.stage is Stage.INFERENCE and verdict.outcome is Outcome.FAILED:
        cancel_batches(run.config, run.store, run.candidate)
    announce(run.config, run.store, verdict)


def record_failure(context: Context) -> None:
    """Record and announce how a stage ended whose retries are used up, if it ended (failure callback).

    Its job is asked first, if it has one. What only Airflow did wrong ends no stage: a sweep lets it go on.
    """
    task = context["task"]
    assert isinstance(task, StageOperator)
    run = _owned(task.stage, context)
    if run is None:
        return  # a sweep lets the stage go on, if it is this Dag run's
    # Stages that wait for this one never begin; the verdict is what ends the candidate.
    verdict = failing.record(run, context)
    if verdict is None:
        return
    settle_and_announce(run, verdict)
    if run.stage is Stage.INFERENCE and run.dataset.inference.cache is not None:
        remove_all(run.config, run.candidate)


def note_failed_try(context: Context) -> None:
    """Count a try that failed by the stage's own error (retry callback): only these use its retries up."""
    task = context["task"]
    assert isinstance(task, StageOperator)
    run = _owned(task.stage, context)
    if run is not None:
        failing.note(run, context)


def _owned(stage: Stage, context: Context) -> StageRun | None:
    """Return the work of a try that failed by its own error; None where it did not, or its Dag run does not own the stage."""
    try:
        run = StageRun.of(stage, context)
    except (CandidateUnknown, ForeignArrival):
        return None  # the task has failed for that, and said so; there is nothing to record it about
    error = context.get("exception")
    if not failing.is_own(error):
        how = "without an error" if error is None else f"by {type(error).__name__}"
        log.warning(
            "A try of %s of %s ended %s: Airflow's doing, which says nothing about it", stage, run.candidate, how
        )
        return None
    owner = run.owner()
    if owner is None or owner.run_id != run.run_id:
        log.warning("%s of %s is not this Dag run's: it fails alone", stage, run.candidate)
        return None
    return run


def _now() -> datetime:
    return datetime.now(UTC)
