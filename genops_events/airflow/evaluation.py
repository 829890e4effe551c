"""Evaluation: let the tuned model answer the evaluation file, score the answers, hold them against the gate."""

from __future__ import annotations

import logging
from typing import Any

from airflow.sdk import Context

from genops_events.airflow.report_link import ReportLink
from genops_events.airflow.stage import StageOperator
from genops_events.cascade.stage_run import StageRun
from genops_events.evaluation.files import browser_url
from genops_events.evaluation.work import EvaluationRun
from genops_events.record.stages import Stage
from genops_events.record.verdicts import Verdict

log = logging.getLogger(__name__)


class EvaluateModel(StageOperator):
    """Score a tuned model through Vertex AI's evaluation service, under a throttle, once per candidate."""

    stage = Stage.EVALUATION
    operator_extra_links = (ReportLink(),)

    report_url: str | None = None
    """Where a browser shows the report, once there is one."""

    def execute(self, context: Context) -> dict[str, Any]:
        """Return the verdict, and link its report."""
        told = super().execute(context)
        if uri := told.get("report_uri"):
            self.report_url = browser_url(uri)
            log.info("report: %s (%s)", uri, self.report_url)
        return told

    def work(self, run: StageRun, context: Context) -> Verdict:  # noqa: ARG002
        """Return the verdict: passed, or refused with the conditions of the gate that are not met."""
        run.take_on()
        return EvaluationRun(run).verdict()
