"""The Airflow plugin: import Google's clients once per scheduler instead of once per task."""

from __future__ import annotations

import importlib
import logging
import multiprocessing
import sys
from functools import cache
from typing import Any

from airflow.configuration import conf
from airflow.listeners import hookimpl
from airflow.plugins_manager import AirflowPlugin

from genops_events.airflow.queueing import OldestFirst
from genops_events.errors import ConfigError

log = logging.getLogger(__name__)

_NEEDED = (
    *(f"genops_events.airflow.{name}" for name in ("budget", "comparison", "evaluation", "inference", "intake")),
    *(f"genops_events.airflow.{name}" for name in ("promotion", "tables", "tuning")),
    "genops_events.airflow_rest.pool",
    "triggers.batch_job",
    "triggers.tuning_job",
)
"""What the Dags and their tasks are made of."""


class WarmStart:
    """Import and build what the stages need before the executor forks its workers; every task then inherits it."""

    @hookimpl
    def on_starting(self, component: Any) -> None:  # noqa: ARG002 - Airflow matches the name
        """Import the clients if this process is a scheduler whose tasks are forked from it.

        Airflow calls this before the executor starts, and before the job knows its kind: the command line tells.
        """
        scheduler = sys.argv[1:2] == ["scheduler"]
        forks = conf.get("core", "executor") == "LocalExecutor" and multiprocessing.get_start_method() == "fork"
        if not scheduler or not forks:
            return
        try:
            _warm_up()
        except ConfigError:
            return  # A person is editing genops.yaml; each task reads it anew.
        except ImportError:
            # A task that needs it fails with the same error, and shows it to the user.
            log.warning("Tasks will start slowly", exc_info=True)


@cache
def _warm_up() -> None:
    """Do it once: Airflow calls listeners in each forked task, too."""
    from genops_events.config import load_config
    from genops_events.gcp.warm_start import warm_start

    warm_start()
    for name in _NEEDED:
        importlib.import_module(name)
    load_config()


class GenopsPlugin(AirflowPlugin):
    """What genops-events adds to every Airflow component."""

    name = "genops"
    priority_weight_strategies = [OldestFirst]  # noqa: RUF012 - how Airflow declares it
    listeners = [WarmStart()]  # noqa: RUF012 - how Airflow declares it
