"""Decide what a command talks to: the stack that runs here, or Google Cloud."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from genops_events.config import Config

_POINTERS = ("STORAGE_EMULATOR_HOST", "PUBSUB_EMULATOR_HOST", "BIGQUERY_EMULATOR_HOST", "GOOGLE_VERTEX_BASE_URL")
_ANSWER_SECONDS = 5.0
"""To connect to a port of this machine; one that nobody listens at refuses at once."""


def point_at(variables: Mapping[str, str]) -> None:
    """Let this process talk to the local stack that `variables` tell of, and to no other Airflow by a token of that one."""
    os.environ.update(variables)
    os.environ.pop("GENOPS_AIRFLOW_TOKEN", None)


def connect() -> Config:
    """Return the configuration, and point Google's clients at what it is about.

    In this order: what the environment says (`eval "$(genops env)"`), the stack that runs under GENOPS_HOME if it
    was started from the same genops.yaml (or there is no other), Google Cloud.

    Raises:
        ConfigError: genops.yaml is missing or wrong.
        StackError: the environment names a stack that is gone.
    """
    from genops_events.config import load_config
    from genops_events.config.environment import Settings

    if "STORAGE_EMULATOR_HOST" in os.environ:
        _refuse_a_stack_that_is_gone()
    elif Settings().home.exists():
        _point_at_a_stack_that_runs()
    return load_config()


def _point_at_a_stack_that_runs() -> None:
    from genops_events.config.environment import Settings
    from genops_events.stack.stack import environment, read_state

    state = read_state(Settings().home.resolve())
    file = Settings().config.resolve()
    if state.plan is not None and state.state in {"running", "degraded", "starting"}:
        if not file.exists() and "GENOPS_CONFIG" not in os.environ:
            file = state.plan.config_file
        if file == state.plan.config_file.resolve():
            point_at(environment(state))


def _refuse_a_stack_that_is_gone() -> None:
    """Say so, if this shell points at a local stack (`eval "$(genops env)"`) of which nothing answers any more.

    One component alone may be on its way back; each call waits for that itself.

    Raises:
        StackError: nothing of it answers.
    """
    pointers = {name: os.environ[name] for name in _POINTERS if _is_local(os.environ.get(name, ""))}
    if not pointers or any(map(_answers, pointers.values())):
        return
    from genops_events.config.environment import Settings
    from genops_events.stack.shell import is_foreign
    from genops_events.stack.stack import read_state
    from genops_events.stack.stack_errors import StackError

    home = Settings().home.resolve()
    named = ", ".join(f"{name}={value}" for name, value in pointers.items())
    if read_state(home).state in {"running", "degraded", "starting"}:
        remedy = f'The stack in {home} is at other addresses: eval "$(genops env)"'
    else:
        remedy = 'Start it again: genops up --detach, then: eval "$(genops env)"'
    ours = sorted(name for name in os.environ if is_foreign(name) and name.startswith(("GENOPS_", "GOOGLE_")))
    names = " ".join(dict.fromkeys([*pointers, *ours]))
    raise StackError(
        f"This shell points at a local stack that is gone: nothing answers at {named}.",
        f"{remedy}\nOr leave it: unset {names}",
    )


def _is_local(address: str) -> bool:
    return urlsplit(_with_scheme(address)).hostname in {"127.0.0.1", "localhost"}


def _answers(address: str) -> bool:
    parts = urlsplit(_with_scheme(address))
    try:
        socket.create_connection((parts.hostname or "", parts.port or 80), timeout=_ANSWER_SECONDS).close()
    except OSError:
        return False
    return True


def _with_scheme(address: str) -> str:
    """Return an address as a URL: Pub/Sub's has no scheme."""
    return address if "://" in address else f"http://{address}"
