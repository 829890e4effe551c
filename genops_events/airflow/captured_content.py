"""What a task may leave of prompts and answers in Airflow: where they lie, and how many; text only if genops.yaml says so."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from genops_events.config import Config, load_config
from genops_events.record.asks import ANSWER_KEYS, AskResult, result_path

if TYPE_CHECKING:
    from genops_events.asking import Generated

log = logging.getLogger(__name__)

ANSWER_CHARACTERS = 20_000
"""Of a single answer in XCom, which is a table of Airflow's database; the file has all of it."""


def figures_of(config: Config, result: AskResult) -> dict[str, Any]:
    """Return what a task that has asked returns, and log a single answer if that may be.

    All who may see a Dag run may see its logs and XCom, which are kept for as long as the run is: these are other people
    than those who may read the bucket, and it is another time.
    """
    figures = result.figures()
    if result.row is None:
        return figures
    figures["answer_uri"] = config.uri(result_path(result.candidate))
    if not config.capture_content:
        _log_where(config, result.candidate)
        return {key: value for key, value in figures.items() if key not in ANSWER_KEYS}
    if "answer" in figures:
        log.info("Answer:\n%s", figures["answer"])
        figures["answer"] = figures["answer"][:ANSWER_CHARACTERS]
    return figures


def returned_figures(found: Generated, content: Mapping[str, Any], **beside: Any) -> dict[str, Any]:
    """Return what a task that called `generate` returns: state, cost and where the answer lies.

    Args:
        found: the answer.
        content: what was made of it; returned and logged only with `capture_content: true` in genops.yaml.
        beside: what else is returned.
    """
    config = load_config()
    figures = {
        **beside,
        "run": found.run,
        "state": found.state,
        "answer_uri": config.uri(result_path(found.run)),
        "cost_usd": str(found.cost_usd),
    }
    if config.capture_content:
        log.info("Answer:\n%s", found.text)
        return {**figures, **content}
    _log_where(config, found.run)
    return figures


def _log_where(config: Config, run: str) -> None:
    log.info("The answer lies in %s; `genops ask --run %s` shows it.", config.uri(result_path(run)), run)
