"""The components of a stack: how each is started, seen to be ready, and stopped."""

from __future__ import annotations

import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from genops_events.stack import airflow
from genops_events.stack.credentials import AIRFLOW_USER, Secrets, credentials_file, secrets_of
from genops_events.stack.shell import clean_environment
from genops_events.stack.state import StackPlan

Kind = Literal[
    "postgres", "storage", "pubsub", "vertex", "bigquery", "api-server", "scheduler", "dag-processor", "triggerer"
]

STAND_INS: tuple[Kind, ...] = ("storage", "pubsub", "vertex", "bigquery")
PORTS = (
    *("postgres", "api-server"),
    *("storage", "storage-admin", "pubsub", "pubsub-admin", "vertex", "vertex-admin", "bigquery", "bigquery-admin"),
)

# First those who give work, then what they talk to: each group is gone before the next is asked to go.
STOP_ORDER: tuple[tuple[tuple[Kind, ...], float], ...] = (
    (("scheduler", "dag-processor", "triggerer"), 8.0),
    (("api-server",), 5.0),
    (STAND_INS, 4.0),
    (("postgres",), 10.0),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Component:
    """One process of the stack.

    `argv` is its command line; of an Airflow component the words after `airflow`; PostgreSQL's is made when it starts.
    """

    name: str
    kind: Kind
    argv: tuple[str, ...]
    environment: dict[str, str]
    log: Path
    cwd: Path
    url: str | None = None
    admin_url: str | None = None
    stop_signal: signal.Signals = signal.SIGTERM

    @property
    def waits_for(self) -> str | None:
        """Return what must be there before it can start; None where nothing must."""
        if self.is_airflow:
            return "the database and its tables"
        return "its folder, made anew where there is none" if self.kind == "postgres" else None

    @property
    def is_airflow(self) -> bool:
        """Tell whether it needs the database before it can start."""
        return self.kind in ("api-server", "scheduler", "dag-processor", "triggerer")


def log_file(home: Path, name: str) -> Path:
    """Return the log of a component of this home."""
    return home / "logs" / f"{name}.log"


def client_environment(plan: StackPlan, ports: Mapping[str, int]) -> dict[str, str]:
    """Return what makes any official client, and our own command, talk to this stack."""
    return {
        "STORAGE_EMULATOR_HOST": f"http://127.0.0.1:{ports['storage']}",
        "PUBSUB_EMULATOR_HOST": f"127.0.0.1:{ports['pubsub']}",
        "BIGQUERY_EMULATOR_HOST": f"http://127.0.0.1:{ports['bigquery']}",
        "GOOGLE_VERTEX_BASE_URL": f"http://127.0.0.1:{ports['vertex']}",
        "GOOGLE_CLOUD_PROJECT": plan.project,
        "GOOGLE_CLOUD_LOCATION": plan.location,
        "GOOGLE_GENAI_USE_VERTEXAI": "true",
        "GOOGLE_APPLICATION_CREDENTIALS": str(credentials_file(plan.home)),
        "GENOPS_BUCKET": plan.bucket,
        "GENOPS_ARRIVALS_TOPIC": plan.arrivals_topic,
        "GENOPS_COMPLETIONS_TOPIC": plan.completions_topic,
        "GENOPS_AIRFLOW_URL": f"http://127.0.0.1:{ports['api-server']}",
        "GENOPS_AIRFLOW_USERNAME": AIRFLOW_USER,
        "GENOPS_AIRFLOW_PASSWORD": secrets_of(plan.home).airflow_password,
        "GENOPS_CONFIG": str(plan.config_file),
        "GENOPS_HOME": str(plan.home),
    }


def component_list(
    plan: StackPlan, ports: Mapping[str, int], secrets: Secrets, outer: Mapping[str, str]
) -> tuple[Component, ...]:
    """Return the components of a stack, in the order in which they are shown.

    Args:
        plan: what the stack is to be.
        ports: a port for each of `PORTS`.
        secrets: the home's secrets.
        outer: the environment of the supervisor, of which a cleaned copy is passed on.
    """
    clean = clean_environment(outer)
    variables = {**clean, **client_environment(plan, ports), **airflow.settings(plan, ports, secrets)}
    api = f"http://127.0.0.1:{ports['api-server']}"

    def of_airflow(kind: Kind, number: int = 1, *words: str, url: str | None = None) -> Component:
        name = kind if number == 1 else f"{kind}-{number}"
        return Component(
            name=name,
            kind=kind,
            argv=(kind, *words),
            environment=variables,
            log=log_file(plan.home, name),
            cwd=airflow.home_folder(plan.home),
            url=url,
        )

    postgres = Component(
        name="postgres",
        kind="postgres",
        argv=(),
        environment={},
        log=log_file(plan.home, "postgres"),
        cwd=plan.home,
        url=f"postgresql://127.0.0.1:{ports['postgres']}/airflow",
        stop_signal=signal.SIGINT,
    )
    return (
        postgres,
        *(_stand_in(kind, plan, ports, clean) for kind in STAND_INS),
        of_airflow("api-server", 1, "--host", "127.0.0.1", "--port", str(ports["api-server"]), url=api),
        *(of_airflow("scheduler", number + 1, "--skip-serve-logs") for number in range(plan.schedulers)),
        of_airflow("dag-processor"),
        *(of_airflow("triggerer", number + 1, "--skip-serve-logs") for number in range(plan.triggerers)),
    )


def _stand_in(kind: Kind, plan: StackPlan, ports: Mapping[str, int], clean: Mapping[str, str]) -> Component:
    links = {
        "storage": ("--pubsub", f"127.0.0.1:{ports['pubsub']}"),
        "vertex": ("--storage", f"http://127.0.0.1:{ports['storage']}"),
        "bigquery": ("--storage", f"http://127.0.0.1:{ports['storage']}"),
    }
    scheme = "" if kind == "pubsub" else "http://"
    return Component(
        name=kind,
        kind=kind,
        argv=(
            *(sys.executable, "-P", "-m", f"gcp_stand_ins.{kind}", "--host", "127.0.0.1"),
            *("--port", str(ports[kind]), "--admin-port", str(ports[f"{kind}-admin"])),
            *("--state", str(plan.home / kind), *links.get(kind, ())),
        ),
        environment=dict(clean),
        log=log_file(plan.home, kind),
        cwd=plan.home,
        url=f"{scheme}127.0.0.1:{ports[kind]}",
        admin_url=f"http://127.0.0.1:{ports[f'{kind}-admin']}",
    )
