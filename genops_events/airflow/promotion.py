"""Promotion: once both verdicts are in, let the candidate challenge the champion, and ask a person where one wants that."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.providers.standard.operators.hitl import HITLOperator
from airflow.sdk import Context, Param

from genops_events.airflow.stage import StageOperator, finish
from genops_events.airflow.task_context import stepping_aside
from genops_events.cascade.stage_run import StageRun
from genops_events.promotion.question import APPROVE, OPTIONS, REASON, ask_a_person, record_answer
from genops_events.promotion.work import decided
from genops_events.record.stages import Stage
from genops_events.record.verdicts import EvaluationVerdict, Verdict


class PromoteModel(StageOperator, HITLOperator):
    """Make the candidate its dataset's champion if evaluation and budget agree and it beats the one that is.

    Both evaluation and budget wake this stage; whichever comes second finds both verdicts in the record. With
    `promotion.approval: person`, a candidate that would win waits as one of Airflow's required actions, without a worker.
    """

    stage = Stage.PROMOTION

    def __init__(self, **kwargs: Any) -> None:
        # The question is put together when it is asked; a Dag file knows no candidate.
        asked = {
            "subject": "Shall this candidate become champion?",
            "options": list(OPTIONS),
            "params": {REASON: Param("", type="string", title="Why", description="Recorded, and part of the event.")},
        }
        super().__init__(**{**asked, **kwargs})

    def work(self, run: StageRun, context: Context) -> Verdict:
        """Return the verdict: promoted or held.

        Raises:
            StepAside: evaluation or budget has not given its verdict yet; the other will wake us again.
            TaskAwaitingInput: a person is asked, and `execute_complete` goes on with the answer.
        """
        verdict = decided(run)
        if verdict is not None:
            return verdict
        evaluation = run.store.verdict(run.candidate, Stage.EVALUATION)
        assert isinstance(evaluation, EvaluationVerdict)
        question = ask_a_person(run, evaluation, run.store.champion(run.arrival.dataset))
        self.subject = f"Shall {run.candidate} become champion of {run.arrival.dataset}?"
        self.body = question.text
        self.defaults = [OPTIONS[0] if question.on_timeout == APPROVE else OPTIONS[1]]
        self.response_timeout = max(question.asked_until - datetime.now(UTC), timedelta(seconds=1))
        HITLOperator.execute(self, context)
        raise AssertionError("Airflow parks the task in HITLOperator.execute")

    def execute_complete(self, context: Context, event: dict[str, Any]) -> Any:
        """Go on with what a person said, or with what counts for a person who is silent."""
        run = self.run_of(context)
        given: Mapping[str, Any] = super().execute_complete(context, event)
        verdict = run.store.verdict(run.candidate, self.stage)
        if verdict is None:
            record_answer(run, given)
            with stepping_aside():
                verdict = self.work(run, context)
        return finish(run, verdict)
