"""The form in Airflow that asks a model: fields, their defaults, and the task that asks."""

from __future__ import annotations

import logging
import signal
from collections.abc import Mapping
from typing import Any

from airflow.sdk import BaseOperator, Context
from airflow.sdk.exceptions import AirflowFailException

from genops_events.airflow.retries import INTAKE_RETRIES, STAGE_DEFAULTS
from genops_events.config import Config, load_config
from genops_events.config_budget import Ask
from genops_events.gcp.asking.money import Money
from genops_events.gcp.asking.planning import counted_only, settled_plan
from genops_events.gcp.asking.running import ask, release
from genops_events.gcp.record_store import RecordStore
from genops_events.inference.ask_form import read_question
from genops_events.inference.asks import AskResult, run_of
from genops_events.pricing import load_prices

log = logging.getLogger(__name__)

ANSWER_CHARACTERS = 20_000
"""Of a single answer in XCom, which is a table of Airflow's database; the file has all of it."""


class GenerateContent(BaseOperator):
    """Ask what the form says, each prompt once, however often the task is tried; never for more than the budget."""

    def __init__(self, **kwargs: Any) -> None:
        own = {"retry_policy": INTAKE_RETRIES, "on_failure_callback": release_money}
        super().__init__(**{**STAGE_DEFAULTS, **own, **kwargs})

    def execute(self, context: Context) -> dict[str, Any]:
        """Return tokens, cost and where the answers are; of a single prompt the answer, too.

        Raises:
            WrongForm: a field is wrong.
            NoChampion: there is nobody to ask.
            OverBudget: the answers may cost more than the budget, or than is left of a month. Nothing was asked.
            AirflowFailException: no prompt has an answer.
        """
        signal.signal(signal.SIGINT, signal.default_int_handler)  # Airflow's worker has taken Python's own away
        config = load_config()
        store = RecordStore.open(config)
        fields = _filled_in(context["params"])
        question = read_question(fields, config)
        if fields.get("count_only"):
            plan = counted_only(config, store, question)
            log.info("%s", plan.estimate)
            return plan.counted_json() | {"over_limit": Money(config, store, plan).refusal()}
        run = _run(context)
        plan = settled_plan(config, store, question, run=run, by=f"Airflow, {context['dag_run'].run_id}")
        log.info("%s: %s", run, plan.estimate)
        return _told(ask(config, store, plan))

    def on_kill(self) -> None:
        """Settle what is answered when somebody ends the task: as Ctrl+C does for `genops ask`."""
        signal.raise_signal(signal.SIGINT)


def _told(result: AskResult) -> dict[str, Any]:
    figures = result.figures()
    row = result.row or {}
    if "answer" in row:
        log.info("Answer:\n%s", row["answer"])
        figures["answer"] = row["answer"][:ANSWER_CHARACTERS]
    log.log(logging.INFO if result.is_whole else logging.WARNING, "%s %s", result.outcome, result.bill)
    if row.get("reason"):
        log.warning("%s: %s", row.get("state", "failed"), row["reason"])
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


def _known() -> Config | None:
    try:
        return load_config()
    except Exception:  # noqa: BLE001 - whatever it is, the Dag stays; the task reports it when it loads the configuration
        return None


def known_models() -> list[str]:
    """Return the models that have a price, for the form."""
    config = _known()
    return sorted(load_prices().models if config is None else config.price_tables.prices.models)


def known_datasets() -> list[str]:
    """Return the datasets of genops.yaml, for the form."""
    config = _known()
    return [] if config is None else sorted(config.datasets)


def usual_budget() -> float:
    """Return `ask.budget_usd`, in USD."""
    config = _known()
    return float((Ask() if config is None else config.ask).budget_usd)
