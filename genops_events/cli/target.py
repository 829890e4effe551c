"""Decide what a command talks to: the stack that runs here, or Google Cloud."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from genops_events.settings import Settings

if TYPE_CHECKING:
    from genops_events.config import Config


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
    """
    from genops_events.config import load_config
    from genops_events.local.stack import environment, read_state

    if "STORAGE_EMULATOR_HOST" not in os.environ:
        state = read_state(Settings().home.resolve())
        file = Settings().config.resolve()
        if state.plan is not None and state.state in {"running", "degraded", "starting"}:
            if not file.exists() and "GENOPS_CONFIG" not in os.environ:
                file = state.plan.config_file
            if file == state.plan.config_file.resolve():
                point_at(environment(state))
    return load_config()
