"""The Airflow plugin: import Google's clients once per scheduler instead of once per task."""

from __future__ import annotations

import importlib
import logging
import multiprocessing
import sys
from typing import Any

from airflow.configuration import conf
from airflow.listeners import hookimpl
from airflow.plugins_manager import AirflowPlugin

from genops_events.airflow.queueing import OldestFirst

log = logging.getLogger(__name__)

_STAGES = ("budget", "comparison", "evaluation", "inference", "intake", "promotion", "tuning")


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
            from genops_events.gcp.warm_start import warm_start

            warm_start()
            for stage in _STAGES:
                importlib.import_module(f"genops_events.airflow.{stage}")
        except ImportError:
            # A task that needs it fails with the same error, and shows it to the user.
            log.warning("Tasks will start slowly", exc_info=True)


class GenopsPlugin(AirflowPlugin):
    """What genops-events adds to every Airflow component."""

    name = "genops"
    priority_weight_strategies = [OldestFirst]  # noqa: RUF012 - how Airflow declares it
    listeners = [WarmStart()]  # noqa: RUF012 - how Airflow declares it
