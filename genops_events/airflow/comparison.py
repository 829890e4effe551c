"""Comparison: let contestants answer the same prompts side by side, and put what came of it together."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator, Context, Param, XComArg
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from genops_events.airflow.failing import is_current
from genops_events.airflow.priorities import COMPARISON_PRIORITY
from genops_events.airflow.report_link import ComparisonLink
from genops_events.airflow.retries import STAGE_DEFAULTS
from genops_events.airflow.task_context import partition_key_of, stepping_aside
from genops_events.comparison.conclude import conclude, fail, refuse
from genops_events.comparison.contest import ContestantRun
from genops_events.comparison.work import ComparisonRun
from genops_events.config import load_config
from genops_events.doctor.model_notices import contestants_models, model_notices, models_of
from genops_events.errors import GenopsError
from genops_events.evaluation.files import browser_url
from genops_events.evaluation.python_metrics import functions_of
from genops_events.gcp.at_once import widen
from genops_events.record.comparison import ComparisonSummary
from genops_events.record.comparison_plan import MOST_AT_ONCE, ComparisonPlan

if TYPE_CHECKING:
    from airflow.sdk.definitions.mappedoperator import MappedOperator

log = logging.getLogger(__name__)


class _ComparisonOperator(BaseOperator):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{**STAGE_DEFAULTS, "priority_weight": COMPARISON_PRIORITY, **kwargs})


class PlanComparison(_ComparisonOperator):
    """Settle what is compared with whom, and whether the money is there, before anybody is asked."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"on_failure_callback": record_failed_plan, **kwargs})

    def execute(self, context: Context) -> list[str]:
        """Return the names of the contestants.

        Raises:
            AirflowSkipException: the dataset has none, or another Dag run does this comparison.
            AirflowFailException: it would be over a limit: refused with the sum that is missing, and nothing spent.
            PermanentError: it cannot be done as it was asked for.
        """
        comparing = comparing_of(context)
        if not comparing.is_wanted():
            raise AirflowSkipException(f"{comparing.dataset_name} has no contestants in genops.yaml")
        with stepping_aside():
            plan = comparing.plan()
        of_plan = contestants_models("contestants", plan.contestants)
        named = [*models_of(comparing.config, dataset=plan.dataset), *of_plan]
        for notice in model_notices(comparing.config.catalogue, named, datetime.now(UTC).date()):
            log.warning("%s", notice)
        contestants = comparing.prepared(plan)
        functions_of(comparing.dataset.evaluation.measured(plan.metrics))  # before anything is spent
        missing = comparing.unfinished(plan)
        most = comparing.most([one for one in contestants if one.contestant.name in missing])
        refusal = comparing.refusal(plan, most)
        if refusal is not None:
            reason, sum_missing = refusal
            refused = refuse(comparing.config, comparing.store, plan, reason, missing=sum_missing, most=most)
            raise AirflowFailException(f"refused: {refused.reason}")
        log.info("Comparison %s: %s, at most %s", plan.id, [one.name for one in plan.contestants], most)
        return [one.name for one in plan.contestants]


class RunContestant(_ComparisonOperator):
    """Let one contestant answer all prompts, and score its answers; the others go on, whatever becomes of it."""

    template_fields = ("contestant",)

    def __init__(self, *, contestant: str, **kwargs: Any) -> None:
        super().__init__(**{"on_failure_callback": record_failed_contestant, **kwargs})
        self.contestant = contestant

    @classmethod
    def side_by_side(cls, task_id: str, *, contestants: XComArg) -> MappedOperator:
        """Return a task for each contestant that a Dag run has.

        Args:
            task_id: of all of them.
            contestants: their names.
        """
        # Of a mapped task, the scheduler sees no constructor: what it is to know has to be said here.
        mapped = cls.partial(
            task_id=task_id,
            map_index_template="{{ task.contestant }}",
            max_active_tis_per_dag=MOST_AT_ONCE,
            priority_weight=COMPARISON_PRIORITY,
            on_failure_callback=record_failed_contestant,
            **STAGE_DEFAULTS,
        )
        return mapped.expand(contestant=contestants)

    def execute(self, context: Context) -> dict[str, Any]:
        """Return its means.

        Raises:
            AirflowFailException: it did not complete; why is in the summary and the report, too.
        """
        comparing = comparing_of(context)
        plan = _known(comparing)
        widen(comparing.store.bucket.client)
        functions = functions_of(comparing.dataset.evaluation.measured(plan.metrics))
        result = ContestantRun(comparing.config, comparing.store, plan, self.contestant).run(functions)
        if result.status != "completed":
            raise AirflowFailException(f"{result.name} {result.status}: {result.reason} {result.help or ''}".rstrip())
        means = {name: one.mean for name, one in result.metrics.items()}
        log.info("%s: %s, %s USD. %s", result.name, means, result.cost_usd, result.reason)
        return means


