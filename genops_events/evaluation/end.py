"""The end of a failed evaluation: its cost is unknown once it has paid for an answer or a score."""

from __future__ import annotations

from decimal import Decimal

from genops_events.cascade.stage_end import StageEnd
from genops_events.cascade.stage_run import StageRun
from genops_events.record.evaluation import judgements_prefix
from genops_events.record.paths import evaluation_answers_path
from genops_events.record.stages import Outcome
from genops_events.record.verdicts import EvaluationVerdict, Verdict


def _bought(run: StageRun) -> bool:
    """Return whether an answer or a score is kept."""
    answers = evaluation_answers_path(run.candidate).removesuffix(
        ".jsonl"
    )  # the file, or the parts of an unfinished run
    return any(run.store.names(prefix) for prefix in (answers, judgements_prefix(run.candidate)))


def _failed(run: StageRun, reason: str) -> Verdict:
    return run.conclude(EvaluationVerdict, Outcome.FAILED, reason, cost_usd=None if _bought(run) else Decimal(0))


EVALUATION_END = StageEnd(failed=_failed)
