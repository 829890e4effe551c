"""What a sweep mends about promotion: rollbacks whose command died, answers that led to nothing yet, holds that are of no use any more."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import UTC, datetime

from genops_events.cascade.stage_end import settle_and_announce
from genops_events.cascade.stage_run import StageRun
from genops_events.config import Config
from genops_events.errors import GenopsError, StepAside
from genops_events.gcp.record_store import RecordStore
from genops_events.intake.sweep_figures import SweepFigures
from genops_events.promotion.end import PROMOTION_END
from genops_events.promotion.rollbacks import finish_rollbacks, unfinished
from genops_events.promotion.work import beyond_help, decided
from genops_events.record.stages import Stage

log = logging.getLogger(__name__)


def heal_rollbacks(config: Config, store: RecordStore, figures: SweepFigures) -> None:
    """Finish each rollback that was begun and not finished within patience: its document, its event, the registry."""
    now = datetime.now(UTC)
    for dataset in config.datasets:
        try:
            due = [one for one in unfinished(store, dataset) if now - one.written_at >= config.intake.patience]
            if due:
                finish_rollbacks(config, store, dataset)
        except GenopsError as error:
            # One dataset whose champion cannot be read must not keep the others from it.
            log.exception("The rollbacks of %s cannot be finished", dataset)
            figures.error = str(error)
            continue
        for rollback in due:
            reason = (
                f"{rollback.by} rolled it back, and not all of that was done: its event may not have been published."
            )
            figures.healed("unannounced_verdict", rollback.candidate, Stage.PROMOTION, reason)


def heal_answered(candidates: Iterable[str], figures: SweepFigures) -> None:
    """End the promotion of candidates that a person has answered in the shell, where Airflow did not learn of it.

    The task that asked goes on waiting, and finds the verdict when its time is up.
    """
    for candidate in candidates:
        run = StageRun(Stage.PROMOTION, candidate, figures.run_id)
        try:
            verdict = decided(run)
            if verdict is None:
                continue
            settle_and_announce(run, verdict, PROMOTION_END)
        except (GenopsError, StepAside) as error:
            log.exception("The answered promotion of %s cannot be ended", candidate)
            figures.error = str(error)
            continue
        reason = "A person had answered, and no Dag run went on with the answer."
        figures.healed("closed_stage", candidate, Stage.PROMOTION, reason)


def end_beyond_help(candidates: Iterable[str], figures: SweepFigures) -> set[str]:
    """End candidates that wait for money though a person or the gate has decided against them; return who was ended."""
    ended: set[str] = set()
    for candidate in candidates:
        run = StageRun(Stage.PROMOTION, candidate, figures.run_id)
        try:
            verdict = beyond_help(run)
            if verdict is None:
                continue
            settle_and_announce(run, verdict, PROMOTION_END)
        except GenopsError as error:
            log.exception("%s, which waits for money that cannot help it, cannot be ended", candidate)
            figures.error = str(error)
            continue
        figures.healed("closed_stage", candidate, Stage.PROMOTION, "It waited for money that cannot help it any more.")
        ended.add(candidate)
    return ended