class ConcludeComparison(_ComparisonOperator):
    """Put all contestants side by side: rows, summary, tables, report, completion event."""

    operator_extra_links = (ComparisonLink(),)

    report_url: str | None = None
    """Where a browser shows the report, once there is one."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"trigger_rule": "all_done_min_one_success", **kwargs})

    def execute(self, context: Context) -> dict[str, Any]:
        """Return how it went, and where the results are.

        Raises:
            AirflowFailException: a contestant did not complete: all that there is, is written and announced.
        """
        comparing = comparing_of(context)
        comparison = conclude(comparing.config, comparing.store, _known(comparing))
        if comparison.report_uri:
            self.report_url = browser_url(comparison.report_uri)
            log.info("report: %s (%s)", comparison.report_uri, self.report_url)
        if any(one.status != "completed" for one in comparison.contestants):
            raise AirflowFailException(f"{comparison.reason} Report: {comparison.report_uri}")
        return told(comparison)


def told(comparison: ComparisonSummary) -> dict[str, Any]:
    """Return what of a comparison goes to XCom: references and figures, no rows."""
    shown = {"candidate", "outcome", "reason", "rows", "cost_usd", "rows_uri", "parquet_uri", "report_uri"}
    document = comparison.model_dump(mode="json", include=shown, exclude_none=True)
    return {"comparison": document.pop("candidate"), **document}


def comparing_of(context: Context) -> ComparisonRun:
    """Return what the Dag run of `context` is about; raises as `ComparisonRun.of` does."""
    form = dict(context.get("params") or {})
    return ComparisonRun.of(key=partition_key_of(context), run_id=str(context["dag_run"].run_id), form=form)


def record_failed_plan(context: Context) -> None:
    """Record and announce that a comparison could not begin (failure callback)."""
    error = context.get("exception")
    if isinstance(error, AirflowFailException):
        return  # refused, and that is recorded
    if error is not None and not is_current(context):
        return  # another try is at it, or may be
    comparing = comparing_of(context)
    plan = comparing.known_plan()
    if plan is not None and plan.run_id != comparing.run_id:
        return
    fail(comparing.config, comparing.store, plan or comparing.draft(), _reason(error))


def record_failed_contestant(context: Context) -> None:
    """Record that a contestant's retries are used up (failure callback)."""
    error = context.get("exception")
    if isinstance(error, AirflowFailException):
        return  # it has recorded that itself
    if error is not None and not is_current(context):
        return  # another try is at it, or may be; who leaves no result is taken for failed by the report
    task: Any = context["task"]
    comparing = comparing_of(context)
    contestant_run = ContestantRun(comparing.config, comparing.store, _known(comparing), task.contestant)
    contestant_run.give_up(error if isinstance(error, GenopsError) else _reason(error))


def _reason(error: object) -> str:
    if isinstance(error, GenopsError):
        return " ".join(f"{error.message} {error.hint}".split())
    return "The task ended without an answer." if error is None else f"{type(error).__name__}: {error}"


def _known(comparing: ComparisonRun) -> ComparisonPlan:
    plan = comparing.known_plan()
    if plan is None:
        raise AirflowFailException("The record has no plan of this comparison: clear the task `plan`.")
    return plan


def when_promoted(schedule: Callable[[], Any]) -> Any:
    """Return the schedule if any dataset of genops.yaml has contestants; else None, so that no promotion starts a run.

    Where genops.yaml cannot be read, the schedule stays: an asset's Dag that changes it loses the keys that wait.
    """
    try:
        wanted = any(dataset.comparison.contestants for dataset in load_config().datasets.values())
    except Exception:  # noqa: BLE001 - whatever it is, the Dag stays; the task reports it when it loads the configuration
        wanted = True
    return schedule() if wanted else None


def form() -> dict[str, Param]:
    """Return the fields of the form; what is left empty is as genops.yaml says."""
    # Without null, Airflow's form insists on every field.
    lines: dict[str, Any] = {"type": ["null", "array"], "items": {"type": "string"}}
    return {
        "dataset": Param(
            None,
            type=["null", "string"],
            title="Dataset",
            description="An entry of genops.yaml. May be empty where there is one.",
        ),
        "contestants": Param(
            None,
            **lines,
            title="Contestants",
            description="One on each line: champion, a published model, a candidate, or a variant such as "
            "warm: {model: champion, generation_config: {temperature: 1.0}}. If empty: those of the dataset.",
        ),
        "prompts": Param(
            None,
            type=["null", "string"],
            title="Prompts",
            description="An object in the bucket, JSONL with prompt and reference. If empty: the dataset's.",
        ),
        "metrics": Param(None, **lines, title="Metrics", description="One on each line. If empty: the dataset's."),
        "budget_usd": Param(
            None,
            type=["null", "number"],
            minimum=0,
            title="Budget (US dollars)",
            description="Most that the comparison may cost; if it may cost more, no model is asked. If empty: what genops.yaml "
            "allows the dataset, which is also the most that may stand here.",
        ),
    }
