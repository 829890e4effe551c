"""A local Airflow: its command lines and every setting that makes it quick, quiet and private."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

from genops_events.stack.credentials import AIRFLOW_USER, Secrets, airflow_passwords_file
from genops_events.stack.postgres import DATABASE, SUPERUSER
from genops_events.stack.state import StackPlan


def command(*words: str) -> tuple[str, ...]:
    """Return the command line of an Airflow command, run by this very Python."""
    # -P: the working folder is not searched for modules.
    return (sys.executable, "-P", "-m", "airflow", *words)


def installed_version() -> str:
    """Return the version of Airflow, which the database must have been migrated to."""
    return version("apache-airflow-core")


def home_folder(home: Path) -> Path:
    """Return AIRFLOW_HOME of the stack in `home`."""
    return home / "airflow"


def settings(plan: StackPlan, ports: Mapping[str, int], secrets: Secrets) -> dict[str, str]:
    """Return Airflow's settings as environment variables."""
    cores = os.cpu_count() or 2
    api = f"http://127.0.0.1:{ports['api-server']}"
    database = f"{SUPERUSER}:{secrets.postgres_password}@127.0.0.1:{ports['postgres']}/{DATABASE}"
    sections: dict[str, dict[str, object]] = {
        "core": {
            "dags_folder": plan.dags_folder,
            "plugins_folder": home_folder(plan.home) / "plugins",
            "executor": "LocalExecutor",
            # A task's process waits for the API server half of its life: a few more than cores keep them busy.
            "parallelism": max(8, 2 * cores),
            "max_active_tasks_per_dag": 64,
            "max_active_runs_per_dag": 64,
            "load_examples": False,
            "dags_are_paused_at_creation": False,
            "fernet_key": secrets.fernet_key,
            "hostname_callable": "genops_events.stack.loopback.host_name",
            "execution_api_server_url": f"{api}/execution/",
            # Whoever reaches the port is asked for the password of this home, which `genops env` tells.
            "simple_auth_manager_all_admins": False,
            "simple_auth_manager_users": f"{AIRFLOW_USER}:admin",
            "simple_auth_manager_passwords_file": airflow_passwords_file(plan.home),
            # A Dag that is edited twice within this time keeps its first edit until its file is read again.
            "min_serialized_dag_update_interval": 5,
            # Seconds until a killed task process is noticed as such is another setting; this one is for SIGTERM.
            "killed_task_cleanup_time": 5,
        },
        "database": {
            "sql_alchemy_conn": f"postgresql+psycopg2://{database}",
            "sql_alchemy_conn_async": f"postgresql+asyncpg://{database}",
        },
        "api": {
            "host": "127.0.0.1",
            "port": ports["api-server"],
            "base_url": api,
            "workers": 1,
            "secret_key": secrets.api_secret_key,
            "expose_stacktrace": True,
            "instance_name": "genops local",
        },
        "api_auth": {"jwt_secret": secrets.jwt_secret},
        # A task may wait long for its turn on two cores; its token must still be good then.
        "execution_api": {"jwt_expiration_time": 3600},
        "workers": {
            "execution_api_timeout": 30,
            "execution_api_retries": 8,
            "execution_api_retry_wait_max": 10,
            # Also how long a worker may overlook that its task has ended: it blocks that slot meanwhile, and a
            # deferred task that comes back sooner is taken for killed.
            "min_heartbeat_interval": 1,
        },
        "scheduler": {
            "scheduler_heartbeat_sec": 2,
            "job_heartbeat_sec": 2,
            # A scheduler that is late takes itself for dead by this, and resets its own running tasks as orphans: at a load
            # of 30 on two cores, its loop takes longer than the 12 s that this once was. After kill -9, the tasks of the
            # dead one wait as long for its successor, so it must not be minutes either.
            "scheduler_health_check_threshold": 60,
            "orphaned_tasks_check_interval": 10,
            "scheduler_idle_sleep_time": 0.5,
            # A task whose process was killed is told by its worker at once; this is for a worker that died with it.
            "task_instance_heartbeat_timeout": 90,
            "task_instance_heartbeat_timeout_detection_interval": 5,
            "trigger_timeout_check_interval": 5,
        },
        # The triggers of a triggerer whose heartbeat is older than the threshold go to another one. One that is only late
        # runs them, too, for a while; after kill -9, waits and arrivals stand still as long.
        "triggerer": {"job_heartbeat_sec": 2, "triggerer_health_check_threshold": 30},
        "dag_processor": {
            # New and changed files are seen within seconds; unchanged ones cost half a core-second each to parse again.
            "refresh_interval": 5,
            "min_file_process_interval": 120,
            "parsing_processes": 2,
            "print_stats_interval": 0,
        },
        "logging": {
            "base_log_folder": home_folder(plan.home) / "logs",
            "dag_processor_child_process_log_directory": home_folder(plan.home) / "logs" / "dag_processor",
            "colored_console_log": False,
            "uvicorn_logging_level": "WARNING",
            # All logs are in one folder here, so nobody serves them. These ports refuse at once.
            "worker_log_server_port": 1,
            "trigger_log_server_port": 1,
        },
        "metrics": {"statsd_on": False, "otel_on": False},
    }
    variables = {
        f"AIRFLOW__{section.upper()}__{name.upper()}": str(value)
        for section, options in sections.items()
        for name, value in options.items()
    }
    variables["AIRFLOW_HOME"] = str(home_folder(plan.home))
    variables["SCARF_ANALYTICS"] = "false"
    variables["DO_NOT_TRACK"] = "1"
    return variables
