"""The form in Airflow that asks a model: fields, their defaults, and the task that asks."""

from __future__ import annotations

import logging
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from airflow.sdk import BaseOperator, Context
from airflow.sdk.exceptions import AirflowFailException

from genops_events.airflow.captured_content import figures_of
from genops_events.airflow.priorities import WAITED_FOR_PRIORITY
from genops_events.airflow.retries import INTAKE_RETRIES, STAGE_DEFAULTS
from genops_events.asking.form import read_form
from genops_events.asking.money import Reservation
from genops_events.asking.planning import counted_only, settled_plan
from genops_events.asking.running import ask, release
from genops_events.catalogue.models import shipped
from genops_events.config import Config, load_config
from genops_events.doctor.model_notices import model_notices
from genops_events.gcp.record_store import RecordStore
from genops_events.money.ceilings import USUAL_ASK_USD
from genops_events.record.asks import AskResult, run_of

log = logging.getLogger(__name__)


class GenerateContent(BaseOperator):
    """Ask what the form says, each prompt once, however often the task is tried; never for more than the budget."""

    def __init__(self, **kwargs: Any) -> None:
        own = {
            "retry_policy": INTAKE_RETRIES,
            "on_failure_callback": release_money,
            "priority_weight": WAITED_FOR_PRIORITY,
        }
        super().__init__(**{**STAGE_DEFAULTS, **own, **kwargs})

    def execute(self, context: Context) -> dict[str, Any]:
        """Return tokens, cost and where the answers are; of a single prompt the answer, too, with `capture_content: true`.

        Raises:
            WrongForm: a field is wrong, or the budget above what genops.yaml allows.
            NoLimit: nothing in genops.yaml limits what asking costs.
            NoChampion: the dataset has no champion that could be asked.
            OverBudget: the answers may cost more than the budget, or than is left of a month. Nothing was asked.
            AirflowFailException: no prompt has an answer.
        """
        signal.signal(signal.SIGINT, signal.default_int_handler)  # Airflow's worker has taken Python's own away
        config = load_config()
        store = RecordStore.open(config)
        fields = _filled_in(context["params"])
        question = read_form(fields, config, is_counted_only=bool(fields.get("count_only")))
        for notice in model_notices(config.catalogue, question.models(config), datetime.now(UTC).date()):
            log.warning("%s", notice)
        if fields.get("count_only"):
            plan = counted_only(config, store, question)
            log.info("%s", plan.estimate)
            return plan.counted_json() | {"over_limit": Reservation(config, store, plan).refusal()}
        run = _run(context)
        plan = settled_plan(config, store, question, run=run, by=f"Airflow, {context['dag_run'].run_id}")
        log.info("%s: %s", run, " ".join((f"{plan.estimate}.", *plan.unpriced)))
        return _told(config, ask(config, store, plan))

    def on_kill(self) -> None:
        """Settle what is answered when a person ends the task: as Ctrl+C does for `genops ask`."""
        signal.raise_signal(signal.SIGINT)


def _told(config: Config, result: AskResult) -> dict[str, Any]:
    figures, row = figures_of(config, result), result.row or {}
    log.log(logging.INFO if result.is_whole else logging.WARNING, "%s %s", result.outcome, result.bill)
    if result.reason is not None:
        log.warning("%s: %s", row.get("state", "failed"), result.reason)
    if not result.answered:
        raise AirflowFailException(f"No prompt was answered: {result.most_often}")
    return figures


def release_money(context: Context) -> None:
    """Settle what a run has cost whose tries are used up (failure callback)."""
    config = load_config()
    release(config, RecordStore.open(config), _run(context))


def _run(context: Context) -> str:
    dag_run = context["dag_run"]
    return run_of(f"{getattr(dag_run, 'dag_id', '')}/{dag_run.run_id}")


def _filled_in(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of the form; an empty one is not filled in."""
    return {name: None if value == "" else value for name, value in params.items()}


@dataclass(frozen=True, slots=True)
class Choices:
    """What the form offers: what genops.yaml knows, or without it what ships with genops."""

    models: tuple[str, ...]
    """Those that have a price."""
    datasets: tuple[str, ...]
    budget_usd: float
    """What is filled in."""


def choices() -> Choices:
    """Return what the form offers; never fails: a Dag that is not there says nothing about the reason."""
    try:
        config = load_config()
    except Exception:  # noqa: BLE001 - whatever it is, the task reports it when it loads the configuration
        return Choices(shipped().names, (), float(USUAL_ASK_USD))
    return Choices(
        config.catalogue.names,
        tuple(sorted(config.datasets)),
        float(USUAL_ASK_USD if config.ask.budget_usd is None else config.ask.budget_usd),
    )
